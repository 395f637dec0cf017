"""What the drivers of all Modbus boards share: a unit on the bus, and questions that are sent exactly once."""

from __future__ import annotations

import abc

from pymodbus.pdu import ModbusPDU

from hardware.asked_dispenser import AskedDispenser
from hardware.master_line import MasterTiming
from hardware.modbus import codec
from hardware.modbus.codec import Refused
from hardware.serial_link import LinkTiming


class ModbusDispenser(AskedDispenser):
    """A Dispenser for one unit on a Modbus RTU line. `profile` is its name in the ini, for sentences."""

    def __init__(
        self,
        *,
        profile: str,
        port: str,
        baudrate: int,
        vend_timeout_seconds: float,
        unit: int,
        timing: MasterTiming | None,
        link_timing: LinkTiming | None,
    ) -> None:
        super().__init__(
            kind=f"a Modbus board ({profile}, unit {unit})",
            port=port,
            baudrate=baudrate,
            vend_timeout_seconds=vend_timeout_seconds,
            timing=timing,
            link_timing=link_timing,
        )
        self._profile = profile
        self._unit = unit

    @abc.abstractmethod
    async def _meet(self) -> str:
        """As `_introduce`; may raise `Refused` as well."""

    @abc.abstractmethod
    async def _ask_how_it_is(self) -> str:
        """As `_look`; may raise `Refused` as well."""

    async def _introduce(self) -> str:
        try:
            return await self._meet()
        except Refused as refusal:
            return self._another_kind(str(refusal))

    async def _look(self) -> str:
        try:
            return await self._ask_how_it_is()
        except Refused as refusal:
            return self._another_kind(str(refusal))

    def _another_kind(self, why: str) -> str:
        return (
            f"unit {self._unit} on {self._line.port} does not answer as a {self._profile} board does ({why}): "
            "is another kind of board connected, or does [modbus] name the wrong profile?"
        )

    async def _ask(self, wire: bytes) -> ModbusPDU:
        """One frame out, once; its answer. Raises `Unanswered` or `Refused`."""
        return codec.decode(await self._line.ask(wire, codec.answer_finder(wire), self._timing.answer_seconds))
