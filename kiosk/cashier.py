"""The money side of an order: open, confirm, expire, close. Knows a gateway, not who stands behind it.

A notification and an orderquery end in the same decision, `_settled`. What is to be seen to until its end is left to
the followers.
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
from kiosk.followers import Followers
from kiosk.journal import Decide, Journal, SoldOut, UnknownOrder, View
from kiosk.orders import UNPAID, Channel, Order, OrderState, new_out_trade_no
from kiosk.payments.gateway import (
    Payment,
    PaymentGateway,
    Prepared,
    PrepayRequest,
    RefundNotice,
    Refused,
    Unclear,
)
from kiosk.records import Step
from kiosk.refunds import ALREADY_REFUNDED, Refunds, request_refund, to_refunding
from kiosk.settings import Product, Settings, Slot
from kiosk.unpaid import Unpaid
from kiosk.words import Speaker

# The customer waits and WeChat's patience is not documented: the scan's answer goes out within three seconds.
SCAN_ANSWER_SECONDS = 2.7
# A customer who looks at an unpaid order waits no longer for WeChat's word; the question goes on in the background.
CONFIRM_SECONDS = 3.0
# A second scan by the same customer gets the order that is there while it can be paid for at least this long.
REUSE_MARGIN_SECONDS = 30
# A customer who scanned just before a code left the screen may still be typing the password.
CODE_GRACE_SECONDS = 60
# Refusals that concern one order; every other permanent one concerns the merchant, and so every order.
OF_ONE_ORDER = frozenset({"ORDERPAID", "ORDERCLOSED", "OUT_TRADE_NO_USED"})
LOCAL_IP = "127.0.0.1"  # NATIVE: the address of the machine that orders; it has no other that it knows of

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
        speaker: Speaker,
        closed: Callable[[], str | None],
        answered: Callable[[str | None], None],
    ) -> None:
        """Take the parts.

        `closed()`: why nothing at all can be bought now, in the customer's words; None while something can.
        `answered(refusal)` is told what WeChat said to a new order: None, or why it takes none from this merchant.
        """
        self._pay = settings.wechatpay
        self._journal = journal
        self._gateway = gateway
        self._clock = clock
        self._speaker = speaker
        self._refunds = Refunds(journal=journal, gateway=gateway, reason=speaker.words.refund_reason)
        self._closed = closed
        self._answered = answered
        self.take(settings)
        self._unpaid = Unpaid(journal=journal, gateway=gateway, clock=clock, pay=self._pay, settle=self._settle)
        self._followers = Followers(journal=journal, unpaid=self._unpaid, refunds=self._refunds)
        self._announcing: dict[str, asyncio.Task[Order | Refused | Unclear]] = {}
        self._asking: dict[str, asyncio.Task[bool]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def take(self, settings: Settings) -> None:
        """Sell the products of these settings from now on; orders that are open keep price and name."""
        self._settings = settings
        self._slots_of = {
            product.id: tuple(slot.id for slot in settings.slots if slot.product_id == product.id)
            for product in settings.products
        }

    async def start(self) -> None:
        """Take up every order that is not finished, and go on looking for such orders."""
        self._followers.start()

    async def stop(self) -> None:
        """Stop following; what is under way at the gateway ends by itself and is taken up at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._followers.stop()

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
            raise self._try_again() from None
        except NotForSale:
            raise
        except DatabaseError as error:
            _log.error("a scan was refused: %s", error)
            raise NotForSale(self._speaker.words.out_of_service, "out_of_service") from error
        except Exception as error:
            _log.exception("a scan was refused for a mistake of this program")
            raise self._try_again() from error

    async def order_in_miniprogram(self, product_id: str, openid: str, client_ip: str) -> Order:
        """Make an order that reserves a unit, to be paid by `prepay`, and announce it to nobody yet.

        A customer's unpaid order for the same product is found again instead of reserving a second unit. Raises
        `NotForSale`, `DatabaseError`.
        """
        return await self._open_to_pay(Channel.MINIPROGRAM, product_id, openid=openid, client_ip=client_ip)

    async def prepay(self, order: Order) -> Order:
        """Announce an order of the mini-program, if that has not been done; it then has a prepay_id.

        What could not be announced can be tried again with the same number. Raises `NotForSale`, `DatabaseError`.
        """
        if order.state is OrderState.CREATED:
            self._check_open()
        gone = order.state not in UNPAID or self._unpaid.is_withdrawn(order.out_trade_no)
        if gone or order.expires_at <= self._clock.now():
            raise NotForSale(self._speaker.words.order_closed, "order_closed")
        if order.state is OrderState.AWAITING_PAYMENT:
            return order
        answer = await self._announce(order, urgent=True)
        if isinstance(answer, Order) and answer.state is OrderState.AWAITING_PAYMENT:
            return answer
        raise self._try_again()

    async def confirm(self, out_trade_no: str) -> None:
        """Ask WeChat about an unpaid order now, once however many ask. Ends within `CONFIRM_SECONDS`."""
        task = self._asking.get(out_trade_no)
        if task is None:
            task = self._asking[out_trade_no] = self._spawn(self._unpaid.ask(out_trade_no))
            task.add_done_callback(lambda _: self._asking.pop(out_trade_no))
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await asyncio.shield(task)
        except (TimeoutError, DatabaseError, NotBelieved) as error:
            _log.warning(
                "order %s could not be confirmed now: %s", out_trade_no, error or "WeChat has not answered yet"
            )

    async def open_code(self, product_id: str) -> Code | Refused | Unclear:
        """Make a mode-two code. Raises `DatabaseError` when it could not be made durable."""
        product = self._product(product_id)
        ttl = self._pay.code_ttl_seconds + CODE_GRACE_SECONDS
        order = await self._open(product, Channel.NATIVE_TWO, ttl)
        return await self._code_for(order, urgent=False)

    async def order_at_keypad(
        self, product: Product, slot: Slot, price_fen: int, ttl_seconds: int
    ) -> Code | Refused | Unclear:
        """Make a code for what was chosen at the machine, at the machine's price. Raises `DatabaseError`."""
        priced = replace(product, price_fen=price_fen)
        order = await self._open(priced, Channel.KEYPAD, ttl_seconds, slot=slot.id)
        return await self._code_for(order, urgent=True)

    async def open_codes(self) -> list[Code]:
        """The codes that an earlier run left open at WeChat."""
        orders = await self._journal.orders_in([OrderState.AWAITING_PAYMENT])
        codes = (_code(order) for order in orders if order.channel is Channel.NATIVE_TWO)
        return [code for code in codes if code is not None]

    async def withdraw_left_over(self) -> None:
        """Close whatever an earlier run left unpaid. Raises `DatabaseError`."""
        for order in await self._journal.orders_in(UNPAID):
            self.withdraw(order.out_trade_no)

    def withdraw(self, out_trade_no: str) -> None:
        """Close an unpaid order as soon as WeChat lets it be closed; a payment that wins the race is honoured."""
        self._followers.withdraw(out_trade_no)

    async def _code_for(self, order: Order, *, urgent: bool) -> Code | Refused | Unclear:
        answer = await self._announce(order, urgent=urgent)
        if isinstance(answer, Order):
            return _code(answer) or Refused(
                "STATE", f"{answer.out_trade_no} is {answer.state.value}", permanent=False
            )
        return answer

    async def _order_by_scan(self, product_id: str, openid: str, nonce: str) -> Order:
        order = await self._open_to_pay(Channel.NATIVE_ONE, product_id, openid=openid, nonce=nonce)
        if order.state is OrderState.AWAITING_PAYMENT:
            return order
        if order.state is not OrderState.CREATED:  # the replay of a scan whose order has gone on
            raise NotForSale(self._speaker.words.scan_again, "order_closed")
        answer = await self._announce(order, urgent=True)
        if isinstance(answer, Order) and answer.state is OrderState.AWAITING_PAYMENT:
            return answer
        raise self._try_again()

    async def _open_to_pay(self, channel: Channel, product_id: str, **of_customer: str) -> Order:
        """An order of a channel that reserves, for a customer who is about to pay it."""
        product = self._settings.product(product_id)
        if product is None:
            raise NotForSale(self._speaker.words.unknown_product, "unknown_product")
        self._check_open()
        try:
            return await self._open(product, channel, self._pay.order_ttl_seconds, **of_customer)
        except SoldOut as error:
            raise NotForSale(self._speaker.words.sold_out, "sold_out") from error

    def _check_open(self) -> None:
        closed = self._closed()
        if closed is not None:
            raise NotForSale(closed, "out_of_service")

    def _try_again(self) -> NotForSale:
        return NotForSale(self._speaker.words.try_again, "try_again")

    def _withdraw_unanswered(self, task: asyncio.Task[Order]) -> None:
        """Nobody was given this prepay_id in time, so nobody can pay it: do not hold the unit back for it."""
        if not task.cancelled() and task.exception() is None:
            self.withdraw(task.result().out_trade_no)

    async def _open(
        self,
        product: Product,
        channel: Channel,
        ttl_seconds: int,
        *,
        openid: str | None = None,
        nonce: str | None = None,
        client_ip: str | None = None,
        slot: str | None = None,
    ) -> Order:
        miniprogram = self._settings.miniprogram
        if channel is Channel.MINIPROGRAM and miniprogram is not None:
            app_id = miniprogram.app_id
        else:
            app_id = self._pay.app_id
        now = self._clock.now()
        order = Order(
            out_trade_no=new_out_trade_no(self._settings.kiosk.id, now),
            channel=channel,
            product_id=product.id,
            product_name=product.name_in(self._speaker.language),
            amount_fen=product.price_fen,
            app_id=app_id,
            state=OrderState.CREATED,
            created_at=now,
            expires_at=now + timedelta(seconds=ttl_seconds),
            updated_at=now,
            openid=openid,
            scan_nonce=nonce,
            client_ip=client_ip,
            slot=slot,
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
        """If it did not certainly work, the order is withdrawn: nobody can pay it yet.

        A customer of the mini-program has its number, and may try again unless WeChat refuses it for good.
        """
        kept = order.channel is Channel.MINIPROGRAM
        request = PrepayRequest(
            out_trade_no=order.out_trade_no,
            product_id=order.product_id,
            description=f"{self._settings.kiosk.name}-{order.product_name}",
            amount_fen=order.amount_fen,
            created_at=order.created_at,
            expires_at=order.expires_at,
            openid=order.openid if kept else None,
            client_ip=order.client_ip or LOCAL_IP,
        )
        try:
            answer = await self._gateway.prepay(request, urgent=urgent)
            if isinstance(answer, Prepared):
                self._answered(None)
                return await self._journal.update(order.out_trade_no, _prepared(answer))
        except DatabaseError:
            if not kept:
                self.withdraw(order.out_trade_no)
            raise
        if not kept or (isinstance(answer, Refused) and answer.permanent):
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
        doubted: list[Order] = []
        settled = self._settled(payment)

        # All in the one transaction: a storm of notifications costs each of them one turn of the writer, no more.
        def decide(order: Order, view: View) -> Step | None:
            if order.transaction_id not in (None, payment.transaction_id):
                raise NotBelieved(f"order {order.out_trade_no} was paid by another transaction")
            mismatch = None if order.transaction_id else self._mismatch(order, payment)
            if mismatch is not None:
                doubted.append(order)
                raise NotBelieved(mismatch)
            return settled(order, view)

        try:
            await self._update(payment, decide)
        except UnknownOrder as error:
            raise NotBelieved(f"there is no order {payment.out_trade_no} here") from error
        except NotBelieved:
            for order in doubted:
                self._followers.look_at(order)
            raise

    async def _settle(self, payment: Payment, *, refunded: bool = False) -> None:
        """Take a payment that WeChat's own answer tells of; one that does not fit its order is refunded."""
        await self._update(payment, self._settled(payment, refunded=refunded))

    async def _update(self, payment: Payment, decide: Decide) -> None:
        try:
            await self._journal.update(payment.out_trade_no, decide)
        except sqlite3.IntegrityError as error:
            raise NotBelieved(f"the transaction {payment.transaction_id} belongs to another order") from error

    def _settled(self, payment: Payment, *, refunded: bool = False) -> Decide:
        """What a payment makes of its order: paid, to be refunded, or nothing if it was known."""
        late_after = self._settings.kiosk.dispense_within_seconds
        now = self._clock.now()
        wechat_now = now + timedelta(seconds=self._gateway.clock_offset_seconds or 0)

        def decide(order: Order, _: View) -> Step | None:
            if order.transaction_id is not None:
                return None
            paid = order._replace(
                state=OrderState.PAID,
                transaction_id=payment.transaction_id,
                paid_fen=payment.total_fen,
                paid_at=payment.paid_at,
                confirmed_at=now,
                # Whose order it is stays: only its customer may look at it.
                openid=order.openid if order.channel is Channel.MINIPROGRAM else payment.openid or order.openid,
            )
            reason = self._mismatch(order, payment)
            if reason is None and refunded:
                reason = ALREADY_REFUNDED
            if reason is None and order.state is OrderState.CLOSED:
                reason = "it was paid after it had been closed"
            age_seconds = (wechat_now - payment.paid_at).total_seconds()
            if reason is None and age_seconds > late_after:
                reason = f"the payment was {age_seconds:.0f} s old when the machine learned of it"
            detail = {"paid_fen": payment.total_fen, "transaction_id": payment.transaction_id}
            if reason is None:
                return Step(paid, "paid", detail)
            return Step(to_refunding(paid, reason), "paid_not_to_be_dispensed", {**detail, "reason": reason})

        return decide

    def _mismatch(self, order: Order, payment: Payment) -> str | None:
        if payment.total_fen != order.amount_fen:
            return f"order {order.out_trade_no} costs {order.amount_fen} fen, {payment.total_fen} fen were paid"
        if payment.currency != "CNY":
            return f"order {order.out_trade_no} was paid in {payment.currency}, not in CNY"
        if payment.app_id != order.app_id:
            return f"order {order.out_trade_no} was paid under another app id"
        return None

    # Refunds -----------------------------------------------------------------------------------------------

    async def refund(self, out_trade_no: str, who: str) -> Order:
        """Begin a refund that a person asked for. Raises `RefundRefused`, `UnknownOrder`, `DatabaseError`."""
        return await request_refund(self._journal, out_trade_no, who)

    async def refund_notified(self, notice: RefundNotice) -> None:
        """Take a refund's end that a notification tells of; returns once it is durable. Raises `NotBelieved`."""
        await self._refunds.notified(notice)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _prepared(answer: Prepared) -> Decide:
    def decide(order: Order, _: View) -> Step | None:
        if order.state is not OrderState.CREATED:  # paid or closed before the answer came
            return None
        waiting = order._replace(
            state=OrderState.AWAITING_PAYMENT, prepay_id=answer.prepay_id, code_url=answer.code_url
        )
        return Step(waiting, "awaiting_payment")

    return decide


def _code(order: Order) -> Code | None:
    if order.code_url is None or order.state not in UNPAID:
        return None
    return Code(order.out_trade_no, order.product_id, order.code_url, order.amount_fen, order.expires_at)
