"""The machine of the demo: the real `kiosk run` in a process of its own, so that its power can be cut."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

STOP_SECONDS = 20.0  # a vend under way is finished first; the demo's boards need a few seconds for one
LOG_TAIL_LINES = 5


class MachineProcess:
    """One machine. `changed` is called when it has come up or gone."""

    def __init__(self, ini: Path, log: Path, changed: Callable[[], None]) -> None:
        self.ended: int | None = None  # the exit status of a machine that stopped by itself
        self._ini = ini
        self._log = log
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    async def start(self) -> None:
        """Start `kiosk run`; its words go to the log."""
        environment = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "kiosk", "run", "-c", str(self._ini), env=environment, stdout=log, stderr=log
            )
        self.ended = None
        self._watcher = asyncio.get_running_loop().create_task(self._watch(self._process))
        self._changed()

    async def cut_power(self) -> None:
        """SIGKILL: not one more instruction is carried out."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
        self._changed()

    async def stop(self) -> None:
        """SIGTERM, and patience for a vend under way."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._watcher is not None:
            await self._watcher

    def last_words(self) -> str:
        """The end of its log."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        if self._process is process:  # nobody asked it to
            self._process = None
            self.ended = status
            self._changed()
