"""What every simulated vending board has: a plug, motors, a ledger of what fell, and faults on demand.

A simulated board speaks its protocol's real bytes on a pseudo-terminal. It books every item that leaves it in a
ledger of its own, so that a test can compare what the machine believes with what happened. The protocol itself stands
in a class of each protocol's folder, which inherits this one.
"""

from __future__ import annotations

import abc
import asyncio
import enum
import json
import os
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware.pseudo_terminal import PseudoTerminal, Wire

EVENTS_KEPT = 500
BOOT_SECONDS = 0.5


class Damage(enum.Enum):
    """What can be done to one frame of the board on its way out."""

    NOISE_BEFORE = "noise before"
    NOISE_INSIDE = "noise inside"
    NOISE_AFTER = "noise after"
    CUT = "cut"  # its second half never comes
    MERGE = "merge"  # it comes in one piece with the next frame
    CHECKSUM = "checksum"


@dataclass(frozen=True)
class Drop:
    """One item that left the machine. `time` is the wall clock in seconds since 1970."""

    time: float
    selection: int


@dataclass(frozen=True)
class BoardEvent:
    """Something that happened: kind is "in" or "out" (a frame, in hex), "drop", "vend", "duplicate" or "fault"."""

    kind: str
    detail: str


class SimulatedBoard(abc.ABC):
    """One simulated board. `start` and `stop` it on an event loop; every other method may be called in between.

    `ledger`: a file that gets one JSON line {"time", "selection"} for each item dropped, synced to the disk before
    the board reports the drop. `link`: a symbolic link to the current pseudo-terminal. `slots`: the numbers of the
    slots that it has. `on_event` hears everything, at once. `identity`: what tells it from another board of its kind,
    where the protocol can say so.

    Faults for as long as they last: the attributes `silent` (the board neither speaks nor listens, its motors go on)
    and `blind_drop_sensor` (goods fall unseen), and `jam`, `empty`, `clear` for slots. Faults that are used up:
    `damage_next`, `lose_commands`, `lose_results`, `delay_results`. Events: `reboot`, `reboot_in_next_vend`,
    `unplug`, `replug`.

    A protocol implements `_bytes_came` and `reboot`, sends through `_transmit`, and turns its motors in tasks of
    `_spawn` that end in `_drop`.
    """

    def __init__(
        self,
        *,
        link: Path | None,
        ledger: Path | None,
        slots: Iterable[int],
        motor_seconds: float,
        wire: Wire | None,
        seed: int,
        identity: str,
        on_event: Callable[[BoardEvent], None] | None,
    ) -> None:
        self.drops: list[Drop] = []
        self.events: deque[BoardEvent] = deque(maxlen=EVENTS_KEPT)
        self.silent = False
        self.blind_drop_sensor = False
        self.motor_seconds = motor_seconds
        self.identity = identity
        self.link = link
        # What can be done at this kind of board besides faults, by the word that is typed for it.
        self.own_words: dict[str, Callable[[str], object]] = {}
        self._slots = tuple(slots)
        self._ledger = ledger
        self._on_event = on_event
        self._random = random.Random(seed)  # noqa: S311 - noise to be repeated, not a secret
        self._terminal = PseudoTerminal(link=link, wire=wire or Wire(), on_bytes=self._bytes_came)
        self._motors: set[asyncio.Task[None]] = set()
        self._jammed: set[int] = set()
        self._empty: set[int] = set()
        self._damages: deque[Damage] = deque()
        self._merged = b""
        self._lost_commands = 0
        self._lost_results = 0
        self._delays: deque[float] = deque()
        self._reboot_after_drop: bool | None = None

    # Life.

    @property
    def path(self) -> str:
        """The pseudo-terminal that a host opens now; empty while unplugged."""
        return self._terminal.path

    async def start(self) -> None:
        """Plug in. A ledger that exists already is continued, not read."""
        self._terminal.plug()

    async def stop(self) -> None:
        """Switch off: motors stop where they are."""
        motors = tuple(self._motors)
        self._stop_motors()
        if motors:
            await asyncio.wait(motors)
        self._terminal.unplug()

    # Faults.

    def jam(self, slot: int) -> None:
        """The motor of this slot turns, nothing falls, the board reports a jam; until `clear`."""
        self._jammed.add(slot)

    def empty(self, slot: int) -> None:
        """The board refuses this slot as sold out, or, where its protocol cannot, turns it in vain; until `clear`."""
        self._empty.add(slot)

    def clear(self, slot: int) -> None:
        """The slot works again."""
        self._jammed.discard(slot)
        self._empty.discard(slot)

    def damage_next(self, *damages: Damage) -> None:
        """Damage the next frames that the board sends, one each."""
        self._damages.extend(damages)

    def lose_commands(self, count: int = 1) -> None:
        """The next commands of the host never arrive."""
        self._lost_commands += count

    def lose_results(self, count: int = 1) -> None:
        """What the board says about the end of the next vends never arrives."""
        self._lost_results += count

    def delay_results(self, *seconds: float) -> None:
        """The end of the next vends is told so much later, one each; the goods drop in time."""
        self._delays.extend(seconds)

    @abc.abstractmethod
    def reboot(self, boot_seconds: float = BOOT_SECONDS) -> None:
        """Forget everything, motors and unsent results included, and start anew."""

    def reboot_in_next_vend(self, *, after_drop: bool) -> None:
        """Reboot while the next motor turns: just before the item would drop, or just after it has."""
        self._reboot_after_drop = after_drop

    def unplug(self) -> None:
        """Pull the adapter out; the board itself goes on."""
        self._event("fault", "unplug")
        self._terminal.unplug()

    def replug(self) -> None:
        """Put the adapter back in; it gets whatever name is free, the link leads to it."""
        self._terminal.plug()
        self._event("fault", f"replug as {self.path}")

    # For the protocols.

    @abc.abstractmethod
    def _bytes_came(self, data: bytes) -> None:
        """Bytes of the host, in pieces of any size."""

    def _event(self, kind: str, detail: str) -> None:
        event = BoardEvent(kind, detail)
        self.events.append(event)
        if self._on_event is not None:
            self._on_event(event)

    def _transmit(self, wire: bytes) -> None:
        """Send one frame, damaged if that was asked for."""
        self._event("out", wire.hex(" "))
        damage = self._damages.popleft() if self._damages else None
        noise = self._random.randbytes(self._random.randint(1, 6))
        middle = self._random.randint(1, len(wire) - 1)
        match damage:
            case Damage.NOISE_BEFORE:
                wire = noise + wire
            case Damage.NOISE_INSIDE:
                wire = wire[:middle] + noise + wire[middle:]
            case Damage.NOISE_AFTER:
                wire += noise
            case Damage.CUT:
                wire = wire[:middle]
            case Damage.CHECKSUM:
                wire = wire[:-1] + bytes((wire[-1] ^ 0x5A,))
            case Damage.MERGE:
                self._merged += wire
                return
            case None:
                pass
        wire, self._merged = self._merged + wire, b""
        self._terminal.write(wire)

    def _spawn(self, motor: Coroutine[Any, Any, None], name: str) -> None:
        """Let a motor turn beside everything else."""
        task = asyncio.get_running_loop().create_task(motor, name=name)
        self._motors.add(task)
        task.add_done_callback(self._motors.discard)

    def _stop_motors(self) -> None:
        for motor in tuple(self._motors):
            motor.cancel()

    async def _turn_motor(self, slot: int) -> bool:
        """Turn one motor once; whether something fell. A reboot that was asked for ends the calling task here."""
        reboot_after_drop, self._reboot_after_drop = self._reboot_after_drop, None
        await asyncio.sleep(self.motor_seconds)
        if reboot_after_drop is False:
            self.reboot()
            raise asyncio.CancelledError
        falls = slot not in self._jammed | self._empty
        if falls:
            await self._drop(slot)
        if reboot_after_drop:
            self.reboot()
            raise asyncio.CancelledError
        return falls

    async def _drop(self, slot: int) -> None:
        """Let one item fall, and book it."""
        drop = Drop(time.time(), slot)
        self.drops.append(drop)
        if self._ledger is not None:
            # Shielded: what has fallen has fallen, even if the board is switched off while it is booked.
            await asyncio.shield(asyncio.to_thread(book_drop, self._ledger, drop))
        self._event("drop", str(slot))


def book_drop(ledger: Path, drop: Drop) -> None:
    """Append one drop to a ledger and see it onto the disk. Blocks."""
    line = json.dumps({"time": drop.time, "selection": drop.selection}) + "\n"
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_ledger(ledger: Path) -> list[Drop]:
    """The drops in a ledger, oldest first; none if there is no such file."""
    if not ledger.exists():
        return []
    return [Drop(**json.loads(line)) for line in ledger.read_text().splitlines()]
