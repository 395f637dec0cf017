"""Whatever has to be seen through to its end: orders that can still be paid, refunds that are not yet confirmed.

Each has one follower, whoever asks for it: a change in the journal, a timer, a restart, a technician.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from kiosk.database import DatabaseError
from kiosk.errors import NotBelieved
from kiosk.journal import Journal
from kiosk.orders import UNPAID, Order, OrderState
from kiosk.records import Change
from kiosk.refunds import Refunds
from kiosk.unpaid import Unpaid, in_hand

SWEEP_SECONDS = 5  # finds orders that another process (the command line) has changed
ELSEWHERE_SECONDS = 300  # how often WeChat is asked whether a failed refund was made on the merchant platform instead

_log = logging.getLogger(__name__)


class Followers:
    """Starts a follower for each order that needs one, and another when one has failed."""

    def __init__(self, *, journal: Journal, unpaid: Unpaid, refunds: Refunds) -> None:
        self._journal = journal
        self._unpaid = unpaid
        self._refunds = refunds
        self._following: dict[str, asyncio.Task[None]] = {}
        self._nudges: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        journal.subscribe(self._on_change)

    def start(self) -> None:
        """Take up every order that is not finished, and go on looking for such orders."""
        self._spawn(self._sweep_forever())
        self._spawn(self._look_elsewhere_forever())

    async def stop(self) -> None:
        """Stop following; what is under way at the gateway ends by itself and is taken up at the next start."""
        tasks = [*self._tasks, *self._following.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def withdraw(self, out_trade_no: str) -> None:
        """Close an unpaid order as soon as WeChat lets it be closed."""
        self._unpaid.withdraw(out_trade_no)
        self._follow_unpaid(out_trade_no)
        self._nudge(out_trade_no)

    def look_at(self, order: Order) -> None:
        """Ask WeChat about an order now."""
        self._follow(order)
        self._nudge(order.out_trade_no)

    def _on_change(self, change: Change) -> None:
        if change.order is not None:
            self._follow(change.order)
            if change.order.state not in UNPAID:
                self._nudge(change.order.out_trade_no)

    def _follow(self, order: Order, *, ask_now: bool = False) -> None:
        number = order.out_trade_no
        if order.state is OrderState.REFUNDING:
            nudge = self._nudges.setdefault(number, asyncio.Event())
            self._start_follower(number, self._refunds.follow(number, nudge))
        elif order.state is OrderState.AWAITING_PAYMENT or in_hand(order):
            self._follow_unpaid(number, ask_now=ask_now)

    def _follow_unpaid(self, number: str, *, ask_now: bool = False) -> None:
        nudge = self._nudges.setdefault(number, asyncio.Event())
        self._start_follower(number, self._unpaid.follow(number, nudge, ask_now=ask_now))

    def _start_follower(self, number: str, work: Coroutine[Any, Any, None]) -> None:
        if number in self._following:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=f"follow {number}")
        self._following[number] = task
        task.add_done_callback(lambda task: self._follower_ended(number, task))

    def _follower_ended(self, number: str, task: asyncio.Task[None]) -> None:
        del self._following[number]
        self._nudges.pop(number, None)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, (DatabaseError, NotBelieved)):
            _log.error("order %s is taken up again later: %s", number, error)
        elif error is not None:
            _log.error("order %s is taken up again later", number, exc_info=error)
        else:
            self._unpaid.forget(number)
            self._spawn(self._follow_on(number))

    async def _follow_on(self, number: str) -> None:
        """Begin what came to be needed while the follower before was still there: a refund, not only at the sweep."""
        with contextlib.suppress(DatabaseError):
            order = await self._journal.order(number)
            if order is not None:
                self._follow(order)

    def _nudge(self, number: str) -> None:
        event = self._nudges.get(number)
        if event is not None:
            event.set()

    async def _sweep_forever(self) -> None:
        # What an earlier process left: an order that was never announced is nobody's any more, and one that was
        # may have been paid meanwhile.
        left_over = True
        while True:
            try:
                unfinished = await self._journal.orders_in([*UNPAID, OrderState.REFUNDING])
            except DatabaseError as error:
                _log.error("open orders cannot be looked for: %s", error)
            else:
                for order in unfinished:
                    number = order.out_trade_no
                    abandoned = left_over and not in_hand(order)
                    if order.state is OrderState.CREATED and (abandoned or self._unpaid.is_withdrawn(number)):
                        self.withdraw(number)
                    self._follow(order, ask_now=left_over)
                left_over = False
            await asyncio.sleep(SWEEP_SECONDS)

    async def _look_elsewhere_forever(self) -> None:
        """Take orders off the technician's list whose money somebody has sent back on the merchant platform."""
        while True:
            await asyncio.sleep(ELSEWHERE_SECONDS)
            try:
                for order in await self._journal.orders_in([OrderState.REFUND_FAILED]):
                    await self._refunds.ask_elsewhere(order)
            except DatabaseError as error:
                _log.error("failed refunds cannot be looked after: %s", error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
