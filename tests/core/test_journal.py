"""The durable record: orders, stock, events, and what listeners hear of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from core_values import COLA, NOON, SLOTS, SteppedClock

from kiosk.audit import audit
from kiosk.database import DatabaseError, backup
from kiosk.journal import JOURNAL_FILE, Journal, SoldOut, UnknownOrder, UnknownSlot, View, read_orders
from kiosk.orders import Channel, Order, OrderState, TransitionRefused
from kiosk.records import Change, SlotChange, Step

Draft = Callable[..., Order]
FOR_EVER_GOOD = NOON  # any open order may be used again


def to(state: OrderState, **changes: object) -> Callable[[Order, View], Step]:
    """A decision that leads to `state`."""
    return lambda order, _: Step(order._replace(state=state, **changes), state.value)  # type: ignore[arg-type] # names vary


async def paid(journal: Journal, order: Order, transaction: str = "42") -> Order:
    await journal.open_order(order, COLA, reusable_until=FOR_EVER_GOOD)
    return await journal.update(order.out_trade_no, to(OrderState.PAID, transaction_id=transaction))


class TestOpening:
    async def test_a_reserving_order_holds_a_unit(self, journal: Journal, draft: Draft) -> None:
        """Five cans less one reserved are four that can be sold."""
        await journal.open_order(draft(), COLA, reusable_until=FOR_EVER_GOOD)

        assert await journal.available({"cola": COLA}) == {"cola": 4}

    async def test_a_code_on_the_screen_holds_nothing(self, journal: Journal, draft: Draft) -> None:
        """A mode-two order takes its unit only when it is paid."""
        order = draft(channel=Channel.NATIVE_TWO)
        await journal.open_order(order, COLA, reusable_until=FOR_EVER_GOOD)
        before = await journal.available({"cola": COLA})
        await journal.update(order.out_trade_no, to(OrderState.PAID))

        assert (before, await journal.available({"cola": COLA})) == ({"cola": 5}, {"cola": 4})

    async def test_the_last_unit_is_sold_once(self, journal: Journal, draft: Draft) -> None:
        """Ten customers at once for one can: one order, nine refusals, nothing left behind."""
        results = await asyncio.gather(
            *(journal.open_order(draft("tea"), ["21"], reusable_until=FOR_EVER_GOOD) for _ in range(10)),
            return_exceptions=True,
        )

        assert sum(isinstance(result, Order) for result in results) == 1
        assert sum(isinstance(result, SoldOut) for result in results) == 9
        assert await journal.counts() == {OrderState.CREATED: 1}

    async def test_a_replayed_scan_gets_its_order_again(self, journal: Journal, draft: Draft) -> None:
        """The same nonce makes no second order, even at the same moment and after the order has gone on."""
        drafts = [draft(openid="o1", nonce="n1") for _ in range(3)]
        first, second = await asyncio.gather(
            *(journal.open_order(order, COLA, reusable_until=FOR_EVER_GOOD) for order in drafts[:2])
        )
        await journal.update(first.out_trade_no, to(OrderState.CLOSED))
        third = await journal.open_order(drafts[2], COLA, reusable_until=FOR_EVER_GOOD)

        assert first.out_trade_no == second.out_trade_no == third.out_trade_no
        assert await journal.counts() == {OrderState.CLOSED: 1}

    async def test_a_customer_who_scans_again_gets_the_open_order(self, journal: Journal, draft: Draft) -> None:
        """Whoever cancels and scans again is not refused by the own reservation."""
        first = await journal.open_order(draft("tea", openid="o1", nonce="n1"), ["21"], reusable_until=NOON)
        await journal.update(first.out_trade_no, to(OrderState.AWAITING_PAYMENT, prepay_id="p"))
        again = await journal.open_order(draft("tea", openid="o1", nonce="n2"), ["21"], reusable_until=NOON)

        assert (first.out_trade_no, "p") == (again.out_trade_no, again.prepay_id)

    async def test_an_order_about_to_expire_is_not_used_again(self, journal: Journal, draft: Draft) -> None:
        """A prepay_id that dies while the password is typed helps nobody."""
        first = await journal.open_order(draft(openid="o1", nonce="n1", ttl_seconds=20), COLA, reusable_until=NOON)
        await journal.update(first.out_trade_no, to(OrderState.AWAITING_PAYMENT))
        later = NOON + timedelta(seconds=30)
        again = await journal.open_order(draft(openid="o1", nonce="n2"), COLA, reusable_until=later)

        assert first.out_trade_no != again.out_trade_no


class TestUpdating:
    async def test_a_change_outside_the_table_changes_nothing(self, journal: Journal, draft: Draft) -> None:
        """A refused step leaves the order, the stock and the story as they were."""
        order = await journal.open_order(draft(), COLA, reusable_until=FOR_EVER_GOOD)

        def dispense(order: Order, _: View) -> Step:
            return Step(order._replace(state=OrderState.DISPENSING), "dispensing", {}, (SlotChange("11", -1),))

        with pytest.raises(TransitionRefused):
            await journal.update(order.out_trade_no, dispense)

        assert order == await journal.order(order.out_trade_no)
        assert (await journal.slots())["11"].stock == 3
        assert [event.kind for event in await journal.story(order.out_trade_no)] == ["created"]

    async def test_stock_and_order_change_together(self, journal: Journal, draft: Draft) -> None:
        """The intent takes the unit in the same transaction, and the event tells of both."""
        order = await paid(journal, draft())

        def dispense(order: Order, _: View) -> Step:
            return Step(order._replace(state=OrderState.DISPENSING, slot="11"), "intent", {}, (SlotChange("11", -1),))

        await journal.update(order.out_trade_no, dispense)
        event = (await journal.story(order.out_trade_no))[-1]

        assert (await journal.slots())["11"].stock == 2
        assert (event.kind, event.slot, event.stock_delta) == ("intent", "11", -1)

    async def test_stock_never_goes_below_nothing(self, journal: Journal, draft: Draft) -> None:
        """A step that takes more than there is is refused as a whole."""
        order = await paid(journal, draft())

        def dispense(order: Order, _: View) -> Step:
            return Step(order._replace(state=OrderState.DISPENSING), "intent", {}, (SlotChange("21", -2),))

        with pytest.raises(sqlite3.IntegrityError):
            await journal.update(order.out_trade_no, dispense)

        assert OrderState.PAID is (await journal.order(order.out_trade_no)).state  # type: ignore[union-attr] # it is there

    async def test_one_transaction_pays_one_order(self, journal: Journal, draft: Draft) -> None:
        """WeChat's transaction number cannot stand on two orders."""
        await paid(journal, draft())

        with pytest.raises(sqlite3.IntegrityError):
            await paid(journal, draft())

    async def test_a_failed_write_does_not_harm_its_neighbours(self, journal: Journal, draft: Draft) -> None:
        """Of changes that share one commit, only the one that fails is undone."""
        orders = [await journal.open_order(draft(), COLA, reusable_until=FOR_EVER_GOOD) for _ in range(3)]

        def decide(order: Order, _: View) -> Step:
            if order.out_trade_no == orders[1].out_trade_no:
                raise ValueError("no")
            return Step(order._replace(state=OrderState.PAID), "paid")

        results = await asyncio.gather(
            *(journal.update(order.out_trade_no, decide) for order in orders), return_exceptions=True
        )

        assert isinstance(results[1], ValueError)
        assert await journal.counts() == {OrderState.PAID: 2, OrderState.CREATED: 1}

    async def test_two_orders_cannot_be_paid_by_one_transaction_at_once(self, journal: Journal, draft: Draft) -> None:
        """Of two changes in one commit that exclude each other the first one stands; a third is not harmed."""
        orders = [await journal.open_order(draft(), COLA, reusable_until=FOR_EVER_GOOD) for _ in range(3)]
        transactions = ("42", "42", "43")
        results = await asyncio.gather(
            *(
                journal.update(order.out_trade_no, to(OrderState.PAID, transaction_id=transaction))
                for order, transaction in zip(orders, transactions, strict=True)
            ),
            return_exceptions=True,
        )

        assert [False, True, False] == [isinstance(result, sqlite3.IntegrityError) for result in results]
        assert await journal.counts() == {OrderState.PAID: 2, OrderState.CREATED: 1}

    async def test_steps_of_one_order_in_one_commit_follow_each_other(
        self, journal: Journal, draft: Draft, tmp_path: Path
    ) -> None:
        """Each sees what the one before has left; the story tells of all, in their order, and its chain holds."""
        order = await journal.open_order(draft(), COLA, reusable_until=FOR_EVER_GOOD)
        number, seen = order.out_trade_no, []

        def step(state: OrderState, *slots: SlotChange) -> Callable[[Order, View], Step]:
            def decide(order: Order, view: View) -> Step:
                seen.append((order.state, view.slot("11").stock))
                return Step(order._replace(state=state, paid_fen=350, transaction_id="42"), state.value, {}, slots)

            return decide

        await asyncio.gather(
            journal.update(number, step(OrderState.AWAITING_PAYMENT)),
            journal.update(number, step(OrderState.PAID)),
            journal.update(number, step(OrderState.DISPENSING, SlotChange("11", -1))),
            journal.update(number, step(OrderState.DISPENSED)),
        )
        states = [OrderState.CREATED, OrderState.AWAITING_PAYMENT, OrderState.PAID, OrderState.DISPENSING]

        assert seen == list(zip(states, (3, 3, 3, 2), strict=True))
        assert [event.kind for event in await journal.story(number)] == [
            "created",
            *("awaiting_payment", "paid", "dispensing", "dispensed"),
        ]
        assert () == audit(tmp_path / JOURNAL_FILE).findings

    async def test_a_storm_of_changes_is_written_to_the_last(
        self, journal: Journal, draft: Draft, tmp_path: Path
    ) -> None:
        """Hundreds at once, of several kinds, in more than one commit: each returns, and the books hold together."""
        drafts = [draft(channel=Channel.NATIVE_TWO) for _ in range(200)]
        await asyncio.gather(*(journal.open_order(order, COLA, reusable_until=NOON) for order in drafts))
        await asyncio.gather(
            *(journal.update(order.out_trade_no, to(OrderState.AWAITING_PAYMENT)) for order in drafts),
            *(journal.note("looked", {"number": number}) for number in range(50)),
            *(journal.update(order.out_trade_no, to(OrderState.CLOSED)) for order in drafts[:100]),
        )

        assert await journal.counts() == {OrderState.AWAITING_PAYMENT: 100, OrderState.CLOSED: 100}
        assert 50 == len([event for event in await journal.changes(60) if event.kind == "looked"])
        assert () == audit(tmp_path / JOURNAL_FILE).findings

    async def test_what_was_asked_for_is_written_before_the_end(self, tmp_path: Path, clock: SteppedClock) -> None:
        """A journal that is closed in the middle of a storm keeps every change, and tells whoever asked for it."""
        journal = Journal(tmp_path, clock)
        await asyncio.gather(*(journal.note("storm", {"number": number}) for number in range(10)))
        last = [asyncio.create_task(journal.note("last", {"number": number})) for number in range(100)]
        await asyncio.sleep(0)  # each has asked, none is written
        await journal.close()
        await asyncio.gather(*last)

        assert (110, ()) == ((found := audit(tmp_path / JOURNAL_FILE)).events, found.findings)

    async def test_an_unknown_order_is_named(self, journal: Journal) -> None:
        """The sentence names the number that was asked for."""
        with pytest.raises(UnknownOrder, match="lobby-9"):
            await journal.update("lobby-9", to(OrderState.PAID))


