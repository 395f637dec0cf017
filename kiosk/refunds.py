"""Money on its way back: asked for until it is accepted, asked after until it is confirmed, never twice."""

from __future__ import annotations

import asyncio
import logging

from kiosk.errors import NotBelieved, RefundRefused
from kiosk.journal import Journal, UnknownOrder, View
from kiosk.orders import REFUNDABLE, Order, OrderState
from kiosk.payments.gateway import (
    Missing,
    PaymentGateway,
    RefundAccepted,
    Refunded,
    RefundFailed,
    RefundNotice,
    RefundPending,
    RefundRequest,
    RefundSum,
    Refused,
    Unclear,
)
from kiosk.records import Step
from kiosk.waiting import happens

REFUND_RETRY_SECONDS = (1.0, 30.0)  # first and longest wait; a refund may be PROCESSING for a day

# Why an order is refunding whose money, says orderquery, somebody has sent back already: this machine asks for none.
ALREADY_REFUNDED = "it was already refunded at WeChat, not by this machine"
_WAITING = frozenset({OrderState.REFUNDING, OrderState.REFUND_FAILED})  # for the customer to have the money

_log = logging.getLogger(__name__)


class Refunds:
    """Sees refunds through to their end. `reason` is what the customer reads on the phone."""

    def __init__(self, *, journal: Journal, gateway: PaymentGateway, reason: str) -> None:
        self._journal = journal
        self._gateway = gateway
        self._reason = reason

    async def notified(self, notice: RefundNotice) -> None:
        """Take a refund's end that a notification tells of; returns once it is durable.

        Raises `NotBelieved` for one that is not the refund that we asked for, unless WeChat, when asked, says that
        all the money is back: then somebody has sent it back on the merchant platform.
        """
        order = await self._journal.order(notice.out_trade_no)
        if order is None:
            raise NotBelieved(f"there is no order {notice.out_trade_no} here")
        if order.refund_serial == 0 or notice.out_refund_no != order.out_refund_no:
            if order.state in _WAITING and await self.ask_elsewhere(order):
                return
            raise NotBelieved(f"the refund {notice.out_refund_no} was not asked for by this machine")
        if notice.refund_fen != order.paid_fen:
            raise NotBelieved(f"the refund {notice.out_refund_no} is of another amount")
        await self._settle(notice.out_trade_no, notice.result)

    async def follow(self, out_trade_no: str, nudge: asyncio.Event) -> None:
        """Ask for a refund and then after it, until its end is confirmed. Every repeat has the same number.

        `nudge`: set when the order has changed meanwhile.
        """
        wait, longest = REFUND_RETRY_SECONDS
        must_ask = True
        while True:
            nudge.clear()
            order = await self._journal.order(out_trade_no)
            if order is None or order.state is not OrderState.REFUNDING:
                return
            if order.reason == ALREADY_REFUNDED:
                if await self._end_elsewhere(order):
                    return
                if not await happens(nudge, wait):
                    wait = min(wait * 2, longest)
                continue
            refusal: RefundFailed | None = None
            if not self._gateway.can_refund:
                reason = "no client certificate is configured: refund it in WeChat's merchant platform"
                refusal = RefundFailed(reason, fresh_number=False)
            elif must_ask:
                match await self._gateway.refund(_refund_request(order, self._reason)):
                    case RefundAccepted():
                        must_ask = False
                    case Refused(code, message, permanent) if permanent:
                        refusal = RefundFailed(f"{message} ({code})", fresh_number=False)
                    case Refused() | Unclear() as answer:
                        _log.warning("the refund %s is not yet accepted: %s", order.out_refund_no, answer)
            match await self._gateway.query_refund(order.out_refund_no, order.app_id):
                case Refunded() | RefundFailed() as end:
                    await self._settle(out_trade_no, end)
                    return
                case RefundPending():
                    must_ask = False
                case Missing():
                    must_ask = True
                    if refusal is not None:
                        if not await self.ask_elsewhere(order):
                            await self._settle(out_trade_no, refusal)
                        return
                case Unclear():
                    pass
            if not await happens(nudge, wait):
                wait = min(wait * 2, longest)

    async def _end_elsewhere(self, order: Order) -> bool:
        """Whether it is decided what somebody else has sent back: all of it is there, or no more is coming."""
        match await self._gateway.query_refunds(order.out_trade_no, order.app_id):
            case RefundSum(done_fen, _) if done_fen >= (order.paid_fen or 0):
                await self._journal.update(order.out_trade_no, _refunded_elsewhere)
                return True
            case RefundSum(done_fen, pending_fen) if done_fen + pending_fen < (order.paid_fen or 0):
                reason = f"{ALREADY_REFUNDED}, and only {done_fen + pending_fen} of {order.paid_fen} fen of it"
                await self._settle(order.out_trade_no, RefundFailed(reason, fresh_number=False))
                return True
            case RefundSum() | Unclear():
                return False

    async def ask_elsewhere(self, order: Order) -> bool:
        """Ask WeChat whether the money is back by another hand than ours, and book it if all of it is."""
        match await self._gateway.query_refunds(order.out_trade_no, order.app_id):
            case RefundSum(done_fen, _) if order.paid_fen is not None and done_fen >= order.paid_fen:
                await self._journal.update(order.out_trade_no, _refunded_elsewhere)
                return True
            case RefundSum() | Unclear():
                return False

    async def _settle(self, out_trade_no: str, result: Refunded | RefundFailed) -> None:
        def decide(order: Order, _: View) -> Step | None:
            if order.state not in _WAITING:
                return None
            match result:
                case Refunded(refund_id):
                    done = order._replace(state=OrderState.REFUNDED)
                    return Step(done, "refunded", {"refund_id": refund_id})
                case RefundFailed(reason, fresh_number):
                    if order.state is OrderState.REFUND_FAILED:
                        return None
                    # A new number only if this one is dead for ever: else money could go back twice.
                    serial = order.refund_serial + 1 if fresh_number else order.refund_serial
                    failed = order._replace(state=OrderState.REFUND_FAILED, refund_serial=serial, reason=reason)
                    return Step(failed, "refund_failed", {"reason": reason})

        await self._journal.update(out_trade_no, decide)


