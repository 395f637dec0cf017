"""The calls of WeChat Pay v2 as the simulated one answers them, faults included."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.parsers.expat import ExpatError

import xmltodict
from tornado import httputil, iostream, web

from kiosk.clock import Clock
from kiosk.payments.wechat import xml
from kiosk.payments.wechat.signature import nonce, verify
from kiosk.settings import SignType
from kiosk.simulation import forms
from kiosk.simulation.bill import bill
from kiosk.simulation.faults import DEFAULT_SECONDS, Fault, Faults
from kiosk.simulation.ledger import Ledger, Refusal
from kiosk.simulation.messages import Merchant, payment_fields, refund_accepted_fields, refunds_fields, sealed

PATHS = {
    "/pay/unifiedorder": "unifiedorder",
    "/pay/orderquery": "orderquery",
    "/pay/closeorder": "closeorder",
    "/secapi/pay/refund": "refund",
    "/pay/refundquery": "refundquery",
    "/pay/downloadbill": "downloadbill",
}
MAX_REQUEST_BYTES = 64 * 1024
_STATE_WORDS = {"SUCCESS": "支付成功", "REFUND": "订单发生过退款", "NOTPAY": "订单未支付", "CLOSED": "订单已关闭"}
_NEW_FIELD_EVERY = 3  # answers: WeChat adds fields without notice, and sends empty ones


class Denial(Exception):
    """return_code FAIL: the call was not taken; nothing is signed."""


class Desk:
    """Reads a request, checks it, lets the ledger decide, and words the signed answer."""

    def __init__(self, ledger: Ledger, merchant: Merchant, clock: Clock) -> None:
        self._ledger = ledger
        self._merchant = merchant
        self._clock = clock
        self._answers = 0

    def answer(self, call: str, body: bytes, error_code: str | None = None) -> tuple[bytes, Mapping[str, str]]:
        """The answer, and the request's fields. `error_code`: do nothing, refuse with that code."""
        try:
            fields = self._read(body)
        except Denial as denial:
            return xml.build({"return_code": "FAIL", "return_msg": str(denial)}), {}
        if call == "downloadbill":
            return self._bill(fields, error_code), fields
        sign_type = SignType(fields.get("sign_type") or "MD5")
        outcome = {"result_code": "SUCCESS"}
        try:
            outcome |= self._act(call, fields, sign_type, error_code)
        except Refusal as refusal:
            outcome = {"result_code": "FAIL", "err_code": refusal.code, "err_code_des": refusal.text}
        frame = {
            "return_code": "SUCCESS",
            "return_msg": "OK",
            "appid": fields.get("appid", ""),
            "mch_id": self._merchant.mch_id,
            "nonce_str": nonce(),
        }
        if fields.get("device_info"):
            frame["device_info"] = fields["device_info"]
        self._answers += 1
        if self._answers % _NEW_FIELD_EVERY == 0:
            outcome |= {"promotion_hint": "", "risk_note": "none <&> 无"}
        return sealed(frame | outcome, self._merchant, sign_type), fields

    def _bill(self, fields: Mapping[str, str], error_code: str | None) -> bytes:
        """The bill as text, or why there is none as XML; neither is signed."""
        if error_code is not None:
            return xml.build({"return_code": "FAIL", "return_msg": error_code, "error_code": "20002"})
        try:
            forms.check("downloadbill", fields)
            return bill(self._ledger, self._merchant.mch_id, fields["bill_date"], self._clock.now())
        except Refusal as refusal:
            return xml.build({"return_code": "FAIL", "return_msg": refusal.text, "error_code": refusal.code})

    def _read(self, body: bytes) -> dict[str, str]:
        if not body:
            raise Denial("post数据为空")
        fields = _plain(body)
        if fields.get("mch_id") != self._merchant.mch_id:
            raise Denial("商户号mch_id不存在")
        try:
            sign_type = SignType(fields.get("sign_type") or "MD5")
        except ValueError:
            raise Denial("签名类型sign_type错误") from None
        if not verify(fields, self._merchant.api_key, sign_type):
            raise Denial("签名错误")
        return fields

    def _act(
        self, call: str, fields: Mapping[str, str], sign_type: SignType, error_code: str | None
    ) -> dict[str, str]:
        if error_code is not None:
            raise Refusal(error_code, f"模拟的错误 {error_code}")
        forms.check(call, fields)
        if fields["appid"] not in self._merchant.app_ids:
            raise Refusal("APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配")
        ledger = self._ledger
        match call:
            case "unifiedorder":
                order = ledger.place(fields, sign_type)
                answer = {"trade_type": fields["trade_type"], "prepay_id": order.prepay_id}
                return answer | ({"code_url": order.code_url} if order.code_url else {})
            case "orderquery":
                order = ledger.order(**_numbers(fields))
                state = ledger.trade_state(order)
                answer = {"trade_state": state, "trade_state_desc": _STATE_WORDS[state]}
                if order.payment is None:
                    return answer | {"out_trade_no": order.out_trade_no, "attach": order.fields.get("attach", "")}
                return answer | payment_fields(order, order.payment)
            case "closeorder":
                ledger.close(fields["out_trade_no"])
                return {"result_msg": "OK"}
            case "refund":
                refund = ledger.refund(fields)
                return refund_accepted_fields(ledger.refund_of(refund.out_refund_no)[0], refund)
            case _:
                return self._find_refunds(fields)

    def _find_refunds(self, fields: Mapping[str, str]) -> dict[str, str]:
        if fields.get("refund_id"):
            for order in self._ledger.orders.values():
                for refund in order.refunds.values():
                    if refund.refund_id == fields["refund_id"]:
                        return refunds_fields(order, [refund])
            raise Refusal("REFUNDNOTEXIST", "退款不存在")
        if fields.get("out_refund_no"):
            order, refund = self._ledger.refund_of(fields["out_refund_no"])
            return refunds_fields(order, [refund])
        order = self._ledger.order(**_numbers(fields))
        if not order.refunds:
            raise Refusal("REFUNDNOTEXIST", "退款不存在")
        offset = int(fields.get("offset") or 0)
        return refunds_fields(order, list(order.refunds.values())[offset : offset + 10])


