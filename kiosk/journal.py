"""The durable record: orders, stock, and everything that happened to them.

Every change goes through one of three doors: `open_order`, `update` (an order, perhaps with a slot) and the
slot methods. Each is one transaction that also writes its event; what has returned survives loss of power.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from kiosk.clock import Clock
from kiosk.customers import Customers
from kiosk.database import Database, DatabaseError, connect_to_read
from kiosk.orders import FINAL, Channel, Order, OrderState, check_transition
from kiosk.records import (
    Change,
    Event,
    OrderFilter,
    SlotChange,
    SlotRecord,
    Step,
    all_slots,
    apply_slot_change,
    count_overdue,
    count_to_review,
    find_order,
    find_orders,
    find_slot,
    from_micros,
    insert_order,
    micros,
    order_counts,
    orders_in,
    page_of_orders,
    read_changes,
    read_events,
    record_event,
    record_events,
    refund_began,
    reusable_order,
    select_orders,
    store_slot,
    units_available,
    unsettled_orders,
    update_orders,
)
from kiosk.sales import Sales
from kiosk.settings import Slot

JOURNAL_FILE = "journal.sqlite"
ALL_ORDERS = OrderFilter()
SlotDecision = Callable[[SlotRecord], SlotRecord]
EVENTS_THAT_TELL_THE_TIME = 1000  # some hours of sales: what a wrong clock once wrote is soon not among them any more
MAX_ORDERS_A_PAGE = 500  # one answer of the API or one page; keeps an answer well under 200 ms

_log = logging.getLogger(__name__)


class View:
    """What a decision may look at besides its order, inside the same transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def slot(self, slot_id: str) -> SlotRecord:
        """The slot of that id."""
        return find_slot(self._connection, slot_id)


Decide = Callable[[Order, View], Step | None]


class SoldOut(Exception):
    """No unit of the product is left that is not spoken for; nothing was changed."""


class UnknownOrder(Exception):
    """The journal holds no such order."""

    def __init__(self, out_trade_no: str) -> None:
        super().__init__(f"there is no order {out_trade_no} in this machine's journal")


class UnknownSlot(Exception):
    """The journal holds no such slot."""

    def __init__(self, slot: str) -> None:
        super().__init__(f"there is no slot {slot} in this machine")


