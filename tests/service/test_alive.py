"""What the watchdog asks a whole machine: whether journal and driver are alive, each of them hung once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scenario_kit import LIMIT_SECONDS, Bench, bench

from kiosk.records import SlotRecord

PATIENCE_SECONDS = 0.3  # of the watchdog with the journal, instead of a quarter of a minute


@pytest.fixture
async def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("kiosk.machine.JOURNAL_SECONDS", PATIENCE_SECONDS)
    async with bench(tmp_path) as made:
        yield made


async def is_well(here: Bench) -> bool:
    """A busy computer may be late once."""
    return await here.machine.stuck() is None


async def test_a_hung_journal_is_not_alive(here: Bench) -> None:
    """A write that does not end stops the food; when it ends the machine is alive again."""
    await here.until_async(lambda: is_well(here), "it is alive")
    hanging, release = threading.Event(), threading.Event()

    def hang(record: SlotRecord) -> SlotRecord:
        hanging.set()
        release.wait(LIMIT_SECONDS)
        return record

    task = asyncio.create_task(here.machine.journal.change_slot("11", "restocked", "a test", hang))
    await here.until(hanging.is_set, "the write hangs")
    told = await here.machine.stuck()
    release.set()
    await task
    assert told == f"the journal has not answered within {PATIENCE_SECONDS:g} s"
    await here.until_async(lambda: is_well(here), "it is alive again")


async def test_a_driver_that_has_ended_is_not_alive(here: Bench) -> None:
    """A driver that does not look for its board any more needs a new process; a board that is off does not."""
    await here.board.stop()
    await here.until(lambda: not here.machine.dispenser.status.ready, "the board is missed")
    assert await is_well(here)
    (keeper,) = (task for task in asyncio.all_tasks() if task.get_name().startswith("serial link"))
    keeper.cancel()
    await asyncio.wait({keeper})
    assert await here.machine.stuck() == "the driver does not look for its board any more"
    await here.board.start()
