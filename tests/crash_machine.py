"""Starts real machines that can be killed at any point of what they do; run as a program by `crash_kit`.

Nothing in the product knows of this. From outside are wrapped: COMMIT of the journal, requests to WeChat, frames to
the board, answers of both listeners. Each is passed twice, before and after, and has a name of its kind; which points
there are is written down by a machine that is not killed, so that a point added later is tried like every other.

One process has everything imported and forks a machine for each line on its standard input: {"ini", "log", "points",
"crash_at"}. It answers with the pid, and with {"ended": pid} when a machine is gone. Counting begins at SIGUSR1.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import select
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cryptography.x509  # noqa: F401 - what a machine imports when it needs it; here for all of them, before the fork
import requests.adapters
import serial
from tornado.http1connection import HTTP1Connection

import hardware.xy.driver  # noqa: F401
from hardware.mdb import driver as mdb_driver
from hardware.mdb.codec import VERSION
from hardware.xy.session import ACK_BYTES
from kiosk.config import load
from kiosk.machine import run_machine


class Points:
    """Counts the points of each kind, writes them down, and ends the process at one of them."""

    def __init__(self, log: str, crash_at: str) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._crash_at = crash_at
        self._passed: collections.Counter[str] = collections.Counter()
        self._counting = False
        signal.signal(signal.SIGUSR1, self._begin)

    def _begin(self, *_: object) -> None:
        self._counting = True

    def passed(self, kind: str, when: str) -> None:
        if not self._counting:
            return
        self._passed[f"{kind} {when}"] += 1
        point = f"{kind} {when} {self._passed[f'{kind} {when}']}"
        os.write(self._log, f"{point}\n".encode())
        if point == self._crash_at:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextlib.contextmanager
    def around(self, kind: str) -> Iterator[None]:
        self.passed(kind, "before")
        yield
        self.passed(kind, "after")


def wrap(owner: Any, name: str, points: Points, kind_of: Callable[..., str | None]) -> None:
    """Let every call of `owner.name` pass its two points; `kind_of` gives its kind, None for a call of no weight."""
    original = getattr(owner, name)

    def passing(*args: Any, **kwargs: Any) -> Any:
        kind = kind_of(*args, **kwargs)
        if kind is None:
            return original(*args, **kwargs)
        with points.around(kind):
            return original(*args, **kwargs)

    setattr(owner, name, passing)


class Connection(sqlite3.Connection):
    """A connection whose commits are points."""

    points: Points

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if sql != "COMMIT":
            return super().execute(sql, *args)
        with self.points.around("commit"):
            return super().execute(sql, *args)


def frame_kind(_: object, data: bytes) -> str | None:
    """Answers to polls without a word in them, and questions for a version, come often and change nothing."""
    if data in {ACK_BYTES, VERSION}:
        return None
    if data.isascii():  # a line of text to an MDB bridge
        return "line " + "-".join(data.decode().split()[0].split(",")[:2])
    return f"frame {data[2]:02x}"


def answer_kind(connection: HTTP1Connection, *_: object) -> str | None:
    """What is answered to a request; the status is asked for by those who watch."""
    asked = connection._request_start_line
    return None if asked is None or asked.path == "/api/status" else f"answer {asked.method}"


def machine(order: dict[str, str]) -> None:
    """Be a machine; never returns."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    points = Points(order["points"], order["crash_at"])
    Connection.points = points
    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **kwargs: connect(*args, **kwargs, factory=Connection)  # type: ignore[assignment]
    wrap(
        requests.adapters.HTTPAdapter,
        "send",
        points,
        lambda _, request, **__: f"call {request.path_url.split('?')[0]}",
    )
    wrap(serial.Serial, "write", points, frame_kind)
    wrap(HTTP1Connection, "write_headers", points, answer_kind)
    # A word about a vend comes within a moment here, or never: hundreds of trials need not wait for it as people do.
    timing = dataclasses.replace(mdb_driver.MdbTiming(), listen_seconds=0.3, recall_seconds=1.0)
    mdb_driver.MdbTiming = lambda: timing  # type: ignore[assignment,misc] # of no other bridge in this process
    os._exit(run_machine(load(Path(order["ini"]))))


def main() -> None:
    """Fork a machine for each order until standard input ends; then end them all."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    os.set_blocking(wake_read, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    children: set[int] = set()
    rest = b""
    while True:
        ready, _, _ = select.select([0, wake_read], [], [])
        if wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
            while children:
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                children.discard(pid)
                os.write(1, json.dumps({"ended": pid}).encode() + b"\n")
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                for pid in children:
                    os.kill(pid, signal.SIGKILL)
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    machine(json.loads(line))
                children.add(pid)
                os.write(1, json.dumps({"started": pid}).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
