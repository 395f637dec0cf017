"""What the journal holds, as values, and how they stand in its tables. With the journal, the only file with SQL."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from kiosk.orders import Channel, Order, OrderState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


IN_DOUBT = "in_doubt"  # the fault of a slot whose coil may stand half-way: a person looks before it turns again


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


class Event(NamedTuple):
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


class Change(NamedTuple):
    """What listeners get after a commit: the event, and the order or slot as it stands now."""

    event: Event
    order: Order | None = None
    slot: SlotRecord | None = None


# Rows and values -----------------------------------------------------------------------------------------------

_to_json = json.JSONEncoder(ensure_ascii=False).encode  # made once: twice as fast as json.dumps
_TIMES = frozenset({"created_at", "expires_at", "updated_at", "paid_at", "confirmed_at", "finished_at"})


def micros(at: datetime) -> int:
    """A time as the tables hold it: microseconds since 1970 UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """The time of such a number."""
    return _EPOCH + timedelta(microseconds=value)


def marks(values: Sequence[object]) -> str:
    """As many question marks, for an SQL list."""
    return ",".join("?" * len(values))


def select(connection: sqlite3.Connection, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows of a query, each by column name."""
    cursor = connection.execute(sql, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def select_orders(connection: sqlite3.Connection, sql: str, values: Sequence[Any] = ()) -> list[Order]:
    """The orders that a query finds, which asks for all columns of the table orders."""
    return [_to_order(row) for row in select(connection, sql, values)]


def _to_order(row: dict[str, Any]) -> Order:
    """`row` is used up. In a copy from an older machine it lacks newer columns, which an order has defaults for."""
    del row["id"]
    for name in _TIMES:
        if row[name] is not None:
            row[name] = from_micros(row[name])
    row["channel"], row["state"] = Channel(row["channel"]), OrderState(row["state"])
    return Order(**row)


def from_order(order: Order) -> list[Any]:
    """An order as the row's values, in the order of the columns."""
    return [*map(_to_column, order)]


def _to_column(value: Any) -> Any:
    if isinstance(value, datetime):
        return micros(value)
    return value.value if isinstance(value, (OrderState, Channel)) else value


def to_event(row: Mapping[str, Any]) -> Event:
    """A row of the table events as a value."""
    at, detail = from_micros(row["at"]), json.loads(row["detail"])
    return Event(at, row["kind"], detail, row["out_trade_no"], row["slot"], row["stock_delta"])


def find_orders(connection: sqlite3.Connection, numbers: Sequence[str]) -> dict[str, Order]:
    """The orders of those numbers that there are, by number."""
    sql = "SELECT * FROM orders WHERE out_trade_no IN (SELECT value FROM json_each(?))"
    return {order.out_trade_no: order for order in select_orders(connection, sql, [_to_json(numbers)])}


def find_order(connection: sqlite3.Connection, out_trade_no: str) -> Order | None:
    """The order of that number, if there is one."""
    return find_orders(connection, [out_trade_no]).get(out_trade_no)


def orders_in(connection: sqlite3.Connection, states: Iterable[OrderState]) -> list[Order]:
    """All orders in these states, oldest first."""
    wanted = [state.value for state in states]
    sql = f"SELECT * FROM orders WHERE state IN ({marks(wanted)}) ORDER BY id"  # noqa: S608 - only marks
    return select_orders(connection, sql, wanted)


def read_events(connection: sqlite3.Connection, out_trade_no: str) -> list[Event]:
    """An order's events, oldest first."""
    sql = "SELECT * FROM events WHERE out_trade_no = ? ORDER BY id"
    return [to_event(row) for row in select(connection, sql, [out_trade_no])]


def refund_began(connection: sqlite3.Connection, order: Order) -> datetime | None:
    """When the order's last refund was asked for, if one was."""
    if order.refund_serial == 0:
        return None
    began = [e.at for e in read_events(connection, order.out_trade_no) if e.detail.get("state") == "refunding"]
    return began[-1] if began else None


def read_changes(connection: sqlite3.Connection, limit: int) -> list[Event]:
    """The last events that are no order's, newest first."""
    which = "events INDEXED BY events_of_machine WHERE out_trade_no IS NULL"
    sql = f"SELECT * FROM {which} ORDER BY at DESC, id DESC LIMIT ?"  # noqa: S608 - a constant
    return [to_event(row) for row in select(connection, sql, [limit])]


def reusable_order(connection: sqlite3.Connection, order: Order, until: datetime) -> Order | None:
    """The order that answers this one as well: see `Journal.open_order`."""
    # A scan waits for its announcement, and is answered with that order only; the mini-program pays in a second step.
    also = "created" if order.channel is Channel.MINIPROGRAM else "awaiting_payment"
    orders = select_orders(
        connection,
        "SELECT * FROM orders WHERE scan_nonce = ? UNION ALL SELECT * FROM ("
        "SELECT * FROM orders WHERE product_id = ? AND state IN ('awaiting_payment', ?) AND openid = ?"
        " AND channel = ? AND expires_at >= ? AND amount_fen = ? ORDER BY id DESC LIMIT 1)",
        [
            *(order.scan_nonce, order.product_id, also, order.openid, order.channel.value),
            *(micros(until), order.amount_fen),
        ],
    )
    return orders[0] if orders else None


@dataclass(frozen=True)
class OrderFilter:
    """Which orders are wanted: all conditions hold together; an empty one does not narrow.

    `search`: an order's number, WeChat's transaction_id, or the claim code that a customer reads aloud.
    """

    states: Sequence[OrderState] = ()
    product_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    search: str | None = None


def page_of_orders(
    connection: sqlite3.Connection, wanted: OrderFilter, before: str | None, limit: int
) -> list[Order]:
    """See `Journal.page_of_orders`; all of them for a limit of -1."""
    clauses, values = ["1"], list[Any]()
    # A day is few orders among many: it is found by its index, and a plus keeps SQLite from going by any other.
    other = "" if wanted.since is None else "+"
    if wanted.states:
        clauses.append(f"{other}state IN ({marks(wanted.states)})")
        values += [state.value for state in wanted.states]
    if wanted.product_id is not None:
        clauses.append(f"{other}product_id = ?")
        values.append(wanted.product_id)
    for sign, at in ((">=", wanted.since), ("<", wanted.until)):
        if at is not None:
            clauses.append(f"created_at {sign} ?")
            values.append(micros(at))
    if wanted.search is not None:
        text = wanted.search.strip()
        clauses.append("(out_trade_no = ? OR transaction_id = ? OR substr(out_trade_no, -6) = ?)")
        values += [text, text, text.upper()]
    if before is not None:
        clauses.append(f"{other}id < (SELECT id FROM orders WHERE out_trade_no = ?)")  # noqa: S608 - as below
        values.append(before)
    which = " AND ".join(clauses)
    sql = f"SELECT * FROM orders WHERE {which} ORDER BY {other}id DESC LIMIT ?"  # noqa: S608 - no input in it
    return select_orders(connection, sql, [*values, limit])


# Named, as SQLite would rather read every order that was ever dispensed.
_TO_REVIEW = "orders INDEXED BY orders_to_review WHERE state = 'dispensed' AND reason IS NOT NULL"
_OVERDUE = "state IN ('paid', 'dispensing', 'refunding') AND updated_at < ?"


def unsettled_orders(connection: sqlite3.Connection, moment: datetime, limit: int) -> list[Order]:
    """Orders that wait for a person; those under way only if nothing has happened to them since `moment`."""
    # Each by the index that is made for it.
    kinds = ("orders WHERE state IN ('in_doubt', 'refund_failed')", f"orders WHERE {_OVERDUE}", _TO_REVIEW)
    which = " UNION ALL ".join(f"SELECT id FROM {kind}" for kind in kinds)  # noqa: S608 - constants
    sql = f"SELECT * FROM orders WHERE id IN ({which}) ORDER BY id DESC LIMIT ?"  # noqa: S608 - constants
    return select_orders(connection, sql, [micros(moment), limit])


def count_overdue(connection: sqlite3.Connection, moment: datetime) -> int:
    """How many orders are under way to which nothing has happened since `moment`."""
    sql = f"SELECT count(*) FROM orders WHERE {_OVERDUE}"  # noqa: S608 - a constant
    return int(connection.execute(sql, [micros(moment)]).fetchone()[0])


def count_to_review(connection: sqlite3.Connection) -> int:
    """How many orders count as dispensed although nobody said so."""
    sql = f"SELECT count(*) FROM {_TO_REVIEW}"  # noqa: S608 - a constant
    return int(connection.execute(sql).fetchone()[0])


def insert_order(connection: sqlite3.Connection, order: Order) -> None:
    """Add an order."""
    sql = f"INSERT INTO orders ({','.join(Order._fields)}) VALUES ({marks(Order._fields)})"  # noqa: S608 - column names
    connection.execute(sql, from_order(order))


def update_orders(connection: sqlite3.Connection, pairs: Iterable[tuple[Order, Order]]) -> None:
    """Store what has changed of orders (before, after): an index whose columns are not named is not touched."""
    rows: defaultdict[tuple[str, ...], list[list[Any]]] = defaultdict(list)
    for before, after in pairs:
        changed = {name: new for name, old, new in zip(Order._fields, before, after, strict=True) if new != old}
        if changed:
            rows[tuple(changed)].append([*map(_to_column, changed.values()), after.out_trade_no])
    for names, values in rows.items():
        columns = ",".join(f"{name} = ?" for name in names)
        connection.executemany(f"UPDATE orders SET {columns} WHERE out_trade_no = ?", values)  # noqa: S608 - column names


def all_slots(connection: sqlite3.Connection) -> Mapping[str, SlotRecord]:
    """All slots by id."""
    rows = connection.execute("SELECT id, stock, disabled, fault FROM slots")
    return {row[0]: SlotRecord(row[0], row[1], bool(row[2]), row[3]) for row in rows}


def find_slot(connection: sqlite3.Connection, slot_id: str) -> SlotRecord:
    """One slot; raises KeyError if there is none. Every row read costs a turn of the interpreter: not all for one."""
    row = connection.execute("SELECT stock, disabled, fault FROM slots WHERE id = ?", (slot_id,)).fetchone()
    if row is None:
        raise KeyError(slot_id)
    return SlotRecord(slot_id, row[0], bool(row[1]), row[2])


def units_available(connection: sqlite3.Connection, slots_by_product: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Sellable stock less what is spoken for: reserving unpaid orders, and paid ones not yet taken from a slot."""
    records = all_slots(connection)
    spoken_for = dict(
        connection.execute(
            "SELECT product_id, count(*) FROM orders WHERE state IN ('created', 'awaiting_payment', 'paid')"
            " AND (channel NOT IN ('native_two', 'keypad') OR state = 'paid') GROUP BY product_id"
        )
    )
    stock = {
        product: sum(records[slot].stock for slot in slots if slot in records and records[slot].sellable)
        for product, slots in slots_by_product.items()
    }
    return {product: max(0, units - spoken_for.get(product, 0)) for product, units in stock.items()}


def order_counts(connection: sqlite3.Connection) -> dict[OrderState, int]:
    """How many orders stand in each state; states without an order are left out."""
    rows = connection.execute("SELECT state, count FROM order_counts WHERE count > 0")
    return {OrderState(state): count for state, count in rows}


def store_slot(connection: sqlite3.Connection, record: SlotRecord, now: datetime) -> None:
    """Store a slot as it now is."""
    connection.execute(
        "UPDATE slots SET stock = ?, disabled = ?, fault = ?, changed_at = ? WHERE id = ?",
        (record.stock, record.disabled, record.fault, micros(now), record.id),
    )


def apply_slot_change(connection: sqlite3.Connection, change: SlotChange, event: Event) -> Change:
    """Carry out what a step does to a slot. The step's own event then tells of it, and is still to be recorded."""
    before = find_slot(connection, change.slot)
    fault = before.fault if change.fault is None else change.fault or None
    after = replace(before, stock=before.stock + change.stock_delta, fault=fault)
    store_slot(connection, after, event.at)
    detail = {**event.detail, "stock": after.stock}
    if change.fault:
        detail["fault"] = change.fault
    return Change(event._replace(slot=change.slot, stock_delta=change.stock_delta, detail=detail), slot=after)


def record_events(connection: sqlite3.Connection, events: Iterable[Event]) -> None:
    """Add events to the chain, in their order."""
    newest = connection.execute("SELECT id, hash FROM events ORDER BY id DESC LIMIT 1").fetchone()
    number, last = newest or (0, b"")
    rows = []
    for event in events:
        number += 1
        detail = _to_json(event.detail)
        row = (number, micros(event.at), event.kind, event.out_trade_no, event.slot, event.stock_delta, detail)
        last = chained_hash(last, row)
        rows.append((*row, last))
    connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def record_event(connection: sqlite3.Connection, event: Event, order: Order | None = None) -> Change:
    """Add one event to the chain; return it with the order as it now is, for the listeners."""
    record_events(connection, [event])
    return Change(event, order)


def chained_hash(previous: bytes, row: Sequence[Any]) -> bytes:
    """The hash of an event's columns (all but the hash itself, in their order) and of the event before it."""
    return hashlib.sha256(previous + _to_json(row).encode()).digest()
