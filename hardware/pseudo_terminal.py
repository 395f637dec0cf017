"""The board's end of a serial line that exists only in this computer, with the damage real lines do.

For simulators: the other end is an ordinary device file that pyserial opens. Nothing here is used by a real machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tty
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Wire:
    """What the line does to the bytes, in both directions. The same seed does the same damage to the same bytes."""

    piece: int = 0  # bytes that travel together, the next piece a moment later; 0: whole writes
    delay_seconds: float = 0.0  # every write arrives so much later
    loss: float = 0.0  # share of bytes that vanish
    noise: float = 0.0  # share of bytes before which a random byte appears
    seed: int = 0


class PseudoTerminal:
    """A serial adapter that can be pulled out and put back.

    `path` is the device file now; `link`, if given, is a symbolic link that always leads to it, as
    /dev/serial/by-id does, and is gone while the adapter is. `on_bytes(data)` runs on the event loop.
    """

    def __init__(self, *, link: Path | None, wire: Wire, on_bytes: Callable[[bytes], None]) -> None:
        self._link = link
        self._wire = wire
        self._random = random.Random(wire.seed)  # noqa: S311 - damage to be repeated, not a secret
        self._on_bytes = on_bytes
        self._board_end = -1
        self._host_end = -1
        self._path = ""
        self._tail: asyncio.Task[None] | None = None  # the last write that is still on its way
        self._generation = 0  # bytes that were under way when the adapter was pulled arrive nowhere

    @property
    def path(self) -> str:
        """The device file that the host opens; empty while unplugged."""
        return self._path

    def plug(self) -> None:
        """Put the adapter in: a new device file, usually under another name than before."""
        if self._board_end >= 0:
            return
        self._board_end, self._host_end = os.openpty()
        # The host end stays open here too: else the line would hang up whenever no host has it open.
        tty.setraw(self._host_end)
        os.set_blocking(self._board_end, False)
        self._path = os.ttyname(self._host_end)
        asyncio.get_running_loop().add_reader(self._board_end, self._readable)
        if self._link is not None:
            fresh = self._link.with_name(self._link.name + ".new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(self._path)
            fresh.replace(self._link)

    def unplug(self) -> None:
        """Pull the adapter out: the host's open port fails, its name disappears."""
        if self._board_end < 0:
            return
        self._generation += 1
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        asyncio.get_running_loop().remove_reader(self._board_end)
        os.close(self._host_end)
        os.close(self._board_end)
        self._board_end = self._host_end = -1
        self._path = ""

    def stop_taking(self) -> None:
        """Take no more bytes from the host: its writes pile up, as behind a flow control that never opens."""
        asyncio.get_running_loop().remove_reader(self._board_end)

    def take_again(self) -> None:
        """End `stop_taking`."""
        asyncio.get_running_loop().add_reader(self._board_end, self._readable)

    def write(self, data: bytes) -> None:
        """Send bytes to the host; they are lost when nobody takes them, as on a real line."""
        self._carry(data, self._to_host)

    def _readable(self) -> None:
        try:
            data = os.read(self._board_end, 4096)
        except OSError:
            return
        self._carry(data, self._on_bytes)

    def _to_host(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._board_end, data)

    def _carry(self, data: bytes, deliver: Callable[[bytes], None]) -> None:
        wire = self._wire
        if wire.loss or wire.noise:
            data = self._damage(data)
        if not wire.piece and not wire.delay_seconds:
            deliver(data)
            return
        # One after the other: pieces of two writes never change places.
        self._tail = asyncio.get_running_loop().create_task(
            self._travel(data, deliver, self._tail, self._generation), name="bytes on a simulated line"
        )

    async def _travel(
        self, data: bytes, deliver: Callable[[bytes], None], ahead: asyncio.Task[None] | None, generation: int
    ) -> None:
        await asyncio.sleep(self._wire.delay_seconds)
        if ahead is not None:
            await asyncio.wait({ahead})
        size = self._wire.piece or len(data)
        for start in range(0, len(data), size):
            if generation == self._generation:
                deliver(data[start : start + size])
                await asyncio.sleep(0)

    def _damage(self, data: bytes) -> bytes:
        damaged = bytearray()
        for byte in data:
            if self._random.random() < self._wire.noise:
                damaged.append(self._random.randrange(256))
            if self._random.random() >= self._wire.loss:
                damaged.append(byte)
        return bytes(damaged)
