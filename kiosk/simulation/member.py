"""The mini-program on the simulated phone: asks the machine as wx.request does, logs in and pays as wx.* do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPError

from kiosk.simulation.customer import Told
from kiosk.simulation.ledger import Payment
from kiosk.simulation.wechat import WeChatSimulator

REQUEST_SECONDS = 20.0  # a simulated WeChat may be slow on purpose
UNAUTHORIZED = 401
OFFLINE = {"zh": "连不上机器，请稍后再试", "en": "The machine cannot be reached: please try again later"}


@dataclass(frozen=True)
class Answer:
    """What the machine said. `status` 0: nothing, nobody answers there."""

    status: int
    values: dict[str, Any]

    @property
    def words(self) -> str:
        """Why not, as the customer reads it."""
        error = self.values.get("error")
        return str(error.get("message", "")) if isinstance(error, dict) else ""


class Member:
    """One customer with the mini-program open; logs in when it has to, as often as it has to.

    `language`: zh or en, what the phone speaks.
    """

    def __init__(self, machine: str, wechat: WeChatSimulator) -> None:
        self.language = "zh"
        self._machine = machine
        self._wechat = wechat
        self._token = ""

    async def products(self) -> Answer:
        """What the machine sells."""
        return await self._ask("GET", "products")

    async def order(self, product_id: str) -> Answer:
        """Order one unit."""
        return await self._as_customer("POST", "orders", {"product_id": product_id})

    async def look(self, out_trade_no: str) -> Answer:
        """The order as it stands."""
        return await self._as_customer("GET", f"orders/{out_trade_no}")

    async def pay(self, out_trade_no: str) -> Payment | Told | Answer:
        """Open the cashier with what the machine signed, and type the password; an `Answer` if it signs nothing."""
        answer = await self._as_customer("POST", f"orders/{out_trade_no}/pay", {})
        return await self._wechat.request_payment(answer.values) if answer.status == 200 else answer

    async def _as_customer(self, method: str, path: str, body: object = None) -> Answer:
        answer = Answer(UNAUTHORIZED, {})
        if self._token:
            answer = await self._ask(method, path, body)
        if answer.status == UNAUTHORIZED:
            login = await self._ask("POST", "login", {"code": self._wechat.login()})
            if "token" not in login.values:
                return login
            self._token = login.values["token"]
            answer = await self._ask(method, path, body)
        return answer

    async def _ask(self, method: str, path: str, body: object = None) -> Answer:
        headers = {"Content-Type": "application/json", "Accept-Language": self.language}
        if self._token and path != "login":
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            reply = await AsyncHTTPClient().fetch(
                f"{self._machine}/miniprogram/{path}",
                method=method,
                headers=headers,
                body=None if body is None else json.dumps(body),
                raise_error=False,
                request_timeout=REQUEST_SECONDS,
            )
            return Answer(reply.code, json.loads(reply.body))
        except (HTTPError, OSError, ValueError):
            return Answer(0, {"error": {"code": "offline", "message": OFFLINE[self.language]}})
