"""What a driver brings along to be tested against the promises that every driver keeps (tests/boards/conformance).

A driver registers by one entry in `RIGS`: a `Rig` that makes its simulated board and the driver on the same line. The
board is a `hardware.simulated_board.SimulatedBoard`: it books every item in its ledger, tells "vend" for each command
to turn a motor that it understood and "drop" for each item, and has the faults that all boards have. The driver is a
`Dispenser` with short waits (see `QUICK_LINK`), so that a test takes tenths of a second.

What a rig states besides:

- `slots`: eight numbers that its board has; `bad_address`: one that no board of its kind can have.
- `no_identity`: where the protocol has nothing that tells one board from another, the sentence that says so; else "".
- `arrange`: what has to happen at the board before a vend of a slot is possible. Nothing, for a board that turns a
  motor whenever it is told to; a customer's choice, for one whose own keypad begins every sale.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from boards_kit import QUICK, QUICK_LINK, QUICK_MASTER, wait_until
from mdb_kit import QUICK as QUICK_MDB

from hardware.dispenser import Cause, Dispenser, Outcome, VendResult
from hardware.mdb.driver import MdbDispenser
from hardware.mdb.simulator import MdbMachine
from hardware.modbus.relay import RelayDispenser
from hardware.modbus.simulator import RelayBoard, Zdm8Board
from hardware.modbus.zdm8 import Zdm8Dispenser
from hardware.simulated_board import BoardEvent, SimulatedBoard, read_ledger
from hardware.tcn.driver import TcnDispenser
from hardware.tcn.simulator import TcnBoard
from hardware.xy.driver import XyDispenser
from hardware.xy.simulator import XyBoard

MOTOR_SECONDS = 0.05


class Rig(abc.ABC):
    """How one driver and its simulated board are made."""

    slots: tuple[int, ...] = tuple(range(1, 9))
    bad_address: int = 70_000
    no_identity = ""
    not_now: Cause = Cause.NOT_TAKEN  # why a vend ends that the board could not be told of

    @abc.abstractmethod
    def make_board(self, **options: Any) -> SimulatedBoard:
        """A board; options: link, ledger, wire, identity, motor_seconds, on_event."""

    @abc.abstractmethod
    def make_dispenser(self, port: str, vend_timeout_seconds: float) -> Dispenser:
        """The driver, with waits as short as they can be without being flaky."""

    async def arrange(self, bench: Bench, slot: int) -> None:  # noqa: B027 - most boards need nothing
        """Make a vend of `slot` possible."""


class XyRig(Rig):
    """XY tells its machine id in 52."""

    def make_board(self, **options: Any) -> SimulatedBoard:
        return XyBoard(**options)

    def make_dispenser(self, port: str, vend_timeout_seconds: float) -> Dispenser:
        return XyDispenser(port=port, vend_timeout_seconds=vend_timeout_seconds, timing=QUICK, link_timing=QUICK_LINK)


class MdbRig(Rig):
    """Behind an MDB bridge every vend answers a choice at the machine; what is not answered in time is over."""

    not_now = Cause.CHOICE_GONE

    def make_board(self, **options: Any) -> SimulatedBoard:
        return MdbMachine(patience_seconds=0.5, **options)

    def make_dispenser(self, port: str, vend_timeout_seconds: float) -> Dispenser:
        timing = replace(QUICK_MDB, answer_seconds=0.3)
        return MdbDispenser(
            port=port, vend_timeout_seconds=vend_timeout_seconds, timing=timing, link_timing=QUICK_LINK
        )

    async def arrange(self, bench: Bench, slot: int) -> None:
        """Choose until the driver has heard of it."""
        machine, dispenser = bench.board, bench.dispenser
        assert isinstance(machine, MdbMachine)
        assert isinstance(dispenser, MdbDispenser)
        async with asyncio.timeout(20):
            while dispenser.choice is None or dispenser.choice.address != slot:
                machine.choose(slot)
                await asyncio.sleep(0.02)


class RelayRig(Rig):
    """Coils, each with its drop sensor."""

    no_identity = "a relay board answers with coils and inputs, and every board of its kind has the same"

    def make_board(self, **options: Any) -> SimulatedBoard:
        return RelayBoard(**options)

    def make_dispenser(self, port: str, vend_timeout_seconds: float) -> Dispenser:
        return RelayDispenser(
            port=port,
            vend_timeout_seconds=vend_timeout_seconds,
            pulse_seconds=0.1,
            timing=QUICK_MASTER,
            link_timing=QUICK_LINK,
        )


class Zdm8Rig(Rig):
    """ZDM8 tells its hardware, its size and the date of its software."""

    def make_board(self, **options: Any) -> SimulatedBoard:
        if "identity" in options:
            options["identity"] = "2024-11-05"
        return Zdm8Board(**options)

    def make_dispenser(self, port: str, vend_timeout_seconds: float) -> Dispenser:
        return Zdm8Dispenser(
            port=port, vend_timeout_seconds=vend_timeout_seconds, timing=QUICK_MASTER, link_timing=QUICK_LINK
        )


class TcnRig(Rig):
    """Lanes with a common drop sensor."""

    no_identity = "TCN has no question that two boards of the same model would answer differently"

    def make_board(self, **options: Any) -> SimulatedBoard:
        return TcnBoard(**options)

    def make_dispenser(self, port: str, vend_timeout_seconds: float) -> Dispenser:
        return TcnDispenser(
            port=port, vend_timeout_seconds=vend_timeout_seconds, timing=QUICK_MASTER, link_timing=QUICK_LINK
        )


RIGS: dict[str, Rig] = {
    "xy": XyRig(),
    "mdb": MdbRig(),
    "modbus-relay": RelayRig(),
    "modbus-zdm8": Zdm8Rig(),
    "tcn": TcnRig(),
}


class Bench:
    """A driver and a board on one line, and the board's own books."""

    def __init__(self, rig: Rig, folder: Path, *, vend_timeout_seconds: float = 5, **board: Any) -> None:
        self.rig = rig
        self.port = folder / "board"
        self.ledger = folder / "drops.jsonl"
        self.board = self.another_board(**board)
        self.dispenser = rig.make_dispenser(str(self.port), vend_timeout_seconds)
        self.when: dict[str, Callable[[], None]] = {}  # what to do at the next event of a kind
        self.commands: list[str] = []  # the slots of all commands to turn that any board here understood

    def another_board(self, **options: Any) -> SimulatedBoard:
        """A board that could stand at the end of this line."""
        made = {"link": self.port, "ledger": self.ledger, "motor_seconds": MOTOR_SECONDS, "on_event": self._heard}
        return self.rig.make_board(**(made | options))

    def _heard(self, event: BoardEvent) -> None:
        if event.kind == "vend":
            self.commands.append(event.detail)
        act = self.when.pop(event.kind, None)
        if act is not None:
            asyncio.get_running_loop().call_soon(act)  # after the board has done what it was about to do

    async def start(self) -> None:
        await self.board.start()
        await self.dispenser.start()

    async def ready(self) -> None:
        await wait_until(lambda: self.dispenser.status.ready, "the driver is ready", limit_seconds=20)

    async def not_ready(self) -> str:
        """The reason, once it is not ready."""
        await wait_until(lambda: not self.dispenser.status.ready, "the driver is not ready", limit_seconds=20)
        return self.dispenser.status.reason

    async def vend(self, slot: int) -> VendResult:
        """One vend as the machine does it: a choice where there must be one, evidence, command."""
        await self.rig.arrange(self, slot)
        self.dispenser.prepare(slot)
        return await self.dispenser.vend(slot)

    async def vend_when_it_can(self, slot: int) -> VendResult:
        """As `vend`, again and again while the driver says that the board did not take it."""
        async with asyncio.timeout(20):
            while True:
                await self.ready()
                result = await self.vend(slot)
                if result.cause is not self.rig.not_now:
                    return result
                await asyncio.sleep(0.05)

    def drops(self) -> list[int]:
        return [drop.selection for drop in read_ledger(self.ledger)]

    def facts(self) -> dict[str, Any]:
        return {fact.name: fact.value for fact in self.dispenser.status.facts}

    async def stop(self) -> None:
        await self.dispenser.stop()
        await self.board.stop()


def assert_true(result: VendResult, dropped: list[int], slot: int) -> None:
    """What the driver says of a vend agrees with what the board booked for it."""
    match result.outcome:
        case Outcome.DELIVERED if result.presumed:
            assert dropped in ([], [slot])
        case Outcome.DELIVERED:
            assert dropped == [slot]
        case Outcome.NOT_DELIVERED:
            assert dropped == []
        case Outcome.UNKNOWN:
            assert dropped in ([], [slot])
