"""Simulated Modbus boards, a relay board and a ZDM8: the other side of the drivers, with faults on demand.

Only the messages that such boards know are answered; anything else is refused with Modbus's exception for it.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from hardware.answering_board import AnsweringBoard
from hardware.modbus import codec, zdm8
from hardware.modbus.codec import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE
from hardware.pseudo_terminal import Wire
from hardware.simulated_board import BoardEvent

SENSOR_SECONDS = 0.5  # how long a drop sensor's input stays on, or a door is open
HOME_SECONDS = 0.1  # the motor turns on for so long after the goods fell
ON, OFF = 0xFF00, 0x0000
MOTOR_TIMED_OUT = 0x05  # the fault code of the simulated ZDM8; the maker's table was not at hand
RUNNING = 1


class ModbusBoard(AnsweringBoard):
    """One unit on a line; other units' questions are not heard."""

    unit = 1

    def _find_question(self, data: bytes) -> tuple[int, int] | None:
        for start in range(len(data) - 7):
            if data[start] != self.unit:
                continue
            size = 9 + data[start + 6] if data[start + 1] == 0x10 else 8
            frame = data[start : start + size]
            if len(frame) == size and codec.seal(frame[:-2]) == frame:
                return start, start + size
        return None

    def _take(self, question: bytes) -> None:
        body = self._answer(question)
        if body is not None:
            self._say(codec.seal(bytes((self.unit,)) + body))

    @abc.abstractmethod
    def _answer(self, question: bytes) -> bytes | None:
        """Function and content of the answer; None if it is said otherwise."""


def _refuse(question: bytes, code: int) -> bytes:
    return bytes((question[1] | codec.EXCEPTION, code))


class RelayBoard(ModbusBoard):
    """A relay board with a motor at each coil and a drop sensor at the input of the same number.

    `knows_pulse`, `has_inputs`: False for lesser boards.
    """

    def __init__(
        self,
        *,
        link: Path | None = None,
        ledger: Path | None = None,
        coils: Iterable[int] = range(32),
        motor_seconds: float = 0.5,
        wire: Wire | None = None,
        echo: bool = False,
        knows_pulse: bool = True,
        has_inputs: bool = True,
        seed: int = 0,
        on_event: Callable[[BoardEvent], None] | None = None,
    ) -> None:
        super().__init__(
            link=link,
            ledger=ledger,
            slots=coils,
            motor_seconds=motor_seconds,
            wire=wire,
            seed=seed,
            identity="",
            echo=echo,
            on_event=on_event,
        )
        self.inputs: set[int] = set()  # those that are on
        self.coils: set[int] = set()
        self._knows_pulse = knows_pulse
        self._has_inputs = has_inputs

    def _slot_of(self, question: bytes) -> int | None:
        address, value = int.from_bytes(question[2:4]), int.from_bytes(question[4:6])
        if question[1] != 0x05 or value == OFF:
            return None
        return address if value == ON else address - codec.TIMED_PULSE

    def _forget(self) -> None:
        self.coils.clear()

    def _answer(self, question: bytes) -> bytes | None:
        function, address, value = question[1], int.from_bytes(question[2:4]), int.from_bytes(question[4:6])
        match function:
            case 0x01:
                return self._bits(question, self.coils, address, value)
            case 0x02 if self._has_inputs:
                return self._bits(question, self.inputs, address, value)
            case 0x05:
                return self._switch(question, address, value)
            case _:
                return _refuse(question, ILLEGAL_FUNCTION)

    def _bits(self, question: bytes, on: set[int], address: int, count: int) -> bytes:
        if address + count - 1 > max(self._slots):
            return _refuse(question, ILLEGAL_ADDRESS)
        bits = sum(1 << place for place in range(count) if address + place in on)
        size = -(-count // 8)
        return bytes((question[1], size)) + bits.to_bytes(size, "little")

    def _switch(self, question: bytes, address: int, value: int) -> bytes | None:
        coil = self._slot_of(question)
        if coil is None:
            self.coils.discard(address)
            return question[1:6]
        if value != ON and not self._knows_pulse:
            return _refuse(question, ILLEGAL_VALUE)
        if coil not in self._slots:
            return _refuse(question, ILLEGAL_ADDRESS)
        self.coils.add(coil)
        self._spawn(self._pulse(coil, None if value == ON else value / 10), f"coil {coil}")
        self._say_result(question)
        return None

    async def _pulse(self, coil: int, seconds: float | None) -> None:
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self.coils.discard, coil)
        if await self._turn_motor(coil) and not self.blind_drop_sensor:
            self.inputs.add(coil)
            asyncio.get_running_loop().call_later(SENSOR_SECONDS, self.inputs.discard, coil)


