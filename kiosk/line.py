"""Paid orders that wait for their goods, and the slots, in memory: a vend need not wait for a look at the journal.

Both may be old by moments, as the command line can change the journal beside the machine. So nobody is served by what
stands here alone: the transaction of the intent looks at order and slot again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from kiosk.journal import Journal
from kiosk.orders import Order, OrderState
from kiosk.records import Change, SlotRecord

# How old a look may become while one change follows the other; with nothing to do the dispatcher looks more often.
LOOK_SECONDS = 5.0

WAITING = (OrderState.PAID, OrderState.DISPENSING)


class Line:
    """Follows what the journal tells of its changes, and looks at it now and then."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._orders: dict[str, Order] = {}
        self._slots: dict[str, SlotRecord] = {}
        self._looked_at: float | None = None  # the loop's clock
        self._told: list[Change] | None = None  # while a look is under way: what it may not have seen
        self._paid_listeners: list[Callable[[], None]] = []
        journal.subscribe(self._on_change)

    def on_paid(self, listener: Callable[[], None]) -> None:
        """Call `listener` when one more order waits."""
        self._paid_listeners.append(listener)

    @property
    def waiting(self) -> list[Order]:
        """Who paid first comes first."""
        return sorted(self._orders.values(), key=lambda order: order.confirmed_at or order.created_at)

    @property
    def slots(self) -> Mapping[str, SlotRecord]:
        """All slots by id."""
        return self._slots

    def take(self, order: Order) -> None:
        """Take an order out, to serve it. It comes back with its next change, or the next look, if it still waits."""
        self._orders.pop(order.out_trade_no, None)

    def doubt(self) -> None:
        """Something went wrong: look again before the next order is served."""
        self._looked_at = None

    async def keep_up(self) -> None:
        """Look if the last look was long ago. Raises `DatabaseError`."""
        now = asyncio.get_running_loop().time()
        if self._looked_at is None or now - self._looked_at > LOOK_SECONDS:
            await self.look()

    async def look(self) -> None:
        """Look at the journal now: what was written before is seen. Raises `DatabaseError`."""
        told: list[Change] = []
        self._told = told
        try:
            orders, slots = await self._journal.line(WAITING)
        finally:
            self._told = None
        self._orders = {order.out_trade_no: order for order in orders}
        self._slots = dict(slots)
        for change in told:
            self._apply(change)
        self._looked_at = asyncio.get_running_loop().time()

    def _on_change(self, change: Change) -> None:
        self._apply(change)
        if self._told is not None:
            self._told.append(change)
        if change.order is not None and change.order.state is OrderState.PAID:
            for listener in self._paid_listeners:
                listener()

    def _apply(self, change: Change) -> None:
        if change.slot is not None:
            self._slots[change.slot.id] = change.slot
        if change.order is None:
            return
        if change.order.state in WAITING:
            self._orders[change.order.out_trade_no] = change.order
        else:
            self._orders.pop(change.order.out_trade_no, None)
