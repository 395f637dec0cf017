"""The durable record: orders, stock, and everything that happened to them. The only file with SQL.

Every change goes through one of three doors: `open_order`, `update` (an order, perhaps with a slot) and the
slot methods. Each is one transaction that also writes its event; what has returned survives loss of power.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from kiosk.clock import Clock
from kiosk.customers import Customers
from kiosk.database import Database, connect_to_read
from kiosk.orders import FINAL, Channel, Order, OrderState, check_transition
from kiosk.settings import Slot

JOURNAL_FILE = "journal.sqlite"
MAX_ORDERS_A_PAGE = 500  # one answer of the API or one page; keeps an answer well under 200 ms

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SlotRecord:
    """A slot's stock as the journal holds it. `fault`: why a technician has to look before it sells again."""

    id: str
    stock: int
    disabled: bool
    fault: str | None

    @property
    def sellable(self) -> bool:
        """Whether a vend may be sent there."""
        return self.stock > 0 and not self.disabled and self.fault is None


@dataclass(frozen=True)
class Event:
    """One thing that happened. `detail` holds whatever a reader needs to understand it."""

    at: datetime
    kind: str
    detail: Mapping[str, Any]
    out_trade_no: str | None = None
    slot: str | None = None
    stock_delta: int = 0


@dataclass(frozen=True)
class SlotChange:
    """What a step does to a slot. `fault` replaces the slot's fault when given ("" clears it)."""

    slot: str
    stock_delta: int = 0
    fault: str | None = None


@dataclass(frozen=True)
class Step:
    """The next state of an order, the event that tells why, and what it does to slots."""

    order: Order
    kind: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    slots: tuple[SlotChange, ...] = ()


@dataclass(frozen=True)
class Change:
    """What listeners get after a commit: the event, and the order or slot as it stands now."""

    event: Event
    order: Order | None = None
    slot: SlotRecord | None = None