class Zdm8Board(ModbusBoard):
    """A ZDM8 board of 10 rows and 10 columns. `identity`: the date of its software, "2020-02-20".

    Besides the common faults: `sensor_blocked`, and `answer_next_vend` with any run state and fault code.
    """

    def __init__(
        self,
        *,
        link: Path | None = None,
        ledger: Path | None = None,
        lanes: Iterable[int] = range(100),
        motor_seconds: float = 1.5,
        wire: Wire | None = None,
        echo: bool = False,
        seed: int = 0,
        identity: str = "2020-02-20",
        on_event: Callable[[BoardEvent], None] | None = None,
    ) -> None:
        super().__init__(
            link=link,
            ledger=ledger,
            slots=lanes,
            motor_seconds=motor_seconds,
            wire=wire,
            seed=seed,
            identity=identity,
            echo=echo,
            on_event=on_event,
        )
        self.rows = self.columns = 10
        self.sensor_blocked = False
        self.door_open = False
        self._run = zdm8.IDLE
        self._fault = 0
        self._seen = False
        self._next_state: tuple[int, int] | None = None

    def answer_next_vend(self, run: int, fault: int) -> None:
        """The next vend drops nothing and ends in this run state with this fault code."""
        self._next_state = (run, fault)

    def _slot_of(self, question: bytes) -> int | None:
        is_order = question[1] == 0x10 and int.from_bytes(question[2:4]) == zdm8.ORDER
        return question[7] if is_order else None

    def _forget(self) -> None:
        self._run, self._fault, self._seen = zdm8.IDLE, 0, False

    def _answer(self, question: bytes) -> bytes | None:
        lane = self._slot_of(question)
        if lane is not None:
            if self._run == RUNNING or lane not in self._slots:
                return _refuse(question, ILLEGAL_VALUE)
            self._run = RUNNING
            self._spawn(self._turn(lane, drop_sensor=question[9] == 1), f"lane {lane}")
            return question[1:6]
        if question[1] != 0x03:
            return _refuse(question, ILLEGAL_FUNCTION)
        words = self._words(int.from_bytes(question[2:4]))
        if words is None or len(words) != int.from_bytes(question[4:6]):
            return _refuse(question, ILLEGAL_ADDRESS)
        if int.from_bytes(question[2:4]) == zdm8.STATE and self._run in {zdm8.SUCCEEDED, zdm8.FAILED}:
            self._run = zdm8.IDLE  # told once
            if self._lost_results:
                self._lost_results -= 1
                self._event("fault", "result lost")
                return None
        return bytes((0x03, 2 * len(words))) + b"".join(word.to_bytes(2) for word in words)

    def _words(self, address: int) -> tuple[int, ...] | None:
        """What a register answers; the numbers overlap, as they do in the manual, and mean different things."""
        match address:
            case zdm8.HARDWARE:
                return (0x2002, self.rows << 8 | self.columns)
            case zdm8.SOFTWARE:
                date = bytes.fromhex(self.identity.replace("-", ""))
                return (int.from_bytes(date[:2]), int.from_bytes(date[2:]))
            case zdm8.STATE:
                return (self._run << 8 | self._fault,)
            case zdm8.CLIMATE:
                return (0x00D2, 0x0226)
            case zdm8.DOOR:
                return (0x0100 | (not self.door_open),)
            case zdm8.SENSOR:
                return (int(not self.sensor_blocked),)
            case zdm8.INPUTS:
                return (self._seen << zdm8.DROP_INPUT,)
            case _:
                return None

    async def _turn(self, lane: int, *, drop_sensor: bool) -> None:
        state, self._next_state = self._next_state, None
        if state is None:
            fell = await self._turn_motor(lane)
            seen = fell and drop_sensor and not self.blind_drop_sensor
            if seen:
                self._seen = True
                asyncio.get_running_loop().call_later(SENSOR_SECONDS, self._see_nothing)
                await asyncio.sleep(HOME_SECONDS)
            missed = drop_sensor and not seen
            state = (zdm8.FAILED, MOTOR_TIMED_OUT) if missed or lane in self._jammed else (zdm8.SUCCEEDED, 0)
        else:
            await asyncio.sleep(self.motor_seconds)
        if self._delays:
            await asyncio.sleep(self._delays.popleft())
        self._run, self._fault = state

    def _see_nothing(self) -> None:
        self._seen = False
