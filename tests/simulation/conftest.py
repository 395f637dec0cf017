from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from simulation_kit import MERCHANT, Caller, HandClock, Mailbox

from kiosk.simulation.wechat import Event, WeChatSimulator


@pytest.fixture
def clock() -> HandClock:
    """Time stands still unless a test moves it."""
    return HandClock()


@pytest.fixture
def events() -> list[Event]:
    """What the simulator says of itself."""
    return []


@pytest.fixture
async def simulator(clock: HandClock, events: list[Event]) -> AsyncIterator[WeChatSimulator]:
    """A WeChat Pay whose day lasts half a minute."""
    made = WeChatSimulator(MERCHANT, clock=clock, scale=0.0003, refund_seconds=0.05, on_event=events.append)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def call(simulator: WeChatSimulator) -> AsyncIterator[Caller]:
    """A merchant that signs with HMAC-SHA256."""
    caller = Caller(simulator)
    yield caller
    caller.close()


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    """Where notifications and scans arrive."""
    box = Mailbox()
    await box.start()
    yield box
    await box.stop()
