"""Codes made, and made only once; board polls answered while the screen is repainted."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.codes_made import link
from bench.environment import libqrencode
from bench.panel import BYTES
from bench.processes import MEMORY, PEER_PYTHON, PEERS, line_of, peers_installed, running
from bench.table import Line, Row, Scale, in_turn, milliseconds, ratio
from display import qr
from hardware.xy.simulator import XyBoard

COUNTS = (12, 24, 60)
MODULE_PIXELS = 4
ANSWER_MS = 20
POLL_SECONDS = 0.025  # eight times as often as a board asks: more answers to look at


async def measure(scale: Scale) -> list[Row]:
    """Two rows."""
    rows = [Row(f"{count} long codes made", await _made(scale, count)) for count in COUNTS]
    return [
        *rows,
        Row("board polls answered while twelve new codes are painted again and again", await _polls(scale)),
    ]


async def _made(scale: Scale, count: int) -> list[Line]:
    numbers = itertools.count(step=count)
    painted: list[str] = []

    async def first() -> float:
        start = next(numbers)
        painted[:] = [link(number) for number in range(start, start + count)]
        return again_now()

    def again_now() -> float:
        began = time.perf_counter()
        for text in painted:
            qr.paint(text, MODULE_PIXELS)
        return time.perf_counter() - began

    async def again() -> float:
        return again_now()

    contestants: dict[str, Callable[[], Awaitable[float]]] = {
        "this project: made and painted": first,
        "this project: painted again": again,
    }
    if not peers_installed():
        taken = await in_turn(contestants, scale.rounds)
        return [Line(name, milliseconds(statistics.median(seconds))) for name, seconds in taken.items()]
    library = libqrencode()
    reference = "libqrencode" if library else "segno"
    arguments = [str(PEERS / "qr_makers.py"), *([str(library)] if library else [])]
    async with running(*arguments, python=PEER_PYTHON, answers=True) as maker:

        def ask(name: str) -> Callable[[], Awaitable[float]]:
            return lambda: _ask(maker, name, next(numbers), count)

        peers = ("libqrencode", "qrcode", "segno") if library else ("qrcode", "segno")
        contestants |= {name: ask(name) for name in peers}
        taken = await in_turn(contestants, scale.rounds)
    lines = []
    for name, seconds in taken.items():
        times = ratio(taken, name, reference)
        kept = name.endswith("again")
        reach, reached = ("made once and kept", times < 1) if kept else ("", None)
        shown = f"{name} (reference)" if name == reference else name
        lines.append(Line(shown, milliseconds(statistics.median(seconds)), times, reach, reached))
    return lines


async def _ask(maker: Process, name: str, first: int, count: int) -> float:
    assert maker.stdin is not None
    maker.stdin.write(f"{name} {first} {count}\n".encode())
    return float(await line_of(maker))


async def _polls(scale: Scale) -> list[Line]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        frame = Path(folder) / "frame"
        frame.write_bytes(bytes(BYTES))
        board = XyBoard(link=Path(folder) / "board")
        await board.start()
        try:
            async with running("-m", "bench.repainter", board.path, str(frame)):
                while not board.synced:  # noqa: ASYNC110 - the board has no event for it
                    await asyncio.sleep(0.01)
                await asyncio.sleep(scale.settle_seconds)
                board.answer_ms.clear()
                board.poll_seconds = POLL_SECONDS
                while len(board.answer_ms) < scale.polls:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            await board.stop()
        answers = sorted(board.answer_ms)
    median, most = statistics.median(answers), answers[int(len(answers) * 0.99)]
    reached = most <= ANSWER_MS
    return [
        Line(f"median of {len(answers)}", f"{median:.1f} ms"),
        Line("99 of 100", f"{most:.1f} ms", None, f"{ANSWER_MS} ms or less", reached),
        Line("the slowest", f"{answers[-1]:.1f} ms"),
    ]
