"""A merchant, an order and WeChat's signing hand, for the tests of the payments; without the product's code."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

from kiosk.payments.gateway import PrepayRequest, RefundRequest
from kiosk.settings import SignType, WeChatPaySettings

KEY = "192006250b4c09247ec02edce69f6a2d"
APP_ID, MINI_APP_ID, MCH_ID = "wx2421b1c4370ec43b", "wxd678efh567hg6787", "10000100"
SETTINGS = WeChatPaySettings(
    app_id=APP_ID,
    mch_id=MCH_ID,
    api_key=KEY,
    sign_type=SignType.HMAC_SHA256,
    public_url="https://pay.example.com",
)
CREATED_AT = datetime(2026, 11, 23, 20, 30, 15, tzinfo=UTC)  # already the next day in China
ORDER = PrepayRequest(
    out_trade_no="lobby-1-0123456789",
    product_id="cola",
    description="大堂饮料机-可口可乐",
    amount_fen=350,
    created_at=CREATED_AT,
    expires_at=CREATED_AT + timedelta(minutes=30),
)
REFUND = RefundRequest(
    out_trade_no=ORDER.out_trade_no,
    transaction_id="4200000065201803063807324676",
    out_refund_no="lobby-1-0123456789-1",
    app_id=APP_ID,
    total_fen=350,
    refund_fen=350,
    reason="没有出货",
)
NOTICE = {
    "return_code": "SUCCESS",
    "result_code": "SUCCESS",
    "appid": APP_ID,
    "mch_id": MCH_ID,
    "nonce_str": "5d2b6c2a8db53831f7eda20af46e531c",
    "openid": "oUpF8uMEb4qRXf22hE3X68TekukE",
    "is_subscribe": "N",
    "trade_type": "NATIVE",
    "bank_type": "CFT",
    "total_fee": "350",
    "cash_fee": "350",
    "fee_type": "CNY",
    "transaction_id": "4200000065201803063807324676",
    "out_trade_no": ORDER.out_trade_no,
    "time_end": "20261124043105",
}


def changed(**changes: Any) -> WeChatPaySettings:
    """The merchant's settings with changes."""
    return replace(SETTINGS, **changes)


def hand_sign(fields: Mapping[str, str], sign_type: SignType = SignType.HMAC_SHA256, key: str = KEY) -> str:
    """A signature as the documents describe it."""
    text = "&".join(f"{k}={fields[k]}" for k in sorted(fields) if fields[k] != "" and k != "sign") + f"&key={key}"
    if sign_type is SignType.MD5:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()
    return hmac.new(key.encode(), text.encode(), "sha256").hexdigest().upper()


def plain_xml(fields: Mapping[str, str], root: str = "xml") -> bytes:
    """The fields as WeChat could write them: escaped, on lines."""
    lines = [f"  <{name}>{escape(value)}</{name}>" for name, value in fields.items()]
    return "\n".join([f"<{root}>", *lines, f"</{root}>"]).encode()


def signed(fields: Mapping[str, str], sign_type: SignType = SignType.HMAC_SHA256, key: str = KEY) -> bytes:
    """The fields with their signature, as a body."""
    return plain_xml({**fields, "sign": hand_sign(fields, sign_type, key)})
