"""The driver for relay boards: one timed pulse for each vend, proven by an input where there is one.

The pulse is timed by the board itself, so that no motor keeps turning when this host dies in between. What the board
acknowledges is that the relay was switched; that goods came is told by the discrete input of the same number, a drop
sensor or the switch of a door: off before, on within vend_timeout. The board has nothing that tells it from another
one of its kind.

Source: Waveshare, "Modbus RTU Relay", command "flash on"; functions 01, 02 and 05.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hardware.dispenser import Cause, Outcome, VendResult
from hardware.master_line import MasterTiming, Unanswered
from hardware.modbus import codec
from hardware.modbus.codec import ILLEGAL_ADDRESS, Refused
from hardware.modbus.driver import ModbusDispenser
from hardware.serial_link import LinkTiming

SETTLE_SECONDS = 3.0  # a drop sensor lets go of what fell within a second; a door that is open stays open
SHOWN = 8  # coils and inputs that the technician sees; fewer where the board has fewer

_Read = Callable[[int, int, int], bytes]  # unit, first one, count


class RelayDispenser(ModbusDispenser):
    """A Dispenser for relay boards. Addresses are coils, from 0.

    `pulse_seconds`: how long the relay is on, in steps of 0.1. `proof_by_input`: False where no input can tell; then
    a pulse that the board acknowledged is a delivery that nothing proves.
    """

    def __init__(
        self,
        *,
        port: str,
        baudrate: int = 9600,
        vend_timeout_seconds: float = 60,
        unit: int = 1,
        pulse_seconds: float = 0.7,
        proof_by_input: bool = True,
        timing: MasterTiming | None = None,
        link_timing: LinkTiming | None = None,
    ) -> None:
        super().__init__(
            profile="relay",
            port=port,
            baudrate=baudrate,
            vend_timeout_seconds=vend_timeout_seconds,
            unit=unit,
            timing=timing,
            link_timing=link_timing,
        )
        self._pulse_seconds = pulse_seconds
        self._proof_by_input = proof_by_input
        self._shown: dict[_Read, int] = {codec.read_coils: SHOWN, codec.read_inputs: SHOWN}

    def _check(self, address: int) -> None:
        self._order(address)

    def _order(self, address: int) -> bytes:
        return codec.timed_pulse(self._unit, address, self._pulse_seconds)

    async def _meet(self) -> str:
        return await self._ask_how_it_is()

    async def _ask_how_it_is(self) -> str:
        self._note("relays_on", await self._first_ones(codec.read_coils))
        if self._proof_by_input:
            try:
                self._note("inputs_on", await self._first_ones(codec.read_inputs))
            except Refused as refusal:
                return (
                    f"unit {self._unit} on {self._line.port} has no discrete inputs ({refusal}): "
                    "set [modbus] proof = none, or connect a board that has them"
                )
        return ""

    async def _first_ones(self, read: _Read) -> str:
        """Which of the first coils or inputs are on: "0 3", or "none". A small board refuses to tell of eight."""
        while True:
            count = self._shown[read]
            try:
                bits = (await self._ask(read(self._unit, 0, count))).bits[:count]
            except Refused as refusal:
                if refusal.code != ILLEGAL_ADDRESS or count == 1:
                    raise
                self._shown[read] = count // 2
            else:
                return " ".join(str(number) for number, on in enumerate(bits) if on) or "none"

    async def _turn(self, address: int, deadline: float) -> VendResult:
        try:
            # Also without proof: this answer shows whether the adapter returns our own bytes, and an echo of the
            # command would look exactly like its acknowledgement.
            before = await self._is_on(address)
            settled = asyncio.get_running_loop().time() + SETTLE_SECONDS
            while before and self._proof_by_input and asyncio.get_running_loop().time() < min(settled, deadline):
                await asyncio.sleep(self._timing.watch_seconds)  # the item before may still be passing
                before = await self._is_on(address)
        except Unanswered as error:
            return self._never_ordered(address, str(error))
        except Refused as refusal:
            if refusal.code != ILLEGAL_ADDRESS:
                return self._never_ordered(address, str(refusal))
            detail = f"the board has no {self._witness(address)} ({refusal}); nothing was switched"
            return VendResult(Outcome.NOT_DELIVERED, detail, Cause.SLOT)
        if before and self._proof_by_input:
            detail = (
                f"{self._witness(address)} is on before anything was switched: "
                "is a door open, or the drop sensor blocked?"
            )
            return VendResult(Outcome.NOT_DELIVERED, detail, Cause.SLOT)
        if self._line.echoes is None:
            return self._never_ordered(address, "the line is too noisy to tell an echo from an answer")
        looked_at = asyncio.get_running_loop().time()
        try:
            await self._ask(self._order(address))
        except Refused as refusal:
            if refusal.proves_nothing_moved:
                return VendResult(
                    Outcome.NOT_DELIVERED, f"the board refuses to pulse coil {address}: {refusal}", _cause(refusal)
                )
            return await self._wait(address, deadline, looked_at, f"answered {refusal}", certain=False)
        except Unanswered as error:
            if not error.sent:
                return self._never_ordered(address, str(error))
            return await self._wait(address, deadline, looked_at, "did not acknowledge the pulse", certain=False)
        return await self._wait(address, deadline, looked_at, "acknowledged the pulse", certain=True)

    async def _wait(self, address: int, deadline: float, looked_at: float, said: str, *, certain: bool) -> VendResult:
        """Wait for the proof. `certain`: the command was taken, and nothing has been missed so far."""
        loop = asyncio.get_running_loop()
        pulse_ends = min(looked_at + self._pulse_seconds, deadline)
        if not self._proof_by_input:
            if not certain:
                return VendResult(Outcome.UNKNOWN, f"the board {said} of coil {address}, and nothing can prove it")
            await asyncio.sleep(pulse_ends - loop.time())
            return VendResult(Outcome.DELIVERED, f"the board {said} of coil {address}")
        while loop.time() < deadline and not self._stopping:
            try:
                on = await self._is_on(address)
            except (Unanswered, Refused):
                certain = False
            else:
                if on:
                    await asyncio.sleep(pulse_ends - loop.time())  # the relay is off again before the next order
                    return VendResult(Outcome.DELIVERED, f"{self._witness(address)} came on", proven=True)
                certain = certain and loop.time() - looked_at <= self._timing.blind_seconds
                looked_at = loop.time()
            await asyncio.sleep(self._timing.watch_seconds)
        detail = (
            f"the board {said}, and {self._witness(address)} did not come on within {self._vend_timeout_seconds:g} s"
        )
        if certain and not self._stopping:
            return VendResult(Outcome.NOT_DELIVERED, detail, Cause.SLOT)
        return VendResult(Outcome.UNKNOWN, f"{detail}, but it could not be watched all the time")

    async def _is_on(self, address: int) -> bool:
        read = codec.read_inputs if self._proof_by_input else codec.read_coils
        return bool((await self._ask(read(self._unit, address, 1))).bits[0])

    def _witness(self, address: int) -> str:
        return f"{'input' if self._proof_by_input else 'coil'} {address}"


def _cause(refusal: Refused) -> Cause:
    match refusal.code:
        case codec.ILLEGAL_ADDRESS:
            return Cause.SLOT  # no such coil
        case codec.BUSY:
            return Cause.NOT_TAKEN
        case _:
            return Cause.MACHINE  # a board that knows no timed pulse pulses no other coil either
