"""Which driver the ini names: the board that turns the motors, the screen that shows the picture.

Drivers are imported where they are chosen, so that only the one in use is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from display.framebuffer import Framebuffer
from display.png_file import PngFile
from display.screen import NullScreen, Screen
from hardware.dispenser import Dispenser
from kiosk.settings import DispenserDriver, DispenserSettings, DisplayDriver, ModbusProfile, Settings

DEFAULT_FRAMEBUFFER = Path("/dev/fb0")
FAKE_DROPS = "drops.jsonl"  # what the fake dispenser dropped, in the data folder


def make_dispenser(settings: Settings) -> Dispenser:
    """The board's driver."""
    chosen = settings.dispenser
    match chosen.driver:
        case DispenserDriver.FAKE:
            from hardware.fake import FakeDispenser  # noqa: PLC0415

            return FakeDispenser(ledger=settings.kiosk.data_dir / FAKE_DROPS)
        case DispenserDriver.XY:
            from hardware.xy.driver import XyDispenser  # noqa: PLC0415

            return XyDispenser(
                port=chosen.port or "",
                baudrate=chosen.baudrate or 57600,
                vend_timeout_seconds=chosen.vend_timeout_seconds,
                drop_sensor=chosen.xy.drop_sensor,
                lift=chosen.xy.lift,
                repeat=chosen.xy.repeat,
                poll_interval_ms=chosen.xy.poll_interval_ms,
                sales_counter=chosen.xy.sales_counter,
            )
        case DispenserDriver.MDB:
            from hardware.mdb.driver import MdbDispenser  # noqa: PLC0415

            return MdbDispenser(
                port=chosen.port or "",
                baudrate=chosen.baudrate or 115200,
                vend_timeout_seconds=chosen.vend_timeout_seconds,
                mdb_address=chosen.mdb.address,
                currency=chosen.mdb.currency,
                settings=dict(chosen.mdb.bridge_settings),
            )
        case DispenserDriver.MODBUS:
            return _modbus_dispenser(chosen)
        case DispenserDriver.TCN:
            from hardware.tcn.driver import TcnDispenser  # noqa: PLC0415

            return TcnDispenser(
                port=chosen.port or "",
                baudrate=chosen.baudrate or 9600,
                vend_timeout_seconds=chosen.vend_timeout_seconds,
                drop_sensor=chosen.tcn.drop_sensor,
            )


def _modbus_dispenser(chosen: DispenserSettings) -> Dispenser:
    modbus = chosen.modbus
    match modbus.profile:
        case ModbusProfile.RELAY:
            from hardware.modbus.relay import RelayDispenser  # noqa: PLC0415

            return RelayDispenser(
                port=chosen.port or "",
                baudrate=chosen.baudrate or 9600,
                vend_timeout_seconds=chosen.vend_timeout_seconds,
                unit=modbus.unit,
                pulse_seconds=modbus.pulse_seconds,
                proof_by_input=modbus.proof_by_input,
            )
        case ModbusProfile.ZDM8:
            from hardware.modbus.zdm8 import Motor, Zdm8Dispenser  # noqa: PLC0415

            return Zdm8Dispenser(
                port=chosen.port or "",
                baudrate=chosen.baudrate or 9600,
                vend_timeout_seconds=chosen.vend_timeout_seconds,
                unit=modbus.unit,
                drop_sensor=modbus.sensor,
                motor=Motor[modbus.motor.upper()],
            )


def screen_opener(settings: Settings) -> Callable[[], Screen]:
    """What opens the screen that the ini names; each call opens it anew, and raises `ScreenError`."""
    display = settings.display
    match display.driver:
        case DisplayDriver.FRAMEBUFFER:
            return lambda: Framebuffer(display.device or DEFAULT_FRAMEBUFFER, display.rotate)
        case DisplayDriver.FILE:
            file = display.device or Path("screen.png")
            return lambda: PngFile(file, display.width, display.height, display.rotate)
        case DisplayDriver.NONE:
            return lambda: NullScreen(display.width, display.height)
        case DisplayDriver.WINDOW:
            from display.window import Window  # noqa: PLC0415 - only the driver in use is loaded

            return lambda: Window(display.width, display.height, display.rotate)
