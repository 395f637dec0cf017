"""A SQLite file with one writer thread whose waiting commits share one sync, and reader threads. No domain.

A `write` that has returned is on the disk (WAL, synchronous=FULL): it survives kill -9 and loss of power.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Item = TypeVar("Item")

BUSY_TIMEOUT_SECONDS = 5.0  # another process (the command line) may hold the write lock for one short transaction
READERS = 2  # a paid order's way to the board does not wait behind the pictures and pages that it changes
MAX_BATCH = 64  # writes that share one commit: bounds how long the first of them waits for the others
CALM_BATCH = 2  # after a transaction for more than these the next one waits until all are there that come together
# A request needs four turns of the loop from its connection to its write; a turn with nothing to do takes 10 µs.
QUIET_TURNS = 6
# The loop steps back until the writer waits for the disk, some 0.3 ms; this long if another process has the lock.
STEP_BACK_SECONDS = 0.002
WAL_PAGES_BETWEEN_CHECKPOINTS = 1000  # 4 MB: keeps the WAL small without syncing the main file at every sale


class DatabaseError(Exception):
    """The database cannot be used, or a write did not happen; the sentence says why and what to do."""


@dataclass
class _Job:
    work: Callable[[sqlite3.Connection, Sequence[Any]], Sequence[Any]]
    item: Any
    after: Callable[[Any], None] | None
    done: asyncio.Future[Any]

    def settle(self, outcome: Any) -> None:
        """Tell whoever waits what became of it."""
        if isinstance(outcome, _Failure):
            if not self.done.done():
                self.done.set_exception(outcome.error)
            return
        if self.after is not None:
            self.after(outcome)
        if not self.done.done():
            self.done.set_result(outcome)


class Database:
    """The file at `path`, brought to the newest schema. All methods but the constructor are for one event loop."""

    def __init__(self, path: Path) -> None:
        """Open, check and migrate; raises `DatabaseError` with a sentence if the file cannot be used."""
        self.path = path
        self.error: str | None = None  # why the last write failed; None once one has succeeded
        self.committed: Callable[[float], None] = lambda _: None  # told on the writer thread how long a commit took
        self._connection = _connect(path)
        self._gathering: list[_Job] = []  # for the writer's next transaction
        self._at_commit = threading.Event()  # from here on the writer waits for the disk
        self._storm = False  # the last transaction was for many
        self._writing = False  # a transaction is under way, or about to be
        self._batches: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_forever, name="journal-writer", daemon=True)
        self._writer.start()
        self._local = threading.local()  # each reader thread has a connection of its own
        self._connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="journal-reader")

    async def write(self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] | None = None) -> T:
        """Run `work` in a transaction on the writer thread; return its result once it is on the disk.

        An exception of `work` undoes what it did and is raised here. It is called once more if it, or what was to be
        written with it, failed. `after` gets the result on the event loop right after the commit, even when the
        caller has been cancelled meanwhile.
        """
        return await self.write_together(lambda connection, _: [work(connection)], None, after)

    async def write_together(
        self,
        work: Callable[[sqlite3.Connection, Sequence[Item]], Sequence[T]],
        item: Item,
        after: Callable[[T], None] | None = None,
    ) -> T:
        """Like `write`, for work that is cheaper done for many at once: statements, and turns of the interpreter.

        `work` gets all items that wait one behind the other for the same `work`, and returns a result for each. If
        it raises, all is undone and it is called for each item alone.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._gathering.append(_Job(work, item, after, done))
        self._go_on(loop)
        return await done

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._gathering and not self._writing:
            self._writing = True
            if self._storm:
                loop.call_soon(self._await_quiet, loop, 0, 0)
            else:
                self._at_commit.clear()
                self._hand_over()
                self._at_commit.wait(STEP_BACK_SECONDS)

    def _await_quiet(self, loop: asyncio.AbstractEventLoop, before: int, quiet: int) -> None:
        """Give the writer what has gathered once `QUIET_TURNS` of the loop have brought nothing more.

        Loop and writer have one interpreter between them. In a storm they would wrest it from each other at every
        statement and system call; so the loop takes in all that came, and rests while it is written.
        """
        gathered = len(self._gathering)
        quiet = quiet + 1 if gathered == before else 0
        if quiet < QUIET_TURNS and gathered < MAX_BATCH:
            loop.call_soon(self._await_quiet, loop, gathered, quiet)
        elif gathered:  # else all was handed over to be closed
            self._hand_over()

    def _hand_over(self) -> None:
        batch = self._gathering[:MAX_BATCH]
        del self._gathering[:MAX_BATCH]
        self._storm = len(batch) > CALM_BATCH
        self._batches.put(batch)

    def _settle(self, batch: Sequence[_Job], outcomes: Sequence[Any]) -> None:
        self._writing = False
        for job, outcome in zip(batch, outcomes, strict=True):
            job.settle(outcome)
        self._go_on(batch[0].done.get_loop())

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on a reader thread; it sees every write that had returned before."""

        def guarded() -> T:
            try:
                return work(self._reading())
            except sqlite3.Error as error:
                raise DatabaseError(f"the journal {self.path} cannot be read: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(self._readers, guarded)

    async def pulse(self) -> None:
        """Return once the writer and a reader have had a turn, or raise `DatabaseError`; changes nothing."""
        await self.write(lambda _: None)
        await self.read(lambda _: None)

    async def check_integrity(self) -> str | None:
        """Read the whole file in a thread of its own; return what is wrong with it, None if nothing."""

        def check() -> str | None:
            connection = connect_to_read(self.path)
            try:
                rows = connection.execute("PRAGMA quick_check(3)").fetchall()
            except sqlite3.Error as error:
                rows = [(str(error),)]
            finally:
                connection.close()
            return None if rows == [("ok",)] else "; ".join(str(row[0]) for row in rows)

        return await asyncio.to_thread(check)

    async def close(self) -> None:
        """Let what was asked for be written, then close the file."""
        while self._gathering:
            self._hand_over()
        self._batches.put(None)
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown()
        for connection in (*self._connections, self._connection):
            connection.close()

    def _reading(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect_to_read(self.path)
            self._connections.append(connection)
        return connection

    def _write_forever(self) -> None:
        while (batch := self._batches.get()) is not None:
            outcomes = self._run(batch)
            loop = batch[0].done.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._settle, batch, outcomes)

    def _run(self, batch: list[_Job]) -> list[Any]:
        """Run all jobs in one transaction; return the result of each, or why it failed."""
        connection = self._connection
        changes = connection.total_changes
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                outcomes = _run_together(connection, batch)
            except sqlite3.OperationalError:
                raise  # disk full, read-only, I/O error: concerns the whole batch
            except Exception:  # noqa: BLE001 - one of them cannot be done: only that one is to be undone
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
                outcomes = [_run_alone(connection, job) for job in batch]
            self._at_commit.set()
            began = time.perf_counter()
            connection.execute("COMMIT")
            self.committed(time.perf_counter() - began)
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self.error = f"the journal {self.path} cannot be written: {error}; is the disk full or read-only?"
            return [_Failure(DatabaseError(self.error)) for _ in batch]
        if connection.total_changes != changes:
            self.error = None  # a commit of nothing needs no disk, and so proves nothing
        return outcomes


@dataclass(frozen=True)
class _Failure:
    error: Exception


def _run_together(connection: sqlite3.Connection, batch: Sequence[_Job]) -> list[Any]:
    """Without savepoints, which keep a copy of every page that is written: a fifth of the writer's time."""
    outcomes: list[Any] = []
    for work, jobs in groupby(batch, key=attrgetter("work")):
        outcomes += work(connection, [job.item for job in jobs])
    return outcomes


