"""A journal on the disk and the values that the core's tests speak about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from core_values import SLOTS, SteppedClock

from kiosk.journal import Journal
from kiosk.orders import Channel, Order, OrderState, new_out_trade_no


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def journal(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[Journal]:
    journal = Journal(tmp_path, clock)
    await journal.set_up_slots(SLOTS)
    yield journal
    await journal.close()


@pytest.fixture
def draft(clock: SteppedClock) -> Callable[..., Order]:
    """Make an order that is not yet in the journal."""

    def make(
        product: str = "cola",
        channel: Channel = Channel.NATIVE_ONE,
        openid: str | None = None,
        nonce: str | None = None,
        ttl_seconds: float = 300,
    ) -> Order:
        now = clock.now()
        return Order(
            out_trade_no=new_out_trade_no("lobby-1", now),
            channel=channel,
            product_id=product,
            product_name="可口可乐",
            amount_fen=350,
            app_id="wx8888888888888888",
            state=OrderState.CREATED,
            created_at=now,
            expires_at=now + timedelta(seconds=ttl_seconds),
            updated_at=now,
            openid=openid,
            scan_nonce=nonce,
        )

    return make
