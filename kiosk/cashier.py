"""The money side of an order: open, confirm, expire, close. Knows a gateway, not who stands behind it.

A notification and an orderquery end in the same function, `_settle`; a timer, a restart and a technician start the
same two followers: one for an order that can still be paid, one for a refund that is not yet confirmed.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from kiosk.clock import Clock
from kiosk.database import DatabaseError
from kiosk.errors import NotBelieved, NotForSale
from kiosk.journal import Change, Journal, SoldOut, Step, View
from kiosk.orders import UNPAID, Channel, Order, OrderState, new_out_trade_no
from kiosk.payments.gateway import (
    Closed,
    Missing,
    NotPaid,
    Paid,
    Payment,
    PaymentGateway,
    Prepared,
    PrepayRequest,
    RefundNotice,
    Refused,
    Unclear,
)
from kiosk.refunds import Refunds, request_refund, to_refunding
from kiosk.settings import Product, Settings

# The customer waits and WeChat's patience is not documented: the scan's answer goes out within three seconds.
from kiosk.waiting import happens
from kiosk.words import Words

SCAN_ANSWER_SECONDS = 2.7
# A second scan by the same customer gets the order that is there while it can be paid for at least this long.
REUSE_MARGIN_SECONDS = 30
# A customer who scanned just before a code left the screen may still be typing the password.
CODE_GRACE_SECONDS = 60
# How often an order is asked for when notifications can reach us: a lost one must not keep a customer waiting.
QUERY_CUSTOMER_SECONDS = 5  # somebody has entered the order and is paying now
QUERY_CODE_SECONDS = 20  # nobody may ever scan it
CLOSE_RETRY_SECONDS = (1.0, 30.0)  # first and longest wait; WeChat does not close orders younger than 5 minutes
# Refusals that concern one order; every other permanent one concerns the merchant, and so every order.
OF_ONE_ORDER = frozenset({"ORDERPAID", "ORDERCLOSED", "OUT_TRADE_NO_USED"})
SWEEP_SECONDS = 5  # finds orders that another process (the command line) has changed

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Code:
    """A mode-two code: an order that whoever scans it may pay. `price_fen` as it was when it was made."""

    out_trade_no: str
    product_id: str
    code_url: str
    price_fen: int
    expires_at: datetime


class Cashier:
    """Opens orders and sees each through to its end, as far as money goes."""

    def __init__(
        self,
        *,
        settings: Settings,
        journal: Journal,
        gateway: PaymentGateway,
        clock: Clock,
        words: Words,
        closed: Callable[[], str | None],
        answered: Callable[[str | None], None],
    ) -> None:
        """Take the parts.

        `closed()`: why nothing at all can be bought now, in the customer's words; None while something can.
        `answered(refusal)` is told what WeChat said to a new order: None, or why it takes none from this merchant.
        """
        self._settings = settings
        self._pay = settings.wechatpay
        self._journal = journal
        self._gateway = gateway
        self._clock = clock
        self._words = words
        self._refunds = Refunds(journal=journal, gateway=gateway, reason=words.refund_reason)
        self._closed = closed
        self._answered = answered
        self._slots_of = {
            product.id: tuple(slot.id for slot in settings.slots if slot.product_id == product.id)
            for product in settings.products
        }
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._nudges: dict[str, asyncio.Event] = {}
        self._withdrawn: set[str] = set()
        self._announcing: dict[str, asyncio.Task[Order | Refused | Unclear]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        journal.subscribe(self._on_change)

    async def start(self) -> None:
        """Take up every order that is not finished, and go on looking for such orders."""
        self._spawn(self._sweep_forever())

    async def stop(self) -> None:
        """Stop following; what is under way at the gateway ends by itself and is taken up at the next start."""
        tasks = [*self._tasks, *self._followers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Opening -----------------------------------------------------------------------------------------------

    async def order_by_scan(self, product_id: str, openid: str, nonce: str) -> Order:
        """Answer a mode-one scan: an order with a prepay_id, within `SCAN_ANSWER_SECONDS`; else `NotForSale`.

        The same scan again (same nonce) gets the same order, as does a new scan by the same customer while the first
        order is good; neither reserves a second unit.
        """
        task = self._spawn(self._order_by_scan(product_id, openid, nonce))
        try:
            async with asyncio.timeout(SCAN_ANSWER_SECONDS):
                return await asyncio.shield(task)
        except TimeoutError:
            task.add_done_callback(self._withdraw_unanswered)
            raise NotForSale(self._words.try_again) from None
        except NotForSale:
            raise
        except DatabaseError as error:
            _log.error("a scan was refused: %s", error)
            raise NotForSale(self._words.out_of_service) from error
        except Exception as error:
            _log.exception("a scan was refused for a mistake of this program")
            raise NotForSale(self._words.try_again) from error

    async def open_code(self, product_id: str) -> Code | Refused | Unclear:
        """Make a mode-two code. Raises `DatabaseError` when it could not be made durable."""
        product = self._product(product_id)
        ttl = self._pay.code_ttl_seconds + CODE_GRACE_SECONDS
        order = await self._open(product, Channel.NATIVE_TWO, ttl, openid=None, nonce=None)
        answer = await self._announce(order, urgent=False)
        if isinstance(answer, Order):
            return _code(answer) or Refused(
                "STATE", f"{answer.out_trade_no} is {answer.state.value}", permanent=False
            )
        return answer

    async def open_codes(self) -> list[Code]:
        """The codes that an earlier run left open at WeChat."""
        orders = await self._journal.orders_in([OrderState.AWAITING_PAYMENT])
        return [code for code in map(_code, orders) if code is not None]

    def withdraw(self, out_trade_no: str) -> None:
        """Close an unpaid order as soon as WeChat lets it be closed; a payment that wins the race is honoured."""
        self._withdrawn.add(out_trade_no)
        self._start_follower(out_trade_no, self._follow_unpaid(out_trade_no))
        self._nudge(out_trade_no)

    async def _order_by_scan(self, product_id: str, openid: str, nonce: str) -> Order:
        product = self._settings.product(product_id)
        if product is None:
            raise NotForSale(self._words.unknown_product)
        closed = self._closed()
        if closed is not None:
            raise NotForSale(closed)
        try:
            order = await self._open(product, Channel.NATIVE_ONE, self._pay.order_ttl_seconds, openid, nonce)
        except SoldOut as error:
            raise NotForSale(self._words.sold_out) from error
        if order.state is OrderState.AWAITING_PAYMENT:
            return order
        if order.state is not OrderState.CREATED:  # the replay of a scan whose order has gone on
            raise NotForSale(self._words.scan_again)
        answer = await self._announce(order, urgent=True)
        if isinstance(answer, Order) and answer.state is OrderState.AWAITING_PAYMENT:
            return answer
        raise NotForSale(self._words.try_again)

    def _withdraw_unanswered(self, task: asyncio.Task[Order]) -> None:
        """Nobody was given this prepay_id in time, so nobody can pay it: do not hold the unit back for it."""
        if not task.cancelled() and task.exception() is None:
            self.withdraw(task.result().out_trade_no)

    async def _open(
        self, product: Product, channel: Channel, ttl_seconds: int, openid: str | None, nonce: str | None
    ) -> Order:
        now = self._clock.now()
        order = Order(
            out_trade_no=new_out_trade_no(self._settings.kiosk.id, now),
            channel=channel,
            product_id=product.id,
            product_name=product.name_in(self._settings.kiosk.language),
            amount_fen=product.price_fen,
            app_id=self._pay.app_id,
            state=OrderState.CREATED,
            created_at=now,
            expires_at=now + timedelta(seconds=ttl_seconds),
            updated_at=now,
            openid=openid,
            scan_nonce=nonce,
        )
        reusable_until = now + timedelta(seconds=min(REUSE_MARGIN_SECONDS, ttl_seconds / 2))
        return await self._journal.open_order(order, self._slots_of[product.id], reusable_until=reusable_until)

    async def _announce(self, order: Order, *, urgent: bool) -> Order | Refused | Unclear:
        """Tell WeChat of an order, once however often it is asked for at the same time (a scan sent twice)."""
        number = order.out_trade_no
        if number not in self._announcing:
            task = self._announcing[number] = self._spawn(self._announce_once(order, urgent=urgent))
            task.add_done_callback(lambda _: self._announcing.pop(number))
        return await asyncio.shield(self._announcing[number])

    async def _announce_once(self, order: Order, *, urgent: bool) -> Order | Refused | Unclear:
        """If it did not certainly work, the order is withdrawn: nobody can pay it yet."""
        request = PrepayRequest(
            out_trade_no=order.out_trade_no,
            product_id=order.product_id,
            description=f"{self._settings.kiosk.name}-{order.product_name}",
            amount_fen=order.amount_fen,
            created_at=order.created_at,
            expires_at=order.expires_at,
        )
        try:
            answer = await self._gateway.prepay(request, urgent=urgent)
            if isinstance(answer, Prepared):
                self._answered(None)
                return await self._journal.update(order.out_trade_no, _prepared(answer))
        except DatabaseError:
            self.withdraw(order.out_trade_no)
            raise
        self.withdraw(order.out_trade_no)
        if isinstance(answer, Refused) and answer.permanent and answer.code not in OF_ONE_ORDER:
            self._answered(f"{answer.message} ({answer.code})")
        _log.warning("order %s could not be announced: %s", order.out_trade_no, answer)
        return answer

    def _product(self, product_id: str) -> Product:
        product = self._settings.product(product_id)
        if product is None:
            raise KeyError(product_id)
        return product

    # Confirming --------------------------------------------------------------------------------------------

    async def payment_notified(self, payment: Payment) -> None:
        """Take a payment that a verified notification tells of; returns once it is durable (also if it already was).

        Raises `NotBelieved` for one that does not fit its order; the order is then asked for at WeChat, whose own
        answer settles it. Raises `DatabaseError` when it could not be made durable.
        """
        order = await self._journal.order(payment.out_trade_no)
        if order is None:
            raise NotBelieved(f"there is no order {payment.out_trade_no} here")
        if order.transaction_id == payment.transaction_id:
            return  # what can be read is already on the disk
        if order.transaction_id is not None:
            raise NotBelieved(f"order {order.out_trade_no} was paid by another transaction")
        mismatch = _mismatch(order, payment)
        if mismatch is not None:
            self._follow(order)
            self._nudge(order.out_trade_no)
            raise NotBelieved(mismatch)
        await self._settle(payment)

    async def _settle(self, payment: Payment, *, refunded: bool = False) -> None:
        late_after = self._settings.kiosk.dispense_within_seconds
        now = self._clock.now()
        wechat_now = now + timedelta(seconds=self._gateway.clock_offset_seconds or 0)

        def decide(order: Order, _: View) -> Step | None:
            if order.transaction_id is not None:
                return None
            paid = replace(
                order,
                state=OrderState.PAID,
                transaction_id=payment.transaction_id,
                paid_fen=payment.total_fen,
                paid_at=payment.paid_at,
                confirmed_at=now,
                openid=payment.openid or order.openid,
            )
            reason = _mismatch(order, payment)
            if reason is None and refunded:
                reason = "it was already refunded at WeChat, not by this machine"
            if reason is None and order.state is OrderState.CLOSED:
                reason = "it was paid after it had been closed"
            age_seconds = (wechat_now - payment.paid_at).total_seconds()
            if reason is None and age_seconds > late_after:
                reason = f"the payment was {age_seconds:.0f} s old when the machine learned of it"
            detail = {"paid_fen": payment.total_fen, "transaction_id": payment.transaction_id}
            if reason is None:
                return Step(paid, "paid", detail)
            return Step(to_refunding(paid, reason), "paid_not_to_be_dispensed", {**detail, "reason": reason})

        try:
            await self._journal.update(payment.out_trade_no, decide)
        except sqlite3.IntegrityError as error:
            raise NotBelieved(f"the transaction {payment.transaction_id} belongs to another order") from error

    # Following what is unpaid ------------------------------------------------------------------------------

    async def _follow_unpaid(self, out_trade_no: str, *, ask_now: bool = False) -> None:
        """Ask for an order until it is paid, or closed for certain."""
        loop = asyncio.get_running_loop()
        order = await self._journal.order(out_trade_no)
        if order is None or order.state not in UNPAID:
            return
        # By the loop's clock: a step of the wall clock must neither close an order early nor keep it for ever.
        ttl = (order.expires_at - order.created_at).total_seconds()
        left = (order.expires_at - self._clock.now()).total_seconds()
        deadline = loop.time() + min(max(left, 0.0), ttl)
        nudge = self._nudges.setdefault(out_trade_no, asyncio.Event())
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
                    if await self._ask(out_trade_no):
                        return
                    ask_at = loop.time() + interval
                wait = max(0.0, min(ask_at, deadline) - loop.time())
            await happens(nudge, wait)

    def _query_seconds(self, order: Order) -> float:
        if self._pay.public_url is None:
            return self._pay.query_interval_seconds
        return QUERY_CODE_SECONDS if order.channel is Channel.NATIVE_TWO else QUERY_CUSTOMER_SECONDS

    async def _ask(self, out_trade_no: str) -> bool:
        """Ask WeChat once; True when the order can change no more by being paid."""
        match await self._gateway.query(out_trade_no):
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
        answer = await self._gateway.close(out_trade_no)
        if isinstance(answer, Unclear):
            return False
        match answer if isinstance(answer, Paid) else await self._gateway.query(out_trade_no):
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
            return Step(replace(order, state=OrderState.CLOSED, reason=reason), "closed", {"reason": reason})

        await self._journal.update(out_trade_no, decide)

    async def refund(self, out_trade_no: str, who: str) -> Order:
        """Begin a refund that a person asked for. Raises `RefundRefused`, `UnknownOrder`, `DatabaseError`."""
        return await request_refund(self._journal, out_trade_no, who)

    async def refund_notified(self, notice: RefundNotice) -> None:
        """Take a refund's end that a notification tells of; returns once it is durable. Raises `NotBelieved`."""
        await self._refunds.notified(notice)

    # Housekeeping ------------------------------------------------------------------------------------------

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
        elif order.state is OrderState.AWAITING_PAYMENT:
            self._start_follower(number, self._follow_unpaid(number, ask_now=ask_now))

    def _start_follower(self, number: str, work: Coroutine[Any, Any, None]) -> None:
        if number in self._followers:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=f"follow {number}")
        self._followers[number] = task
        task.add_done_callback(lambda task: self._follower_ended(number, task))

    def _follower_ended(self, number: str, task: asyncio.Task[None]) -> None:
        del self._followers[number]
        self._nudges.pop(number, None)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, (DatabaseError, NotBelieved)):
            _log.error("order %s is taken up again later: %s", number, error)
        elif error is not None:
            _log.error("order %s is taken up again later", number, exc_info=error)
        else:
            self._withdrawn.discard(number)

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
                    if order.state is OrderState.CREATED and (left_over or number in self._withdrawn):
                        self.withdraw(number)
                    self._follow(order, ask_now=left_over)
                left_over = False
            await asyncio.sleep(SWEEP_SECONDS)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _mismatch(order: Order, payment: Payment) -> str | None:
    if payment.total_fen != order.amount_fen:
        return f"order {order.out_trade_no} costs {order.amount_fen} fen, {payment.total_fen} fen were paid"
    if payment.currency != "CNY":
        return f"order {order.out_trade_no} was paid in {payment.currency}, not in CNY"
    if payment.app_id != order.app_id:
        return f"order {order.out_trade_no} was paid under another app id"
    return None


def _prepared(answer: Prepared) -> Callable[[Order, View], Step | None]:
    def decide(order: Order, _: View) -> Step | None:
        if order.state is not OrderState.CREATED:  # paid or closed before the answer came
            return None
        waiting = replace(
            order, state=OrderState.AWAITING_PAYMENT, prepay_id=answer.prepay_id, code_url=answer.code_url
        )
        return Step(waiting, "awaiting_payment")

    return decide


def _code(order: Order) -> Code | None:
    if order.channel is not Channel.NATIVE_TWO or order.code_url is None or order.state not in UNPAID:
        return None
    return Code(order.out_trade_no, order.product_id, order.code_url, order.amount_fen, order.expires_at)
