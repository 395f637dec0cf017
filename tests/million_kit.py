"""A journal with the orders of years, made by SQL alone: the same rows that a machine would have written."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from core_values import SLOTS

from kiosk.clock import SystemClock
from kiosk.journal import JOURNAL_FILE, Journal
from kiosk.records import micros

ORDERS = 1_000_000
SECONDS_APART = 63  # two years
MANY_A_DAY = 24 * 3600 // SECONDS_APART

# One in eight is tea; of a hundred 2 are refunded, 10 were never paid; one in 1000 waits for a person.
_ORDERS = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :orders - 1),
rows AS (SELECT i, :now - (:orders - i) * :apart * 1000000 AS at, CASE
    WHEN i % 1000 = 999 THEN 'refund_failed' WHEN i % 100 < 2 THEN 'refunded' WHEN i % 100 < 12 THEN 'closed'
    ELSE 'dispensed' END AS state FROM n)
INSERT INTO orders (out_trade_no, channel, product_id, product_name, amount_fen, app_id, state, created_at,
    expires_at, updated_at, transaction_id, paid_fen, paid_at, confirmed_at, slot, attempts, refund_serial,
    finished_at)
SELECT printf('lobby-1-%012d-%06d', i, i), 'native_two', CASE WHEN i % 8 = 3 THEN 'tea' ELSE 'cola' END,
    '可口可乐', 350, 'wx8888888888888888', state, at, at + 6600000000, at + 9000000,
    CASE WHEN state <> 'closed' THEN printf('42000000%020d', i) END, CASE WHEN state <> 'closed' THEN 350 END,
    CASE WHEN state <> 'closed' THEN at + 5000000 END, CASE WHEN state <> 'closed' THEN at + 5000000 END,
    CASE WHEN state <> 'closed' THEN CASE WHEN i % 8 = 3 THEN '21' ELSE '11' END END, state <> 'closed',
    state LIKE 'refund%', CASE WHEN state <> 'refund_failed' THEN at + 9000000 END
FROM rows"""
# An order's last step, and every hundredth one a technician's visit.
_EVENTS = """
INSERT INTO events (at, kind, out_trade_no, slot, stock_delta, detail, hash)
SELECT updated_at, CASE WHEN id % 100 = 0 THEN 'restock' ELSE state END, CASE WHEN id % 100 THEN out_trade_no END,
    slot, 0, '{"who": "technician 192.168.1.5", "stock": 3, "board": "dispensed (02)"}', zeroblob(32)
FROM orders ORDER BY id"""


def make_million(folder: Path) -> Path:
    """Make the journal in a folder; some seconds. Returns its file."""
    file = folder / JOURNAL_FILE
    asyncio.run(_make_empty(folder))
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -200000")
    kept = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    later = connection.execute(kept).fetchall()
    for kind, name, _ in later:
        connection.execute(f"DROP {kind} {name}")
    connection.execute("BEGIN")
    connection.execute(_ORDERS, {"now": micros(datetime.now(UTC)), "orders": ORDERS, "apart": SECONDS_APART})
    connection.execute(_EVENTS)
    connection.execute("INSERT INTO order_counts SELECT state, count(*) FROM orders GROUP BY state")
    for _, _, sql in later:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return file


async def _make_empty(folder: Path) -> None:
    journal = Journal(folder, SystemClock())
    await journal.set_up_slots(SLOTS)
    await journal.close()
