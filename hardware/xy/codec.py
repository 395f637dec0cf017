"""XY frames: bytes <-> frozen values. Pure: no I/O, no clock.

Source: Hunan Xing Yuan, "VMC - Upper computer" V3.0 (0411) and V3.2.11, chapters on the link layer and commands.

    FA FB  CMD  LEN  [PACKNO TEXT...]  XOR

LEN counts PACKNO and TEXT; POLL and ACK have LEN 0 and neither of them. XOR runs over all bytes before it. Integers
are big-endian. The XOR byte is a weak check (it misses every swap of two bytes), so a reader must not believe a
frame for its XOR alone: `Frame.has_known_length` and the readers below check what else can be checked.
"""

from __future__ import annotations

import enum
import functools
import operator
from dataclasses import dataclass

HEADER = b"\xfa\xfb"
OVERHEAD = 5  # FA FB CMD LEN ... XOR
LONGEST_FRAME = 255 + OVERHEAD  # LEN is one byte; no buffer of a decoder grows beyond one frame

LOWEST_ADDRESS = 1
HIGHEST_ADDRESS = 1000  # selections are 1..1000; 1000.. in 12-15 and 2000.. in menus mean trays, layers and cabinets

SHORTEST_POLL_INTERVAL_MS = 100
LONGEST_POLL_INTERVAL_MS = 2000


class Command(enum.IntEnum):
    """The CMD bytes that this driver or its simulator knows by name."""

    CHECK_SELECTION = 0x01  # host
    SELECTION_STATUS = 0x02  # board: answer to 01 and 03, and refusal
    SELECT_TO_BUY = 0x03  # host
    DISPENSE_STATUS = 0x04  # board: progress and result of a vend
    SELECTED = 0x05  # both
    DRIVE = 0x06  # host: turn the motor, whatever the board thinks of price and stock
    SELECTION_REPORT = 0x11  # board: one per selection after synchronising
    SET_PRICE = 0x12
    SET_STOCK = 0x13
    SET_CAPACITY = 0x14
    SET_PRODUCT = 0x15
    POLL_INTERVAL = 0x16  # host
    FILL_ALL = 0x17  # board: technician pressed "fill all" (68 in V3.2)
    MONEY_TAKEN = 0x21
    CREDIT = 0x23
    DISPLAY_TEXT = 0x24
    CHANGE_GIVEN = 0x26
    HOST_MONEY = 0x27  # host
    SYNC = 0x31  # both
    SOFTWARE_VERSION = 0x32  # board: 15 ASCII characters
    POLL = 0x41  # board
    ACK = 0x42  # both
    MACHINE_STATUS_QUERY = 0x51  # host
    MACHINE_STATUS = 0x52  # board
    QUICK_STATUS_QUERY = 0x53  # host
    QUICK_STATUS = 0x54  # board
    MENU_OPENED = 0x63
    MICROWAVES = 0x66
    ACTIVITY = 0x67
    FILL_ALL_V32 = 0x68
    MENU = 0x70  # host
    MENU_ANSWER = 0x71  # board


# What only a host sends: heard from the board's side it is an echo of our own bytes (or another host), never data.
HOST_ONLY = frozenset(
    {
        Command.CHECK_SELECTION,
        Command.SELECT_TO_BUY,
        Command.DRIVE,
        Command.POLL_INTERVAL,
        Command.HOST_MONEY,
        Command.MACHINE_STATUS_QUERY,
        Command.QUICK_STATUS_QUERY,
        Command.MENU,
    }
)

# LEN of the frames whose length is fixed, as (least, most). Where documents and captured frames differ, both stand:
# 04 with and without the microwave's number, 52 as printed (1) and as the sum of its fields (41).
KNOWN_LENGTHS: dict[int, tuple[int, int]] = {
    Command.CHECK_SELECTION: (3, 4),
    Command.SELECTION_STATUS: (4, 4),
    Command.SELECT_TO_BUY: (3, 3),
    Command.DISPENSE_STATUS: (4, 5),
    Command.SELECTED: (3, 3),
    Command.DRIVE: (5, 5),
    Command.SELECTION_REPORT: (12, 12),
    Command.SET_PRICE: (7, 7),
    Command.SET_STOCK: (4, 4),
    Command.SET_CAPACITY: (4, 4),
    Command.SET_PRODUCT: (5, 5),
    Command.POLL_INTERVAL: (2, 2),
    Command.FILL_ALL: (1, 1),
    Command.SYNC: (1, 1),
    Command.SOFTWARE_VERSION: (1, 33),
    Command.POLL: (0, 0),
    Command.ACK: (0, 0),
    Command.MACHINE_STATUS_QUERY: (1, 1),
    Command.MACHINE_STATUS: (1, 41),
    Command.QUICK_STATUS_QUERY: (1, 1),
    Command.QUICK_STATUS: (2, 2),
    Command.FILL_ALL_V32: (1, 1),
}

