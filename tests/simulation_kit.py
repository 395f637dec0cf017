"""A merchant that calls the simulated WeChat Pay by hand, and takes its notifications."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from kiosk.payments.wechat import xml
from kiosk.payments.wechat.signature import nonce, sign, verify
from kiosk.settings import SignType
from kiosk.simulation.messages import Merchant
from kiosk.simulation.wechat import WeChatSimulator

KEY = "192006250b4c09247ec02edce69f6a2d"
APP_ID, MINI_APP_ID, MCH_ID = "wx8888888888888888", "wx9999999999999999", "1900000109"
MERCHANT = Merchant(MCH_ID, (APP_ID, MINI_APP_ID), KEY)
NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
OK = b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"
ORDER = {
    "appid": APP_ID,
    "mch_id": MCH_ID,
    "device_info": "lobby-1",
    "body": "大堂饮料机-可口可乐",
    "out_trade_no": "lobby-1-0001",
    "total_fee": "350",
    "spbill_create_ip": "127.0.0.1",
    "time_start": "20261123120000",
    "time_expire": "20261123123000",
    "notify_url": "https://pay.example.com/wxpay/notify",
    "trade_type": "NATIVE",
    "product_id": "cola",
}


class HandClock:
    """A clock that a test moves."""

    def __init__(self, now: datetime = NOW) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment

    def advance(self, **span: float) -> None:
        self.moment += timedelta(**span)


async def wait_until(condition: Callable[[], object], what: str, limit_seconds: float = 10.0) -> None:
    """Wait for a condition; fail with its name when it does not come true."""
    try:
        async with asyncio.timeout(limit_seconds):
            while not condition():  # noqa: ASYNC110 - conditions of the other side of a wire have no event
                await asyncio.sleep(0.005)
    except TimeoutError:
        pytest.fail(f"waited {limit_seconds} s in vain: {what}")


class Caller:
    """Signs and sends the calls of a merchant."""

    def __init__(self, simulator: WeChatSimulator, sign_type: SignType = SignType.HMAC_SHA256) -> None:
        self._client = AsyncHTTPClient(force_instance=True)
        self._base = simulator.base_url
        self.sign_type = sign_type

    def close(self) -> None:
        self._client.close()

    async def post(self, path: str, body: bytes, seconds: float = 5.0) -> HTTPResponse:
        return await self._client.fetch(
            self._base + path, method="POST", body=body, request_timeout=seconds, raise_error=False
        )

    async def json(self, method: str, path: str, values: Any = None) -> Any:
        response = await self._client.fetch(
            self._base + path,
            method=method,
            body=None if values is None else json.dumps(values),
            headers={"Content-Type": "application/json"},
            raise_error=False,
        )
        return response.code, json.loads(response.body)

    def sealed(self, fields: dict[str, str]) -> bytes:
        full = {"nonce_str": nonce(), **fields}
        if self.sign_type is SignType.HMAC_SHA256:
            full["sign_type"] = self.sign_type.value
        return xml.build(full | {"sign": sign(full, KEY, self.sign_type)})

    async def __call__(self, path: str, fields: dict[str, str]) -> dict[str, str]:
        """A call whose answer must be signed as the question was."""
        answer = xml.parse((await self.post(path, self.sealed(fields))).body)
        if answer["return_code"] == "SUCCESS":
            assert verify(answer, KEY, self.sign_type)
            assert (answer["mch_id"], answer["appid"]) == (MCH_ID, fields["appid"])
        return answer

    async def order(self, **changes: str) -> dict[str, str]:
        return await self("/pay/unifiedorder", ORDER | changes)

    async def query(self, number: str = ORDER["out_trade_no"]) -> dict[str, str]:
        return await self("/pay/orderquery", {"appid": APP_ID, "mch_id": MCH_ID, "out_trade_no": number})

    async def close_order(self, number: str = ORDER["out_trade_no"]) -> dict[str, str]:
        return await self("/pay/closeorder", {"appid": APP_ID, "mch_id": MCH_ID, "out_trade_no": number})

    async def refund(self, **changes: str) -> dict[str, str]:
        fields = {"appid": APP_ID, "mch_id": MCH_ID, "out_trade_no": ORDER["out_trade_no"]}
        fields |= {"out_refund_no": "lobby-1-0001-R1", "total_fee": "350", "refund_fee": "350"}
        return await self("/secapi/pay/refund", fields | changes)

    async def query_refund(self, number: str = "lobby-1-0001-R1") -> dict[str, str]:
        return await self("/pay/refundquery", {"appid": APP_ID, "mch_id": MCH_ID, "out_refund_no": number})


@dataclass
class Mailbox:
    """The merchant's public listener: keeps what arrives, answers as told."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    arrived_at: list[float] = field(default_factory=list)
    replies: list[bytes] = field(default_factory=list)  # used up in turn; then OK
    status: int = 200
    answer_scan: Callable[[dict[str, str]], bytes] | None = None
    _server: HTTPServer | None = None

    async def start(self) -> None:
        mailbox = self

        class Handler(web.RequestHandler):
            def post(self, what: str) -> None:
                mailbox.arrived_at.append(asyncio.get_running_loop().time())
                mailbox.bodies.append(self.request.body)
                self.set_status(mailbox.status)
                if what == "scan" and mailbox.answer_scan is not None:
                    self.finish(mailbox.answer_scan(xml.parse(self.request.body)))
                    return
                self.finish(mailbox.replies.pop(0) if mailbox.replies else OK)

        self._server = HTTPServer(web.Application([(r"/wxpay/(.*)", Handler)], log_function=lambda _: None))
        sockets = bind_sockets(0, "127.0.0.1")
        self._server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/wxpay"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.stop()
        await self._server.close_all_connections()

    def messages(self) -> list[dict[str, str]]:
        return [xml.parse(body) for body in self.bodies]
