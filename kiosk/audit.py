"""Reads a journal, also a copy from a machine in the field, and says whether its story holds together."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kiosk.database import DatabaseError, connect_to_read
from kiosk.orders import FINAL, TRANSITIONS, OrderState
from kiosk.records import chained_hash

FIRST_VERSION_WITH_ARCHIVES = 3  # kiosk/schema/0003.sql; a copy from an older machine is read as it is
MAX_FINDINGS = 100  # a journal cut in the middle has one cause and thousands of effects

UNSETTLED = (
    OrderState.PAID,
    OrderState.DISPENSING,
    OrderState.IN_DOUBT,
    OrderState.REFUNDING,
    OrderState.REFUND_FAILED,
)


@dataclass(frozen=True)
class Audit:
    """What a reading found. `findings`: sentences, each a broken promise; `unsettled`: orders that need a person."""

    events: int
    last_event: int  # its number
    orders: int
    findings: tuple[str, ...]
    unsettled: tuple[str, ...]


def audit(path: Path) -> Audit:
    """Read the whole journal at `path`; changes nothing. Raises `DatabaseError` if it cannot be read."""
    if not path.is_file():
        raise DatabaseError(f"there is no journal {path}")
    connection = connect_to_read(path)
    try:
        reading = _Reading(connection)
        findings = []
        for finding in reading.findings():
            findings.append(finding)
            if len(findings) == MAX_FINDINGS:
                findings.append("and more: only the first findings are shown")
                break
        marks = ",".join("?" * len(UNSETTLED))
        rows = connection.execute(
            f"SELECT out_trade_no, state FROM orders WHERE state IN ({marks}) ORDER BY id",  # noqa: S608 - only marks
            [state.value for state in UNSETTLED],
        )
        unsettled = tuple(f"{number} is {state}" for number, state in rows)
    except sqlite3.Error as error:
        raise DatabaseError(f"the journal {path} cannot be read to its end: {error}") from error
    finally:
        connection.close()
    return Audit(reading.events, reading.last_event, reading.orders, tuple(findings), unsettled)


class _Reading:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._states: dict[str, str] = {}
        self._stocks: Counter[str] = Counter()
        self._archived_until: int | None = None  # microseconds; when the last archived event happened
        self.events = 0
        self.last_event = 0
        self.orders = 0

    def findings(self) -> Iterator[str]:
        yield from self._file()
        yield from self._events()
        yield from self._orders()
        yield from self._slots()

    def _file(self) -> Iterator[str]:
        for (line,) in self._connection.execute("PRAGMA quick_check(5)"):
            if line != "ok":
                yield f"the file is damaged: {line}"

    def _events(self) -> Iterator[str]:
        """The chain has no gap and no edit, every change of state is one that the table allows."""
        previous, expected = self._archived()
        rows = self._connection.execute(
            "SELECT id, at, kind, out_trade_no, slot, stock_delta, detail, hash FROM events ORDER BY id"
        )
        for *row, found in rows:
            number, _, kind, out_trade_no, slot, stock_delta, detail = row
            self.events += 1
            if number != expected:
                yield f"event {expected} is missing: the next one is {number}"
            elif chained_hash(previous, row) != found:
                yield f"event {number} ({kind}) does not fit the chain: it, or the one before it, was edited"
            previous, expected, self.last_event = found, number + 1, number
            state = json.loads(detail).get("state")
            if out_trade_no is not None and state is not None:
                yield from self._transition(number, out_trade_no, state)
            if slot is not None:
                self._stocks[slot] += stock_delta
                if self._stocks[slot] < 0:
                    yield f"event {number} ({kind}) takes more from slot {slot} than there was"

    def _archived(self) -> tuple[bytes, int]:
        """Take over what the archived events add up to; return the hash of the last one, and the next number."""
        if self._connection.execute("PRAGMA user_version").fetchone()[0] < FIRST_VERSION_WITH_ARCHIVES:
            return b"", 1
        self._stocks.update(dict(self._connection.execute("SELECT slot, stock_delta FROM archived_stock")))
        anchor = self._connection.execute("SELECT last_id, hash, at FROM archived").fetchone()
        if anchor is None:
            return b"", 1
        last, previous, self._archived_until = anchor
        return previous, last + 1

    def _transition(self, number: int, out_trade_no: str, state: str) -> Iterator[str]:
        before = self._states.get(out_trade_no)
        self._states[out_trade_no] = state
        if before is None:
            if state != OrderState.CREATED.value and not self._begins_in_archive(out_trade_no):
                yield f"event {number}: order {out_trade_no} begins as {state}"
        elif before != state and OrderState(state) not in TRANSITIONS[OrderState(before)]:
            yield f"event {number}: order {out_trade_no} went from {before} to {state}, which no order may"

    def _begins_in_archive(self, out_trade_no: str) -> bool:
        if self._archived_until is None:
            return False
        sql = "SELECT created_at FROM orders WHERE out_trade_no = ?"
        row = self._connection.execute(sql, (out_trade_no,)).fetchone()
        return row is not None and row[0] <= self._archived_until

    def _orders(self) -> Iterator[str]:
        """The orders stand as their events say, and what was vended or refunded was paid in full."""
        counts: Counter[str] = Counter()
        rows = self._connection.execute(
            "SELECT out_trade_no, state, amount_fen, paid_fen, transaction_id, updated_at FROM orders ORDER BY id"
        )
        for out_trade_no, state, amount_fen, paid_fen, transaction_id, updated_at in rows:
            self.orders += 1
            counts[state] += 1
            told = self._states.pop(out_trade_no, None)
            archived = told is None and OrderState(state) in FINAL and updated_at <= (self._archived_until or 0)
            if told != state and not archived:
                yield f"order {out_trade_no} is {state}, its last event says {told}"
            if state in ("dispensing", "dispensed", "in_doubt") and (
                paid_fen != amount_fen or transaction_id is None
            ):
                yield f"order {out_trade_no} is {state}, but was not paid in full"
        for out_trade_no in self._states:
            yield f"order {out_trade_no} has events, but is not among the orders"
        kept = dict(self._connection.execute("SELECT state, count FROM order_counts WHERE count > 0"))
        if kept != dict(counts):
            yield f"the counters of orders say {kept}, there are {dict(counts)}"

    def _slots(self) -> Iterator[str]:
        """The stock of each slot is what its events add up to."""
        for slot, stock in self._connection.execute("SELECT id, stock FROM slots ORDER BY id"):
            if self._stocks[slot] != stock:
                yield f"slot {slot} holds {stock} by the books, its events add up to {self._stocks[slot]}"
