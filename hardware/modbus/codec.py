"""Modbus RTU frames: questions as bytes, answers found in bytes. Pure: no I/O, no clock.

pymodbus packs, unpacks and checks every message here. Its client is not used: it would own the port, while this
program opens it exclusively, with a write time-out, and finds it again under its own rules (`hardware.serial_link`);
and nothing here can repeat a write.

Source: Modbus application protocol 1.1b3 and Modbus over serial line 1.02. The timed pulse: Waveshare, "Modbus RTU
Relay", command "flash on" (function 05 to address 0200 hex + relay, value in units of 100 ms).
"""

from __future__ import annotations

import struct

from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest, WriteSingleCoilRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, WriteMultipleRegistersRequest

from hardware.master_line import Finder

HIGHEST_UNIT = 247  # Modbus over serial line, 2.2: addresses of single devices are 1 to 247
SHORTEST_FRAME = 5  # an exception: unit, function, code, CRC
READS = frozenset({0x01, 0x02, 0x03, 0x04})
EXCEPTION = 0x80  # added to the function by a board that refuses

TIMED_PULSE = 0x0200  # added to the coil's address: on for so many tenths of a second, timed by the board
HIGHEST_PULSED_COIL = 0xFF  # the upper byte of the address is taken by the command itself
SHORTEST_PULSE_SECONDS, LONGEST_PULSE_SECONDS = 0.1, 60.0

_framer = FramerRTU(DecodePDU(is_server=False))

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE, STILL_WORKING, BUSY = range(1, 7)
EXCEPTIONS = {
    ILLEGAL_FUNCTION: "illegal function",
    ILLEGAL_ADDRESS: "illegal address",
    ILLEGAL_VALUE: "illegal value",
    DEVICE_FAILURE: "device failure",
    STILL_WORKING: "accepted, still working",
    BUSY: "busy",
}


class Refused(Exception):
    """The board answered with an exception: `code` of the protocol, in words."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code}, {EXCEPTIONS.get(code, 'unknown')}")
        self.code = code

    @property
    def proves_nothing_moved(self) -> bool:
        """Whether the command was certainly not begun: a failure in the middle of it may have moved goods."""
        return self.code in {ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, BUSY}


class _TimedPulse(WriteSingleCoilRequest):
    """Function 05 with a value that pymodbus does not know: it packs only on and off."""

    def __init__(self, unit: int, coil: int, tenths: int) -> None:
        super().__init__(dev_id=unit, address=TIMED_PULSE + coil)
        self._tenths = tenths

    def encode(self) -> bytes:
        return struct.pack(">HH", self.address, self._tenths)


def seal(body: bytes) -> bytes:
    """A body with its CRC behind it."""
    return body + FramerRTU.compute_CRC(body).to_bytes(2)


# What the host says.


def read_coils(unit: int, address: int, count: int) -> bytes:
    """01."""
    return _framer.buildFrame(ReadCoilsRequest(dev_id=unit, address=address, count=count))


def read_inputs(unit: int, address: int, count: int) -> bytes:
    """02: discrete inputs."""
    return _framer.buildFrame(ReadDiscreteInputsRequest(dev_id=unit, address=address, count=count))


def read_registers(unit: int, address: int, count: int) -> bytes:
    """03: holding registers."""
    return _framer.buildFrame(ReadHoldingRegistersRequest(dev_id=unit, address=address, count=count))


def timed_pulse(unit: int, coil: int, seconds: float) -> bytes:
    """05: switch one relay on for a time that the board measures. ValueError for a coil that cannot be pulsed."""
    if not 0 <= coil <= HIGHEST_PULSED_COIL:
        raise ValueError(f"a relay board numbers its coils 0 to {HIGHEST_PULSED_COIL}; {coil} is none of them")
    return _framer.buildFrame(_TimedPulse(unit, coil, round(seconds * 10)))


def write_registers(unit: int, address: int, values: list[int]) -> bytes:
    """10 hex: several holding registers."""
    return _framer.buildFrame(WriteMultipleRegistersRequest(dev_id=unit, address=address, registers=values))


# What the board says.


def answer_finder(question: bytes) -> Finder:
    """What finds the answer to a question: of the same unit and function, whole, with a right CRC, and fitting."""

    def find(data: bytes) -> tuple[int, int] | None:
        for start in range(len(data) - SHORTEST_FRAME + 1):
            if data[start] != question[0] or data[start + 1] & ~EXCEPTION != question[1]:
                continue
            rest = data[start:]
            kind = _framer.decoder.lookupPduClass(rest)
            size = kind.calculateRtuFrameSize(rest) if kind is not None else 0
            if (
                SHORTEST_FRAME <= size <= len(rest)
                and seal(rest[: size - 2]) == rest[:size]
                and _fits(question, rest)
            ):
                return start, start + size
        return None

    return find


def _fits(question: bytes, answer: bytes) -> bool:
    """Whether an answer of the right function can be the one to this question."""
    function = answer[1]
    if function & EXCEPTION:
        return True
    if function not in READS:
        return answer[2:4] == question[2:4]  # the address is repeated
    count = int.from_bytes(question[4:6])
    return answer[2] == (-(-count // 8) if function in {0x01, 0x02} else 2 * count)


def decode(answer: bytes) -> ModbusPDU:
    """An answer that `answer_finder` found, as pymodbus's value. Raises `Refused` for an exception."""
    message = _framer.decoder.decode(answer[1:-2])
    if message is None:  # cannot be: the length has been checked
        raise ValueError(f"not a Modbus answer: {answer.hex(' ')}")
    if message.isError():
        raise Refused(message.exception_code)
    return message
