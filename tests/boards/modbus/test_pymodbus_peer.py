"""Our drivers against pymodbus's own server: a peer that nobody here wrote."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from boards_kit import QUICK_LINK, QUICK_MASTER, wait_until
from pymodbus.pdu.bit_message import WriteSingleCoilRequest
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from hardware.dispenser import Cause, Dispenser, Outcome
from hardware.modbus.relay import RelayDispenser
from hardware.modbus.zdm8 import ORDER, STATE, SUCCEEDED, Zdm8Dispenser
from hardware.pseudo_terminal import PseudoTerminal, Wire

MOTOR_SECONDS = 0.1


@asynccontextmanager
async def served(device: SimDevice, **options: Any) -> AsyncIterator[str]:
    """A port behind which pymodbus serves `device`: two pseudo-terminals back to back."""
    ours = PseudoTerminal(link=None, wire=Wire(), on_bytes=lambda data: theirs.write(data))  # noqa: PLW0108 - made below
    theirs = PseudoTerminal(link=None, wire=Wire(), on_bytes=ours.write)
    ours.plug()
    theirs.plug()
    server = ModbusSerialServer(device, port=theirs.path, baudrate=9600, **options)
    await server.serve_forever(background=True)
    try:
        yield ours.path
    finally:
        await server.shutdown()
        ours.unplug()
        theirs.unplug()


@asynccontextmanager
async def driven(dispenser: Dispenser) -> AsyncIterator[Dispenser]:
    await dispenser.start()
    try:
        await wait_until(lambda: dispenser.status.ready, "the driver is ready")
        yield dispenser
    finally:
        await dispenser.stop()


async def test_a_relay_board() -> None:
    """The timed pulse arrives once, with its length; the input proves it; a missing coil is refused."""
    inputs = [False] * 16
    pulses: list[tuple[int, int]] = []

    class FlashOn(WriteSingleCoilRequest):
        """05 as relay boards read it: any value, and the same back."""

        def decode(self, data: bytes) -> None:
            self.address, self.value = struct.unpack(">HH", data[:4])

        def encode(self) -> bytes:
            return struct.pack(">HH", self.address, self.value)

        async def datastore_update(self, *_: Any) -> FlashOn:
            pulses.append((self.address, self.value))
            asyncio.get_running_loop().call_later(MOTOR_SECONDS, inputs.__setitem__, self.address - 0x200, True)
            return self

    async def look(*request: Any) -> None:
        function, _, _, _, registers, _ = request
        if function == 2:
            registers[0] = sum(1 << place for place, on in enumerate(inputs) if on)

    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    words = [SimData(0, values=[0], datatype=DataType.REGISTERS)]
    device = SimDevice(id=1, simdata=(bits, bits, words, words), action=look)
    async with served(device, custom_pdu=[FlashOn]) as port:
        relay = RelayDispenser(
            port=port, vend_timeout_seconds=2, pulse_seconds=0.3, timing=QUICK_MASTER, link_timing=QUICK_LINK
        )
        async with driven(relay):
            ended = await relay.vend(3)
            assert (ended.outcome, ended.proven) == (Outcome.DELIVERED, True)
            missing = await relay.vend(20)
            assert (missing.outcome, missing.cause) == (Outcome.NOT_DELIVERED, Cause.SLOT)
    assert pulses == [(0x203, 3)]


async def test_a_zdm8_board() -> None:
    """Identity, order, a result that is told once: one order at the server for one vend."""
    orders: list[list[int]] = []

    async def act(*request: Any) -> None:
        function, start, address, _, registers, values = request
        loop = asyncio.get_running_loop()
        if function == 0x10 and address == ORDER:
            orders.append(list(values))
            registers[STATE - start] = 1 << 8
            loop.call_later(MOTOR_SECONDS, registers.__setitem__, STATE - start, SUCCEEDED << 8)
        if function == 3 and address == STATE and registers[STATE - start] >> 8 == SUCCEEDED:
            loop.call_soon(registers.__setitem__, STATE - start, 0)

    words = [0x2002, 0x0A0A, 0, 0x00D2, 0x0101, 0, 0, 1, 0, 0]  # registers 1 to 10
    blocks = [SimData(1, values=words, datatype=DataType.REGISTERS)]
    blocks.append(SimData(ORDER, values=[0, 0], datatype=DataType.REGISTERS))
    async with served(SimDevice(id=1, simdata=blocks, action=act)) as port:
        zdm8 = Zdm8Dispenser(port=port, vend_timeout_seconds=2, timing=QUICK_MASTER, link_timing=QUICK_LINK)
        async with driven(zdm8):
            ended = await zdm8.vend(16)
    assert (ended.outcome, ended.proven) == (Outcome.DELIVERED, True)
    assert orders == [[0x1001, 0x0100]]
