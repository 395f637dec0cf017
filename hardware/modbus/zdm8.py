"""The driver for ZDM8 coil boards: one order at a time, its result by a run state that can be read only once.

After "succeeded" or "failed" has been read, the board falls back to idle: a lost answer to that question has lost the
result. Then two witnesses are heard that stay: the drop sensor's input, watched while the goods moved, and the fault
code. If they say nothing, nobody knows.

The maker's table of run states was not at hand: 1 running, 2 succeeded and 3 failed is how boards of this family
count. So a state is believed only together with the fault code: a success with a new fault, or a failure without one,
is UNKNOWN, which is what a board with another table would lead to.

Source: notes of the ZDM8 manual in the public host code of LAO APPS (vending-server, vendingZDM8).
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import math
from dataclasses import dataclass
from typing import Any

from hardware.dispenser import Cause, Outcome, VendResult
from hardware.master_line import MasterTiming, Unanswered
from hardware.modbus import codec
from hardware.modbus.codec import Refused
from hardware.modbus.driver import ModbusDispenser
from hardware.serial_link import LinkTiming

HIGHEST_LANE = 99  # tens are the row, units the column, both from 0

HARDWARE, SOFTWARE, STATE, CLIMATE, DOOR, SENSOR, INPUTS, ORDER = 0x01, 0x02, 0x03, 0x04, 0x05, 0x08, 0x0A, 0x2001
DROP_INPUT = 10  # bit of INPUTS
IDLE, SUCCEEDED, FAILED = 0, 2, 3
SETTLE_SECONDS = 3.0  # a drop sensor lets go of what fell within a second
LOST_LOOKS = 20  # a second at 50 ms: a board that is idle for so long after a loss will not begin any more


class Motor(enum.IntEnum):
    """What turns in a lane."""

    COIL = 1
    LOCK = 2
    BELT = 3


@dataclass(frozen=True)
class _State:
    run: int
    fault: int

    @property
    def is_final(self) -> bool:
        return self.run in {SUCCEEDED, FAILED}


class Zdm8Dispenser(ModbusDispenser):
    """A Dispenser for ZDM8 boards. Addresses are lanes, 0 to 99.

    `drop_sensor`: whether the board is to watch its drop sensor. `motor`: what turns in every lane.
    """

    def __init__(
        self,
        *,
        port: str,
        baudrate: int = 9600,
        vend_timeout_seconds: float = 60,
        unit: int = 1,
        drop_sensor: bool = True,
        motor: Motor = Motor.COIL,
        timing: MasterTiming | None = None,
        link_timing: LinkTiming | None = None,
    ) -> None:
        super().__init__(
            profile="zdm8",
            port=port,
            baudrate=baudrate,
            vend_timeout_seconds=vend_timeout_seconds,
            unit=unit,
            timing=timing,
            link_timing=link_timing,
        )
        self._drop_sensor = drop_sensor
        self._motor = motor
        self._identity = ""
        self._rows = self._columns = 10
        self._state: _State | None = None  # as last read since the board introduced itself
        self._leftover: _State | None = None  # a result that no open vend was waiting for
        self._light: bool | None = None  # the drop sensor's input while nothing falls; the maker does not say which
        self._vended_at = -math.inf  # loop time
        self._next_question = 0

    async def recall(self, address: int, evidence: str) -> VendResult:
        """See `Dispenser`: the result that the board still held when this process began to ask it, or a new fault.

        Believed only if the board was idle before the order: else the result could be that of an earlier one.
        """
        fault_before, idle = _read_evidence(evidence)
        unknown = VendResult(Outcome.UNKNOWN, f"the board does not tell what became of lane {address}")
        if not idle:
            return unknown
        deadline = asyncio.get_running_loop().time() + self._timing.recall_seconds
        while asyncio.get_running_loop().time() < deadline and not self._stopping:
            if self._leftover is not None:
                return self._verdict(address, self._leftover, fault_before, seen=False)
            if self._state is not None and self._state.run == IDLE:
                break
            await asyncio.sleep(self._timing.watch_seconds)
        state = self._state
        if state is not None and state.fault not in {0, fault_before}:
            return self._verdict(address, _State(FAILED, state.fault), fault_before, seen=False)
        return unknown

    def _check(self, address: int) -> None:
        if not 0 <= address <= HIGHEST_LANE:
            raise ValueError(f"a ZDM8 board numbers its lanes 0 to {HIGHEST_LANE}; {address} is none of them")

    def _order(self, address: int) -> bytes:
        values = [address << 8 | self._motor, self._drop_sensor << 8]  # lane, motor; sensor, no lift
        return codec.write_registers(self._unit, ORDER, values)

    def _witnesses(self) -> dict[str, Any]:
        state = self._state
        return {"idle": state is not None and state.run == IDLE, "fault": 0 if state is None else state.fault}

    # The routine.

    async def _meet(self) -> str:
        self._state = None
        hardware = await self._registers(HARDWARE, 2)
        software = await self._registers(SOFTWARE, 2)
        rows, columns = hardware[1] >> 8, hardware[1] & 0xFF
        if not (1 <= rows <= 10 and 1 <= columns <= 10):
            return self._another_kind(f"it claims {rows} rows of {columns} columns")
        identity = (
            f"hardware {hardware[0]:04x}, software {software[0]:04x}{software[1]:04x}, {rows} x {columns} lanes"
        )
        if self._identity not in {"", identity}:
            return (
                f"another board answers on {self._line.port}: {identity}, not {self._identity} as before; "
                "put the cables right, or restart the machine if the board was exchanged"
            )
        self._identity, self._rows, self._columns = identity, rows, columns
        self._slots = frozenset(10 * row + column for row in range(rows) for column in range(columns))
        self._note("identity", identity)
        return await self._ask_how_it_is()

    async def _ask_how_it_is(self) -> str:
        state = await self._read_state()
        if state.is_final:
            self._leftover = state
        questions = (self._ask_light, self._ask_sensor, self._ask_climate, self._ask_door)
        with contextlib.suppress(Refused):  # not every board has every sensor
            await questions[self._next_question % len(questions)]()
        self._next_question += 1
        if state.run not in {IDLE, SUCCEEDED, FAILED}:
            return f"the board on {self._line.port} is still running (state {state.run})"
        return ""

    async def _ask_climate(self) -> None:
        temperature, humidity = await self._registers(CLIMATE, 2)
        self._note("temperature", (temperature - 0x10000 if temperature & 0x8000 else temperature) / 10, "°C")
        self._note("humidity", humidity / 10, "%")

    async def _ask_door(self) -> None:
        (door,) = await self._registers(DOOR, 1)
        self._note("door", "closed" if door & 0xFF else "open")

    async def _ask_sensor(self) -> None:
        self._note("drop_sensor", "aligned" if (await self._registers(SENSOR, 1))[0] else "blocked or absent")

    async def _ask_light(self) -> None:
        light = await self._drop_input()
        if asyncio.get_running_loop().time() - self._vended_at > SETTLE_SECONDS:
            self._light = light

    async def _registers(self, address: int, count: int) -> list[int]:
        return list((await self._ask(codec.read_registers(self._unit, address, count))).registers)

    async def _read_state(self) -> _State:
        (word,) = await self._registers(STATE, 1)
        state = self._state = _State(word >> 8, word & 0xFF)
        self._note("fault_code", state.fault)
        return state

    # A vend.

    async def _turn(self, address: int, deadline: float) -> VendResult:
        if self._slots is not None and address not in self._slots:
            detail = f"the board has {self._rows} rows of {self._columns} lanes, counted from 0: no lane {address}"
            return VendResult(Outcome.NOT_DELIVERED, detail, Cause.SLOT)
        try:
            before = await self._read_state()
            watches = self._drop_sensor and await self._light_is_as_ever(deadline)
            aligned = not self._drop_sensor or await self._sensor_is_aligned()
        except (Unanswered, Refused) as error:
            return self._never_ordered(address, str(error))
        if before.run not in {IDLE, SUCCEEDED, FAILED}:
            return self._never_ordered(address, f"the board is still running (state {before.run})")
        if not aligned:
            detail = "the drop sensor is blocked or absent; nothing was turned"
            return VendResult(Outcome.NOT_DELIVERED, detail, Cause.MACHINE)
        self._leftover = None
        lost = False
        try:
            await self._ask(self._order(address))
        except Refused as refusal:
            if refusal.proves_nothing_moved:
                detail = f"the board refuses lane {address}: {refusal}"
                return VendResult(
                    Outcome.NOT_DELIVERED, detail, Cause.NOT_TAKEN if refusal.code == codec.BUSY else Cause.SLOT
                )
            lost = True
        except Unanswered as error:
            if not error.sent:
                return self._never_ordered(address, str(error))
            lost = True
        result = await self._watch(address, deadline, before.fault, watches=watches, lost=lost)
        self._vended_at = asyncio.get_running_loop().time()
        return result

    async def _sensor_is_aligned(self) -> bool:
        """Whether the board calls its drop sensor sound, or has no word for it."""
        try:
            return bool((await self._registers(SENSOR, 1))[0])
        except Refused:
            return True

    async def _light_is_as_ever(self, deadline: float) -> bool:
        """Wait until the item before has passed the drop sensor; False if it cannot be a witness this time."""
        loop = asyncio.get_running_loop()
        settled = min(loop.time() + SETTLE_SECONDS, deadline)
        with contextlib.suppress(Refused):
            while self._light is not None and loop.time() < settled:
                if await self._drop_input() == self._light:
                    return True
                await asyncio.sleep(self._timing.watch_seconds)
        return False

    async def _watch(
        self, address: int, deadline: float, fault_before: int, *, watches: bool, lost: bool
    ) -> VendResult:
        """Wait for the result. `watches`: the drop sensor's input is a witness.

        `lost`: an answer is missing, and with it perhaps the one in which the result stood.
        """
        loop = asyncio.get_running_loop()
        seen = False  # the drop sensor's input has changed
        idle_looks = 0
        ran = False
        while loop.time() < deadline and not self._stopping:
            if (
                watches and not seen
            ):  # before the state: goods fall before the board is done, and its answer may be lost
                with contextlib.suppress(Unanswered, Refused):
                    seen = await self._drop_input() != self._light
            try:
                state = await self._read_state()
            except (Unanswered, Refused):
                lost = True
            else:
                if state.is_final:
                    return self._verdict(address, state, fault_before, seen=seen)
                ran = ran or state.run != IDLE
                idle_looks = idle_looks + 1 if state.run == IDLE and (lost or ran) else 0
                if idle_looks >= LOST_LOOKS:
                    return self._without_result(address, state.fault, fault_before, seen=seen)
            await asyncio.sleep(self._timing.watch_seconds)
        if seen:
            return self._seen(address)
        return VendResult(
            Outcome.UNKNOWN, f"no result for lane {address} came within {self._vend_timeout_seconds:g} s"
        )

    def _without_result(self, address: int, fault: int, fault_before: int, *, seen: bool) -> VendResult:
        """The board is idle again, and an answer was lost or the board has started anew: hear the witnesses."""
        if seen:
            return self._seen(address)
        if fault not in {0, fault_before}:
            return self._verdict(address, _State(FAILED, fault), fault_before, seen=False)
        return VendResult(
            Outcome.UNKNOWN,
            f"the board is idle again, and its result for lane {address}, which it tells once, is lost",
        )

    def _verdict(self, address: int, state: _State, fault_before: int, *, seen: bool) -> VendResult:
        """What a final state means together with the fault code and the drop sensor's input."""
        told = f"the board reports for lane {address}: state {state.run}, fault code {state.fault:02X}"
        if state.run == SUCCEEDED and state.fault in {0, fault_before}:
            return VendResult(Outcome.DELIVERED, told, proven=self._drop_sensor)
        if seen:
            return self._seen(address)
        if state.run == FAILED and state.fault:
            return VendResult(Outcome.NOT_DELIVERED, told, Cause.SLOT)
        return VendResult(Outcome.UNKNOWN, f"{told}; the two contradict each other")

    def _seen(self, address: int) -> VendResult:
        return VendResult(Outcome.DELIVERED, f"the drop sensor saw the goods of lane {address}", proven=True)

    async def _drop_input(self) -> bool:
        (inputs,) = await self._registers(INPUTS, 1)
        return bool(inputs >> DROP_INPUT & 1)


def _read_evidence(evidence: str) -> tuple[int, bool]:
    """The fault code before the vend, and whether the board was idle then; (0, False) for other evidence."""
    try:
        stored = json.loads(evidence)
        fault, idle = stored["fault"], stored["idle"]
    except (ValueError, KeyError, TypeError):
        return 0, False
    return (fault, idle is True) if isinstance(fault, int) else (0, False)
