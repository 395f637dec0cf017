"""A Dispenser without a wire: for the whole machine to run on where there is no board, and for tests of that machine.

Scripted at run time: what the next vends end with, what certain addresses always end with, whether it is ready.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from hardware.dispenser import Fact, Outcome, Status, VendResult

DELIVERED = VendResult(Outcome.DELIVERED, "the fake dispenser dropped an item", proven=True)


class FakeDispenser:
    """A Dispenser that always works unless told otherwise.

    `ledger`: a file that gets one JSON line {"time", "address", "evidence"} for each item dropped, synced to the
    disk before the vend ends; it outlives the process. `remembers`: whether `recall` reads that ledger, as a board
    with a memory would; otherwise a recall is UNKNOWN. A scripted result drops an item exactly when its outcome is
    DELIVERED; to let an item fall unnoticed, give the result to `then` together with `drops=True`.
    """

    def __init__(self, *, motor_seconds: float = 1.0, ledger: Path | None = None, remembers: bool = False) -> None:
        self.motor_seconds = motor_seconds
        self.drops: list[int] = []  # the addresses of items dropped by this process, oldest first
        self.vends = 0
        self._ledger = ledger
        self._remembers = remembers
        self._next: deque[tuple[VendResult, bool]] = deque()
        self._always: dict[int, VendResult] = {}
        self._reason = "the fake dispenser has not been started"
        self._callbacks: list[Callable[[], None]] = []
        self._prepared: tuple[int, str] | None = None
        self._busy = False

    # The script.

    def then(self, result: VendResult, *, drops: bool | None = None) -> None:
        """End the next vend that has no result yet with this one; call again for those after it."""
        self._next.append((result, result.outcome is Outcome.DELIVERED if drops is None else drops))

    def always(self, address: int, result: VendResult | None) -> None:
        """End every vend of this address with `result` (unless one of `then` is waiting); None: it works again."""
        if result is None:
            self._always.pop(address, None)
        else:
            self._always[address] = result

    def set_ready(self, reason: str = "") -> None:
        """Be ready, or not ready for the reason given."""
        changed = reason != self._reason
        self._reason = reason
        if changed:
            for callback in tuple(self._callbacks):
                callback()

    # The Dispenser.

    @property
    def status(self) -> Status:
        """See `Dispenser`."""
        facts = (Fact("vends", self.vends), Fact("drops", len(self.drops)))
        return Status(ready=not self._reason, reason=self._reason, facts=facts)

    def on_status(self, callback: Callable[[], None]) -> None:
        """See `Dispenser`."""
        self._callbacks.append(callback)

    async def start(self) -> None:
        """See `Dispenser`."""
        self.set_ready()

    async def stop(self) -> None:
        """See `Dispenser`."""
        self.set_ready("the fake dispenser has been stopped")

    def prepare(self, address: int) -> str:
        """See `Dispenser`: a text that no other vend has, in this process or another."""
        evidence = _evidence(address)
        self._prepared = (address, evidence)
        return evidence

    async def vend(self, address: int) -> VendResult:
        """See `Dispenser`."""
        if self._busy:
            raise RuntimeError("a vend is open already; this dispenser takes one order at a time")
        prepared, self._prepared = self._prepared, None
        evidence = prepared[1] if prepared is not None and prepared[0] == address else _evidence(address)
        self._busy = True
        self.vends += 1
        if self._next:
            result, drops = self._next.popleft()
        else:
            result = self._always.get(address, DELIVERED)
            drops = result.outcome is Outcome.DELIVERED
        try:
            await asyncio.sleep(self.motor_seconds)
            if drops:
                self.drops.append(address)
                if self._ledger is not None:
                    await asyncio.to_thread(_book, self._ledger, address, evidence)
        finally:
            self._busy = False
        return result

    async def recall(self, address: int, evidence: str) -> VendResult:
        """See `Dispenser`."""
        if not self._remembers or self._ledger is None:
            return VendResult(Outcome.UNKNOWN, "the fake dispenser has no memory")
        booked = await asyncio.to_thread(_read, self._ledger)
        if any(entry["evidence"] == evidence and entry["address"] == address for entry in booked):
            return VendResult(Outcome.DELIVERED, "the fake dispenser remembers that it dropped the item", proven=True)
        return VendResult(Outcome.UNKNOWN, "the fake dispenser remembers no such drop, but it may have been cut off")


def _evidence(address: int) -> str:
    return f"fake:{address}:{time.time_ns()}"


def _book(ledger: Path, address: int, evidence: str) -> None:
    line = json.dumps({"time": time.time(), "address": address, "evidence": evidence}) + "\n"
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(ledger: Path) -> list[dict[str, object]]:
    if not ledger.exists():
        return []
    return [json.loads(line) for line in ledger.read_text().splitlines()]
