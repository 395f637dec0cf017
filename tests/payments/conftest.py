from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from payments_server import FAST, WeChatServer
from payments_values import MINI_APP_ID, changed

from kiosk.clock import Clock, SystemClock
from kiosk.payments.wechat.client import Limits
from kiosk.payments.wechat.gateway import WeChatGateway


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxy the machine that tests has, loopback needs none."""
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")


@pytest.fixture
def main() -> Iterator[WeChatServer]:
    """The first host."""
    server = WeChatServer()
    yield server
    server.close()


@pytest.fixture
def backup() -> Iterator[WeChatServer]:
    """The other host."""
    server = WeChatServer()
    yield server
    server.close()


@pytest.fixture
def absent() -> Iterator[WeChatServer]:
    """A host that refuses connections until it is told to listen."""
    server = WeChatServer(listen=False)
    yield server
    server.close()


@pytest.fixture
async def make_gateway() -> AsyncIterator[Callable[..., WeChatGateway]]:
    """A gateway between two servers; closed with the test."""
    made: list[WeChatGateway] = []

    def make(
        first: WeChatServer,
        second: WeChatServer,
        *,
        limits: Limits = FAST,
        clock: Clock | None = None,
        miniprogram_app_id: str | None = MINI_APP_ID,
        **changes: Any,
    ) -> WeChatGateway:
        settings = changed(api_base=first.base, backup_api_base=second.base, **changes)
        made.append(
            WeChatGateway(
                settings,
                shop_name="大堂饮料机",
                machine_id="lobby-1",
                miniprogram_app_id=miniprogram_app_id,
                clock=clock or SystemClock(),
                limits=limits,
            )
        )
        return made[-1]

    yield make
    for gateway in made:
        await gateway.aclose()