class Journal:
    """The record of one machine. Raises `DatabaseError` whenever something could not be made durable."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        """Open or make the journal; raises `DatabaseError` if it cannot be used."""
        self._database = Database(data_dir / JOURNAL_FILE)
        self._clock = clock
        self.customers = Customers(self._database, clock)
        self.sales = Sales(self._database, clock)
        self._listeners: list[Callable[[Change], None]] = []

    @property
    def error(self) -> str | None:
        """Why the last write failed; None while writing works."""
        return self._database.error

    def subscribe(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` on the event loop after every committed change, in the order of the commits."""
        self._listeners.append(listener)

    def time_commits(self, listener: Callable[[float], None]) -> None:
        """Tell `listener` of every commit how many seconds it took; on another thread."""
        self._database.committed = listener

    async def close(self) -> None:
        """Write what is under way, then close."""
        await self._database.close()

    async def pulse(self) -> None:
        """Return once writing and reading have had a turn; changes nothing. Raises `DatabaseError`."""
        await self._database.pulse()

    async def check_integrity(self) -> str | None:
        """Read the whole file; return what is wrong with it, None if nothing."""
        return await self._database.check_integrity()

    # Orders ------------------------------------------------------------------------------------------------

    async def open_order(self, order: Order, slots: Sequence[str], *, reusable_until: datetime) -> Order:
        """Put a new order on the disk, holding back one unit from `slots` if its channel reserves.

        A scan that was already answered (same `scan_nonce`), or a second scan or order by the same customer for the
        same product while the first order can be paid until `reusable_until` at least, gets the order that is
        there: compare its number. Raises `SoldOut` if no unit is left.
        """

        def work(connection: sqlite3.Connection) -> list[Change]:
            if order.openid is not None:
                known = reusable_order(connection, order, reusable_until)
                if known is not None:
                    kind = "ordered_again" if order.channel is Channel.MINIPROGRAM else "scanned_again"
                    return [record_event(connection, Event(order.created_at, kind, {}, known.out_trade_no), known)]
            if (
                order.channel.reserves
                and not units_available(connection, {order.product_id: slots})[order.product_id]
            ):
                raise SoldOut(f"{order.product_id} is sold out")
            insert_order(connection, order)
            detail = {
                "state": order.state.value,
                "product": order.product_id,
                "amount_fen": order.amount_fen,
                "channel": order.channel.value,
            } | ({} if order.slot is None else {"chosen_slot": order.slot})
            return [record_event(connection, Event(order.created_at, "created", detail, order.out_trade_no), order)]

        change = (await self._write(work))[0]
        assert change.order is not None  # noqa: S101 - both ways through `work` set it
        return change.order

    async def update(self, out_trade_no: str, decide: Decide) -> Order:
        """Change an order in one transaction: `decide` sees it as it stands and returns the step, or None for none.

        It is called on another thread, and once more if a neighbour's change cannot be made. Raises `UnknownOrder`,
        `TransitionRefused` for a step that the table does not allow, and whatever `decide` raises; then nothing was
        changed.
        """
        order, _ = await self._database.write_together(
            self._update_orders, (out_trade_no, decide), lambda outcome: self._tell(outcome[1])
        )
        return order

    def _update_orders(
        self, connection: sqlite3.Connection, wanted: Sequence[tuple[str, Decide]]
    ) -> list[tuple[Order, list[Change]]]:
        """What `update` does, for all who wait to be written together; for each the order and what has changed."""
        before = find_orders(connection, [number for number, _ in wanted])
        orders = dict(before)
        outcomes = []
        for number, decide in wanted:
            if number not in orders:
                raise UnknownOrder(number)
            changes = self._apply(connection, orders[number], decide)
            for change in changes:
                assert change.order is not None  # noqa: S101 - what `_apply` promises
                orders[number] = change.order
            outcomes.append((orders[number], changes))
        update_orders(connection, ((before[number], orders[number]) for number in before))
        record_events(connection, [change.event for _, changes in outcomes for change in changes])
        return outcomes

    def _apply(self, connection: sqlite3.Connection, order: Order, decide: Decide) -> list[Change]:
        """The next step of an order, its slots changed already; order and events are still to be written."""
        step = decide(order, View(connection))
        if step is None:
            return []
        now = self._clock.now()
        if step.order.state is not order.state or step.order.state is OrderState.DISPENSING:
            check_transition(order, step.order.state)
        finished = now if step.order.state in FINAL else None
        changed = step.order._replace(updated_at=now, finished_at=finished)
        event = Event(now, step.kind, {"state": changed.state.value, **step.detail}, order.out_trade_no)
        if not step.slots:
            return [Change(event, changed)]
        return [apply_slot_change(connection, change, event)._replace(order=changed) for change in step.slots]

    async def order(self, out_trade_no: str) -> Order | None:
        """The order of that number, if there is one."""
        return await self._database.read(lambda connection: find_order(connection, out_trade_no))

    async def orders_in(self, states: Iterable[OrderState]) -> list[Order]:
        """All orders in these states, oldest first. For states that few orders are in: not for final ones."""
        return await self._database.read(lambda connection: orders_in(connection, states))

    async def line(self, states: Iterable[OrderState]) -> tuple[list[Order], Mapping[str, SlotRecord]]:
        """`orders_in` and `slots` in one turn of a reader."""
        return await self._database.read(lambda connection: (orders_in(connection, states), all_slots(connection)))

    async def page_of_orders(
        self, wanted: OrderFilter = ALL_ORDERS, *, before: str | None = None, limit: int = 50
    ) -> list[Order]:
        """Orders, newest first, older than the order `before` if that is given."""
        return await self._database.read(
            lambda connection: page_of_orders(connection, wanted, before, min(limit, MAX_ORDERS_A_PAGE))
        )

    async def unsettled(self, after: timedelta) -> list[Order]:
        """A page of those that wait for a person: in doubt, not to be refunded, under way for longer than `after`."""
        moment = self._clock.now() - after
        return await self._database.read(lambda connection: unsettled_orders(connection, moment, MAX_ORDERS_A_PAGE))

    async def count_overdue(self, after: timedelta) -> int:
        """How many orders are paid, vending or being refunded for longer than `after`."""
        return await self._database.read(lambda connection: count_overdue(connection, self._clock.now() - after))

    async def count_to_review(self) -> int:
        """How many orders count as dispensed by a rule, without the machine's word, and were not looked at yet."""
        return await self._database.read(count_to_review)

    async def orders_of_customer(self, openid: str, *, before: str | None, limit: int) -> list[Order]:
        """A customer's orders of the mini-program, newest first, older than the order `before` if that is given."""

        def work(connection: sqlite3.Connection) -> list[Order]:
            sql = (
                "SELECT * FROM orders WHERE channel = 'miniprogram' AND openid = ?"
                " AND id < coalesce((SELECT id FROM orders WHERE out_trade_no = ?), 1 << 62) ORDER BY id DESC LIMIT ?"
            )
            return select_orders(connection, sql, [openid, before, min(limit, MAX_ORDERS_A_PAGE)])

        return await self._database.read(work)

    async def counts(self) -> dict[OrderState, int]:
        """How many orders stand in each state; states without an order are left out."""
        return await self._database.read(order_counts)

    async def story(self, out_trade_no: str) -> list[Event]:
        """Everything that happened to an order, oldest first."""
        return await self._database.read(lambda connection: read_events(connection, out_trade_no))

    async def changes(self, limit: int) -> list[Event]:
        """What technicians and the machine itself did, newest first."""
        return await self._database.read(lambda connection: read_changes(connection, limit))

    async def note(self, kind: str, detail: Mapping[str, Any], out_trade_no: str | None = None) -> None:
        """Write an event that changes nothing else."""
        await self._write(
            lambda connection: [record_event(connection, Event(self._clock.now(), kind, detail, out_trade_no))]
        )

    async def newest_time(self) -> datetime | None:
        """The latest time among the last events; None if nothing was written yet."""

        def work(connection: sqlite3.Connection) -> datetime | None:
            sql = "SELECT max(at) FROM (SELECT at FROM events ORDER BY id DESC LIMIT ?)"
            (newest,) = connection.execute(sql, (EVENTS_THAT_TELL_THE_TIME,)).fetchone()
            return None if newest is None else from_micros(newest)

        return await self._database.read(work)

    # Stock -------------------------------------------------------------------------------------------------

    async def slots(self) -> Mapping[str, SlotRecord]:
        """All slots that ever were in the planogram, by id."""
        return await self._database.read(all_slots)

    async def available(self, slots_by_product: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """For each product the units that can be sold now: sellable stock less what is spoken for."""
        return await self._database.read(lambda connection: units_available(connection, slots_by_product))

    async def shelf(
        self, slots_by_product: Mapping[str, Sequence[str]]
    ) -> tuple[Mapping[str, int], Mapping[str, SlotRecord], Mapping[OrderState, int]]:
        """`available`, `slots` and `counts` in one turn of a reader: a payment's way to the board crosses less."""
        return await self._database.read(
            lambda connection: (
                units_available(connection, slots_by_product),
                all_slots(connection),
                order_counts(connection),
            )
        )

    async def set_up_slots(self, planogram: Sequence[Slot]) -> None:
        """Make a record for each slot that is new in the ini: a new slot is taken to be full."""

        def work(connection: sqlite3.Connection) -> list[Change]:
            known = all_slots(connection)
            now = self._clock.now()
            changes = []
            for slot in planogram:
                if slot.id not in known:
                    connection.execute("INSERT INTO slots VALUES (?, 0, 0, NULL, ?)", (slot.id, micros(now)))
                    change = SlotChange(slot.id, stock_delta=slot.capacity)
                    event = Event(now, "slot_added", {"product": slot.product_id})
                    changes.append(apply_slot_change(connection, change, event))
            record_events(connection, [change.event for change in changes])
            return changes

        await self._write(work)

    async def change_slots(self, slots: Sequence[str], kind: str, who: str, decide: SlotDecision) -> list[SlotRecord]:
        """Change stock, fault or switch of slots in one transaction, booked under `kind` and `who`: all or none.

        Raises `UnknownSlot`, and whatever `decide` raises; then nothing was changed.
        """

        def work(connection: sqlite3.Connection) -> list[Change]:
            known, now = all_slots(connection), self._clock.now()
            changes = []
            for slot in slots:
                if slot not in known:
                    raise UnknownSlot(slot)
                after = decide(known[slot])
                store_slot(connection, after, now)
                detail, delta = {"who": who, "stock": after.stock}, after.stock - known[slot].stock
                event = Event(now, kind, detail, slot=slot, stock_delta=delta)
                changes.append(record_event(connection, event)._replace(slot=after))
            return changes

        return [change.slot for change in await self._write(work) if change.slot is not None]

    async def change_slot(self, slot: str, kind: str, who: str, decide: SlotDecision) -> SlotRecord:
        """Change one slot: see `change_slots`."""
        return (await self.change_slots([slot], kind, who, decide))[0]

    # Switches ----------------------------------------------------------------------------------------------

    async def switch(self, name: str) -> str:
        """The value of a switch that survives restarts; "" if it was never set."""

        def work(connection: sqlite3.Connection) -> str:
            row = connection.execute("SELECT value FROM switches WHERE name = ?", (name,)).fetchone()
            return row[0] if row else ""

        return await self._database.read(work)

    async def set_switch(self, name: str, value: str, who: str) -> None:
        """Set a switch, booked as an event."""

        def work(connection: sqlite3.Connection) -> list[Change]:
            connection.execute("INSERT OR REPLACE INTO switches VALUES (?, ?)", (name, value))
            return [
                record_event(connection, Event(self._clock.now(), f"switch_{name}", {"value": value, "who": who}))
            ]

        await self._write(work)

    async def _write(self, work: Callable[[sqlite3.Connection], list[Change]]) -> list[Change]:
        return await self._database.write(work, self._tell)

    def _tell(self, changes: list[Change]) -> None:
        for change in changes:
            for listener in self._listeners:
                try:
                    listener(change)
                except Exception:  # noqa: BLE001 - the change is durable, the other listeners must hear of it
                    _log.exception("a listener failed at the event %s", change.event.kind)


def read_orders(data_dir: Path, states: Sequence[OrderState], since: datetime | None) -> list[Order]:
    """All orders for the command line, newest first, also while the machine runs. Raises `DatabaseError`."""
    connection = connect_to_read(data_dir / JOURNAL_FILE)
    try:
        return page_of_orders(connection, OrderFilter(states=states, since=since), None, -1)
    finally:
        connection.close()


def read_story(path: Path, out_trade_no: str) -> tuple[list[Event], bool]:
    """Everything that the journal at `path` tells of an order, and whether it began in an archive.

    Raises `DatabaseError`, and `UnknownOrder`.
    """
    connection = connect_to_read(path)
    try:
        if find_order(connection, out_trade_no) is None:
            raise UnknownOrder(out_trade_no)
        events = read_events(connection, out_trade_no)
        return events, not events or events[0].kind != "created"
    except sqlite3.Error as error:
        raise DatabaseError(f"the journal {path} cannot be read: {error}") from error
    finally:
        connection.close()


def read_day(
    data_dir: Path, begin: datetime, end: datetime, numbers: Iterable[str]
) -> dict[str, tuple[Order, datetime | None]]:
    """What a bill of [begin, end) is compared with: orders paid or refunded in it, and those that `numbers` name.

    By out_trade_no; with each the time at which its refund was asked for. Raises `DatabaseError`.
    """
    connection = connect_to_read(data_dir / JOURNAL_FILE)
    day = (micros(begin), micros(end))
    try:
        # An order can be paid for hours, not for days: who was paid in the day was made in it or the day before.
        found = select_orders(
            connection,
            "SELECT * FROM orders WHERE created_at >= ? AND created_at < ? AND paid_at >= ? AND paid_at < ?"
            " UNION SELECT * FROM orders WHERE state = 'refunded' AND finished_at >= ? AND finished_at < ?",
            (micros(begin - timedelta(days=1)), day[1], *day, *day),
        )
        orders = {order.out_trade_no: order for order in found}
        for number in numbers:
            order = orders.get(number) or find_order(connection, number)
            if order is not None:
                orders[number] = order
        return {number: (order, refund_began(connection, order)) for number, order in orders.items()}
    finally:
        connection.close()
