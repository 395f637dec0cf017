"""Messages that WeChat sends by itself: scans of static codes, payments, refunds. Raw bytes in, typed events out.

Nothing is taken from a body before it is verified, with the key, sign type and ids that are configured; what a
message says of its own signature is never asked.

::

    NotBelieved              forged, altered, foreign or unreadable: answer `failure_reply`, change nothing
    └── PaymentNotMade       truly from WeChat, but about a payment that failed: nothing was paid
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from kiosk.errors import NotBelieved
from kiosk.payments.gateway import Payment, RefundNotice
from kiosk.payments.wechat import fields as values
from kiosk.payments.wechat import xml
from kiosk.payments.wechat.signature import sign, verify
from kiosk.settings import SignType, WeChatPaySettings

__all__ = ["SUCCESS_REPLY", "Inbound", "NotBelieved", "PaymentNotMade", "Scan", "failure_reply"]

SUCCESS_REPLY = xml.build({"return_code": "SUCCESS", "return_msg": "OK"})  # no sign; the exact bytes of the document

_MAX_TEXT_BYTES = 128  # return_msg and err_code_des


class PaymentNotMade(NotBelieved):
    """A genuine notification of a payment that failed. WeChat's documents promise never to send one."""


@dataclass(frozen=True)
class Scan:
    """A customer scanned a static code and waits for the cashier to open."""

    app_id: str
    openid: str
    product_id: str
    nonce: str  # a true scan has one of its own; a replayed one repeats it


def failure_reply(reason: str) -> bytes:
    """The answer to a message that was not believed or not stored. WeChat repeats a notification so answered."""
    return xml.build({"return_code": "FAIL", "return_msg": values.cut(reason, _MAX_TEXT_BYTES)})


class Inbound:
    """Reads what WeChat posts to this merchant, and writes the answers to scans."""

    def __init__(self, settings: WeChatPaySettings, *, miniprogram_app_id: str | None) -> None:
        self._settings = settings
        self._app_ids = {settings.app_id, miniprogram_app_id} - {None}
        # AES-256 key: the 32 lower-case hex digits of the API key's MD5, as text (refund notification, chapter 9_16)
        md5 = hashlib.md5(settings.api_key.encode(), usedforsecurity=False)
        self._refund_key = md5.hexdigest().encode()

    def read_scan(self, body: bytes) -> Scan:
        """A scan callback (chapter 6_4): MD5 always, no return_code. Raises NotBelieved."""
        fields = _parse(body)
        self._verify(fields, SignType.MD5)
        if fields.get("appid") != self._settings.app_id:
            raise NotBelieved("The scan is for another app.")
        for name in ("product_id", "nonce_str", "openid"):
            if not fields.get(name):
                raise NotBelieved(f"The scan has no {name}.")
        return Scan(fields["appid"], fields["openid"], fields["product_id"], fields["nonce_str"])

    def scan_prepaid(self, scan: Scan, prepay_id: str) -> bytes:
        """The answer that opens the cashier on the phone."""
        return self._scan_reply(scan, {"prepay_id": prepay_id, "result_code": "SUCCESS"})

    def scan_refused(self, scan: Scan, customer_text: str) -> bytes:
        """The answer that shows `customer_text` on the phone instead (cut to 128 bytes).

        The field table demands a prepay_id without exception, so it is there, and empty.
        """
        text = values.cut(customer_text, _MAX_TEXT_BYTES)
        return self._scan_reply(scan, {"prepay_id": "", "result_code": "FAIL", "err_code_des": text})

    def read_payment(self, body: bytes) -> Payment:
        """A payment notification (chapter 9_7), signed with the configured type.

        Raises NotBelieved, or PaymentNotMade.
        """
        fields = _parse(body)
        if fields.get("return_code") != "SUCCESS":
            raise NotBelieved("The notification says that it failed itself.")
        self._verify(fields, self._settings.sign_type)
        if fields.get("result_code") != "SUCCESS":
            raise PaymentNotMade(f"The payment failed ({values.one_line(fields.get('err_code', ''))}).")
        try:
            payment = values.payment(fields)
        except ValueError as error:
            raise NotBelieved(f"The notification tells of no payment: {error}.") from None
        if payment.app_id not in self._app_ids:
            raise NotBelieved("The payment is for another app.")
        return payment

    def read_refund(self, body: bytes) -> RefundNotice:
        """A refund notification (chapter 9_16). Raises NotBelieved.

        It has no signature: that it can be decrypted is all its proof, and the cipher's mode (ECB) guards no
        integrity. So the numbers and the amount are still to be compared with a refund that was asked for.
        """
        outer = _parse(body)
        if outer.get("return_code") != "SUCCESS":
            raise NotBelieved("The notification says that it failed itself.")
        if outer.get("mch_id") != self._settings.mch_id:
            raise NotBelieved("The notification is for another merchant.")
        if outer.get("appid") not in self._app_ids:
            raise NotBelieved("The refund is for another app.")
        fields = _parse(self._decrypt(outer.get("req_info", "")), root="root")
        for name in ("out_trade_no", "out_refund_no", "refund_id"):
            if not fields.get(name):
                raise NotBelieved(f"The refund has no {name}.")
        result = values.refund_end(fields.get("refund_status", ""), fields["refund_id"])
        if result is None:
            raise NotBelieved("The notification tells of no end of a refund.")
        try:
            refund_fen = values.parse_fen(fields.get("refund_fee", ""))
        except ValueError as error:
            raise NotBelieved(f"The notification tells of no refund: {error}.") from None
        return RefundNotice(fields["out_trade_no"], fields["out_refund_no"], refund_fen, result)

    def _verify(self, fields: dict[str, str], sign_type: SignType) -> None:
        if not verify(fields, self._settings.api_key, sign_type):
            raise NotBelieved("The signature is wrong.")
        if fields.get("mch_id") != self._settings.mch_id:
            raise NotBelieved("The message is for another merchant.")

    def _scan_reply(self, scan: Scan, outcome: dict[str, str]) -> bytes:
        fields = {
            "return_code": "SUCCESS",
            "appid": self._settings.app_id,
            "mch_id": self._settings.mch_id,
            "nonce_str": scan.nonce,  # "returned by WeChat", says the field table
            **outcome,
        }
        fields["sign"] = sign(fields, self._settings.api_key, SignType.MD5)
        return xml.build(fields)

    def _decrypt(self, req_info: str) -> bytes:
        # Large, and not for the first picture. A machine that can refund has loaded it with its client certificate.
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415
        from cryptography.hazmat.primitives.padding import PKCS7  # noqa: PLC0415

        try:
            secret = base64.b64decode("".join(req_info.split()), validate=True)
            decryptor = Cipher(algorithms.AES(self._refund_key), modes.ECB()).decryptor()  # noqa: S305 - WeChat's choice
            padded = decryptor.update(secret) + decryptor.finalize()
            unpadder = PKCS7(128).unpadder()
            return unpadder.update(padded) + unpadder.finalize()
        except (binascii.Error, ValueError):  # one answer for all: no padding oracle
            raise NotBelieved("The refund cannot be decrypted.") from None


def _parse(body: bytes, root: str = "xml") -> dict[str, str]:
    try:
        return xml.parse(body, root)
    except xml.XmlRefused as error:
        raise NotBelieved(str(error)) from None
