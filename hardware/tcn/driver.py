"""The driver for TCN boards: one order, one answer after the turn, and no way to ask again.

An answer that does not come in time may come later, and would look exactly like the answer to the next question. So
after a vend without an answer nothing is asked until it has come, or has had as long again: the board is not ready
meanwhile. The board has nothing that tells it from another one of its kind.

Source: see `hardware.tcn.codec`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from hardware.asked_dispenser import AskedDispenser
from hardware.dispenser import Cause, Outcome, VendResult
from hardware.master_line import MasterTiming, Unanswered
from hardware.serial_link import LinkTiming
from hardware.tcn import codec
from hardware.tcn.codec import Answer

logger = logging.getLogger(__name__)

MOTOR_FAULTS = {
    0x1: "a transistor of the motor driver is shorted (P)",
    0x2: "a transistor of the motor driver is shorted (N)",
    0x3: "the motor is shorted",
    0x4: "the motor is missing or its wire is broken",
    0x5: "the motor did not come home in time",
}
SENSOR_FAULTS = {0x2: "the drop sensor gives no signal", 0x3: "the drop sensor is blocked"}
BROKEN_WIRE = 0x4
ALONE_SECONDS = 0.05  # an answer lasts 5 ms: what belongs to it has come by then


class TcnDispenser(AskedDispenser):
    """A Dispenser for TCN boards. Addresses are lanes, 1 to 80. `drop_sensor`: whether the board watches its own."""

    def __init__(
        self,
        *,
        port: str,
        baudrate: int = 9600,
        vend_timeout_seconds: float = 60,
        drop_sensor: bool = True,
        timing: MasterTiming | None = None,
        link_timing: LinkTiming | None = None,
    ) -> None:
        super().__init__(
            kind="a TCN board",
            port=port,
            baudrate=baudrate,
            vend_timeout_seconds=vend_timeout_seconds,
            timing=timing,
            link_timing=link_timing,
        )
        self._drop_sensor = drop_sensor
        self._owed_until = 0.0  # loop time until which the answer to a vend may still come
        self._owed_lane: int | None = None  # whose; None: an earlier process's, or the line was lost meanwhile
        self._late: tuple[int, VendResult] | None = None  # the last answer that came after its vend had ended
        self._asks_door = False
        self._followed: dict[int, str] = {}  # lane -> evidence of the last order of this process

    def prepare(self, address: int) -> str:
        """See `Dispenser`."""
        evidence = super().prepare(address)
        self._followed[address] = evidence
        return evidence

    async def recall(self, address: int, evidence: str) -> VendResult:
        """See `Dispenser`: an answer that came late. One that an earlier process waited for is lost."""
        unknown = VendResult(Outcome.UNKNOWN, f"a TCN board cannot tell afterwards what became of lane {address}")
        loop = asyncio.get_running_loop()
        if self._followed.get(address) != evidence:
            self._owe(None)
            return unknown
        deadline = loop.time() + self._timing.recall_seconds
        while loop.time() < min(deadline, self._owed_until) and not self._stopping:  # noqa: ASYNC110 - a rare wait
            await asyncio.sleep(self._timing.watch_seconds)
        if self._late is not None and self._late[0] == address:
            return self._late[1]
        return unknown

    def _witnesses(self) -> dict[str, Any]:
        return {"time": time.time_ns()}  # tells this order from any other one of the lane

    def _check(self, address: int) -> None:
        codec.check_lane(address)

    def _order(self, address: int) -> bytes:
        return codec.turn(address, drop_sensor=self._drop_sensor)

    async def _introduce(self) -> str:
        if asyncio.get_running_loop().time() < self._owed_until:
            return await self._wait_for_late_answer()
        return await self._look()

    async def _look(self) -> str:
        if asyncio.get_running_loop().time() < self._owed_until:
            return await self._wait_for_late_answer()
        self._asks_door = not self._asks_door
        wire = codec.read_door() if self._asks_door else codec.read_temperature()
        answer = codec.read_answer(await self._line.ask(wire, codec.find_answer, self._timing.answer_seconds))
        if not answer.done:
            return ""  # a board without that sensor says so
        if self._asks_door:
            self._note("door", "open" if answer.value == 1 else "closed")
        else:
            self._note("temperature", answer.value - 256 if answer.value > 127 else answer.value, "°C")
        return ""

    async def _turn(self, address: int, deadline: float) -> VendResult:
        loop = asyncio.get_running_loop()
        self._late = None
        try:
            answer = await self._line.ask(self._order(address), codec.find_answer, deadline - loop.time())
        except Unanswered as error:
            if not error.sent:
                return self._never_ordered(address, str(error))
            self._owe(address if not self._line.reason else None)
            return VendResult(Outcome.UNKNOWN, f"the board did not tell what became of lane {address}: {error}")
        result = self._verdict(address, codec.read_answer(answer))
        if result.outcome is Outcome.NOT_DELIVERED:
            # The sum is a weak check: a piece of a broken answer before "goods were seen" can make a whole "nothing
            # fell" of it. Only what stands alone on the line is certain.
            await asyncio.sleep(ALONE_SECONDS)
            if self._line.disturbed:
                return VendResult(Outcome.UNKNOWN, f"{result.detail}, but the line was disturbed")
        return result

    def _owe(self, lane: int | None) -> None:
        self._owed_lane = lane
        self._owed_until = asyncio.get_running_loop().time() + self._vend_timeout_seconds
        self._wake.set()
        self._tell(self._line.reason or self._owing)

    @property
    def _owing(self) -> str:
        return (
            f"the board on {self._line.port} may still send the answer to the vend before; nothing is asked meanwhile"
        )

    def _line_changed(self) -> None:
        self._owed_lane = None  # what comes in from now on may have begun before the loss, or belong to another board
        super()._line_changed()

    async def _wait_for_late_answer(self) -> str:
        """Listen until the answer that is owed has come, or its time is over; nothing is sold meanwhile."""
        self._tell(self._owing)
        loop = asyncio.get_running_loop()
        try:
            heard = await self._line.listen(codec.find_answer, self._owed_until - loop.time())
        except Unanswered:
            if self._line.reason:
                return self._line.reason
        else:
            lane, self._owed_lane = self._owed_lane, None
            if lane is not None:
                self._late = (lane, self._verdict(lane, codec.read_answer(heard)))
                logger.warning("a result that came too late: %s", self._late[1].detail)
                self._owed_until = 0.0
            else:
                return self._owing  # whose it is cannot be told: its whole time is waited for
        return await self._look()

    def _verdict(self, lane: int, answer: Answer) -> VendResult:
        motor, sensor = answer.error >> 4, answer.error & 0x0F
        told = f"the board reports for lane {lane}: {_words(answer)}"
        if answer.dropped:  # the drop sensor outranks the motor's switch
            return VendResult(Outcome.DELIVERED, told, proven=True)
        if answer.done and not answer.error and not answer.value:
            if self._drop_sensor:
                return VendResult(Outcome.NOT_DELIVERED, f"{told}, and nothing fell", Cause.SLOT)
            return VendResult(Outcome.DELIVERED, told)
        if answer.done or answer.value or sensor or motor not in MOTOR_FAULTS:
            # Codes of unknown meaning, and a drop sensor that cannot have seen what fell.
            return VendResult(Outcome.UNKNOWN, told)
        if motor == BROKEN_WIRE or self._drop_sensor:
            return VendResult(Outcome.NOT_DELIVERED, f"{told}, and nothing fell", Cause.SLOT)
        return VendResult(Outcome.UNKNOWN, f"{told}; without a drop sensor nobody knows what fell before")


def _words(answer: Answer) -> str:
    motor, sensor = answer.error >> 4, answer.error & 0x0F
    words = [
        "turned" if answer.done else "fault",
        *([MOTOR_FAULTS.get(motor, f"motor code {motor:X}")] if motor else []),
        *([SENSOR_FAULTS.get(sensor, f"drop sensor code {sensor:X}")] if sensor else []),
        *(["goods were seen falling"] if answer.dropped else []),
    ]
    return f"{', '.join(words)} ({codec.encode_answer(answer)[1:4].hex(' ').upper()})"
