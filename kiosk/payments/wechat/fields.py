"""Values inside messages of WeChat Pay v2: times, texts, payments, refunds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from kiosk.clock import CHINA_STANDARD_TIME
from kiosk.payments.gateway import Payment, Refunded, RefundFailed

NOTIFY_PATH = "/wxpay/notify"
REFUND_NOTIFY_PATH = "/wxpay/refund-notify"

_TIME = "%Y%m%d%H%M%S"  # China Standard Time, whatever the board's zone


def format_time(moment: datetime) -> str:
    """An aware moment as WeChat writes it: 14 digits, China Standard Time."""
    return moment.astimezone(CHINA_STANDARD_TIME).strftime(_TIME)


def parse_time(text: str) -> datetime:
    """The aware moment that 14 digits mean. Raises ValueError."""
    if not (len(text) == 14 and text.isascii() and text.isdigit()):
        raise ValueError(f"{one_line(text)!r} is no time of 14 digits")
    return datetime.fromisoformat(f"{text[:8]}T{text[8:]}").replace(tzinfo=CHINA_STANDARD_TIME)


def parse_fen(text: str) -> int:
    """An amount of money: whole fen, digits only. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 12):  # 12: ten thousand million yuan; int() takes any
        raise ValueError(f"{one_line(text)!r} is no amount in fen")
    return int(text)


def cut(text: str, max_bytes: int) -> str:
    """The longest beginning of `text` that has at most `max_bytes` bytes of UTF-8 and cuts no character."""
    return text.encode()[:max_bytes].decode(errors="ignore")


def one_line(text: str) -> str:
    """Words of the other side as they may stand in a log line or a sentence."""
    return cut(" ".join(text.split()), 256)


def payment(fields: Mapping[str, str]) -> Payment:
    """The payment that a verified notification or orderquery answer tells of.

    `total_fen` is `total_fee`, the price of the order; `cash_fee` lacks the coupons. Raises ValueError.
    """
    for name in ("out_trade_no", "transaction_id", "appid"):
        if not fields.get(name):
            raise ValueError(f"it has no {name}")
    return Payment(
        out_trade_no=fields["out_trade_no"],
        transaction_id=fields["transaction_id"],
        app_id=fields["appid"],
        total_fen=parse_fen(fields.get("total_fee", "")),
        currency=fields.get("fee_type") or "CNY",
        openid=fields.get("openid", ""),
        paid_at=parse_time(fields.get("time_end", "")),
    )


def refund_end(status: str, refund_id: str) -> Refunded | RefundFailed | None:
    """What a refund_status says of how a refund ended; None when it does not say that it ended."""
    match status:
        case "SUCCESS":
            return Refunded(refund_id)
        case "REFUNDCLOSE":
            return RefundFailed("WeChat Pay closed the refund", fresh_number=True)
        case "CHANGE":
            reason = "the customer's account cannot take the money: refund it by hand in WeChat's merchant platform"
            return RefundFailed(reason, fresh_number=False)
        case _:
            return None
