"""Processes that a row needs beside the one that measures: started, waited for, ended."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

from kiosk.simulation.scratch import free_ports

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).parent / "peers"
PEER_PYTHON = ROOT / ".bench-venv" / "bin" / "python"
# As on a machine, where modules are compiled once; a developer's environment may say otherwise.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
    "PYTHONPATH": str(ROOT)
}
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # folders in it are not on a disk; None: wherever
VERBOSE = "BENCH_VERBOSE" in os.environ  # shows what the processes complain of
READY_SECONDS = 60.0  # a journal of thousands of orders is filled first

_ports = contextlib.ExitStack()
atexit.register(_ports.close)


def peers_installed() -> bool:
    """Whether there is anybody to compare with; `make bench` sees to it."""
    return PEER_PYTHON.exists()


def ports(count: int) -> list[int]:
    """Ports for processes that listen; they stay this process's own until it ends."""
    return _ports.enter_context(free_ports(count))


@contextlib.asynccontextmanager
async def running(
    *arguments: str, python: Path | str = sys.executable, ready: bool = True, answers: bool = False
) -> AsyncIterator[Process]:
    """A Python process, killed at the end.

    `ready`: it says so by its first line, and is waited for. `answers`: what is written to it is read.
    """
    process = await asyncio.create_subprocess_exec(
        python,
        *arguments,
        stdin=PIPE if answers else DEVNULL,
        stdout=PIPE,
        stderr=None if VERBOSE else DEVNULL,
        cwd=ROOT,
        env=ENVIRONMENT,
    )
    try:
        if ready:
            await line_of(process)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def line_of(process: Process) -> str:
    """The next line that the process prints."""
    assert process.stdout is not None
    async with asyncio.timeout(READY_SECONDS):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a process of the bench has ended; BENCH_VERBOSE=1 shows why")
    return line.decode().strip()
