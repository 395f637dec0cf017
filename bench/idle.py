"""What a machine costs that nobody buys from: twelve codes on the screen, a board that polls five times a second."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import time
from pathlib import Path

from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from bench.machine_ini import Place, furnish
from bench.processes import READY_SECONDS, line_of, ports, running
from bench.table import Line, Row, Scale
from bench.values import TOKEN

LIMIT_PERCENT = 2
_TICKS = os.sysconf("SC_CLK_TCK")


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def measure(scale: Scale) -> list[Row]:
    """A row: native mode one and native mode two."""
    lines = []
    for mode in ("one", "two"):
        with tempfile.TemporaryDirectory() as name:
            percent = await _idle(Path(name), mode, scale)
        what = f"native mode {mode}"
        lines.append(Line(what, f"{percent:.2f} %", None, f"{LIMIT_PERCENT} % or less", percent <= LIMIT_PERCENT))
    return [Row("CPU of one core when idle: 12 products, an xy board polling every 200 ms", lines)]


async def _idle(folder: Path, mode: str, scale: Scale) -> float:
    (port,) = ports(1)
    board = folder / "board"
    place = furnish(
        folder,
        display=f"driver = file\ndevice = {folder / 'screen.png'}",
        dispenser=f"driver = xy\nport = {board}",
        native_mode=mode,
        wechat=f"http://127.0.0.1:{port}",
    )
    board_line = ("-m", "kiosk", "simulate-board", "--protocol", "xy", "--link", str(board))
    wechat_line = ("-m", "kiosk", "simulate-wechat", "--listen", f"127.0.0.1:{port}", "-c", str(place.ini))
    async with (
        running(*board_line) as simulated,
        running(*wechat_line),
        running("-m", "kiosk", "run", "-c", str(place.ini), ready=False) as machine,
    ):
        listening = asyncio.create_task(_drain(simulated))
        async with asyncio.timeout(READY_SECONDS):
            while not await _sells(place):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        await asyncio.sleep(scale.settle_seconds)
        used, began = _cpu_seconds(machine.pid), time.monotonic()
        await asyncio.sleep(scale.idle_seconds)
        used, passed = _cpu_seconds(machine.pid) - used, time.monotonic() - began
        listening.cancel()
    return used / passed * 100


async def _sells(place: Place) -> bool:
    """Whether the machine is well, and has codes on its screen."""
    with contextlib.suppress(OSError, HTTPClientError):
        answer = await AsyncHTTPClient().fetch(
            f"{place.web}/api/status", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        return bool(json.loads(answer.body)["health"] == "ok")
    return False


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Read what the board prints of every frame: a full pipe would silence it."""
    while True:
        await line_of(process)
