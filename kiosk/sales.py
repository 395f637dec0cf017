"""What was sold, day by day: sums for the chart, and the close of a day.

A day is a day of the machine's own time zone. A sale counts on the day when the machine learned of its payment, and
money that went back on the day when it learned that it was back: so a day that is over does not change any more.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta

from kiosk.clock import Clock
from kiosk.database import Database
from kiosk.records import Event, from_micros, micros, record_event


@dataclass(frozen=True)
class Sum:
    """How many, and how much in fen."""

    count: int = 0
    amount: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.count + other.count, self.amount + other.amount)


@dataclass(frozen=True)
class Day:
    """What happened to money and goods on one day. `sold` and `refunded` by product id."""

    day: date
    sold: Mapping[str, Sum]
    refunded: Mapping[str, Sum]
    test_vends: int

    @property
    def net(self) -> int:
        """What stayed, in fen."""
        return sum(each.amount for each in self.sold.values()) - sum(each.amount for each in self.refunded.values())


@dataclass(frozen=True)
class ClosedDay:
    """That a day was closed: its number in the row of closed days, when, and by whom."""

    number: int
    at: datetime
    who: str


class CloseRefused(Exception):
    """The day cannot be closed; the sentence says why."""


class Sales:
    """Sums over the orders of the journal in `database`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def days(self, first: date, last: date) -> list[Day]:
        """Each day from `first` to `last`, both included, oldest first."""
        return await self._database.read(lambda connection: read_days(connection, first, last))

    async def closed(self, day: date) -> ClosedDay | None:
        """When and by whom the day was closed, if it was."""
        return await self._database.read(lambda connection: read_closed(connection, day))

    async def close(self, day: date, who: str) -> ClosedDay:
        """Close a day that is over, booked with its sums. Raises `CloseRefused`."""

        def work(connection: sqlite3.Connection) -> ClosedDay:
            now = self._clock.now()
            if day >= now.astimezone().date():
                raise CloseRefused(f"{day} is not over yet: close it tomorrow")
            known = read_closed(connection, day)
            if known is not None:
                raise CloseRefused(f"{day} was closed already, as number {known.number} by {known.who}")
            totals = day_totals(read_days(connection, day, day)[0])
            sql = "INSERT INTO closed_days (day, closed_at, who, totals) VALUES (?, ?, ?, ?) RETURNING number"
            values = (day.isoformat(), micros(now), who, json.dumps(totals))
            number = int(connection.execute(sql, values).fetchone()[0])
            record_event(connection, Event(now, "day_closed", {"who": who, "number": number, **totals}))
            return ClosedDay(number, now, who)

        return await self._database.write(work)


def day_totals(day: Day) -> dict[str, object]:
    """The day as JSON; money in fen."""
    sold, refunded = sum(day.sold.values(), Sum()), sum(day.refunded.values(), Sum())
    return {
        "date": day.day.isoformat(),
        "products": {product: asdict(each) for product, each in day.sold.items()},
        "sold": asdict(sold),
        "refunded": asdict(refunded),
        "net": day.net,
        "test_vends": day.test_vends,
    }


def read_days(connection: sqlite3.Connection, first: date, last: date) -> list[Day]:
    """See `Sales.days`."""
    found = []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        span = (_begin(day), _begin(day + timedelta(days=1)))
        sold = connection.execute(
            "SELECT product_id, count(*), sum(paid_fen) FROM orders INDEXED BY orders_by_payment"
            " WHERE confirmed_at IS NOT NULL AND confirmed_at >= ? AND confirmed_at < ? GROUP BY product_id",
            span,
        ).fetchall()
        refunded = connection.execute(
            "SELECT product_id, count(*), sum(paid_fen) FROM orders INDEXED BY orders_by_refund"
            " WHERE state = 'refunded' AND finished_at >= ? AND finished_at < ? GROUP BY product_id",
            span,
        ).fetchall()
        tests = connection.execute(
            "SELECT count(*) FROM events INDEXED BY events_of_machine"
            " WHERE out_trade_no IS NULL AND at >= ? AND at < ? AND kind = 'test_vend'",
            span,
        ).fetchone()[0]
        found.append(Day(day, _sums(sold), _sums(refunded), int(tests)))
    return found


def read_closed(connection: sqlite3.Connection, day: date) -> ClosedDay | None:
    """See `Sales.closed`."""
    sql = "SELECT number, closed_at, who FROM closed_days WHERE day = ?"
    row = connection.execute(sql, (day.isoformat(),)).fetchone()
    return None if row is None else ClosedDay(row[0], from_micros(row[1]), row[2])


def begin_of(day: date) -> datetime:
    """The first moment of a day in the machine's time zone."""
    return datetime.combine(day, time()).astimezone().astimezone(UTC)


def _begin(day: date) -> int:
    return micros(begin_of(day))


def _sums(rows: list[tuple[str, int, int]]) -> dict[str, Sum]:
    return {product: Sum(count, amount or 0) for product, count, amount in rows}
