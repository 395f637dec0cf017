"""What the tests of boards share: waiting for conditions, a driver with a simulated board, a board by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from hardware.dispenser import Dispenser
from hardware.master_line import MasterTiming
from hardware.pseudo_terminal import PseudoTerminal, Wire
from hardware.serial_link import LinkTiming
from hardware.xy import codec
from hardware.xy.codec import Command, Frame
from hardware.xy.driver import XyDispenser
from hardware.xy.session import XyTiming
from hardware.xy.simulator import XyBoard

QUICK_LINK = LinkTiming(first_retry_seconds=0.05, longest_retry_seconds=0.1)
# The blind time is that of a busy computer; the real one is tested by itself.
QUICK_MASTER = MasterTiming(
    answer_seconds=0.5, quiet_seconds=0.1, poll_seconds=0.05, watch_seconds=0.01, blind_seconds=5, recall_seconds=1
)
QUICK = XyTiming(not_taken_seconds=0.6, recall_seconds=1.5)


async def wait_until(condition: Callable[[], object], what: str, limit_seconds: float = 10.0) -> None:
    """Wait for a condition; fail with its name when it does not come true."""
    try:
        async with asyncio.timeout(limit_seconds):
            while not condition():  # noqa: ASYNC110 - conditions of the other side of a wire have no event
                await asyncio.sleep(0.002)
    except TimeoutError:
        pytest.fail(f"waited {limit_seconds} s in vain: {what}")


@dataclass
class Bench:
    """A driver and a simulated board on one line."""

    board: XyBoard
    dispenser: XyDispenser

    async def ready(self) -> None:
        await wait_until(lambda: self.dispenser.status.ready, "the driver is ready")

    def fact(self, name: str) -> Any:
        return next((fact.value for fact in self.dispenser.status.facts if fact.name == name), None)

    def orders(self) -> list[str]:
        """The 06 frames that the board understood, in hex."""
        return [event.detail for event in self.board.events if event.kind == "in" and event.detail[6:8] == "06"]


class HandBoard:
    """The board's end of the line with every frame sent by hand."""

    def __init__(self, wire: Wire | None = None) -> None:
        self.heard: asyncio.Queue[Frame] = asyncio.Queue()
        self.decoder = codec.Decoder()
        self.line = PseudoTerminal(link=None, wire=wire or Wire(), on_bytes=self._bytes_came)
        self.line.plug()

    def _bytes_came(self, data: bytes) -> None:
        for frame in self.decoder.feed(data):
            self.heard.put_nowait(frame)

    def send(self, *frames: Frame) -> None:
        self.line.write(b"".join(map(codec.encode, frames)))

    async def answer(self) -> Frame:
        return await asyncio.wait_for(self.heard.get(), 5)

    async def say(self, frame: Frame) -> Frame:
        """Send one frame and take the answer to it."""
        self.send(frame)
        return await self.answer()

    async def poll(self) -> Frame:
        return await self.say(codec.POLL)

    async def handshake(self) -> None:
        """Poll and acknowledge until the host has nothing more to say."""
        silent_polls = 0
        while silent_polls < 2:  # after the first, the host has had the time to think of questions
            frame = await self.poll()
            silent_polls = silent_polls + 1 if frame == codec.ACK else 0
            if frame != codec.ACK:
                self.send(codec.ACK)

    async def take_order(self, *, acknowledge: bool = True) -> Frame:
        """Poll until the host answers with a 06."""
        while True:
            frame = await self.poll()
            if frame.command == Command.DRIVE:
                if acknowledge:
                    self.send(codec.ACK)
                return frame
            if frame != codec.ACK:
                self.send(codec.ACK)


@dataclass
class HandBench:
    """A driver and a board by hand on one line."""

    board: HandBoard
    dispenser: XyDispenser


@dataclass
class Line:
    """Any driver and any board that answers it. Their own faults and facts are reached through `board`."""

    board: Any
    dispenser: Dispenser

    def fact(self, name: str) -> Any:
        return next((fact.value for fact in self.dispenser.status.facts if fact.name == name), None)

    def vends(self) -> list[str]:
        """The slots of the commands that the board understood."""
        return [event.detail for event in self.board.events if event.kind == "vend"]

    def drops(self) -> list[int]:
        return [drop.selection for drop in self.board.drops]


LineMaker = Callable[..., Awaitable[Line]]
BenchMaker = Callable[..., Awaitable[Bench]]
HandBenchMaker = Callable[..., Awaitable[HandBench]]