class TestSlots:
    async def test_a_new_slot_is_full_and_a_known_one_keeps_its_stock(self, journal: Journal) -> None:
        """Reading the ini again does not fill the machine."""
        await journal.change_slot("11", "restock", "tester", lambda slot: replace(slot, stock=1))
        await journal.set_up_slots(SLOTS)

        assert [record.stock for record in (await journal.slots()).values()] == [1, 2, 1]

    async def test_stock_is_the_sum_of_its_events(self, journal: Journal, tmp_path: Path) -> None:
        """What the books say of a slot is what was put in less what was taken out."""
        await journal.change_slot("11", "restock", "tester", lambda slot: replace(slot, stock=2))
        await journal.change_slot("11", "restock", "tester", lambda slot: replace(slot, stock=3))
        connection = sqlite3.connect(tmp_path / JOURNAL_FILE)
        total = connection.execute("SELECT sum(stock_delta) FROM events WHERE slot = '11'").fetchone()[0]
        connection.close()

        assert total == 3

    async def test_a_jammed_slot_is_not_for_sale(self, journal: Journal) -> None:
        """What cannot be delivered is not available, though it is there."""
        await journal.change_slot("11", "jam", "tester", lambda slot: replace(slot, fault="jammed"))

        assert await journal.available({"cola": COLA}) == {"cola": 2}

    async def test_all_or_none(self, journal: Journal, tmp_path: Path) -> None:
        """A change of several slots that breaks off leaves nothing behind, and takes nothing with it."""
        results = await asyncio.gather(
            journal.note("before", {}),
            journal.change_slots(["11", "99"], "restock", "tester", lambda record: replace(record, stock=9)),
            journal.note("after", {}),
            return_exceptions=True,
        )

        assert [False, True, False] == [isinstance(result, UnknownSlot) for result in results]
        assert 3 == (await journal.slots())["11"].stock
        assert ["after", "before"] == [event.kind for event in await journal.changes(2)]
        assert () == audit(tmp_path / JOURNAL_FILE).findings

    async def test_an_unknown_slot_is_named(self, journal: Journal) -> None:
        """The sentence names the slot that was asked for."""
        with pytest.raises(UnknownSlot, match="99"):
            await journal.change_slot("99", "restock", "tester", lambda slot: slot)