def _run_alone(connection: sqlite3.Connection, job: _Job) -> Any:
    connection.execute("SAVEPOINT job")
    try:
        (outcome,) = job.work(connection, [job.item])
    except sqlite3.OperationalError:
        raise
    except Exception as error:  # noqa: BLE001 - it is raised again where the job came from
        connection.execute("ROLLBACK TO job")
        outcome = _Failure(error)
    connection.execute("RELEASE job")
    return outcome


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot change the file; raises `DatabaseError` if there is none to read."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,  # used by one thread at a time
            timeout=BUSY_TIMEOUT_SECONDS,
        )
        version = _version(connection)
    except sqlite3.Error as error:
        raise DatabaseError(f"the journal {path} cannot be opened: {error}") from error
    _refuse_newer(path, version)
    return connection


def backup(source: Path, target: Path) -> None:
    """Make a consistent copy of the database at `source`, also while a machine writes to it.

    The copy appears under its name only when it is whole and on the disk. Raises `DatabaseError`.
    """
    if target.exists():
        raise DatabaseError(f"{target} exists already: a backup never overwrites one")
    unfinished = target.with_name(target.name + ".unfinished")
    try:
        with contextlib.closing(connect_to_read(source)) as connection:
            unfinished.unlink(missing_ok=True)
            with contextlib.closing(sqlite3.connect(unfinished)) as copy:
                connection.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, to be carried anywhere
        descriptor = os.open(unfinished, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        unfinished.rename(target)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(f"the backup {target} could not be made: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(f"the data folder {path.parent} cannot be made: {error.strerror}") from error
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_SECONDS
        )
        # Only EXTRA makes it durable that the rollback journal of a new file is gone: a power cut could bring it
        # back, and it would undo the file (sqlite.org/pragma.html#pragma_synchronous). After that FULL is enough.
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES_BETWEEN_CHECKPOINTS}")
        version = _version(connection)
        _refuse_newer(path, version)
        for number, script in enumerate(_migrations(), start=1):
            if number > version:
                connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
    except sqlite3.Error as error:
        raise DatabaseError(
            f"the journal {path} cannot be used: {error}; if the disk is sound, restore a backup of it"
        ) from error
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse_newer(path: Path, version: int) -> None:
    newest = len(_migrations())
    if version > newest:
        raise DatabaseError(
            f"the journal {path} is of version {version}, this program knows versions up to {newest}: "
            "install the newer program again, or restore the backup made before the upgrade"
        )


def _migrations() -> list[str]:
    """The numbered scripts of kiosk/schema, in their order; the number of the last is the schema's version."""
    folder = resources.files("kiosk") / "schema"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(folder / name).read_text(encoding="utf-8") for name in names]
