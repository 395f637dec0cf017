"""A journal that was cut short: nothing is sold on it, and a person is told. A folder that is missing is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from core_values import SteppedClock
from scenario_kit import bench

from kiosk.database import DatabaseError
from kiosk.journal import JOURNAL_FILE, Journal
from kiosk.lock import DataFolderLock
from kiosk.orders import OrderState

PAGE_BYTES = 4096  # of SQLite's files


async def sold(folder: Path) -> None:
    """A machine has sold three cans and was switched off."""
    async with bench(folder) as here:
        for customer in ("o-a", "o-b", "o-c"):
            await here.settled(await here.buy("cola", customer), OrderState.DISPENSED)


@pytest.mark.parametrize("left", [0.9, 0.5, 0.02])
async def test_nothing_is_sold_on_a_journal_that_was_cut_short(tmp_path: Path, left: float) -> None:
    """It is refused by a sentence, or read and found damaged: then no code is shown and a person is called."""
    await sold(tmp_path)
    journal = tmp_path / JOURNAL_FILE
    pages = journal.stat().st_size // PAGE_BYTES
    with journal.open("r+b") as file:
        file.truncate(max(1, int(pages * left)) * PAGE_BYTES)
    before = journal.read_bytes()
    told = ""
    try:
        async with bench(tmp_path, ready=False) as here:
            await here.until(
                lambda: any(p.code in {"journal_damaged", "journal"} for p in here.machine.readiness.problems), "told"
            )
            told = " ".join(problem.message for problem in here.machine.readiness.problems)
            assert here.machine.readiness.blocked
            assert all(tile.code is None for tile in here.scene().tiles)
    except DatabaseError as error:
        told = str(error)
    assert "journal" in told
    assert before == journal.read_bytes()[: len(before)] or "damaged" in told


async def test_a_data_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    """The first start of a machine whose data_dir is nowhere yet."""
    folder = tmp_path / "not" / "there"
    DataFolderLock(folder).release()
    await Journal(folder, SteppedClock()).close()
    assert (folder / JOURNAL_FILE).is_file()


def test_a_data_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    """A file stands in its place."""
    (tmp_path / "var").touch()
    with pytest.raises(OSError, match=r"the data folder .*/var cannot be made or opened"):
        DataFolderLock(tmp_path / "var")