SALES_OF_SELECTION = 0x47  # menu item: count and amount that the board itself has sold of one selection
MENU_READ = 0x00


@dataclass(frozen=True)
class Frame:
    """One frame. `packno` is None exactly for POLL and ACK, whose text is empty."""

    command: int
    packno: int | None = None
    text: bytes = b""

    @property
    def has_known_length(self) -> bool:
        """Whether LEN is one that this command may have; True for commands whose length nobody states."""
        length = 0 if self.packno is None else 1 + len(self.text)
        least, most = KNOWN_LENGTHS.get(self.command, (0, 255))
        return least <= length <= most


POLL = Frame(Command.POLL)
ACK = Frame(Command.ACK)


def _xor(data: bytes | bytearray) -> int:
    return functools.reduce(operator.xor, data, 0)


def encode(frame: Frame) -> bytes:
    """The bytes of a frame. ValueError if its text does not fit (254 bytes at most) or its PACKNO is not a byte."""
    payload = b"" if frame.packno is None else bytes((frame.packno,)) + frame.text
    body = HEADER + bytes((frame.command, len(payload))) + payload
    return body + bytes((_xor(body),))


class Decoder:
    """Bytes in, frames out; keeps at most one unfinished frame.

    A header inside a frame that is being read is data, not a new start. When a frame's XOR is wrong its first byte is
    dropped and the search begins again behind it, so a frame hidden in the wreck is found.
    """

    def __init__(self) -> None:
        self.noise_bytes = 0  # bytes that were part of no frame
        self.checksum_errors = 0
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """Whether the beginning of a frame is waiting for its rest."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes as they come, in pieces of any size; return the frames that they complete."""
        self._buffer += data
        return self._read()

    def give_up(self) -> list[Frame]:
        """Call after ~50 ms of silence: the rest of an unfinished frame will not come (a whole one lasts < 50 ms).

        Returns the frames that the false start had swallowed.
        """
        frames = []
        while self._buffer:
            self._drop(1)
            frames += self._read()
        return frames

    def reset(self) -> None:
        """Forget an unfinished frame, because the line it came from is gone."""
        self._drop(len(self._buffer))

    def _read(self) -> list[Frame]:
        frames = []
        buffer = self._buffer
        while self._seek_header():
            if len(buffer) < 4:
                break
            command, length = buffer[2], buffer[3]
            if (length == 0) is not (command in {Command.POLL, Command.ACK}):
                self._drop(1)  # no such frame: do not wait for bytes that a broken length byte asks for
                continue
            size = length + OVERHEAD
            if len(buffer) < size:
                break
            if _xor(buffer[:size]) != 0:
                self.checksum_errors += 1
                self._drop(1)
                continue
            frames.append(Frame(command, buffer[4] if length else None, bytes(buffer[5 : size - 1])))
            del buffer[:size]
        return frames

    def _seek_header(self) -> bool:
        """Drop what stands before the next (perhaps unfinished) header; False if nothing is left."""
        start = self._buffer.find(HEADER)
        if start < 0:
            start = len(self._buffer) - self._buffer.endswith(HEADER[:1])
        self._drop(start)
        return bool(self._buffer)

    def _drop(self, count: int) -> None:
        self.noise_bytes += count
        del self._buffer[:count]


def check_address(address: int) -> None:
    """Raise ValueError, with a sentence, for a number that no selection of an XY board can have."""
    if not LOWEST_ADDRESS <= address <= HIGHEST_ADDRESS:
        raise ValueError(
            f"an XY board numbers its selections {LOWEST_ADDRESS} to {HIGHEST_ADDRESS}; {address} is none of them"
        )


# What the host says.


def sync(packno: int) -> Frame:
    """31: synchronise; the board then reports every selection."""
    return Frame(Command.SYNC, packno)


