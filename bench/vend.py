"""A payment notification comes in, the vend command goes out: two durable steps, and what stands around them."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import statistics
import tempfile
import time
from asyncio.subprocess import Process
from contextlib import closing
from datetime import datetime
from pathlib import Path

from bench.machine_ini import furnish
from bench.notifications import HEAD
from bench.processes import line_of, running
from bench.table import Line, Row, Scale, milliseconds
from bench.values import notification, numbers
from kiosk.clock import CHINA_STANDARD_TIME

COMMITS = 2  # the payment, and the intent to vend
ALLOWANCE_MS = 2


class _Committer:
    """The least that a durable step costs on this disk."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE facts (fact TEXT)")
        self.commit()

    def commit(self) -> float:
        """One row, in seconds."""
        began = time.perf_counter()
        self._connection.execute("INSERT INTO facts VALUES (?)", ("x" * 200,))
        return time.perf_counter() - began


async def _vended(process: Process) -> int:
    while True:
        kind, *told = (await line_of(process)).split()
        if kind == "vend":
            return int(told[0])


async def measure(scale: Scale) -> list[Row]:
    """One row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = furnish(folder)
        count = scale.sales + 1
        paid_at = datetime.now(CHINA_STANDARD_TIME).strftime("%Y%m%d%H%M%S")
        latencies, commits = [], []
        with closing(sqlite3.connect(folder / "commits.sqlite", isolation_level=None)) as database:
            committer = _Committer(database)
            async with running("-m", "bench.vending_machine", str(place.ini), str(count)) as machine:
                for number in numbers(count):
                    body = notification(number, paid_at)
                    with socket.create_connection(("127.0.0.1", place.callbacks_port)) as connection:
                        await asyncio.sleep(scale.pause_seconds)
                        commits.append(committer.commit())
                        began = time.monotonic_ns()
                        connection.sendall(HEAD % len(body) + body)
                        latencies.append((await _vended(machine) - began) / 1e9)
    latency, commit = statistics.median(latencies[1:]), statistics.median(commits)
    limit = COMMITS * commit + ALLOWANCE_MS / 1000
    return [
        Row(
            "notification in, vend command out (a whole machine)",
            [
                Line("one durable commit of SQLite (reference)", milliseconds(commit), 1.0),
                Line(
                    "this project",
                    milliseconds(latency),
                    latency / commit,
                    f"{milliseconds(limit)} or less: {COMMITS} commits + {ALLOWANCE_MS} ms",
                    latency <= limit,
                ),
            ],
        )
    ]
