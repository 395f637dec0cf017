"""The same sales through every kind of board: a can, a jam and the next slot, a jam and the money back."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from core_values import make_settings
from scenario_kit import bench

from hardware.master_line import MasterTiming
from hardware.modbus import codec
from hardware.modbus.simulator import RelayBoard, Zdm8Board
from hardware.simulated_board import SimulatedBoard
from hardware.tcn.codec import turn
from hardware.tcn.simulator import TcnBoard
from kiosk.audit import audit
from kiosk.drivers import make_dispenser
from kiosk.orders import OrderState
from kiosk.settings import DispenserDriver, ModbusProfile, ModbusSettings, TcnSettings

BOARDS = {
    "modbus-relay": (RelayBoard, DispenserDriver.MODBUS, ModbusSettings(ModbusProfile.RELAY, pulse_seconds=0.1)),
    "modbus-zdm8": (Zdm8Board, DispenserDriver.MODBUS, ModbusSettings(ModbusProfile.ZDM8)),
    "tcn": (TcnBoard, DispenserDriver.TCN, ModbusSettings()),
}


@pytest.mark.parametrize(("board", "driver", "modbus"), BOARDS.values(), ids=BOARDS.keys())
async def test_a_day_at_the_machine(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    board: type[SimulatedBoard],
    driver: DispenserDriver,
    modbus: ModbusSettings,
) -> None:
    """One can; slot 11 jams, so slot 12 gives the next one; then 12 jams too, and the money goes back."""
    # Board, WeChat and machine share one loop, which a busy computer holds up: the real limit has a test of its own.
    monkeypatch.setattr("hardware.asked_dispenser.MasterTiming", partial(MasterTiming, blind_seconds=10))
    async with bench(
        tmp_path, make_board=board, dispenser={"driver": driver, "modbus": modbus}, vend_timeout_seconds=2
    ) as here:
        first = await here.settled(await here.buy("cola"), OrderState.DISPENSED)
        here.board.jam(11)
        second = await here.settled(await here.buy("cola"), OrderState.DISPENSED)
        here.board.jam(12)
        third = await here.settled(await here.buy("cola"), OrderState.REFUNDED)

        assert [11, 12] == [drop.selection for drop in here.board.drops]
        assert ("11", "12") == (first.slot, second.slot)
        assert [(350, 0), (350, 0), (350, 350)] == [
            here.money(order.out_trade_no) for order in (first, second, third)
        ]
    assert () == audit(here.journal_file).findings


@pytest.mark.parametrize(
    ("driver", "section", "frame"),
    [
        (
            DispenserDriver.MODBUS,
            ModbusSettings(ModbusProfile.RELAY, unit=3, pulse_seconds=1.5),
            codec.timed_pulse(3, 11, 1.5),
        ),
        (
            DispenserDriver.MODBUS,
            ModbusSettings(ModbusProfile.ZDM8, unit=3, sensor=False, motor="belt"),
            codec.write_registers(3, 0x2001, [0x0B03, 0]),
        ),
        (DispenserDriver.TCN, TcnSettings(drop_sensor=False), turn(11, drop_sensor=False)),
    ],
)
async def test_what_the_ini_says_reaches_the_wire(
    tmp_path: Path, driver: DispenserDriver, section: ModbusSettings | TcnSettings, frame: bytes
) -> None:
    """Unit, pulse, motor and sensor stand in the very frame that a vend sends."""
    settings = make_settings(tmp_path)
    chosen = replace(settings.dispenser, driver=driver, port="/dev/none", **{driver.value: section})
    dispenser = make_dispenser(replace(settings, dispenser=chosen))
    assert frame.hex() == json.loads(dispenser.prepare(11))["frame"]


@pytest.mark.parametrize("answers", ["another kind of board", "nothing"])
async def test_a_machine_with_the_wrong_board_sells_nothing(tmp_path: Path, answers: str) -> None:
    """The reason stands among the problems, no code is shown, and no motor turns; the right board opens the shop."""
    modbus = ModbusSettings(ModbusProfile.ZDM8)
    async with bench(
        tmp_path, make_board=Zdm8Board, dispenser={"driver": DispenserDriver.MODBUS, "modbus": modbus}
    ) as here:
        await here.code("cola")
        await here.board.stop()
        wrong = RelayBoard(link=tmp_path / "board")
        wrong.silent = answers == "nothing"
        await wrong.start()
        words = "does not answer as a zdm8 board" if answers != "nothing" else "does not answer on"
        await here.until(
            lambda: any(words in str(problem.message) for problem in here.machine.readiness.problems),
            "the problem is told",
        )
        await here.until(lambda: here.shown("cola") is None, "the code is off the screen")
        assert [] == [event for event in wrong.events if event.kind == "vend"]
        await wrong.stop()
        here.board = Zdm8Board(link=tmp_path / "board", motor_seconds=0.05)
        await here.board.start()
        await here.settled(await here.buy("cola"), OrderState.DISPENSED)
