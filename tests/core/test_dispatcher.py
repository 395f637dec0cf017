"""The goods side of an order: what reaches the board, and what the books say afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from core_values import COLA, NOON, SteppedClock, make_settings

from hardware.dispenser import Cause, Outcome, VendResult
from hardware.fake import FakeDispenser
from kiosk.dispatcher import Dispatcher, NotNow
from kiosk.journal import Journal, View
from kiosk.line import Line
from kiosk.orders import Channel, Order, OrderState
from kiosk.records import IN_DOUBT, SlotChange, Step
from kiosk.refunds import request_refund
from kiosk.settings import InDoubt

Draft = Callable[..., Order]
JAMMED = VendResult(Outcome.NOT_DELIVERED, "slot jammed", Cause.SLOT)
EMPTY = VendResult(Outcome.NOT_DELIVERED, "slot empty", Cause.EMPTY)
LIFT = VendResult(Outcome.NOT_DELIVERED, "the lift failed", Cause.MACHINE)
NOT_TAKEN = VendResult(Outcome.NOT_DELIVERED, "the board was away", Cause.NOT_TAKEN)
SILENCE = VendResult(Outcome.UNKNOWN, "no answer in time")


@pytest.fixture
def board() -> FakeDispenser:
    return FakeDispenser(motor_seconds=0)


@pytest.fixture
def make(tmp_path: Path, journal: Journal, board: FakeDispenser, clock: SteppedClock) -> Callable[..., Dispatcher]:
    """Make a dispatcher that is not started; keywords override [kiosk]."""

    def make(**kiosk: object) -> Dispatcher:
        settings = make_settings(tmp_path, **kiosk)
        return Dispatcher(settings=settings, journal=journal, line=Line(journal), dispenser=board, clock=clock)

    return make


@pytest.fixture
async def command_line(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[Journal]:
    """The same file, written to beside the machine, which hears nothing of it."""
    beside = Journal(tmp_path, clock)
    yield beside
    await beside.close()


@pytest.fixture
async def dispatcher(make: Callable[..., Dispatcher], board: FakeDispenser) -> AsyncIterator[Dispatcher]:
    await board.start()
    dispatcher = make()
    await dispatcher.start()
    yield dispatcher
    await dispatcher.stop()


async def pay(journal: Journal, order: Order) -> Order:
    """Open an order and let it be paid at once."""
    await journal.open_order(order, COLA, reusable_until=NOON)
    return await journal.update(order.out_trade_no, paid(order.created_at))


def paid(at: datetime) -> Callable[[Order, View], Step]:
    """An order is paid."""

    def decide(order: Order, _: View) -> Step:
        paid = order._replace(state=OrderState.PAID, paid_fen=350, confirmed_at=at)
        return Step(paid._replace(transaction_id=order.out_trade_no), "paid")

    return decide


async def settled(journal: Journal, order: Order, *states: OrderState) -> Order:
    """Wait until an order has come to one of `states`."""
    changed = asyncio.Event()
    journal.subscribe(lambda _: changed.set())
    async with asyncio.timeout(10):
        while True:
            changed.clear()
            found = await journal.order(order.out_trade_no)
            assert found is not None
            if found.state in states:
                return found
            await changed.wait()


async def stocks(journal: Journal) -> dict[str, int]:
    return {slot: record.stock for slot, record in (await journal.slots()).items()}


class TestSelling:
    @pytest.mark.usefixtures("dispatcher")
    async def test_a_paid_order_gets_one_item(self, journal: Journal, board: FakeDispenser, draft: Draft) -> None:
        """One item leaves the fullest slot, and the books say so."""
        order = await settled(journal, await pay(journal, draft()), OrderState.DISPENSED)

        assert (board.drops, order.slot, order.attempts) == ([11], "11", 1)
        assert await stocks(journal) == {"11": 2, "12": 2, "21": 1}

    async def test_the_intent_is_durable_before_the_board_hears_of_it(
        self, journal: Journal, board: FakeDispenser, draft: Draft, dispatcher: Dispatcher
    ) -> None:
        """When the vend begins, another reader of the file already sees order, slot, evidence and stock."""
        seen: list[tuple[OrderState, str | None, bool, int]] = []
        looks: list[asyncio.Task[None]] = []

        async def look(order: Order) -> None:
            found = await journal.order(order.out_trade_no)
            assert found is not None
            seen.append((found.state, found.slot, bool(found.evidence), (await stocks(journal))["11"]))

        def on_vend() -> None:
            if dispatcher.vend is not None and dispatcher.vend.order is not None:
                looks.append(asyncio.ensure_future(look(dispatcher.vend.order)))

        dispatcher.on_vend(on_vend)
        board.motor_seconds = 0.2
        await settled(journal, await pay(journal, draft()), OrderState.DISPENSED)
        await asyncio.gather(*looks)

        assert seen == [(OrderState.DISPENSING, "11", True, 2)]

    @pytest.mark.usefixtures("dispatcher")
    async def test_one_vend_at_a_time(self, journal: Journal, board: FakeDispenser, draft: Draft) -> None:
        """Five orders paid at once are served one after the other, each with one item."""
        board.motor_seconds = 0.01  # a second call meanwhile would be a RuntimeError of the driver
        orders = await asyncio.gather(*(pay(journal, draft()) for _ in range(5)))
        for order in orders:
            await settled(journal, order, OrderState.DISPENSED)

        assert 5 == len(board.drops) == board.vends
        assert await stocks(journal) == {"11": 0, "12": 0, "21": 1}

    async def test_who_paid_first_comes_first(
        self,
        journal: Journal,
        board: FakeDispenser,
        draft: Draft,
        make: Callable[..., Dispatcher],
        clock: SteppedClock,
    ) -> None:
        """Also when the order of the other one was made earlier, and both waited for the board."""
        earlier = draft()
        await journal.open_order(earlier, COLA, reusable_until=NOON)
        clock.step(1)
        later = draft()
        dispatcher = make()
        await dispatcher.start()
        await pay(journal, later)
        clock.step(1)
        await journal.update(earlier.out_trade_no, paid(clock.now()))
        served: list[str] = []

        def note() -> None:
            if dispatcher.vend is not None and dispatcher.vend.order is not None:
                served.append(dispatcher.vend.order.out_trade_no)

        dispatcher.on_vend(note)
        await board.start()
        await settled(journal, earlier, OrderState.DISPENSED)
        await dispatcher.stop()

        assert [later.out_trade_no, earlier.out_trade_no] == served


class TestAnotherProcess:
    """The command line writes to the same journal; what the machine keeps in memory is old by then."""

    async def test_what_it_refunded_is_not_vended(
        self,
        journal: Journal,
        command_line: Journal,
        board: FakeDispenser,
        draft: Draft,
        make: Callable[..., Dispatcher],
    ) -> None:
        """The board comes back after the refund was asked for: nothing drops, and the next customer is served."""
        dispatcher = make()
        await dispatcher.start()
        order = await pay(journal, draft())
        await request_refund(command_line, order.out_trade_no, "tester")
        await board.start()
        await settled(journal, await pay(journal, draft()), OrderState.DISPENSED)
        await dispatcher.stop()

        assert OrderState.REFUNDING is (await settled(journal, order, OrderState.REFUNDING)).state
        assert 1 == board.vends

    @pytest.mark.usefixtures("dispatcher")
    async def test_what_it_filled_is_sold(
        self, journal: Journal, command_line: Journal, board: FakeDispenser, draft: Draft
    ) -> None:
        """A payment that finds the machine empty by memory alone does not go back."""
        for slot in COLA:
            await journal.change_slot(slot, "restock", "tester", lambda record: replace(record, stock=0))
        await command_line.change_slot("12", "restock", "other", lambda record: replace(record, stock=1))
        order = draft()._replace(channel=Channel.NATIVE_TWO)
        await settled(journal, await pay(journal, order), OrderState.DISPENSED)

        assert [12] == board.drops

    @pytest.mark.usefixtures("dispatcher")
    async def test_what_it_switched_off_is_not_turned(
        self, journal: Journal, command_line: Journal, board: FakeDispenser, draft: Draft
    ) -> None:
        """The slot that memory would choose is off sale: the other one gives."""
        await command_line.change_slot("11", "disable", "other", lambda record: replace(record, disabled=True))
        await settled(journal, await pay(journal, draft()), OrderState.DISPENSED)

        assert [12] == board.drops


class TestFailures:
    @pytest.mark.usefixtures("dispatcher")
    async def test_the_next_slot_after_a_jam(self, journal: Journal, board: FakeDispenser, draft: Draft) -> None:
        """A slot that failed for certain is off sale with its stock as it was; the next one delivers."""
        board.always(11, JAMMED)
        order = await settled(journal, await pay(journal, draft()), OrderState.DISPENSED)

        assert (board.drops, order.slot, order.attempts) == ([12], "12", 2)
        assert await stocks(journal) == {"11": 3, "12": 1, "21": 1}
        assert (await journal.slots())["11"].fault == "slot jammed"

    async def test_a_slot_that_was_filled_meanwhile_gets_no_phantom(
        self, journal: Journal, board: FakeDispenser, draft: Draft, dispatcher: Dispatcher
    ) -> None:
        """Counted full while its motor turned in vain: what did not fall is among what was counted."""
        board.always(11, JAMMED)
        board.motor_seconds = 0.2
        begun = asyncio.Event()
        dispatcher.on_vend(begun.set)
        order = await pay(journal, draft())
        await begun.wait()
        await journal.change_slot("11", "restock", "technician", lambda record: replace(record, stock=3))
        await settled(journal, order, OrderState.DISPENSED)

        assert (await stocks(journal))["11"] == 3

    @pytest.mark.usefixtures("dispatcher")
    async def test_a_refund_when_every_slot_failed(
        self, journal: Journal, board: FakeDispenser, draft: Draft
    ) -> None:
        """No slot is tried twice; the money goes back."""
        board.always(11, JAMMED)
        board.always(12, JAMMED)
        order = await settled(journal, await pay(journal, draft()), OrderState.REFUNDING)

        assert (board.vends, board.drops) == (2, [])
        assert order.out_refund_no == f"{order.out_trade_no}-R1"
        assert await stocks(journal) == {"11": 3, "12": 2, "21": 1}

    @pytest.mark.usefixtures("dispatcher")
    async def test_the_board_knows_better_what_is_left(
        self, journal: Journal, board: FakeDispenser, draft: Draft
    ) -> None:
        """A slot that the board calls empty has no stock any more; the next one delivers."""
        board.always(11, EMPTY)
        await settled(journal, await pay(journal, draft()), OrderState.DISPENSED)

        assert await stocks(journal) == {"11": 0, "12": 1, "21": 1}
        assert (await journal.slots())["11"].fault is None

    @pytest.mark.usefixtures("dispatcher")
    async def test_no_second_slot_after_a_fault_of_the_machine(
        self, journal: Journal, board: FakeDispenser, draft: Draft
    ) -> None:
        """When lift, door or motor fail, something may hang half-way: refund at once."""
        board.then(LIFT)
        await settled(journal, await pay(journal, draft()), OrderState.REFUNDING)

        assert board.vends == 1

    @pytest.mark.usefixtures("dispatcher")
    async def test_silence_is_never_vended_again(self, journal: Journal, board: FakeDispenser, draft: Draft) -> None:
        """Without an answer the order is in doubt, and by default refunded; the slot waits for a person."""
        board.then(SILENCE, drops=True)
        order = await settled(journal, await pay(journal, draft()), OrderState.REFUNDING)
        kinds = [event.kind for event in await journal.story(order.out_trade_no)]

        assert board.vends == 1
        assert kinds == ["created", "paid", "dispensing", "in_doubt", "refunding"]
        assert ((await stocks(journal))["11"], (await journal.slots())["11"].fault) == (2, IN_DOUBT)

    async def test_doubt_is_held_when_the_ini_says_so(
        self, journal: Journal, board: FakeDispenser, draft: Draft, make: Callable[..., Dispatcher]
    ) -> None:
        """in_doubt = hold leaves the order to the technician."""
        board.then(SILENCE)
        await board.start()
        dispatcher = make(in_doubt=InDoubt.HOLD)
        await dispatcher.start()
        order = await settled(journal, await pay(journal, draft()), OrderState.IN_DOUBT)
        other = await pay(journal, draft())
        await settled(journal, other, OrderState.DISPENSED)
        await dispatcher.stop()

        assert order == await journal.order(order.out_trade_no)

    async def test_a_board_that_is_away_is_waited_for(
        self, journal: Journal, board: FakeDispenser, draft: Draft, make: Callable[..., Dispatcher]
    ) -> None:
        """Paid while the board was away: delivered when it comes back in time."""
        dispatcher = make()
        await dispatcher.start()
        order = await pay(journal, draft())
        await board.start()
        await settled(journal, order, OrderState.DISPENSED)
        await dispatcher.stop()

        assert board.vends == 1

    @pytest.mark.usefixtures("dispatcher")
    async def test_a_command_that_was_not_taken_is_sent_later(
        self, journal: Journal, board: FakeDispenser, draft: Draft
    ) -> None:
        """The order keeps its unit meanwhile; one item is delivered, one unit is gone."""
        board.then(NOT_TAKEN)
        order = await settled(journal, await pay(journal, draft()), OrderState.DISPENSED)

        assert (board.drops, order.attempts) == ([11], 2)
        assert await stocks(journal) == {"11": 2, "12": 2, "21": 1}

    async def test_too_late_is_refunded(
        self,
        journal: Journal,
        board: FakeDispenser,
        draft: Draft,
        make: Callable[..., Dispatcher],
        clock: SteppedClock,
    ) -> None:
        """When the board stays away for longer than dispense_within, the customer has left."""
        dispatcher = make(dispense_within_seconds=60)
        order = await pay(journal, draft())
        clock.step(61)
        await dispatcher.start()
        await settled(journal, order, OrderState.REFUNDING)
        await dispatcher.stop()

        assert board.vends == 0

    @pytest.mark.usefixtures("dispatcher")
    async def test_nothing_left_is_refunded(self, journal: Journal, board: FakeDispenser, draft: Draft) -> None:
        """A payment that finds an empty machine goes back."""
        for slot in COLA:
            await journal.change_slot(slot, "restock", "tester", lambda record: replace(record, stock=0))
        order = draft()
        order = order._replace(channel=order.channel.NATIVE_TWO)
        await settled(journal, await pay(journal, order), OrderState.REFUNDING)

        assert board.vends == 0


async def left_dispensing(journal: Journal, draft: Draft, evidence: str | None = "fake:11:1") -> Order:
    """What a process leaves that was killed after the intent."""
    order = await pay(journal, draft())

    def intend(order: Order, _: View) -> Step:
        intent = order._replace(state=OrderState.DISPENSING, slot="11", attempts=1, evidence=evidence)
        return Step(intent, "dispensing", {}, (SlotChange("11", -1),))

    return await journal.update(order.out_trade_no, intend)


class TestRestart:
    async def test_an_unfinished_vend_is_never_begun_again(
        self, journal: Journal, board: FakeDispenser, draft: Draft, make: Callable[..., Dispatcher]
    ) -> None:
        """The board has no memory: the order is in doubt and refunded, nothing turns."""
        order = await left_dispensing(journal, draft)
        await board.start()
        dispatcher = make()
        await dispatcher.start()
        await settled(journal, order, OrderState.REFUNDING)
        await dispatcher.stop()

        assert (board.vends, (await stocks(journal))["11"]) == (0, 2)

    async def test_a_board_that_remembers_settles_it(
        self, journal: Journal, draft: Draft, clock: SteppedClock, tmp_path: Path
    ) -> None:
        """The board tells that the item fell: dispensed, no refund."""
        board = FakeDispenser(motor_seconds=0, ledger=tmp_path / "drops", remembers=True)
        evidence = board.prepare(11)
        await board.start()
        await board.vend(11)
        order = await left_dispensing(journal, draft, evidence)
        settings = make_settings(tmp_path)
        dispatcher = Dispatcher(settings=settings, journal=journal, line=Line(journal), dispenser=board, clock=clock)
        await dispatcher.start()
        await settled(journal, order, OrderState.DISPENSED)
        await dispatcher.stop()

        assert board.vends == 1

    async def test_between_two_attempts_nothing_was_begun(
        self, journal: Journal, board: FakeDispenser, draft: Draft, make: Callable[..., Dispatcher]
    ) -> None:
        """Killed while waiting for the board: the unit is on the books again, the money goes back."""
        order = await left_dispensing(journal, draft, evidence=None)
        await board.start()
        dispatcher = make()
        await dispatcher.start()
        await settled(journal, order, OrderState.REFUNDING)
        await dispatcher.stop()

        assert (board.vends, (await stocks(journal))["11"]) == (0, 3)

    async def test_stopping_waits_for_the_vend(
        self, journal: Journal, board: FakeDispenser, draft: Draft, dispatcher: Dispatcher
    ) -> None:
        """An orderly stop lets the goods fall and books them."""
        board.motor_seconds = 0.2
        begun = asyncio.Event()
        dispatcher.on_vend(begun.set)
        order = await pay(journal, draft())
        await begun.wait()
        await dispatcher.stop()
        found = await journal.order(order.out_trade_no)

        assert found is not None
        assert OrderState.DISPENSED is found.state


class TestTestVend:
    async def test_it_is_booked_apart(self, journal: Journal, board: FakeDispenser, dispatcher: Dispatcher) -> None:
        """A test vend turns the slot, takes the can off the books, and is no sale."""
        result = await dispatcher.test_vend("21", "technician")

        assert (result.outcome, board.drops) == (Outcome.DELIVERED, [21])
        assert await stocks(journal) == {"11": 3, "12": 2, "21": 0}
        assert await journal.counts() == {}

    @pytest.mark.parametrize(
        ("result", "left"),
        [(JAMMED, (3, "slot jammed")), (SILENCE, (2, IN_DOUBT)), (NOT_TAKEN, (3, None))],
        ids=["jammed", "silent", "not_taken"],
    )
    async def test_one_that_fails_takes_the_slot_off_sale(
        self,
        journal: Journal,
        board: FakeDispenser,
        dispatcher: Dispatcher,
        result: VendResult,
        left: tuple[int, str | None],
    ) -> None:
        """When nothing fell, nothing is missing; what a customer must not meet is not sold until it is freed."""
        board.then(result)
        await dispatcher.test_vend("11", "technician")
        slot = (await journal.slots())["11"]

        assert (slot.stock, slot.fault) == left

    async def test_not_while_a_customer_is_served(
        self, journal: Journal, board: FakeDispenser, draft: Draft, dispatcher: Dispatcher
    ) -> None:
        """One vend at a time holds for technicians too."""
        board.motor_seconds = 0.2
        begun = asyncio.Event()
        dispatcher.on_vend(begun.set)
        order = await pay(journal, draft())
        await begun.wait()
        with pytest.raises(NotNow, match="vending"):
            await dispatcher.test_vend("11", "technician")
        await settled(journal, order, OrderState.DISPENSED)

        assert board.vends == 1

    async def test_an_order_refunded_while_it_waited_for_one(
        self,
        journal: Journal,
        board: FakeDispenser,
        draft: Draft,
        dispatcher: Dispatcher,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Paid while a technician's vend turned, refunded before it ended: not given, and nothing is astonished."""
        board.motor_seconds = 0.3
        turning = asyncio.Event()
        dispatcher.on_vend(turning.set)
        test_vend = asyncio.create_task(dispatcher.test_vend("21", "technician"))
        await turning.wait()
        order = await pay(journal, draft())
        await journal.pulse()  # by now the order waits for the board
        await request_refund(journal, order.out_trade_no, "technician")
        await test_vend
        await settled(journal, await pay(journal, draft()), OrderState.DISPENSED)

        assert [21, 11] == board.drops
        assert [] == [record for record in caplog.records if record.levelname == "ERROR"]
