"""Years of orders: what technicians ask for, and a restart after a power cut, at ten thousand to a million orders."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from bench.long_journal import UNFINISHED, make, number_of
from bench.machine_ini import Place, furnish
from bench.processes import READY_SECONDS, running
from bench.table import Line, Rounds, Row, Scale, in_turn, milliseconds, ratio
from bench.values import TOKEN
from kiosk.journal import JOURNAL_FILE

ANSWER_MS, RESTART_SECONDS = 50, 1.0
LOOKUP, STATUS, PAGE, STORY, CLOSE = (
    "an indexed look-up in SQLite (reference)",
    "GET /api/status",
    "GET /api/orders: the newest 50",
    "GET /api/orders/NO: an order's story",
    "POST /api/days/DATE/close",
)
RESTART = "restart with recovery"
RESTARTS = 3
_BEARER = {"Authorization": f"Bearer {TOKEN}"}


class _Shop:
    """A machine on a journal of so many orders."""

    def __init__(self, folder: Path, orders: int) -> None:
        self._journal = folder / "var" / JOURNAL_FILE
        self._orders = orders
        self._place: Place = furnish(folder)
        self._last = number_of(orders - len(UNFINISHED))
        self._random = random.Random(orders)
        self._days = 1

    async def restart(self) -> float:
        """From the start of the process until it answers, and no vend that it was in is left open."""
        with closing(sqlite3.connect(self._journal)) as connection, connection:
            connection.execute("UPDATE orders SET state = 'dispensing' WHERE out_trade_no = ?", (self._last,))
        began = time.perf_counter()
        async with self.running():
            return time.perf_counter() - began

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """`kiosk run`, once it has taken up what an earlier run left."""
        async with running("-m", "kiosk", "run", "-c", str(self._place.ini), ready=False):
            async with asyncio.timeout(READY_SECONDS):
                while not await self._recovered():  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.01)
            yield

    async def _recovered(self) -> bool:
        try:
            answer = await AsyncHTTPClient().fetch(f"{self._place.web}/api/status", headers=_BEARER)
        except (OSError, HTTPClientError):
            return False
        return not json.loads(answer.body)["orders"].get("dispensing")

    async def look_up(self) -> float:
        """One order by its number, on a connection that stands."""
        with closing(sqlite3.connect(self._journal)) as connection:
            connection.execute("SELECT 1 FROM orders LIMIT 1").fetchone()
            began = time.perf_counter()
            connection.execute("SELECT * FROM orders WHERE out_trade_no = ?", (self._any_order(),)).fetchone()
            return time.perf_counter() - began

    async def status(self) -> float:
        """The machine in one glance."""
        return await self._ask("/api/status")

    async def page(self) -> float:
        """The order list."""
        return await self._ask("/api/orders?limit=50")

    async def story(self) -> float:
        """Some order's."""
        return await self._ask(f"/api/orders/{self._any_order()}")

    async def close_a_day(self) -> float:
        """A day that is over, each another one."""
        self._days += 1
        day = date.today() - timedelta(days=self._days)  # noqa: DTZ011 - a day is one of the machine's own time zone
        return await self._ask(f"/api/days/{day}/close", method="POST", body="{}")

    def _any_order(self) -> str:
        return number_of(self._random.randrange(self._orders))

    async def _ask(self, path: str, **how: str) -> float:
        began = time.perf_counter()
        await AsyncHTTPClient().fetch(f"{self._place.web}{path}", headers=_BEARER, **how)  # type: ignore[arg-type]
        return time.perf_counter() - began


async def measure(scale: Scale) -> list[Row]:
    """A row for each size."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for orders in scale.journals:
            folder = Path(name) / str(orders)
            await make(folder / "var", orders)
            shop = _Shop(folder, orders)
            restart = statistics.median([await shop.restart() for _ in range(min(RESTARTS, scale.rounds))])
            contestants = {
                LOOKUP: shop.look_up,
                STATUS: shop.status,
                PAGE: shop.page,
                STORY: shop.story,
                CLOSE: shop.close_a_day,
            }
            async with shop.running():
                taken = await in_turn(contestants, scale.lookups)
            lines = [_line(taken, name) for name in contestants]
            reached = restart <= RESTART_SECONDS
            lines.append(Line(RESTART, milliseconds(restart), None, f"{RESTART_SECONDS:g} s or less", reached))
            rows.append(Row(f"a journal of {orders:,} orders", lines))
    return rows


def _line(taken: Rounds, name: str) -> Line:
    median = statistics.median(taken[name])
    times = ratio(taken, name, LOOKUP)
    if name == LOOKUP:
        return Line(name, milliseconds(median), times)
    return Line(name, milliseconds(median), times, f"{ANSWER_MS} ms or less", median * 1000 <= ANSWER_MS)
