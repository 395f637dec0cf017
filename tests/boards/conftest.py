"""Benches: a driver and the other side of its line, started and stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from boards_kit import (
    QUICK,
    QUICK_LINK,
    QUICK_MASTER,
    Bench,
    BenchMaker,
    HandBench,
    HandBenchMaker,
    HandBoard,
    Line,
    LineMaker,
    wait_until,
)

from hardware.dispenser import Dispenser
from hardware.pseudo_terminal import Wire
from hardware.simulated_board import SimulatedBoard
from hardware.xy.driver import XyDispenser
from hardware.xy.simulator import XyBoard


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[BenchMaker]:
    """Make a bench: `board` and all other options are those of XyBoard and XyDispenser."""
    benches: list[Bench] = []

    async def make(*, board: dict[str, Any] | None = None, ready: bool = True, **options: Any) -> Bench:
        link = tmp_path / f"board-{len(benches)}"
        made = Bench(
            XyBoard(**{"link": link, "motor_seconds": 0.05, "selections": range(1, 21)} | (board or {})),
            XyDispenser(
                **{"port": str(link), "vend_timeout_seconds": 2, "timing": QUICK, "link_timing": QUICK_LINK} | options
            ),
        )
        benches.append(made)
        await made.board.start()
        await made.dispenser.start()
        if ready:
            await made.ready()
        return made

    yield make
    for made in benches:
        await made.dispenser.stop()
        await made.board.stop()


@pytest.fixture
async def hand_bench() -> AsyncIterator[HandBenchMaker]:
    """Make a bench with a board by hand, the handshake done."""
    benches: list[HandBench] = []

    async def make(*, handshake: bool = True, wire: Wire | None = None, **options: Any) -> HandBench:
        board = HandBoard(wire)
        dispenser = XyDispenser(
            **{"port": board.line.path, "vend_timeout_seconds": 2, "timing": QUICK, "link_timing": QUICK_LINK}
            | options
        )
        made = HandBench(board, dispenser)
        benches.append(made)
        await dispenser.start()
        await wait_until(lambda: "polls" in dispenser.status.reason, "the port is open")
        if handshake:
            await board.handshake()
            assert dispenser.status.ready
        return made

    yield make
    for made in benches:
        await made.dispenser.stop()
        made.board.line.unplug()


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[LineMaker]:
    """Start a simulated board and a driver on one line: `line(kind of board, kind of driver, board's options, …)`."""
    started: list[Line] = []

    async def make(
        board: Callable[..., SimulatedBoard],
        driver: Callable[..., Dispenser],
        of_board: dict[str, Any] | None = None,
        *,
        ready: bool = True,
        **options: Any,
    ) -> Line:
        link = tmp_path / f"line-{len(started)}"
        made = Line(
            board(**{"link": link, "motor_seconds": 0.05} | (of_board or {})),
            driver(
                **{
                    "port": str(link),
                    "vend_timeout_seconds": 1,
                    "timing": QUICK_MASTER,
                    "link_timing": QUICK_LINK,
                }
                | options
            ),
        )
        started.append(made)
        await made.board.start()
        await made.dispenser.start()
        if ready:
            await wait_until(lambda: made.dispenser.status.ready, "the driver is ready")
        return made

    yield make
    for made in started:
        await made.dispenser.stop()
        await made.board.stop()
