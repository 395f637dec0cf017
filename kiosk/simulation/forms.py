"""What the simulated WeChat Pay demands of the fields of each call: presence, length in bytes, form.

The tables of WeChat Pay v2, chapters 9_1 to 9_6. The documents count lengths without saying of what; bytes of UTF-8
are the strictest reading.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from kiosk.payments.wechat.fields import parse_time
from kiosk.simulation.ledger import Refusal

MAX_FEN = 100_000_000  # a million yuan: more is a mistake of the test
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


def _is_time(value: str) -> bool:
    try:
        parse_time(value)
    except ValueError:
        return False
    return True


def _is_amount(value: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,8}", value) is not None and int(value) <= MAX_FEN


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_notify_url(value: str) -> bool:
    """https, a path, no query; of plain http only loopback, which the real one would never reach."""
    url = urlsplit(value)
    good_scheme = url.scheme == "https" or (url.scheme == "http" and url.hostname in LOOPBACK)
    return good_scheme and bool(url.hostname) and len(url.path) > 1 and not url.query and not url.fragment


@dataclass(frozen=True)
class _Field:
    """One row of a table."""

    max_bytes: int
    required: bool = False
    good: Callable[[str], bool] = lambda _: True


_WORD = _matches(r"[A-Za-z0-9]+")
_ORDER_NO = _Field(32, required=True, good=_matches(r"[A-Za-z0-9_\-|*]{6,32}"))
_SIGN_TYPE = _matches(r"MD5|HMAC-SHA256")
_COMMON = {
    "appid": _Field(32, required=True),
    "mch_id": _Field(32, required=True, good=_matches(r"[0-9]+")),
    "nonce_str": _Field(32, required=True, good=_WORD),
    "sign": _Field(64, required=True),
    "sign_type": _Field(32, good=_SIGN_TYPE),
}
_TABLES: dict[str, dict[str, _Field]] = {
    "unifiedorder": {
        **_COMMON,
        "device_info": _Field(32),
        "body": _Field(127, required=True),
        "detail": _Field(6000),
        "attach": _Field(127),
        "out_trade_no": _ORDER_NO,
        "fee_type": _Field(16, good=_matches("CNY")),
        "total_fee": _Field(9, required=True, good=_is_amount),
        "spbill_create_ip": _Field(64, required=True, good=_is_address),
        "time_start": _Field(14, good=_is_time),
        "time_expire": _Field(14, good=_is_time),
        "goods_tag": _Field(32),
        "notify_url": _Field(256, required=True, good=_is_notify_url),
        "trade_type": _Field(16, required=True, good=_matches("NATIVE|JSAPI")),
        "product_id": _Field(32),
        "limit_pay": _Field(32, good=_matches("no_credit")),
        "openid": _Field(128),
        "receipt": _Field(8, good=_matches("Y")),
        "profit_sharing": _Field(16, good=_matches("[YN]")),
        "scene_info": _Field(256),
    },
    "orderquery": {**_COMMON, "transaction_id": _Field(32), "out_trade_no": _Field(32)},
    "closeorder": {**_COMMON, "out_trade_no": _ORDER_NO},
    "refund": {
        **_COMMON,
        "transaction_id": _Field(32),
        "out_trade_no": _Field(32),
        "out_refund_no": _Field(64, required=True, good=_matches(r"[A-Za-z0-9_\-|*@]+")),
        "total_fee": _Field(9, required=True, good=_is_amount),
        "refund_fee": _Field(9, required=True, good=_is_amount),
        "refund_fee_type": _Field(8, good=_matches("CNY")),
        "refund_desc": _Field(80),
        "refund_account": _Field(30, good=_matches("REFUND_SOURCE_UNSETTLED_FUNDS|REFUND_SOURCE_RECHARGE_FUNDS")),
        "notify_url": _Field(256, good=_is_notify_url),
    },
    "refundquery": {
        **_COMMON,
        "refund_id": _Field(32),
        "out_refund_no": _Field(64),
        "transaction_id": _Field(32),
        "out_trade_no": _Field(32),
        "offset": _Field(8, good=_matches("[0-9]+")),
    },
    "downloadbill": {
        **_COMMON,
        "bill_date": _Field(8, required=True, good=_matches("20[0-9]{6}")),
        "bill_type": _Field(8, good=_matches("ALL")),
    },
}
_ONE_OF = {
    "orderquery": ("transaction_id", "out_trade_no"),
    "refund": ("transaction_id", "out_trade_no"),
    "refundquery": ("refund_id", "out_refund_no", "transaction_id", "out_trade_no"),
}


def check(call: str, fields: Mapping[str, str]) -> None:
    """Raise `Refusal` (LACK_PARAMS or PARAM_ERROR) for a request that its table does not allow."""
    table = _TABLES[call]
    for name, rule in table.items():
        value = fields.get(name, "")
        if not value:
            if rule.required:
                raise Refusal("LACK_PARAMS", f"缺少参数{name}")
        elif len(value.encode()) > rule.max_bytes:
            raise Refusal("PARAM_ERROR", f"参数{name}长度超过{rule.max_bytes}字节")
        elif not rule.good(value):
            raise Refusal("PARAM_ERROR", f"参数{name}格式错误")
    unknown = fields.keys() - table.keys()
    if unknown:
        raise Refusal("PARAM_ERROR", f"不支持的参数{min(unknown)}")
    if call in _ONE_OF and not any(fields.get(name) for name in _ONE_OF[call]):
        raise Refusal("LACK_PARAMS", f"缺少参数{_ONE_OF[call][-1]}")
    if call == "unifiedorder":
        _check_order(fields)


def _check_order(fields: Mapping[str, str]) -> None:
    needed = "openid" if fields["trade_type"] == "JSAPI" else "product_id"
    if not fields.get(needed):
        raise Refusal("LACK_PARAMS", f"trade_type为{fields['trade_type']}时必须传{needed}")
    if fields.get("time_start") and fields.get("time_expire"):
        life = parse_time(fields["time_expire"]) - parse_time(fields["time_start"])
        if life < timedelta(minutes=1):
            raise Refusal("PARAM_ERROR", "time_expire必须晚于time_start")
