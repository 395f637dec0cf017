"""Who waits for goods, kept in memory: never older than what the journal has told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from core_values import COLA, NOON, SLOTS, SteppedClock

from kiosk.journal import Journal, View
from kiosk.line import Line
from kiosk.orders import Order, OrderState
from kiosk.records import SlotRecord, Step


class SlowJournal(Journal):
    """A look at the line is on its way for as long as the test wants."""

    def __init__(self, data_dir: Path, clock: SteppedClock) -> None:
        super().__init__(data_dir, clock)
        self.looked, self.go_on = asyncio.Event(), asyncio.Event()

    async def line(self, states: Iterable[OrderState]) -> tuple[list[Order], Mapping[str, SlotRecord]]:
        found = await super().line(states)
        self.looked.set()
        await self.go_on.wait()
        return found


def pay(order: Order, _: View) -> Step:
    return Step(order._replace(state=OrderState.PAID, transaction_id="42", confirmed_at=NOON), "paid")


async def test_what_happens_during_a_look_is_not_forgotten(
    tmp_path: Path, clock: SteppedClock, draft: Callable[..., Order]
) -> None:
    """An order paid and a slot emptied while a look is under way stand in the line when the look has ended."""
    journal = SlowJournal(tmp_path, clock)
    await journal.set_up_slots(SLOTS)
    order = await journal.open_order(draft(), COLA, reusable_until=NOON)
    line = Line(journal)
    looking = asyncio.create_task(line.look())
    await journal.looked.wait()
    await journal.update(order.out_trade_no, pay)
    await journal.change_slot("11", "restock", "tester", lambda record: replace(record, stock=0))
    journal.go_on.set()
    await looking
    await journal.close()

    assert [order.out_trade_no] == [waiting.out_trade_no for waiting in line.waiting]
    assert (0, 2) == (line.slots["11"].stock, line.slots["12"].stock)