def poll_interval(packno: int, interval_ms: int) -> Frame:
    """16: how often the board polls; 100 to 2000 ms in steps of 100, ValueError otherwise."""
    if interval_ms not in range(SHORTEST_POLL_INTERVAL_MS, LONGEST_POLL_INTERVAL_MS + 1, 100):
        raise ValueError(f"an XY board polls every 100 to 2000 ms in steps of 100, not every {interval_ms} ms")
    return Frame(Command.POLL_INTERVAL, packno, bytes((interval_ms // 100,)))


def drive(packno: int, address: int, *, drop_sensor: bool, lift: bool) -> Frame:
    """06: turn the motor of a selection once."""
    check_address(address)
    return Frame(Command.DRIVE, packno, bytes((drop_sensor, lift)) + address.to_bytes(2))


def machine_status_query(packno: int) -> Frame:
    """51: door, temperature, machine id; answered by 52, by some boards never."""
    return Frame(Command.MACHINE_STATUS_QUERY, packno)


def quick_status_query(packno: int) -> Frame:
    """53: lift and delivery door; answered by 54, by newer boards never."""
    return Frame(Command.QUICK_STATUS_QUERY, packno)


def sales_query(packno: int, address: int) -> Frame:
    """70/47: how often the board itself counts this selection as sold; answered by 71/47."""
    check_address(address)
    return Frame(Command.MENU, packno, bytes((SALES_OF_SELECTION, MENU_READ)) + address.to_bytes(2))


# What the board says. Each reader returns None for a frame that is not of its kind or not of a length it may have.


@dataclass(frozen=True)
class SelectionStatus:
    """02."""

    status: int
    selection: int


@dataclass(frozen=True)
class DispenseStatus:
    """04. For status 23 hex `selection` carries the seconds left."""

    status: int
    selection: int


@dataclass(frozen=True)
class SelectionReport:
    """11. `price_fen` is in the smallest unit of the board's currency; `paused` for any state but 0."""

    selection: int
    price_fen: int
    stock: int
    capacity: int
    product: int
    paused: bool


@dataclass(frozen=True)
class MachineStatus:
    """52, of the full length only; `door` is the board's own code, `cabinet_temperatures` skips what was not read."""

    temperature: int  # °C, signed
    door: int
    machine_id: str
    cabinet_temperatures: tuple[int, ...]  # °C, signed


@dataclass(frozen=True)
class SalesCount:
    """71/47. `selection` is None when the board does not repeat it."""

    count: int
    amount_fen: int
    selection: int | None


def read_selection_status(frame: Frame) -> SelectionStatus | None:
    """02 as a value."""
    if frame.command != Command.SELECTION_STATUS or not frame.has_known_length:
        return None
    return SelectionStatus(frame.text[0], int.from_bytes(frame.text[1:3]))


def read_dispense_status(frame: Frame) -> DispenseStatus | None:
    """04 as a value, with or without the microwave's number at its end."""
    if frame.command != Command.DISPENSE_STATUS or not frame.has_known_length:
        return None
    return DispenseStatus(frame.text[0], int.from_bytes(frame.text[1:3]))


def read_selection_report(frame: Frame) -> SelectionReport | None:
    """11 as a value."""
    if frame.command != Command.SELECTION_REPORT or not frame.has_known_length:
        return None
    text = frame.text
    return SelectionReport(
        selection=int.from_bytes(text[0:2]),
        price_fen=int.from_bytes(text[2:6]),
        stock=text[6],
        capacity=text[7],
        product=int.from_bytes(text[8:10]),
        paused=text[10] != 0,
    )


NOT_READ = 0xAA  # a cabinet temperature that the board has no probe for


def _signed(value: int) -> int:
    return value - 256 if value > 127 else value


def read_machine_status(frame: Frame) -> MachineStatus | None:
    """52 as a value; None for the short forms, which say nothing."""
    if frame.command != Command.MACHINE_STATUS or len(frame.text) != 40:
        return None
    text = frame.text
    return MachineStatus(
        temperature=_signed(text[4]),
        door=text[5],
        machine_id=text[14:24].decode("ascii", "replace").strip("\x00 "),
        cabinet_temperatures=tuple(_signed(value) for value in text[24:32] if value != NOT_READ),
    )


def read_quick_status(frame: Frame) -> int | None:
    """54: its one code."""
    if frame.command != Command.QUICK_STATUS or not frame.has_known_length:
        return None
    return frame.text[0]


def read_sales_count(frame: Frame) -> SalesCount | None:
    """71/47 as a value.

    The documents name count(4) and amount(4) but not what stands before them, so the last eight bytes are read, and
    the two before them as the selection where there are two or more.
    """
    text = frame.text
    if frame.command != Command.MENU_ANSWER or len(text) < 10 or text[0] != SALES_OF_SELECTION:
        return None
    between = text[2:-8]
    return SalesCount(
        count=int.from_bytes(text[-8:-4]),
        amount_fen=int.from_bytes(text[-4:]),
        selection=int.from_bytes(between[-2:]) if len(between) >= 2 else None,
    )