class TestReading:
    async def test_pages_follow_each_other(self, journal: Journal, draft: Draft) -> None:
        """Newest first; `before` goes on where the last page ended; no order twice, none left out."""
        numbers = [
            (await journal.open_order(draft(channel=Channel.NATIVE_TWO), COLA, reusable_until=NOON)).out_trade_no
            for _ in range(7)
        ]
        seen: list[str] = []
        while page := await journal.page_of_orders(limit=3, before=seen[-1] if seen else None):
            seen += [order.out_trade_no for order in page]

        assert numbers[::-1] == seen

    async def test_the_command_line_reads_beside_the_machine(
        self, journal: Journal, draft: Draft, clock: SteppedClock, tmp_path: Path
    ) -> None:
        """Another process sees what is committed, filtered by state and time."""
        await paid(journal, draft())
        clock.step(60)
        late = await paid(journal, draft(), "43")

        assert [late] == read_orders(tmp_path, [OrderState.PAID], NOON + timedelta(seconds=30))

    async def test_listeners_hear_commits_in_order(self, journal: Journal, draft: Draft) -> None:
        """Whoever follows the journal sees each change after it is durable, in the order of the commits."""
        heard: list[Change] = []
        journal.subscribe(heard.append)
        order = await paid(journal, draft())

        assert [change.event.kind for change in heard] == ["created", "paid"]
        assert order == heard[-1].order


