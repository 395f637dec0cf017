"""WeChat's side of a mini-program: wx.login's codes, auth.code2Session, and the checks of wx.requestPayment.

Source: WeChat mini-programs, server API auth.code2Session; WeChat Pay v2, chapter 7_7 (wx.requestPayment).
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from kiosk.clock import Clock
from kiosk.payments.wechat.signature import verify
from kiosk.settings import SignType
from kiosk.simulation.calls import Backing, CallHandler
from kiosk.simulation.ledger import Ledger, Order, Refusal
from kiosk.simulation.messages import Merchant

PATH = "/sns/jscode2session"
CALL = "jscode2session"
CODE_LIFE = timedelta(minutes=5)
_WORDS = {
    -1: "system error",
    40013: "invalid appid",
    40029: "invalid code",
    40125: "invalid appsecret",
    40163: "code been used",
    40226: "code blocked",
    45011: "api minute-quota reach limit  mustslower  retry next minute",
}
_ARGUMENTS = frozenset({"timeStamp", "nonceStr", "package", "signType", "paySign"})


@dataclass
class _Code:
    openid: str
    made_at: datetime
    used: bool = False


class MiniProgramDesk:
    """Everybody who has the mini-program open."""

    def __init__(self, ledger: Ledger, merchant: Merchant, clock: Clock) -> None:
        self._ledger = ledger
        self._merchant = merchant
        self._clock = clock
        self._codes: dict[str, _Code] = {}
        self._session_keys: dict[str, str] = {}

    def new_code(self, openid: str) -> str:
        """What wx.login gives to the mini-program on that customer's phone: good once, for five minutes."""
        code = "0" + secrets.token_hex(16)[:31]
        self._codes[code] = _Code(openid, self._clock.now())
        return code

    def session(self, question: Mapping[str, str], errcode: int = 0) -> dict[str, object]:
        """The answer of auth.code2Session; `errcode`: refuse with that one."""
        merchant = self._merchant
        if not errcode and (question.get("appid") != merchant.miniprogram_app_id or not merchant.miniprogram_app_id):
            errcode = 40013
        if not errcode and question.get("secret") != merchant.miniprogram_secret:
            errcode = 40125
        code = self._codes.get(question.get("js_code", ""))
        expired = code is None or self._clock.now() > code.made_at + CODE_LIFE
        if not errcode and (expired or question.get("grant_type") != "authorization_code"):
            errcode = 40029
        if not errcode and code is not None and code.used:
            errcode = 40163
        if errcode or code is None:
            return {"errcode": errcode, "errmsg": f"{_WORDS.get(errcode, 'error')}, rid: {secrets.token_hex(4)}"}
        code.used = True
        fresh = base64.b64encode(secrets.token_bytes(16)).decode()
        return {"session_key": self._session_keys.setdefault(code.openid, fresh), "openid": code.openid}

    def order_to_pay(self, arguments: Mapping[str, object]) -> Order:
        """The order that wx.requestPayment is called for; `Refusal` with what the phone says instead."""
        if arguments.keys() != _ARGUMENTS or not all(isinstance(value, str) for value in arguments.values()):
            raise Refusal("PARAMETER", "requestPayment:fail parameter error")
        texts = {name: str(value) for name, value in arguments.items()}
        if not re.fullmatch(r"[0-9]{10}", texts["timeStamp"]) or not 0 < len(texts["nonceStr"]) <= 32:
            raise Refusal("PARAMETER", "requestPayment:fail parameter error: timeStamp or nonceStr")
        prefix, _, prepay_id = texts["package"].partition("=")
        if prefix != "prepay_id":
            raise Refusal("PARAMETER", "requestPayment:fail parameter error: package")
        order = self._ledger.order_of_prepay(prepay_id)
        signed = {"appId": self._merchant.miniprogram_app_id} | texts
        signed["sign"] = signed.pop("paySign")
        good = texts["signType"] == order.sign_type.value and order.fields["trade_type"] == "JSAPI"
        if not good or not verify(signed, self._merchant.api_key, SignType(texts["signType"])):
            raise Refusal("PAY_SIGN", "支付验证签名失败")
        return order


class SessionHandler(CallHandler):
    """GET /sns/jscode2session: JSON under a Content-Type that says text, as the real one."""

    def initialize(self, call: str, backing: Backing, members: MiniProgramDesk) -> None:  # type: ignore[override] # one more part
        """Take the parts."""
        super().initialize(call, backing)
        self.members = members

    async def get(self) -> None:  # type: ignore[override] # the five calls answer a GET at once
        """Answer, unless a fault strikes."""
        fault = self.take_fault()
        if fault is not None and await self.struck_before(fault):
            return
        question = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        errcode = int(fault.name) if fault is not None and fault.name.lstrip("-").isdigit() else 0
        self.backing.noted(self.call, "", "" if fault is None else fault.name)
        answer = self.members.session(question, errcode)
        if fault is not None and fault.name == "late_answer":
            await self.pause(fault)
        self.finish(json.dumps(answer))

    async def post(self) -> None:
        """Only GET is known here."""
        self.set_status(405)
        self.finish()
