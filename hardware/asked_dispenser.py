"""What all drivers share whose board only answers: when it is asked how it is, and how one vend at a time is kept.

A protocol inherits `AskedDispenser` and says how its board introduces itself, how it is, and how one slot is turned.
Everything that is asked runs under one lock, so that a vend is never interrupted by a question of the routine.
"""

from __future__ import annotations

import abc
import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from hardware.dispenser import Cause, Fact, Outcome, Status, VendResult
from hardware.master_line import MasterLine, MasterTiming, Unanswered
from hardware.serial_link import LinkTiming

logger = logging.getLogger(__name__)

POLLS_UNTIL_SILENT = 3  # a single damaged answer is no reason to close the shop


class AskedDispenser(abc.ABC):
    """A `Dispenser` for boards that speak only when asked. `kind` is what the board is called in sentences."""

    def __init__(
        self,
        *,
        kind: str,
        port: str,
        baudrate: int,
        vend_timeout_seconds: float,
        timing: MasterTiming | None,
        link_timing: LinkTiming | None,
    ) -> None:
        self._timing = timing or MasterTiming()
        self._line = MasterLine(
            port=port,
            baudrate=baudrate,
            kind=kind,
            timing=self._timing,
            link_timing=link_timing,
            on_change=self._line_changed,
        )
        self._kind = kind
        self._vend_timeout_seconds = vend_timeout_seconds
        self._board_facts: dict[str, Fact] = {}
        self._slots: frozenset[int] | None = None  # set by a protocol whose board tells them
        self._reason = self._line.reason
        self._introduced = False
        self._failures = 0  # questions of the routine without an answer, in succession
        self._asking = asyncio.Lock()
        self._vending = False
        self._stopping = False
        self._keeper: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._callbacks: list[Callable[[], None]] = []

    # The Dispenser.

    @property
    def status(self) -> Status:
        """See `Dispenser`. Ready: the board has said what it is, and answered one of the last questions."""
        alive = self._line.alive and (self._keeper is None or not self._keeper.done())
        return Status(
            ready=not self._reason,
            reason=self._reason,
            facts=(*self._line.facts, *self._board_facts.values()),
            alive=alive,
            slots=self._slots,
        )

    def on_status(self, callback: Callable[[], None]) -> None:
        """See `Dispenser`."""
        self._callbacks.append(callback)

    async def start(self) -> None:
        """See `Dispenser`."""
        self._line.start()
        self._keeper = asyncio.get_running_loop().create_task(self._attend(), name=f"questions to {self._kind}")

    async def stop(self) -> None:
        """See `Dispenser`. A vend that is open all the same ends as UNKNOWN, or not taken if nothing was sent."""
        self._stopping = True
        keeper, self._keeper = self._keeper, None
        await self._line.stop()
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})

    def prepare(self, address: int) -> str:
        """See `Dispenser`: JSON with the frame in hex, and what the protocol adds. ValueError for a bad address."""
        self._check(address)
        return json.dumps({"frame": self._order(address).hex()} | self._witnesses(), separators=(",", ":"))

    async def vend(self, address: int) -> VendResult:
        """See `Dispenser`. ValueError for an address that no board of this kind has."""
        if self._vending:
            raise RuntimeError("a vend is open already; this board takes one order at a time")
        self._check(address)
        self._vending = True
        try:
            if not self.status.ready:  # without waiting: the routine holds the lock while the board is silent
                return self._never_ordered(address, self._reason)
            deadline = asyncio.get_running_loop().time() + self._vend_timeout_seconds
            async with self._asking:
                if self._reason:
                    return self._never_ordered(address, self._reason)
                if not self._introduced:
                    return self._never_ordered(address, "the board's last answer was lost, and it is asked anew")
                return await self._turn(address, deadline)
        finally:
            self._vending = False

    async def recall(self, address: int, evidence: str) -> VendResult:  # noqa: ARG002 - for those that can tell
        """See `Dispenser`. Most boards of this kind cannot tell."""
        return VendResult(Outcome.UNKNOWN, f"{self._kind} cannot tell afterwards what became of slot {address}")

    # What a protocol says.

    @abc.abstractmethod
    def _check(self, address: int) -> None:
        """Raise ValueError, with a sentence, for a number that no slot can have."""

    @abc.abstractmethod
    def _order(self, address: int) -> bytes:
        """The frame that turns a slot."""

    def _witnesses(self) -> dict[str, Any]:
        """What `recall` needs to know of the moment before the vend; JSON values."""
        return {}

    @abc.abstractmethod
    async def _introduce(self) -> str:
        """Ask a board that has just appeared what it is; why it must not be driven, or "". Raises `Unanswered`."""

    @abc.abstractmethod
    async def _look(self) -> str:
        """Ask an idle board how it is; why it must not be driven now, or "". Raises `Unanswered`."""

    @abc.abstractmethod
    async def _turn(self, address: int, deadline: float) -> VendResult:
        """Order one slot, and wait until `deadline` (loop time) for what becomes of it."""

    # For the protocols.

    def _note(self, name: str, value: str | float, unit: str = "") -> None:
        self._board_facts[name] = Fact(name, value, unit)

    def _never_ordered(self, address: int, why: str) -> VendResult:
        return VendResult(Outcome.NOT_DELIVERED, f"slot {address} was never ordered: {why}", Cause.NOT_TAKEN)

    # The routine.

    async def _attend(self) -> None:
        while True:
            self._wake.clear()
            if not self._line.reason:
                async with self._asking:
                    reason = await self._converse()
                self._tell(self._line.reason or reason)
            try:
                async with asyncio.timeout(self._timing.poll_seconds):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _converse(self) -> str:
        try:
            if self._introduced:
                reason = await self._look()
            else:
                reason = await self._introduce()
                self._introduced = not reason
        except Unanswered as error:
            self._failures += 1
            self._introduced = False  # whoever answers next says first who it is: the cable may be in another board
            return str(error) if self._reason or self._failures >= POLLS_UNTIL_SILENT else ""
        self._failures = 0
        return reason

    def _line_changed(self) -> None:
        self._introduced = False
        self._failures = 0
        self._wake.set()
        self._tell(self._line.reason or f"{self._kind} on {self._line.port} has not answered yet")

    def _tell(self, reason: str) -> None:
        if reason == self._reason:
            return
        self._reason = reason
        if reason:
            logger.warning("%s", reason)
        for callback in tuple(self._callbacks):
            callback()