class TestDurability:
    async def test_what_was_written_is_there_after_reopening(
        self, tmp_path: Path, clock: SteppedClock, draft: Draft
    ) -> None:
        """Every field of an order survives."""
        first = Journal(tmp_path / "new" / "folder", clock)
        await first.set_up_slots(SLOTS)
        order = await paid(first, draft(openid="o1", nonce="n1"))
        await first.close()
        second = Journal(tmp_path / "new" / "folder", clock)
        found = await second.order(order.out_trade_no)
        await second.close()

        assert order == found

    async def test_the_file_keeps_every_commit(self, journal: Journal, tmp_path: Path) -> None:
        """Write-ahead log with full sync: a commit that has returned survives loss of power."""
        connection = sqlite3.connect(tmp_path / JOURNAL_FILE)
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        connection.close()

        assert mode == "wal"
        assert await journal.check_integrity() is None

    def test_a_newer_journal_is_refused(self, tmp_path: Path, clock: SteppedClock) -> None:
        """A program that does not know the schema does not touch it, and says what to do."""
        connection = sqlite3.connect(tmp_path / JOURNAL_FILE)
        connection.execute("PRAGMA user_version = 999")
        connection.close()

        with pytest.raises(DatabaseError, match=r"version 999.*install the newer program"):
            Journal(tmp_path, clock)

    def test_a_file_that_is_no_journal_is_named(self, tmp_path: Path, clock: SteppedClock) -> None:
        """A damaged file gives a sentence with its name, not a trace."""
        (tmp_path / JOURNAL_FILE).write_bytes(b"this is not a database, whatever its name says" * 100)

        with pytest.raises(DatabaseError, match=JOURNAL_FILE):
            Journal(tmp_path, clock)

    async def test_a_full_disk_refuses_and_recovers(self, journal: Journal, draft: Draft, tmp_path: Path) -> None:
        """While nothing can be written an order is refused with a sentence; afterwards it works again."""
        blocker = sqlite3.connect(tmp_path / JOURNAL_FILE, isolation_level=None)
        pages = blocker.execute("PRAGMA page_count").fetchone()[0]
        await journal._database.write(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}"))
        refused = None
        for _ in range(200):
            try:
                await journal.open_order(draft(channel=Channel.NATIVE_TWO), COLA, reusable_until=NOON)
            except DatabaseError as error:
                refused = str(error)
                break
        await journal._database.write(lambda connection: connection.execute("PRAGMA max_page_count = 100000"))
        blocker.close()

        assert refused is not None
        assert "disk" in refused
        await journal.open_order(draft(), COLA, reusable_until=NOON)
        assert journal.error is None

    async def test_a_backup_is_whole_while_the_machine_sells(
        self, journal: Journal, draft: Draft, tmp_path: Path
    ) -> None:
        """A copy made in the middle of writing is a sound journal of some moment, and overwrites nothing."""
        writing = asyncio.gather(
            *(journal.open_order(draft(channel=Channel.NATIVE_TWO), COLA, reusable_until=NOON) for _ in range(200))
        )
        copy = tmp_path / "copy.sqlite"
        await asyncio.to_thread(backup, tmp_path / JOURNAL_FILE, copy)
        await writing

        assert () == audit(copy).findings
        with pytest.raises(DatabaseError, match="never overwrites"):
            backup(tmp_path / JOURNAL_FILE, copy)
