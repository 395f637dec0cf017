"""Orders that can still be paid: asked for until they are paid, closed at WeChat when their time is over.

Knows a gateway and the journal; what a payment means for an order is the cashier's to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from kiosk.clock import Clock
from kiosk.journal import Journal, View
from kiosk.orders import UNPAID, Channel, Order, OrderState
from kiosk.payments.gateway import Closed, Missing, NotPaid, Paid, Payment, PaymentGateway, Unclear
from kiosk.records import Step
from kiosk.settings import WeChatPaySettings
from kiosk.waiting import happens

# How often an order is asked for when notifications can reach us: a lost one must not keep a customer waiting.
QUERY_CUSTOMER_SECONDS = 5  # somebody has entered the order and is paying now
QUERY_CODE_SECONDS = 20  # nobody may ever scan it
CLOSE_RETRY_SECONDS = (1.0, 30.0)  # first and longest wait; WeChat does not close orders younger than 5 minutes

# A nudge comes with a payment most of the time: looked at after the vend that it leads to is on its way to the board.
NUDGED_SECONDS = 0.05


def in_hand(order: Order) -> bool:
    """Whether a customer holds the number of an order that is not announced: it waits to be paid, or for its end."""
    return order.state is OrderState.CREATED and order.channel is Channel.MINIPROGRAM


class Settle(Protocol):
    """Takes a payment that WeChat has confirmed; `refunded`: and gave back, not by this machine."""

    def __call__(self, payment: Payment, *, refunded: bool = False) -> Awaitable[None]:
        """Return once it is durable."""


class Unpaid:
    """Follows unpaid orders, one call of `follow` each."""

    def __init__(
        self, *, journal: Journal, gateway: PaymentGateway, clock: Clock, pay: WeChatPaySettings, settle: Settle
    ) -> None:
        self._journal = journal
        self._gateway = gateway
        self._clock = clock
        self._pay = pay
        self._settle = settle
        self._withdrawn: set[str] = set()

    def withdraw(self, out_trade_no: str) -> None:
        """Let the order's follower close it as soon as WeChat lets it be closed."""
        self._withdrawn.add(out_trade_no)

    def is_withdrawn(self, out_trade_no: str) -> bool:
        """Whether the order is being closed."""
        return out_trade_no in self._withdrawn

    def forget(self, out_trade_no: str) -> None:
        """The order needs no following any more."""
        self._withdrawn.discard(out_trade_no)

    async def follow(self, out_trade_no: str, nudge: asyncio.Event, *, ask_now: bool = False) -> None:
        """Ask for an order until it is paid, or closed for certain; `nudge` makes it look at once."""
        loop = asyncio.get_running_loop()
        order = await self._journal.order(out_trade_no)
        if order is None or order.state not in UNPAID:
            return
        # By the loop's clock: a step of the wall clock must neither close an order early nor keep it for ever.
        ttl = (order.expires_at - order.created_at).total_seconds()
        left = (order.expires_at - self._clock.now()).total_seconds()
        deadline = loop.time() + min(max(left, 0.0), ttl)
        close_wait, longest = CLOSE_RETRY_SECONDS
        interval = self._query_seconds(order)
        ask_at = loop.time() + (0.0 if ask_now else interval)
        while True:
            nudged = nudge.is_set()
            nudge.clear()
            if out_trade_no in self._withdrawn or loop.time() >= deadline:
                if await self._close(out_trade_no):
                    return
                wait, close_wait = close_wait, min(close_wait * 2, longest)
            else:
                if nudged or loop.time() >= ask_at:
                    if await self.ask(out_trade_no):
                        return
                    ask_at = loop.time() + interval
                wait = max(0.0, min(ask_at, deadline) - loop.time())
            if await happens(nudge, wait):
                await asyncio.sleep(NUDGED_SECONDS)

    def _query_seconds(self, order: Order) -> float:
        if self._pay.public_url is None:
            return self._pay.query_interval_seconds
        return QUERY_CODE_SECONDS if order.channel is Channel.NATIVE_TWO else QUERY_CUSTOMER_SECONDS

    async def ask(self, out_trade_no: str) -> bool:
        """Ask WeChat once; True when the order can change no more by being paid."""
        order = await self._journal.order(out_trade_no)
        if order is None or order.state not in UNPAID:
            return True  # a notification was quicker
        if in_hand(order):
            return False  # nobody has its prepay_id: nobody can have paid it
        match await self._gateway.query(out_trade_no, order.app_id):
            case Paid(payment, refunded):
                await self._settle(payment, refunded=refunded)
                return True
            case Closed():
                await self._record_closed(out_trade_no, "WeChat says that it is closed")
                return True
            case NotPaid() | Missing() | Unclear():
                order = await self._journal.order(out_trade_no)
                return order is None or order.state not in UNPAID

    async def _close(self, out_trade_no: str) -> bool:
        """Close at WeChat, then ask: only its answer to the question ends the reservation."""
        order = await self._journal.order(out_trade_no)
        if order is None or order.state not in UNPAID:
            return True
        answer = await self._gateway.close(out_trade_no, order.app_id)
        if isinstance(answer, Unclear):
            return False
        match answer if isinstance(answer, Paid) else await self._gateway.query(out_trade_no, order.app_id):
            case Paid(payment, refunded):
                await self._settle(payment, refunded=refunded)
                return True
            case Closed() | Missing():
                await self._record_closed(out_trade_no, "it was not paid in time")
                return True
            case NotPaid() | Unclear():
                return False

    async def _record_closed(self, out_trade_no: str, reason: str) -> None:
        def decide(order: Order, _: View) -> Step | None:
            if order.state not in UNPAID:
                return None
            return Step(order._replace(state=OrderState.CLOSED, reason=reason), "closed", {"reason": reason})

        await self._journal.update(out_trade_no, decide)