class View:
    """What a decision may look at besides its order, inside the same transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @cached_property
    def slots(self) -> Mapping[str, SlotRecord]:
        """All slots by id."""
        return _slots(self._connection)


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
                known = _reusable(connection, order, reusable_until)
                if known is not None:
                    kind = "ordered_again" if order.channel is Channel.MINIPROGRAM else "scanned_again"
                    return [_record(connection, Event(order.created_at, kind, {}, known.out_trade_no), known)]
            if order.channel.reserves and _available(connection, order.product_id, slots) < 1:
                raise SoldOut(f"{order.product_id} is sold out")
            _insert_order(connection, order)
            detail = {
                "state": order.state.value,
                "product": order.product_id,
                "amount_fen": order.amount_fen,
                "channel": order.channel.value,
            }
            return [_record(connection, Event(order.created_at, "created", detail, order.out_trade_no), order)]

        change = (await self._write(work))[0]
        assert change.order is not None  # noqa: S101 - both ways through `work` set it
        return change.order

    async def update(self, out_trade_no: str, decide: Callable[[Order, View], Step | None]) -> Order:
        """Change an order in one transaction: `decide` sees it as it stands and returns the step, or None for none.

        Raises `UnknownOrder`, `TransitionRefused` for a step that the table does not allow, and whatever `decide`
        raises; then nothing was changed.
        """
        result: list[Order] = []

        def work(connection: sqlite3.Connection) -> list[Change]:
            order = _order(connection, out_trade_no)
            if order is None:
                raise UnknownOrder(out_trade_no)
            step = decide(order, View(connection))
            if step is None:
                result.append(order)
                return []
            now = self._clock.now()
            if step.order.state is not order.state or step.order.state is OrderState.DISPENSING:
                check_transition(order, step.order.state)
            finished = now if step.order.state in FINAL else None
            changed = replace(step.order, updated_at=now, finished_at=finished)
            _update_order(connection, changed)
            result.append(changed)
            detail = {"state": changed.state.value, **step.detail}
            changes = [
                _change_slot(connection, change, Event(now, step.kind, detail, out_trade_no)) for change in step.slots
            ]
            if not changes:
                return [_record(connection, Event(now, step.kind, detail, out_trade_no), changed)]
            return [replace(change, order=changed) for change in changes]

        await self._write(work)
        return result[-1]

    async def order(self, out_trade_no: str) -> Order | None:
        """The order of that number, if there is one."""
        return await self._database.read(lambda connection: _order(connection, out_trade_no))

    async def orders_in(self, states: Iterable[OrderState]) -> list[Order]:
        """All orders in these states, oldest first. For states that few orders are in: not for final ones."""
        wanted = [state.value for state in states]

        def work(connection: sqlite3.Connection) -> list[Order]:
            sql = f"SELECT * FROM orders WHERE state IN ({_marks(wanted)}) ORDER BY id"  # noqa: S608 - only marks
            return [_to_order(row) for row in _rows(connection, sql, wanted)]

        return await self._database.read(work)

    async def page_of_orders(
        self,
        *,
        states: Sequence[OrderState] = (),
        before: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
    ) -> list[Order]:
        """Orders, newest first: in `states` if given, older than the order `before`, made at `since` or later."""
        return await self._database.read(
            lambda connection: _page(connection, states, before, since, min(limit, MAX_ORDERS_A_PAGE))
        )

    async def orders_of_customer(self, openid: str, *, before: str | None, limit: int) -> list[Order]:
        """A customer's orders of the mini-program, newest first, older than the order `before` if that is given."""

        def work(connection: sqlite3.Connection) -> list[Order]:
            sql = (
                "SELECT * FROM orders WHERE channel = 'miniprogram' AND openid = ?"
                " AND id < coalesce((SELECT id FROM orders WHERE out_trade_no = ?), 1 << 62) ORDER BY id DESC LIMIT ?"
            )
            return [_to_order(row) for row in _rows(connection, sql, [openid, before, min(limit, MAX_ORDERS_A_PAGE)])]

        return await self._database.read(work)

    async def counts(self) -> dict[OrderState, int]:
        """How many orders stand in each state; states without an order are left out."""

        def work(connection: sqlite3.Connection) -> dict[OrderState, int]:
            rows = connection.execute("SELECT state, count FROM order_counts WHERE count > 0")
            return {OrderState(state): count for state, count in rows}

        return await self._database.read(work)

    async def story(self, out_trade_no: str) -> list[Event]:
        """Everything that happened to an order, oldest first."""
        return await self._database.read(lambda connection: _story(connection, out_trade_no))

    async def note(self, kind: str, detail: Mapping[str, Any], out_trade_no: str | None = None) -> None:
        """Write an event that changes nothing else."""
        await self._write(
            lambda connection: [_record(connection, Event(self._clock.now(), kind, detail, out_trade_no))]
        )

    # Stock -------------------------------------------------------------------------------------------------

    async def slots(self) -> Mapping[str, SlotRecord]:
        """All slots that ever were in the planogram, by id."""
        return await self._database.read(_slots)

    async def available(self, slots_by_product: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """For each product the units that can be sold now: sellable stock less what is spoken for."""

        def work(connection: sqlite3.Connection) -> dict[str, int]:
            return {product: _available(connection, product, slots) for product, slots in slots_by_product.items()}

        return await self._database.read(work)

    async def set_up_slots(self, planogram: Sequence[Slot]) -> None:
        """Make a record for each slot that is new in the ini: a new slot is taken to be full."""

        def work(connection: sqlite3.Connection) -> list[Change]:
            known = _slots(connection)
            now = self._clock.now()
            changes = []
            for slot in planogram:
                if slot.id not in known:
                    connection.execute("INSERT INTO slots VALUES (?, 0, 0, NULL, ?)", (slot.id, _micros(now)))
                    change = SlotChange(slot.id, stock_delta=slot.capacity)
                    event = Event(now, "slot_added", {"product": slot.product_id})
                    changes.append(_change_slot(connection, change, event))
            return changes

        await self._write(work)

    async def change_slot(
        self, slot: str, kind: str, who: str, decide: Callable[[SlotRecord], SlotRecord]
    ) -> SlotRecord:
        """Change a slot's stock, fault or switch in one transaction, booked under `kind` and `who`."""

        def work(connection: sqlite3.Connection) -> list[Change]:
            before = _slots(connection).get(slot)
            if before is None:
                raise UnknownSlot(slot)
            after = decide(before)
            now = self._clock.now()
            _store_slot(connection, after, now)
            detail = {"who": who, "stock": after.stock}
            event = Event(now, kind, detail, slot=slot, stock_delta=after.stock - before.stock)
            return [replace(_record(connection, event), slot=after)]

        change = (await self._write(work))[0]
        assert change.slot is not None  # noqa: S101 - set two lines above
        return change.slot

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
            return [_record(connection, Event(self._clock.now(), f"switch_{name}", {"value": value, "who": who}))]

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
        return _page(connection, states, None, since, -1)
    finally:
        connection.close()


def read_story(data_dir: Path, out_trade_no: str) -> list[Event]:
    """Everything that happened to an order, for the command line. Raises `DatabaseError`."""
    connection = connect_to_read(data_dir / JOURNAL_FILE)
    try:
        return _story(connection, out_trade_no)
    finally:
        connection.close()


def read_day(
    data_dir: Path, begin: datetime, end: datetime, numbers: Iterable[str]
) -> dict[str, tuple[Order, datetime | None]]:
    """What a bill of [begin, end) is compared with: orders paid or refunded in it, and those that `numbers` name.

    By out_trade_no; with each the time at which its refund was asked for. Raises `DatabaseError`.
    """
    connection = connect_to_read(data_dir / JOURNAL_FILE)
    day = (_micros(begin), _micros(end))
    try:
        # An order can be paid for hours, not for days: who was paid in the day was made in it or the day before.
        rows = _rows(
            connection,
            "SELECT * FROM orders WHERE created_at >= ? AND created_at < ? AND paid_at >= ? AND paid_at < ?"
            " UNION SELECT * FROM orders WHERE state = 'refunded' AND finished_at >= ? AND finished_at < ?",
            (_micros(begin - timedelta(days=1)), day[1], *day, *day),
        )
        orders = {order.out_trade_no: order for order in map(_to_order, rows)}
        for number in numbers:
            order = orders.get(number) or _order(connection, number)
            if order is not None:
                orders[number] = order
        return {number: (order, _refund_began(connection, order)) for number, order in orders.items()}
    finally:
        connection.close()


# Rows and values -----------------------------------------------------------------------------------------------

_ORDER_COLUMNS = tuple(column.name for column in fields(Order))
_TIMES = frozenset({"created_at", "expires_at", "updated_at", "paid_at", "confirmed_at", "finished_at"})


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _from_micros(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _rows(connection: sqlite3.Connection, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    cursor = connection.execute(sql, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _to_order(row: Mapping[str, Any]) -> Order:
    values: dict[str, Any] = {
        name: row.get(name) for name in _ORDER_COLUMNS
    }  # a copy from an older machine lacks newer columns
    for name in _TIMES:
        if values[name] is not None:
            values[name] = _from_micros(values[name])
    return Order(**{**values, "channel": Channel(values["channel"]), "state": OrderState(values["state"])})


def _from_order(order: Order) -> list[Any]:
    values = []
    for name in _ORDER_COLUMNS:
        value = getattr(order, name)
        if isinstance(value, datetime):
            value = _micros(value)
        elif isinstance(value, (OrderState, Channel)):
            value = value.value
        values.append(value)
    return values


def _to_event(row: Mapping[str, Any]) -> Event:
    at, detail = _from_micros(row["at"]), json.loads(row["detail"])
    return Event(at, row["kind"], detail, row["out_trade_no"], row["slot"], row["stock_delta"])


def _order(connection: sqlite3.Connection, out_trade_no: str) -> Order | None:
    rows = _rows(connection, "SELECT * FROM orders WHERE out_trade_no = ?", [out_trade_no])
    return _to_order(rows[0]) if rows else None


def _story(connection: sqlite3.Connection, out_trade_no: str) -> list[Event]:
    sql = "SELECT * FROM events WHERE out_trade_no = ? ORDER BY id"
    return [_to_event(row) for row in _rows(connection, sql, [out_trade_no])]


def _refund_began(connection: sqlite3.Connection, order: Order) -> datetime | None:
    if order.refund_serial == 0:
        return None
    began = [event.at for event in _story(connection, order.out_trade_no) if event.detail.get("state") == "refunding"]
    return began[-1] if began else None


def _reusable(connection: sqlite3.Connection, order: Order, until: datetime) -> Order | None:
    # A scan waits for its announcement, and is answered with that order only; the mini-program pays in a second step.
    also = "created" if order.channel is Channel.MINIPROGRAM else "awaiting_payment"
    rows = _rows(
        connection,
        "SELECT * FROM orders WHERE scan_nonce = ? UNION ALL SELECT * FROM ("
        "SELECT * FROM orders WHERE product_id = ? AND state IN ('awaiting_payment', ?) AND openid = ?"
        " AND channel = ? AND expires_at >= ? AND amount_fen = ? ORDER BY id DESC LIMIT 1)",
        [
            *(order.scan_nonce, order.product_id, also, order.openid, order.channel.value),
            *(_micros(until), order.amount_fen),
        ],
    )
    return _to_order(rows[0]) if rows else None


def _page(
    connection: sqlite3.Connection,
    states: Sequence[OrderState],
    before: str | None,
    since: datetime | None,
    limit: int,
) -> list[Order]:
    clauses, values = ["1"], list[Any]()
    if states:
        clauses.append(f"state IN ({_marks(states)})")
        values += [state.value for state in states]
    if before is not None:
        clauses.append("id < (SELECT id FROM orders WHERE out_trade_no = ?)")
        values.append(before)
    if since is not None:
        clauses.append("created_at >= ?")
        values.append(_micros(since))
    sql = f"SELECT * FROM orders WHERE {' AND '.join(clauses)} ORDER BY id DESC LIMIT ?"  # noqa: S608 - no input in it
    return [_to_order(row) for row in _rows(connection, sql, [*values, limit])]


def _insert_order(connection: sqlite3.Connection, order: Order) -> None:
    sql = f"INSERT INTO orders ({','.join(_ORDER_COLUMNS)}) VALUES ({_marks(_ORDER_COLUMNS)})"  # noqa: S608 - column names
    connection.execute(sql, _from_order(order))


def _update_order(connection: sqlite3.Connection, order: Order) -> None:
    columns = ",".join(f"{name} = ?" for name in _ORDER_COLUMNS)
    sql = f"UPDATE orders SET {columns} WHERE out_trade_no = ?"  # noqa: S608 - column names
    connection.execute(sql, [*_from_order(order), order.out_trade_no])


def _slots(connection: sqlite3.Connection) -> Mapping[str, SlotRecord]:
    rows = connection.execute("SELECT id, stock, disabled, fault FROM slots")
    return {row[0]: SlotRecord(row[0], row[1], bool(row[2]), row[3]) for row in rows}


def _available(connection: sqlite3.Connection, product_id: str, slots: Sequence[str]) -> int:
    """Sellable stock less what is spoken for: reserving unpaid orders, and paid ones not yet taken from a slot."""
    stock = connection.execute(
        "SELECT coalesce(sum(stock), 0) FROM slots"  # noqa: S608 - only marks are put in
        f" WHERE id IN ({_marks(slots)}) AND disabled = 0 AND fault IS NULL",
        slots,
    ).fetchone()[0]
    spoken_for = connection.execute(
        "SELECT count(*) FROM orders WHERE product_id = ? AND state IN ('created', 'awaiting_payment', 'paid')"
        " AND (channel <> 'native_two' OR state = 'paid')",
        (product_id,),
    ).fetchone()[0]
    return max(0, int(stock) - int(spoken_for))


def _store_slot(connection: sqlite3.Connection, record: SlotRecord, now: datetime) -> None:
    connection.execute(
        "UPDATE slots SET stock = ?, disabled = ?, fault = ?, changed_at = ? WHERE id = ?",
        (record.stock, record.disabled, record.fault, _micros(now), record.id),
    )


def _change_slot(connection: sqlite3.Connection, change: SlotChange, event: Event) -> Change:
    """Carry out what a step does to a slot, and book it on the step's own event."""
    before = _slots(connection)[change.slot]
    fault = before.fault if change.fault is None else change.fault or None
    after = replace(before, stock=before.stock + change.stock_delta, fault=fault)
    _store_slot(connection, after, event.at)
    detail = {**event.detail, "stock": after.stock}
    if change.fault:
        detail["fault"] = change.fault
    booked = replace(event, slot=change.slot, stock_delta=change.stock_delta, detail=detail)
    return replace(_record(connection, booked), slot=after)


def _record(connection: sqlite3.Connection, event: Event, order: Order | None = None) -> Change:
    last = connection.execute("SELECT id, hash FROM events ORDER BY id DESC LIMIT 1").fetchone() or (0, b"")
    detail = json.dumps(event.detail, ensure_ascii=False)
    row = (last[0] + 1, _micros(event.at), event.kind, event.out_trade_no, event.slot, event.stock_delta, detail)
    connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, chained_hash(last[1], row)))
    return Change(event, order)


def chained_hash(previous: bytes, row: Sequence[Any]) -> bytes:
    """The hash of an event's columns (all but the hash itself, in their order) and of the event before it."""
    return hashlib.sha256(previous + json.dumps(row, ensure_ascii=False).encode()).digest()
