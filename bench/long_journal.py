"""Journals of machines that have sold for years, made in seconds.

Every row is as the machine would have written it, but for the chain of hashes, which nothing that is measured reads.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.values import APP_ID, PRODUCTS
from kiosk.database import Database
from kiosk.journal import JOURNAL_FILE
from kiosk.records import micros

SALES_A_DAY = 500
BATCH = 20_000
# How the last orders stand when the power goes: the next start has to take each of them up.
UNFINISHED = ("paid", "dispensing", "dispensing", "refunding", "in_doubt", "awaiting_payment", "created")
_STEPS = ("created", "awaiting_payment", "paid", "dispensing", "dispensed")


def number_of(order: int) -> str:
    """The out_trade_no of the order that was made as number so-and-so, from 0."""
    return f"bench-1-{order:012}-CCCCCC"


async def make(folder: Path, orders: int) -> None:
    """A journal with so many orders, the last of them today."""
    folder.mkdir(parents=True)
    database = Database(folder / JOURNAL_FILE)  # the schema is the machine's own
    await database.close()
    with closing(sqlite3.connect(folder / JOURNAL_FILE, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -200000")
        put_aside = connection.execute(
            "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql <> ''"
        ).fetchall()
        for kind, name, _ in put_aside:
            connection.execute(f"DROP {kind} {name}")
        _fill(connection, orders)
        for _, _, sql in put_aside:
            connection.execute(sql)
        connection.execute("INSERT INTO order_counts SELECT state, count(*) FROM orders GROUP BY state")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _fill(connection: sqlite3.Connection, orders: int) -> None:
    now = datetime.now(UTC)
    gap = timedelta(days=1) / SALES_A_DAY
    details = {state: json.dumps({"state": state}) for state in _STEPS}
    connection.executemany(
        "INSERT INTO slots VALUES (?, 900, 0, NULL, ?)", [(str(11 + n), micros(now)) for n in range(PRODUCTS)]
    )
    columns = (
        "out_trade_no, channel, product_id, product_name, amount_fen, app_id, state, created_at, expires_at,"
        " updated_at, openid, prepay_id, code_url, transaction_id, paid_fen, paid_at, confirmed_at, slot, attempts,"
        " evidence, refund_serial, finished_at"
    )
    insert_order = f"INSERT INTO orders ({columns}) VALUES ({','.join('?' * 22)})"  # noqa: S608 - column names
    insert_event = "INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?, zeroblob(32))"
    for begin in range(0, orders, BATCH):
        rows, events = [], []
        for order in range(begin, min(begin + BATCH, orders)):
            at = micros(now - gap * (orders - order))
            number, slot = number_of(order), str(11 + order % PRODUCTS)
            left = order - orders + len(UNFINISHED)
            state = UNFINISHED[left] if left >= 0 else "dispensed"
            paid = state not in ("created", "awaiting_payment")
            turned = paid and state != "paid"
            when = at + 20_000_000
            rows.append(
                (
                    *(number, "native_two", f"p{order % PRODUCTS}", "可口可乐", 350, APP_ID, state),
                    *(at, at + 6_600_000_000, at + 25_000_000, f"o{order % 5000:027}" if paid else None),
                    *(f"wx{order:034}", f"weixin://wxpay/bizpayurl?pr={order:09}"),
                    *((f"42{order:026}", 350, when, when) if paid else (None,) * 4),
                    *((slot, 1, f"fake:{slot}:{at}") if turned else (None, 0, None)),
                    *(int(state == "refunding"), at + 25_000_000 if state == "dispensed" else None),
                )
            )
            for step, kind in enumerate(_STEPS):
                events.append(
                    (
                        *(at + step * 5_000_000, kind, number, slot if step > 2 else None),
                        *(-1 if kind == "dispensing" else 0, details[kind]),
                    )
                )
                if kind == state:
                    break
        connection.execute("BEGIN")
        connection.executemany(insert_order, rows)
        connection.executemany(insert_event, events)
        connection.execute("COMMIT")
