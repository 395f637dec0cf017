"""The goods side of an order: paid → intent → board → outcome. One vend at a time.

The intent (order, slot, attempt, the board's evidence) is on the disk before the board hears of it, in the same
transaction that takes the unit from the stock; so a unit is given at most once, whatever dies in between. An order
found `dispensing` at the start is in doubt: the board is asked, and is never told to vend it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from hardware.dispenser import Cause, Dispenser, Outcome, VendResult
from kiosk.clock import Clock
from kiosk.database import DatabaseError
from kiosk.journal import Decide, Journal, View
from kiosk.line import Line
from kiosk.orders import Channel, Order, OrderState, TransitionRefused
from kiosk.records import IN_DOUBT, SlotChange, SlotRecord, Step
from kiosk.refunds import to_refunding
from kiosk.settings import InDoubt, Settings, Slot
from kiosk.waiting import happens

RETRY_SECONDS = 2.0  # after a write that failed (disk full), and a look at what another process has changed

OVERDUE_SECONDS = 30.0  # a driver ends every vend within its vend_timeout; this much later it has broken its word

CHOICE_OVER = "what was chosen at the keypad was not waited for any more"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Vend:
    """A vend under way, for whoever shows it. `order` is None for a test vend."""

    slot: Slot
    order: Order | None


class NotNow(Exception):
    """A test vend cannot be made now; the sentence says why."""


class Dispatcher:
    """Gives goods for paid orders, one after the other."""

    def __init__(
        self,
        *,
        settings: Settings,
        journal: Journal,
        line: Line,
        dispenser: Dispenser,
        clock: Clock,
        wants: Callable[[Order], bool] | None = None,
    ) -> None:
        """`wants`: where customers choose at the machine, whether the choice that an order was made for still stands.

        It is asked in the very moment before `Dispenser.prepare` binds the choice.
        """
        self._journal = journal
        self._dispenser = dispenser
        self._clock = clock
        self._wants = wants
        self.take(settings)
        self._line = line
        self._wake = asyncio.Event()
        self._stopping = False
        self._board = asyncio.Lock()  # one vend at a time, test vends included
        self._task: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []
        self._vend_due = 0.0  # the loop's time by which the vend under way has ended, if the driver keeps its word
        self.vend: Vend | None = None
        line.on_paid(self._wake.set)
        dispenser.on_status(self._wake.set)

    @property
    def stuck(self) -> str | None:
        """Why no vend will ever begin again in this process; None while all is well."""
        if self._task is not None and self._task.done() and not self._stopping:
            return "nobody serves paid orders any more"
        if self.vend is not None and asyncio.get_running_loop().time() > self._vend_due:
            return f"the driver has not ended the vend of slot {self.vend.slot.id} in its time"
        return None

    def on_vend(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever `vend` has changed."""
        self._listeners.append(listener)

    def take(self, settings: Settings) -> None:
        """Give goods from the slots of these settings, from the next vend on."""
        self._settings = settings
        self._slots_of = {
            product.id: tuple(slot for slot in settings.slots if slot.product_id == product.id)
            for product in settings.products
        }

    async def start(self) -> None:
        """Settle what an earlier process left in doubt, then serve paid orders."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Let a vend under way finish, begin no other."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def confirm_delivery(self, out_trade_no: str, who: str) -> Order:
        """A person has seen to it that the goods came out: of an order in doubt, or of one that only counts as such.

        Raises `TransitionRefused`, `UnknownOrder`, `DatabaseError`.
        """

        def decide(order: Order, _: View) -> Step | None:
            presumed = order.state is OrderState.DISPENSED and order.reason is not None
            if order.state is not OrderState.IN_DOUBT and not presumed:
                raise TransitionRefused(order, OrderState.DISPENSED)
            return Step(order._replace(state=OrderState.DISPENSED, reason=None), "delivery_confirmed", {"who": who})

        return await self._journal.update(out_trade_no, decide)

    async def test_vend(self, slot_id: str, who: str) -> VendResult:
        """Turn one slot for a technician; booked apart from sales. Raises `NotNow` or `DatabaseError`."""
        slot = self._settings.slot(slot_id)
        if slot is None:
            raise NotNow(f"there is no slot {slot_id} in the ini")
        if self._wants is not None:
            raise NotNow(
                "this machine gives only what is chosen at its keypad: use its own service menu for a test vend"
            )
        if self._board.locked():
            raise NotNow("the board is vending; try again when it has finished")
        if not self._dispenser.status.ready:
            raise NotNow(self._dispenser.status.reason)
        async with self._board:
            taken = 0

            def take(record: SlotRecord) -> SlotRecord:
                nonlocal taken
                taken = min(1, record.stock)  # what the books think to be empty may be turned all the same
                return replace(record, stock=record.stock - taken)

            # Taken from the stock before the motor turns: a cut in between must not leave it on the books.
            await self._journal.change_slot(slot_id, "test_vend", who, take)
            result = await self._turn(Vend(slot, None))

            def book(record: SlotRecord) -> SlotRecord:
                if result.outcome is Outcome.DELIVERED:
                    return record
                if result.outcome is Outcome.UNKNOWN:
                    return replace(record, fault=IN_DOUBT)
                record = replace(record, stock=min(record.stock + taken, slot.capacity))
                return record if result.cause is Cause.NOT_TAKEN else replace(record, fault=result.detail)

            await self._journal.change_slot(slot_id, f"test_vend_{result.outcome.value}", who, book)
        return result

    # The line of paid orders -------------------------------------------------------------------------------

    async def _run(self) -> None:
        recovered = False
        while not self._stopping:
            self._wake.clear()
            served = False
            try:
                if not recovered:
                    await self._recover()
                    recovered = True
                await self._line.keep_up()
                served = await self._serve_next()
            except DatabaseError as error:
                _log.error("paid orders wait: %s", error)
                self._line.doubt()
            except Exception:  # noqa: BLE001 - a mistake of ours with one order must not stop the sale of all others
                _log.exception("an order could not be served; it is tried again")
                self._line.doubt()
            if not served and not await happens(self._wake, RETRY_SECONDS):
                self._line.doubt()  # nothing was heard of; another process may have changed something

    async def _serve_next(self) -> bool:
        """Do the next thing for the oldest order that waits; False when there is nothing to do now."""
        for order in self._line.waiting:
            if order.state is OrderState.DISPENSING and order.evidence is not None:
                work = self._settle_unfinished(order)  # only a mistake of ours leaves one: it is never vended again
            elif self._choice_is_over(order):
                work = self._give_up(order, CHOICE_OVER)
            elif self._too_late(order):
                board = self._dispenser.status.reason
                work = self._give_up(order, f"the goods could not be given in time{board and ': '}{board}")
            else:
                continue
            self._line.take(order)
            await work
            return True
        if not self._line.waiting or not self._dispenser.status.ready:
            return False
        async with self._board:
            waiting = self._line.waiting  # a test vend was waited for, and the order may have been refunded meanwhile
            if not waiting:
                return False
            self._line.take(waiting[0])
            return await self._serve(waiting[0])

    async def _serve(self, order: Order) -> bool:
        """Try slot after slot until one delivers, the board cannot tell, or none is left. False: it is to wait."""
        tried: list[str] = []
        while True:
            intent = await self._intend(order, tried)
            if intent is None:
                return True
            slot, order = intent
            result = await self._turn(Vend(slot, order))
            order = await self._book(order, slot.id, result)
            if result.cause is Cause.NOT_TAKEN:
                return False
            if order.state is not OrderState.DISPENSING:
                return True
            tried.append(slot.id)

    def _too_late(self, order: Order) -> bool:
        limit = timedelta(seconds=self._settings.kiosk.dispense_within_seconds)
        return order.confirmed_at is not None and self._clock.now() - order.confirmed_at > limit

    def _choice_is_over(self, order: Order) -> bool:
        """Whether the order is not for what a customer now waits for at the machine's keypad.

        A machine without one cannot give orders of the keypad, which a former board left; one with it no others.
        """
        return order.channel is Channel.KEYPAD if self._wants is None else not self._wants(order)

    async def _intend(self, order: Order, tried: Sequence[str]) -> tuple[Slot, Order] | None:
        """Make the intent durable: which slot, which attempt, the board's evidence. None: nothing is to be vended."""
        looked = False
        while True:
            slot = self._choose(order, self._line.slots, tried)
            if slot is None and not looked:  # what stands in memory must not send anybody away
                await self._line.look()
                looked = True
                continue
            if slot is None:
                reason = "no slot could deliver it" if order.attempts else "nothing was left to deliver"
                await self._give_up(order, reason)
                return None
            if self._choice_is_over(order):
                await self._give_up(order, CHOICE_OVER)
                return None
            # Nothing may be awaited between the question above and this.
            evidence = self._dispenser.prepare(slot.address)
            try:
                changed = await self._journal.update(order.out_trade_no, _intent(slot, evidence))
            except TransitionRefused as error:  # refunded by the command line in this very moment
                _log.warning("not vended: %s", error)
                return None
            if changed.evidence == evidence:
                return slot, changed
            await self._line.look()  # a technician was quicker: choose again
            looked = True

    def _choose(self, order: Order, records: Mapping[str, SlotRecord], tried: Sequence[str]) -> Slot | None:
        """The slot to try: the one whose unit the order already holds, else the fullest that can sell."""
        if order.state is OrderState.DISPENSING and order.slot is not None:
            return self._settings.slot(order.slot)
        chosen = order.slot if order.channel is Channel.KEYPAD else None
        candidates = [
            slot
            for slot in self._slots_of.get(order.product_id, ())
            if chosen in {None, slot.id} and slot.id not in tried and slot.id in records and records[slot.id].sellable
        ]
        return max(candidates, key=lambda slot: records[slot.id].stock, default=None)

    async def _turn(self, vend: Vend) -> VendResult:
        limit_seconds = self._settings.dispenser.vend_timeout_seconds + OVERDUE_SECONDS
        self._vend_due = asyncio.get_running_loop().time() + limit_seconds
        self._show(vend)
        try:
            return await self._dispenser.vend(vend.slot.address)
        except Exception as error:  # noqa: BLE001 - whatever a driver does wrong, nobody knows what its motor did
            _log.exception("the driver failed while vending slot %s", vend.slot.id)
            return VendResult(Outcome.UNKNOWN, f"the driver failed: {error}")
        finally:
            self._show(None)

    def _show(self, vend: Vend | None) -> None:
        self.vend = vend
        for listener in self._listeners:
            listener()

    # Outcomes ----------------------------------------------------------------------------------------------

    async def _book(self, order: Order, slot: str, result: VendResult) -> Order:
        """Make the outcome durable, however long the disk takes. Still `dispensing`: another try is to be made."""
        detail = {"outcome": result.outcome.value, "board": result.detail, "proven": result.proven}
        if result.presumed:
            detail["presumed"] = True

        def decide(order: Order, view: View) -> Step | None:
            if order.state is not OrderState.DISPENSING:
                return None
            match result.outcome:
                case Outcome.DELIVERED:
                    reason = result.detail if result.presumed else None
                    done = order._replace(state=OrderState.DISPENSED, reason=reason)
                    return Step(done, "dispensed", detail, (SlotChange(slot),))
                case Outcome.UNKNOWN:
                    doubtful = order._replace(state=OrderState.IN_DOUBT, reason=result.detail)
                    return Step(doubtful, "in_doubt", detail, (SlotChange(slot, fault=IN_DOUBT),))
                case Outcome.NOT_DELIVERED:
                    pass
            match result.cause:
                case Cause.NOT_TAKEN:  # the order keeps the unit and waits for the board
                    return Step(order._replace(evidence=None), "not_taken", detail)
                case Cause.EMPTY:  # the board knows better: what the books held was not there
                    change = SlotChange(slot, stock_delta=-view.slot(slot).stock)
                    return Step(order._replace(slot=None, evidence=None), "not_delivered", detail, (change,))
                case Cause.SLOT:
                    change = SlotChange(slot, stock_delta=self._room(view, slot), fault=result.detail)
                    return Step(order._replace(slot=None, evidence=None), "not_delivered", detail, (change,))
                case Cause.CHOICE_GONE:
                    change = SlotChange(slot, stock_delta=self._room(view, slot))
                    return Step(to_refunding(order, result.detail), "not_delivered", detail, (change,))
                case Cause.MACHINE | None:
                    change = SlotChange(slot, stock_delta=self._room(view, slot), fault=result.detail)
                    return Step(to_refunding(order, result.detail), "not_delivered", detail, (change,))

        changed = await self._until_durable(order.out_trade_no, decide)
        if changed.state is OrderState.IN_DOUBT:
            await self._settle_doubt(changed)
        return changed

    async def _recover(self) -> None:
        """Take up what an earlier process left; nothing that it may have begun is vended again."""
        for order in await self._journal.orders_in([OrderState.DISPENSING]):
            await self._settle_unfinished(order)
        for order in await self._journal.orders_in([OrderState.IN_DOUBT]):
            await self._settle_doubt(order)

    async def _settle_unfinished(self, order: Order) -> None:
        """Ask the board what became of a vend that nobody waited for."""
        if order.slot is None or order.evidence is None:
            await self._give_up(order, "the process ended before a slot could deliver it")
            return
        slot = self._settings.slot(order.slot)
        if slot is None:
            result = VendResult(Outcome.UNKNOWN, f"slot {order.slot} is no longer in the ini")
        else:
            result = await self._dispenser.recall(slot.address, order.evidence)
        if result.outcome is Outcome.NOT_DELIVERED:
            # The customer was sent away by a dark screen: the money goes back, there is no second attempt.
            await self._give_up(order, result.detail)
        else:
            await self._book(order, order.slot, result)

    async def _settle_doubt(self, order: Order) -> None:
        if self._settings.kiosk.in_doubt is InDoubt.HOLD:
            return
        await self._give_up(order, f"nobody can tell whether it was delivered: {order.reason}")

    async def _give_up(self, order: Order, reason: str) -> None:
        def decide(order: Order, view: View) -> Step | None:
            if order.state not in (OrderState.PAID, OrderState.DISPENSING, OrderState.IN_DOUBT):
                return None
            # The money goes back, and so does a unit that the order still holds.
            holds = order.slot if order.state is OrderState.DISPENSING else None
            changes = () if holds is None else (SlotChange(holds, stock_delta=self._room(view, holds)),)
            return Step(to_refunding(order, reason), "refunding", {"reason": reason}, changes)

        await self._until_durable(order.out_trade_no, decide)

    def _room(self, view: View, slot_id: str) -> int:
        """How much of a unit that a vend took comes back to the books: nothing where they are full already."""
        slot = self._settings.slot(slot_id)
        return 1 if slot is None or view.slot(slot_id).stock < slot.capacity else 0

    async def _until_durable(self, out_trade_no: str, decide: Decide) -> Order:
        """Write what has happened in the world; it cannot be taken back, so a full disk only delays it."""
        while True:
            try:
                return await self._journal.update(out_trade_no, decide)
            except DatabaseError as error:
                _log.error("order %s: %s", out_trade_no, error)
                await asyncio.sleep(RETRY_SECONDS)


def _intent(slot: Slot, evidence: str) -> Decide:
    def decide(order: Order, view: View) -> Step | None:
        if order.state is OrderState.DISPENSING and order.evidence is not None:
            raise TransitionRefused(order, OrderState.DISPENSING)  # begun once already
        held = order.state is OrderState.DISPENSING and order.slot == slot.id
        if not held and not view.slot(slot.id).sellable:
            return None  # a technician was quicker
        attempts = order.attempts + 1
        intent = order._replace(state=OrderState.DISPENSING, slot=slot.id, attempts=attempts, evidence=evidence)
        change = SlotChange(slot.id, stock_delta=0 if held else -1)
        return Step(intent, "dispensing", {"attempt": attempts, "evidence": evidence}, (change,))

    return decide
