"""The power fails at any sync: what the world was told stands in the journal, and the journal opens and is sound."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from core_values import NOON, SteppedClock
from power_kit import Luck, Recorder, disk_after, recorded
from scenario_kit import bench

from kiosk.archive import archive
from kiosk.audit import audit
from kiosk.journal import JOURNAL_FILE, Journal
from kiosk.orders import OrderState
from kiosk.records import Change
from kiosk.refunds import request_refund
from kiosk.settings import NativeMode

JOURNALS = Path(__file__).parent.parent / "core" / "journals"


def events_in(path: Path) -> list[tuple[str, str | None]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT kind, out_trade_no FROM events ORDER BY id").fetchall()


async def try_every_cut(
    record: Recorder, before: dict[str, bytes], folder: Path, luck: Luck, look: Callable[[Path, int], None]
) -> int:
    """Make the disk as it was at each cut, open the journal on it, and `look`; return how many cuts there were."""
    cuts = record.cuts()
    for cut in cuts:
        files = disk_after(record.acts[:cut], before, luck, seed=cut)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()  # noqa: ASYNC240 - nothing else runs on this loop
        for path, content in files.items():
            (folder / Path(path).name).write_bytes(content)
        await Journal(
            folder, SteppedClock()
        ).close()  # a machine starts on it: the log is read back, the schema brought up
        found = audit(folder / JOURNAL_FILE)
        assert found.findings == (), (cut, luck)
        look(folder / JOURNAL_FILE, cut)
    return len(cuts)


@pytest.fixture(params=list(Luck), ids=lambda luck: luck.value)
def luck(request: pytest.FixtureRequest) -> Luck:
    found: Luck = request.param
    return found


async def a_day_of_sales(folder: Path) -> Recorder:
    """A sale, one with a jam before it, one that is refunded, an order in both modes, a restock."""
    with recorded(folder) as record:
        for mode in NativeMode:
            async with bench(folder, native_mode=mode) as here:

                def told(change: Change) -> None:
                    record.tell((change.event.kind, change.event.out_trade_no))

                here.machine.journal.subscribe(told)
                first = await here.buy("cola")
                await here.settled(first, OrderState.DISPENSED)
                here.board.jam(11)
                await here.settled(await here.buy("cola", "o-second"), OrderState.DISPENSED)
                await request_refund(here.machine.journal, first, "tester")
                await here.settled(first, OrderState.REFUNDED)
                await here.machine.journal.change_slot(
                    "11", "restock", "tester", lambda slot: replace(slot, stock=3, fault=None)
                )
    return record


async def test_what_was_told_survives(tmp_path: Path, luck: Luck) -> None:
    """Every event that anybody was told of before the power failed is in the journal after it, in order."""
    (tmp_path / "machine").mkdir()
    record = await a_day_of_sales(tmp_path / "machine")

    def look(path: Path, cut: int) -> None:
        stored = iter(events_in(path))
        missing = [fact for fact in record.told(cut) if fact not in stored]
        assert missing == [], (cut, luck)

    assert await try_every_cut(record, {}, tmp_path / "disk", luck, look) > 60


@pytest.mark.parametrize("version", [1, 2])
async def test_an_upgrade_survives(tmp_path: Path, luck: Luck, version: int) -> None:
    """Whenever the power fails while an older journal is brought up, the next start finds every order and event."""
    folder = tmp_path / "machine"
    folder.mkdir()
    with closing(sqlite3.connect(folder / JOURNAL_FILE)) as connection:
        connection.executescript((JOURNALS / f"{version}.sql").read_text(encoding="utf-8"))
    stored = events_in(folder / JOURNAL_FILE)
    before = {str(path): path.read_bytes() for path in folder.iterdir()}
    with recorded(folder) as record:
        await Journal(folder, SteppedClock()).close()

    def look(path: Path, cut: int) -> None:
        assert events_in(path) == stored, cut

    assert await try_every_cut(record, before, tmp_path / "disk", luck, look) > 3


async def test_archiving_survives(tmp_path: Path, luck: Luck, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the power fails while old events are dropped, what is left fits what was dropped."""
    monkeypatch.setattr("kiosk.archive.DROPPED_AT_ONCE", 7)
    folder = tmp_path / "machine"
    journal = Journal(folder, SteppedClock())
    for number in range(30):
        await journal.note("noted", {"number": number})
    await journal.close()
    before = {str(path): path.read_bytes() for path in folder.iterdir()}
    with recorded(folder) as record:
        await archive(folder / JOURNAL_FILE, tmp_path / "archive.sqlite", NOON + timedelta(days=1))

    def look(path: Path, _: int) -> None:
        assert len(events_in(path)) in (30, 23, 16, 9, 2, 1)

    assert await try_every_cut(record, before, tmp_path / "disk", luck, look) > 8
    assert len(events_in(folder / JOURNAL_FILE)) == 1


async def test_the_disk_of_these_tests_does_forget(tmp_path: Path) -> None:
    """A database that does not sync loses what it told, on this disk: the tests above can fail."""
    with recorded(tmp_path) as record:
        connection = sqlite3.connect(tmp_path / JOURNAL_FILE, isolation_level=None)
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE facts (fact TEXT)")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("INSERT INTO facts VALUES ('paid')")
        record.tell("paid")
        files = disk_after(record.acts, {}, Luck.FORGOTTEN, seed=0)
        connection.close()
    (tmp_path / "disk").mkdir()
    for path, content in files.items():
        (tmp_path / "disk" / Path(path).name).write_bytes(content)
    with closing(sqlite3.connect(tmp_path / "disk" / JOURNAL_FILE)) as after:
        tables = after.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        facts = after.execute("SELECT * FROM facts").fetchall() if tables else []

    assert facts == []
