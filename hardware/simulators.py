"""The simulated boards by the names that `kiosk simulate-board --protocol` takes."""

# ruff: noqa: PLC0415 - only the protocol that was asked for is loaded

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hardware.simulated_board import BoardEvent, SimulatedBoard


def make_board(protocol: str, link: Path | None, on_event: Callable[[BoardEvent], None]) -> SimulatedBoard:
    """A board with its protocol's usual slots; ValueError for a protocol that none speaks."""
    match protocol:
        case "xy":
            from hardware.xy.simulator import XyBoard

            return XyBoard(link=link, on_event=on_event)
        case "mdb":
            from hardware.mdb.simulator import MdbMachine

            return MdbMachine(link=link, on_event=on_event)
        case "modbus-relay":
            from hardware.modbus.simulator import RelayBoard

            return RelayBoard(link=link, on_event=on_event)
        case "modbus-zdm8":
            from hardware.modbus.simulator import Zdm8Board

            return Zdm8Board(link=link, on_event=on_event)
        case "tcn":
            from hardware.tcn.simulator import TcnBoard

            return TcnBoard(link=link, on_event=on_event)
        case _:
            raise ValueError(f"there is no simulated board for the protocol {protocol}")
