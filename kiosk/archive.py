"""Old events leave the journal for an archive, which is a whole copy of the journal as it was."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kiosk.audit import audit
from kiosk.database import Database, DatabaseError, backup
from kiosk.orders import FINAL, OrderState
from kiosk.records import micros

DROPPED_AT_ONCE = 2000  # events that one transaction drops: a sale beside it waits some 20 ms

_NEVER = 1 << 62


@dataclass(frozen=True)
class Archive:
    """How many events the archive holds, and how many of them the journal has no longer."""

    events: int
    dropped: int


async def archive(journal: Path, target: Path, before: datetime) -> Archive:
    """Copy the journal to `target`, then drop its events from before `before`. A machine may sell meanwhile.

    They go in a run from the oldest on, as far as the first event of an order that is not settled. What they add
    up to stays (tables archived and archived_stock), and so do all orders. Raises `DatabaseError`; then nothing was
    dropped that the archive does not hold.
    """
    backup(journal, target)
    copied = audit(target)
    if copied.findings:
        raise DatabaseError(
            f"nothing was dropped, for the journal does not hold together: look at `kiosk journal verify {target}`"
        )
    database = Database(journal)
    try:
        dropped = 0
        while (gone := await database.write(lambda connection: _drop(connection, before, copied.last_event))) > 0:
            dropped += gone
    finally:
        await database.close()
    return Archive(copied.events, dropped)


def _drop(connection: sqlite3.Connection, before: datetime, copied: int) -> int:
    """Drop up to `DROPPED_AT_ONCE` events, none after number `copied`; return how many."""
    unsettled = [state.value for state in OrderState if state not in FINAL]
    marks = ",".join("?" * len(unsettled))
    first, last = connection.execute("SELECT min(id), max(id) FROM events").fetchone()
    if first is None:
        return 0
    limit = first + DROPPED_AT_ONCE
    young = connection.execute("SELECT min(id) FROM events WHERE at >= ? AND id <= ?", (micros(before), limit))
    kept = connection.execute(
        f"SELECT min(events.id) FROM orders JOIN events USING (out_trade_no) WHERE orders.state IN ({marks})",  # noqa: S608
        unsettled,
    )
    end = min(
        *(limit, copied + 1),
        last,  # stays in any case: the next one is chained to it
        *(rows.fetchone()[0] or _NEVER for rows in (young, kept)),
    )
    if end <= first:
        return 0
    connection.execute(
        "INSERT INTO archived_stock SELECT slot, sum(stock_delta) FROM events WHERE id < ? AND slot IS NOT NULL"
        " GROUP BY slot ON CONFLICT (slot) DO UPDATE SET stock_delta = stock_delta + excluded.stock_delta",
        (end,),
    )
    connection.execute("INSERT OR REPLACE INTO archived SELECT 1, id, hash, at FROM events WHERE id = ?", (end - 1,))
    connection.execute("DELETE FROM events WHERE id < ?", (end,))
    return int(end - first)
