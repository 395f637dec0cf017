"""Processes that a row needs beside the one that measures: started, waited for, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).parent / "peers"
PEER_PYTHON = ROOT / ".bench-venv" / "bin" / "python"
READY_SECONDS = 60.0  # a journal of thousands of orders is filled first


def peers_installed() -> bool:
    """Whether there is anybody to compare with; `make bench` sees to it."""
    return PEER_PYTHON.exists()


@contextlib.asynccontextmanager
async def running(*arguments: str, python: Path | str = sys.executable, loud: bool = False) -> AsyncIterator[Process]:
    """A Python process, killed at the end; `loud`: its standard output is the caller's to read, from its first line."""
    process = await asyncio.create_subprocess_exec(
        python, *arguments, stdout=PIPE, stderr=DEVNULL, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        if not loud:
            await line_of(process)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def line_of(process: Process) -> str:
    """The next line that the process prints; it has said all that it will when this raises."""
    assert process.stdout is not None  # noqa: S101 - see `running`
    async with asyncio.timeout(READY_SECONDS):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a process of the bench ended before it was ready; run it by hand to see why")
    return line.decode().strip()
