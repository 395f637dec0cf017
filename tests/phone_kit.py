"""A customer's phone with the mini-program open: real requests to the machine, wx.* from the simulated WeChat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scenario_kit import Bench
from tornado.httpclient import AsyncHTTPClient

from kiosk.simulation.wechat import Payment


@dataclass(frozen=True)
class Reply:
    """What the machine answered."""

    status: int
    values: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.values["error"]["code"]


@dataclass
class Phone:
    """One customer."""

    here: Bench
    openid: str = "o-customer"
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """One request below /miniprogram/; a text as body is sent as it is."""
        sent = {"Content-Type": "application/json"} | self.headers | headers
        if self.token and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is None and method == "POST":
            body = {}
        content = body if isinstance(body, str) or body is None else json.dumps(body)
        port = self.here.settings.callbacks.port
        answer = await AsyncHTTPClient().fetch(
            f"http://127.0.0.1:{port}/miniprogram/{path}",
            method=method,
            headers=sent,
            body=content,
            raise_error=False,
            request_timeout=30,
        )
        values = json.loads(answer.body) if answer.body else {}
        return Reply(answer.code, values, answer.headers)

    async def log_in(self) -> Phone:
        """wx.login, then the machine's login."""
        reply = await self.ask("POST", "login", {"code": self.here.wechat.login(self.openid)})
        assert reply.status == 200, reply
        self.token = reply.values["token"]
        return self

    async def order(self, product: str = "cola") -> str:
        """Order a product; the order's number."""
        reply = await self.ask("POST", "orders", {"product_id": product})
        assert reply.status == 201, reply
        return str(reply.values["order"]["out_trade_no"])

    async def look(self, number: str) -> dict[str, Any]:
        """The order as the mini-program shows it."""
        reply = await self.ask("GET", f"orders/{number}")
        assert reply.status == 200, reply
        found: dict[str, Any] = reply.values["order"]
        return found

    async def pay(self, number: str) -> Payment:
        """Ask for the arguments, open the cashier with them, type the password."""
        reply = await self.ask("POST", f"orders/{number}/pay")
        assert reply.status == 200, reply
        paid = await self.here.wechat.request_payment(reply.values, self.openid)
        assert isinstance(paid, Payment), paid
        return paid

    async def buy(self, product: str = "cola") -> str:
        """Order and pay."""
        number = await self.order(product)
        await self.pay(number)
        return number
