"""What the simulated WeChat Pay says of orders, payments and refunds, and how it seals what it sends by itself.

WeChat Pay v2: payment notification 9_7, orderquery 9_2, refundquery 9_5, refund notification 9_16.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from kiosk.clock import CHINA_STANDARD_TIME
from kiosk.payments.wechat import xml
from kiosk.payments.wechat.fields import format_time
from kiosk.payments.wechat.signature import nonce, sign
from kiosk.settings import SignType
from kiosk.simulation.ledger import Order, Payment, Refund

_SPACED_TIME = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Merchant:
    """Who the simulated WeChat Pay works for.

    `app_ids`: bound to the merchant number, the mini-program's among them. `scan_url`: where scans of mode-one codes
    are posted; the real one is set in the merchant platform. `miniprogram_app_id`: empty if there is none.
    """

    mch_id: str
    app_ids: tuple[str, ...]
    api_key: str = field(repr=False)
    scan_url: str = ""
    miniprogram_app_id: str = ""
    miniprogram_secret: str = field(default="", repr=False)


def sealed(fields: dict[str, str], merchant: Merchant, sign_type: SignType) -> bytes:
    """The fields with their signature, as a body."""
    return xml.build(fields | {"sign": sign(fields, merchant.api_key, sign_type)})


def payment_fields(order: Order, payment: Payment) -> dict[str, str]:
    """What orderquery and the notification tell of a payment. Coupons are numbered from 0."""
    coupon_fen = sum(coupon.fen for coupon in payment.coupons)
    fields = {
        "openid": payment.openid,
        "is_subscribe": "N",
        "trade_type": order.fields["trade_type"],
        "bank_type": "OTHERS",
        "total_fee": str(order.total_fen),
        "fee_type": "CNY",
        "cash_fee": str(order.total_fen - coupon_fen),
        "cash_fee_type": "CNY",
        "transaction_id": payment.transaction_id,
        "out_trade_no": order.out_trade_no,
        "attach": order.fields.get("attach", ""),
        "time_end": format_time(payment.paid_at),
    }
    if order.fields.get("device_info"):
        fields["device_info"] = order.fields["device_info"]
    if payment.coupons:
        unpaid_fen = sum(coupon.fen for coupon in payment.coupons if coupon.kind == "NO_CASH")
        fields |= {"coupon_fee": str(coupon_fen), "coupon_count": str(len(payment.coupons))}
        if unpaid_fen:
            fields["settlement_total_fee"] = str(order.total_fen - unpaid_fen)
        for index, coupon in enumerate(payment.coupons):
            fields |= {
                f"coupon_type_{index}": coupon.kind,
                f"coupon_id_{index}": f"{index + 10000:05}",
                f"coupon_fee_{index}": str(coupon.fen),
            }
    return fields


def payment_notice(order: Order, payment: Payment, merchant: Merchant, *, names_sign_type: bool) -> bytes:
    """The payment notification, signed as the order was. It names its sign type or, as often, does not."""
    fields = {
        "return_code": "SUCCESS",
        "appid": order.fields["appid"],
        "mch_id": merchant.mch_id,
        "nonce_str": nonce(),
        "result_code": "SUCCESS",
        **payment_fields(order, payment),
    }
    if names_sign_type:
        fields["sign_type"] = order.sign_type.value
    return sealed(fields, merchant, order.sign_type)


def refund_accepted_fields(order: Order, refund: Refund) -> dict[str, str]:
    """The answer to refund: accepted, not yet refunded."""
    return {
        "transaction_id": order.payment.transaction_id if order.payment else "",
        "out_trade_no": order.out_trade_no,
        "out_refund_no": refund.out_refund_no,
        "refund_id": refund.refund_id,
        "refund_channel": "",
        "refund_fee": str(refund.refund_fen),
        "coupon_refund_fee": "0",
        "total_fee": str(order.total_fen),
        "cash_fee": str(order.total_fen),
        "coupon_refund_count": "0",
        "cash_refund_fee": str(refund.refund_fen),
    }


def refunds_fields(order: Order, refunds: list[Refund]) -> dict[str, str]:
    """The answer to refundquery: refunds numbered from 0."""
    fields = {
        "transaction_id": order.payment.transaction_id if order.payment else "",
        "out_trade_no": order.out_trade_no,
        "total_fee": str(order.total_fen),
        "cash_fee": str(order.total_fen),
        "refund_count": str(len(refunds)),
        "total_refund_count": str(len(order.refunds)),
    }
    for index, refund in enumerate(refunds):
        fields |= {
            f"out_refund_no_{index}": refund.out_refund_no,
            f"refund_id_{index}": refund.refund_id,
            f"refund_channel_{index}": "ORIGINAL",
            f"refund_fee_{index}": str(refund.refund_fen),
            f"refund_status_{index}": refund.status,
            f"refund_account_{index}": "REFUND_SOURCE_UNSETTLED_FUNDS",
            f"refund_recv_accout_{index}": "支付用户零钱",  # WeChat spells it so
        }
        if refund.status == "SUCCESS" and refund.ended_at is not None:
            when = refund.ended_at.astimezone(CHINA_STANDARD_TIME)
            fields[f"refund_success_time_{index}"] = when.strftime(_SPACED_TIME)
    return fields


def refund_notice(order: Order, refund: Refund, merchant: Merchant) -> bytes:
    """The refund notification: no signature, its content encrypted."""
    inner = {
        "out_refund_no": refund.out_refund_no,
        "out_trade_no": order.out_trade_no,
        "refund_account": "REFUND_SOURCE_UNSETTLED_FUNDS",
        "refund_fee": str(refund.refund_fen),
        "refund_id": refund.refund_id,
        "refund_recv_accout": "支付用户零钱",  # WeChat spells it so
        "refund_request_source": "API",
        "refund_status": refund.status,
        "settlement_refund_fee": str(refund.refund_fen),
        "settlement_total_fee": str(order.total_fen),
        "total_fee": str(order.total_fen),
        "transaction_id": order.payment.transaction_id if order.payment else "",
    }
    if refund.status == "SUCCESS" and refund.ended_at is not None:
        inner["success_time"] = refund.ended_at.astimezone(CHINA_STANDARD_TIME).strftime(_SPACED_TIME)
    return xml.build(
        {
            "return_code": "SUCCESS",
            "appid": order.fields["appid"],
            "mch_id": merchant.mch_id,
            "nonce_str": nonce(),
            "req_info": _encrypted(_plain(inner), merchant.api_key),
        }
    )


def _plain(fields: dict[str, str]) -> bytes:
    """Without CDATA, as WeChat writes it: else the encrypted text would not fit into its 1024 characters."""
    inside = "\n".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    return f"<root>\n{inside}\n</root>".encode()


def _encrypted(plain: bytes, api_key: str) -> str:
    """AES-256-ECB with PKCS7, keyed with the hex digits of the API key's MD5; base64."""
    key = hashlib.md5(api_key.encode(), usedforsecurity=False).hexdigest().encode()
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - WeChat's choice
    padded = padder.update(plain) + padder.finalize()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()