def _numbers(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: fields.get(name, "") for name in ("out_trade_no", "transaction_id")}


@dataclass(frozen=True)
class Backing:
    """What the handlers of all calls share.

    `clock`: the Date of the answers, by which a merchant sees how far its own clock is off.
    `settle()` is awaited before an answer goes out: it makes the books durable. `pay(out_trade_no)` lets a customer
    pay before the answer. `noted(call, out_trade_no, fault)` hears of every call.
    """

    clock: Clock
    desk: Desk
    faults: Faults
    stopping: asyncio.Event
    settle: Callable[[], Awaitable[None]]
    pay: Callable[[str], Awaitable[None]]
    noted: Callable[[str, str, str], None]


class CallHandler(web.RequestHandler):
    """One of the calls."""

    def initialize(self, call: str, backing: Backing) -> None:
        """Take the parts."""
        self.call = call
        self.backing = backing
        self.set_header("Date", httputil.format_timestamp(backing.clock.now()))

    def set_default_headers(self) -> None:
        """As the real one answers."""
        self.set_header("Content-Type", "text/plain")
        self.set_header("Server", "nginx")

    def check_xsrf_cookie(self) -> None:
        """Merchants sign instead."""

    def get(self) -> None:
        """Only POST is known here."""
        self.finish(xml.build({"return_code": "FAIL", "return_msg": "请使用post方法"}))

    async def post(self) -> None:
        """Answer, unless a fault strikes."""
        fault = self.take_fault("calls")
        name = "" if fault is None else fault.name
        if fault is not None and await self.struck_before(fault):
            return
        answer, fields = self.backing.desk.answer(self.call, self.request.body, name if name.isupper() else None)
        await self.backing.settle()
        if name == "paid_before_answer" and fields:
            await self.backing.pay(fields["out_trade_no"])
        self.backing.noted(self.call, fields.get("out_trade_no", ""), name)
        match name:
            case "answer_lost":
                self._tear_down()
                return
            case "late_answer":
                await self.pause(fault)
            case "wrong_signature":
                answer = _with_wrong_signature(answer)
            case "cut_xml":
                answer = answer[: len(answer) // 2]
            case _:
                pass
        self.finish(answer)

    def take_fault(self, *places: str) -> Fault | None:
        """The fault that strikes this call now; a line that is down is one."""
        faults = self.backing.faults
        return Fault("line", "reset", None, None) if faults.line_is_down else faults.take(self.call, *places)

    async def struck_before(self, fault: Fault) -> bool:
        """Whether the fault has ended the call already, with nothing done."""
        match fault.name:
            case "no_answer":
                await self.pause(fault)
                self._tear_down()
            case "reset":
                self._tear_down()
            case "http_500":
                self.set_status(500)
                self.finish()
            case "bad_gateway":
                self.set_status(502)
                self.set_header("Content-Type", "text/html")
                self.finish("<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>")
            case _:
                return False
        if fault.place != "line":
            self.backing.noted(self.call, "", fault.name)
        return True

    async def pause(self, fault: Fault | None) -> None:
        """For as long as the fault says, or until the simulator stops."""
        seconds = DEFAULT_SECONDS if fault is None or fault.seconds is None else fault.seconds
        try:
            await asyncio.wait_for(self.backing.stopping.wait(), seconds)
        except TimeoutError:
            return

    def _tear_down(self) -> None:
        """Reset the connection, as a lost line does."""
        stream: Any = self.detach()
        if isinstance(stream, iostream.IOStream) and not stream.closed():
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.close()


def _plain(body: bytes) -> dict[str, str]:
    """The fields of a request, by a reader that is not the machine's own: it must write what anybody can read."""
    try:
        content = xmltodict.parse(body, strip_whitespace=False).get("xml")
    except ExpatError as error:
        raise Denial(f"XML格式错误: {error}") from None
    if not isinstance(content, dict) or any(isinstance(value, (dict, list)) for value in content.values()):
        raise Denial("XML格式错误")
    return {name: value or "" for name, value in content.items()}


def _with_wrong_signature(answer: bytes) -> bytes:
    if not answer.startswith(b"<"):
        return answer  # a bill: it has none
    fields = xml.parse(answer)
    if "sign" not in fields:
        return answer
    other = "1" if fields["sign"][0] == "0" else "0"
    return xml.build(fields | {"sign": other + fields["sign"][1:]})
