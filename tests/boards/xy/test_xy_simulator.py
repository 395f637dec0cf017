"""The simulated XY board, heard by a host that is nothing but bytes: its times, its faults, its ledger."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from boards_kit import QUICK_LINK, wait_until

from hardware.serial_link import SerialLink
from hardware.simulated_board import BoardEvent, Drop, read_ledger
from hardware.simulator_console import run_board
from hardware.simulators import make_board
from hardware.xy import codec
from hardware.xy.codec import Command, Frame
from hardware.xy.simulator import XyBoard


class HandHost:
    """A host that acknowledges everything and answers POLLs with what it was told to say."""

    def __init__(self, port: str) -> None:
        self.heard: list[Frame] = []
        self.to_say: list[Frame] = []
        self.deaf = False
        self.link = SerialLink(
            port=port,
            baudrate=57600,
            on_bytes=self._bytes_came,
            on_up=lambda: None,
            on_down=lambda _: None,
            timing=QUICK_LINK,
        )
        self._decoder = codec.Decoder()

    def _bytes_came(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            self.heard.append(frame)
            if self.deaf or frame == codec.ACK:
                continue
            answer = self.to_say.pop(0) if frame == codec.POLL and self.to_say else codec.ACK
            self.link.write(codec.encode(answer))

    def heard_of(self, command: Command) -> list[Frame]:
        return [frame for frame in self.heard if frame.command == command]

    async def hears(self, command: Command, count: int = 1) -> list[Frame]:
        await wait_until(lambda: len(self.heard_of(command)) >= count, f"{count} x {command.name} came")
        return self.heard_of(command)


class Pair:
    def __init__(self, board: XyBoard, host: HandHost) -> None:
        self.board = board
        self.host = host


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Any]:
    made: list[Pair] = []

    async def make(**options: Any) -> Pair:
        link = tmp_path / f"board-{len(made)}"
        board = XyBoard(**{"link": link, "motor_seconds": 0.02, "poll_seconds": 0.05, "selections": (1, 2)} | options)
        host = HandHost(str(link))
        made.append(Pair(board, host))
        await board.start()
        host.link.start()
        await wait_until(lambda: host.link.is_up, "the port is open")
        return made[-1]

    yield make
    for one in made:
        await one.host.link.stop()
        await one.board.stop()


def drive(packno: int, address: int) -> Frame:
    return codec.drive(packno, address, drop_sensor=True, lift=False)


class TestTheDocumentedBoard:
    async def test_it_polls_at_its_interval_and_obeys_another(self, pair: Any) -> None:
        """200 ms by default; 16 changes it."""
        both = await pair(poll_seconds=0.2)
        loop = asyncio.get_running_loop()
        await both.host.hears(Command.POLL)
        before = loop.time()
        await both.host.hears(Command.POLL, len(both.host.heard_of(Command.POLL)) + 3)
        assert 0.55 < loop.time() - before < 1.0
        both.host.to_say.append(codec.poll_interval(1, 100))
        await both.host.hears(Command.ACK)
        before = loop.time()
        await both.host.hears(Command.POLL, len(both.host.heard_of(Command.POLL)) + 3)
        assert loop.time() - before < 0.5

    async def test_a_synchronisation_brings_a_report_of_every_selection(self, pair: Any) -> None:
        """31 is acknowledged, then one 11 for each selection."""
        both = await pair(selections=(1, 2, 60))
        both.host.to_say.append(codec.sync(1))
        reports = [codec.read_selection_report(frame) for frame in await both.host.hears(Command.SELECTION_REPORT, 3)]
        assert [report.selection for report in reports if report] == [1, 2, 60]

    async def test_a_vend_turns_reports_and_counts(self, pair: Any) -> None:
        """06: ACK, 04/01, the item, 04/02; the sales counter moves by one."""
        both = await pair()
        both.host.to_say.append(drive(1, 2))
        reports = [codec.read_dispense_status(frame) for frame in await both.host.hears(Command.DISPENSE_STATUS, 2)]
        assert [(report.status, report.selection) for report in reports if report] == [(1, 2), (2, 2)]
        assert [drop.selection for drop in both.board.drops] == [2]
        both.host.to_say.append(codec.sales_query(2, 2))
        (answer,) = await both.host.hears(Command.MENU_ANSWER)
        sales = codec.read_sales_count(answer)
        assert sales
        assert (sales.count, sales.selection) == (1, 2)

    async def test_questions_are_answered(self, pair: Any) -> None:
        """01 by 02, 51 by 52 in full, 53 by 54."""
        both = await pair()
        both.host.to_say += [Frame(1, 1, b"\x00\x02"), Frame(1, 2, b"\x00\x09")]
        statuses = [codec.read_selection_status(f) for f in await both.host.hears(Command.SELECTION_STATUS, 2)]
        assert [(status.status, status.selection) for status in statuses if status] == [(1, 2), (3, 9)]
        both.host.to_say += [codec.machine_status_query(3), codec.quick_status_query(4)]
        (machine,) = await both.host.hears(Command.MACHINE_STATUS)
        assert codec.read_machine_status(machine)
        (quick,) = await both.host.hears(Command.QUICK_STATUS)
        assert codec.read_quick_status(quick) == 0

    async def test_unacknowledged_data_is_repeated_five_times(self, pair: Any) -> None:
        """The same frame, the same PACKNO, five times in all; then the board polls on."""
        both = await pair(motor_seconds=0.3)
        both.host.to_say.append(drive(1, 1))
        await both.host.hears(Command.DISPENSE_STATUS)
        both.host.deaf = True  # before the motor has turned, after its 04/01 was acknowledged
        await both.host.hears(Command.DISPENSE_STATUS, 6)
        await both.host.hears(Command.POLL, len(both.host.heard_of(Command.POLL)) + 1)
        heard = both.host.heard_of(Command.DISPENSE_STATUS)
        assert [heard.count(frame) for frame in dict.fromkeys(heard)] == [1, 5]

    @pytest.mark.parametrize(("drops_duplicates", "drops"), [(True, 1), (False, 2)])
    async def test_a_repeated_order_turns_again_only_on_a_harsh_board(
        self, pair: Any, *, drops_duplicates: bool, drops: int
    ) -> None:
        """Nobody promises either behaviour: both can be had."""
        both = await pair(drops_duplicates=drops_duplicates)
        both.host.to_say += [drive(1, 1), drive(1, 1)]
        await both.host.hears(Command.ACK, 2)
        await both.host.hears(Command.DISPENSE_STATUS, 2 * drops)
        assert len(both.board.drops) == drops

    async def test_a_boot_begins_with_a_31(self, pair: Any) -> None:
        """After a reboot: silence, 31, the software version, then polls; numbers begin at 1."""
        both = await pair()
        await both.host.hears(Command.POLL)
        both.board.reboot(boot_seconds=0.05)
        (sync,) = await both.host.hears(Command.SYNC)
        assert sync.packno == 1
        (version,) = await both.host.hears(Command.SOFTWARE_VERSION)
        assert version.text == b"SIMULATED XY 3 "


class TestTheLedger:
    async def test_every_drop_is_on_the_disk_before_it_is_reported(self, pair: Any, tmp_path: Path) -> None:
        """One JSON line an item; what was there before stays."""
        ledger = tmp_path / "drops.jsonl"
        ledger.write_text('{"time": 1.0, "selection": 9}\n')
        both = await pair(ledger=ledger)
        both.host.to_say.append(drive(1, 2))
        await both.host.hears(Command.DISPENSE_STATUS, 2)
        drops = read_ledger(ledger)
        assert drops[0] == Drop(1.0, 9)
        assert drops[1:] == both.board.drops
        assert set(json.loads(ledger.read_text().splitlines()[-1])) == {"time", "selection"}

    def test_no_ledger_no_drops(self, tmp_path: Path) -> None:
        """A ledger that was never begun is empty."""
        assert read_ledger(tmp_path / "none") == []


class TestTheAdapter:
    async def test_the_link_follows_the_adapter(self, pair: Any, tmp_path: Path) -> None:
        """Unplugged, the link is gone; back in, it leads to the device file of now."""
        both = await pair()
        link = tmp_path / "board-0"
        assert str(link.resolve()) == both.board.path
        both.board.unplug()
        assert not link.is_symlink()
        assert both.board.path == ""
        both.board.replug()
        assert str(link.resolve()) == both.board.path
        before = len(both.host.heard_of(Command.POLL))
        await both.host.hears(Command.POLL, before + 1)

    async def test_a_silent_board_says_nothing(self, pair: Any) -> None:
        """Silent means silent: not one byte, and nothing heard."""
        both = await pair()
        await both.host.hears(Command.POLL)
        both.board.silent = True
        await asyncio.sleep(0.02)  # what was under way has arrived
        before = both.host.link.bytes_in
        await asyncio.sleep(0.3)  # the silence itself
        assert both.host.link.bytes_in == before


async def test_the_command_prints_where_it_is_and_what_happens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`kiosk simulate-board`: the path first, then every frame and drop, and typed faults, until it is stopped."""
    link = tmp_path / "board"
    keyboard, typed = os.pipe()
    lines = os.fdopen(keyboard)
    running = asyncio.create_task(run_board("xy", lambda show: make_board("xy", link, show), lines))
    await wait_until(link.is_symlink, "the link is there")
    host = HandHost(str(link))
    host.to_say.append(drive(1, 1))
    host.link.start()
    await host.hears(Command.DISPENSE_STATUS, 2)
    os.write(typed, b"jam 2\nno such word\n")
    host.to_say.append(drive(2, 2))
    reports = await host.hears(Command.DISPENSE_STATUS, 4)
    await host.link.stop()
    os.close(typed)
    running.cancel()
    await asyncio.wait({running})
    lines.close()
    printed = capsys.readouterr().out
    assert printed.startswith(f"a simulated xy board listens on {link}")
    assert "out       fa fb 41 00 40" in printed
    assert "drop      1" in printed
    assert "faults: jam N" in printed
    assert reports[-1].text == b"\x03\x00\x02"
    assert not link.is_symlink()


async def test_events_are_told_as_they_happen(tmp_path: Path) -> None:
    """A demo hears frames, vends, drops and faults through one callback."""
    heard: list[BoardEvent] = []
    board = XyBoard(link=tmp_path / "board", on_event=heard.append)
    await board.start()
    board.unplug()
    board.replug()
    await board.stop()
    assert BoardEvent("fault", "unplug") in heard