def _refunded_elsewhere(order: Order, _: View) -> Step | None:
    if order.state not in _WAITING:
        return None
    return Step(order._replace(state=OrderState.REFUNDED), "refunded_elsewhere")


def to_refunding(order: Order, reason: str) -> Order:
    """The order on its way back to the customer, with the number that every repeat of the refund will carry."""
    return order._replace(state=OrderState.REFUNDING, refund_serial=max(1, order.refund_serial), reason=reason)


async def request_refund(journal: Journal, out_trade_no: str, who: str) -> Order:
    """Begin a refund of a paid order; whoever runs the machine carries it out.

    Raises `RefundRefused` with the reason, `UnknownOrder`, or `DatabaseError`.
    """

    def decide(order: Order, _: View) -> Step | None:
        if order.state not in REFUNDABLE:
            raise RefundRefused(
                f"order {out_trade_no} is {order.state.value}: only a paid order can be refunded, and only once"
            )
        reason = f"asked for by {who}"
        return Step(to_refunding(order, reason), "refund_requested", {"who": who})

    return await journal.update(out_trade_no, decide)


def _refund_request(order: Order, reason: str) -> RefundRequest:
    if order.transaction_id is None or order.paid_fen is None:
        raise UnknownOrder(order.out_trade_no)
    return RefundRequest(
        out_trade_no=order.out_trade_no,
        transaction_id=order.transaction_id,
        out_refund_no=order.out_refund_no,
        app_id=order.app_id,
        total_fen=order.paid_fen,
        refund_fen=order.paid_fen,
        reason=reason,
    )
