"""The ZDM8 driver over a real pty: a state that is told once, its two witnesses, and what else the board knows."""

from __future__ import annotations

import asyncio
import json

import pytest
from boards_kit import LineMaker, wait_until

from hardware.dispenser import Cause, Outcome
from hardware.modbus.simulator import MOTOR_TIMED_OUT, Zdm8Board
from hardware.modbus.zdm8 import FAILED, INPUTS, SENSOR, SUCCEEDED, Motor, Zdm8Dispenser
from hardware.simulated_board import Damage

DELIVERED, NOT_DELIVERED, UNKNOWN = Outcome.DELIVERED, Outcome.NOT_DELIVERED, Outcome.UNKNOWN


class TestStates:
    @pytest.mark.parametrize(
        ("run", "fault", "expected"),
        [
            (SUCCEEDED, 0, (DELIVERED, None)),
            (FAILED, 5, (NOT_DELIVERED, Cause.SLOT)),
            (SUCCEEDED, 5, (UNKNOWN, None)),
            (FAILED, 0, (UNKNOWN, None)),
            (7, 0, (UNKNOWN, None)),
        ],
    )
    async def test_a_state_counts_only_together_with_the_fault_code(
        self, line: LineMaker, run: int, fault: int, expected: tuple[Outcome, Cause | None]
    ) -> None:
        """The maker's table was not at hand: what contradicts itself, or is not known, is UNKNOWN."""
        made = await line(Zdm8Board, Zdm8Dispenser)
        made.board.answer_next_vend(run, fault)
        ended = await made.dispenser.vend(12)
        assert (ended.outcome, ended.cause) == expected

    async def test_an_old_fault_code_does_not_spoil_a_success(self, line: LineMaker) -> None:
        """The board never clears it: only a new one counts."""
        made = await line(Zdm8Board, Zdm8Dispenser)
        made.board.answer_next_vend(FAILED, 5)
        assert (await made.dispenser.vend(1)).cause is Cause.SLOT
        made.board.answer_next_vend(SUCCEEDED, 5)
        assert (await made.dispenser.vend(2)).outcome is DELIVERED


class TestReadOnce:
    async def test_a_lost_success_is_proven_by_the_drop_sensor(self, line: LineMaker) -> None:
        """The answer with the result is lost, the board is idle again: its input saw the goods."""
        made = await line(Zdm8Board, Zdm8Dispenser, {"motor_seconds": 0.1})
        made.board.lose_results()
        ended = await made.dispenser.vend(1)
        assert (ended.outcome, ended.proven) == (DELIVERED, True)
        assert made.vends() == ["1"]

    async def test_the_item_before_proves_nothing(self, line: LineMaker) -> None:
        """While it passes the sensor the next order waits; a jam is then a failure, not "seen"."""
        made = await line(Zdm8Board, Zdm8Dispenser, vend_timeout_seconds=4)
        assert (await made.dispenser.vend(1)).outcome is DELIVERED
        made.board.jam(2)
        made.board.lose_results()
        assert (await made.dispenser.vend(2)).outcome is NOT_DELIVERED
        assert made.drops() == [1]

    async def test_a_lost_failure_is_told_by_the_fault_code(self, line: LineMaker) -> None:
        """The fault code stays when the state is gone."""
        made = await line(Zdm8Board, Zdm8Dispenser)
        made.board.jam(1)
        made.board.lose_results()
        ended = await made.dispenser.vend(1)
        assert (ended.outcome, ended.cause) == (NOT_DELIVERED, Cause.SLOT)

    async def test_a_lost_result_without_witnesses_is_unknown(self, line: LineMaker) -> None:
        """No sensor, no fault: UNKNOWN soon, not "idle, so once more"."""
        made = await line(Zdm8Board, Zdm8Dispenser, vend_timeout_seconds=30, drop_sensor=False)
        made.board.lose_results()
        async with asyncio.timeout(10):
            ended = await made.dispenser.vend(1)
        assert ended.outcome is UNKNOWN
        assert made.vends() == ["1"]
        assert (await made.dispenser.vend(2)).outcome is DELIVERED

    async def test_a_result_that_nobody_waited_for_answers_a_recall(self, line: LineMaker) -> None:
        """It came after its time: the routine read it, and `recall` tells it, because the board was idle before."""
        made = await line(Zdm8Board, Zdm8Dispenser, drop_sensor=False)
        made.board.delay_results(1.3)
        evidence = made.dispenser.prepare(1)
        assert (await made.dispenser.vend(1)).outcome is UNKNOWN
        assert (await made.dispenser.recall(1, evidence)).outcome is DELIVERED

    async def test_a_process_that_died_meanwhile(self, line: LineMaker) -> None:
        """The next process finds the result that the board still holds, and asks for nothing else."""
        made = await line(Zdm8Board, Zdm8Dispenser, {"motor_seconds": 0.3})
        evidence = made.dispenser.prepare(1)
        assert json.loads(evidence)["idle"] is True
        vend = asyncio.create_task(made.dispenser.vend(1))
        await wait_until(made.vends, "the board has the order")
        await made.dispenser.stop()
        assert (await vend).outcome is UNKNOWN
        await wait_until(made.drops, "the item fell")
        again = Zdm8Dispenser(port=str(made.board.link))
        await again.start()
        recalled = await again.recall(1, evidence)
        await again.stop()
        assert recalled.outcome is DELIVERED
        assert made.vends() == ["1"]

    async def test_a_board_that_was_busy_proves_nothing_afterwards(self, line: LineMaker) -> None:
        """A result may be that of an order before: evidence of a board that was not idle is none."""
        made = await line(Zdm8Board, Zdm8Dispenser)
        recalled = await made.dispenser.recall(1, '{"frame":"01","idle":false,"fault":0}')
        assert recalled.outcome is UNKNOWN


class TestBeforeTheTurn:
    async def test_a_blocked_drop_sensor(self, line: LineMaker) -> None:
        """A sensor that sees nothing would make every vend a failure: nothing is turned, no other slot is tried."""
        made = await line(Zdm8Board, Zdm8Dispenser)
        made.board.sensor_blocked = True
        ended = await made.dispenser.vend(1)
        assert (ended.outcome, ended.cause) == (NOT_DELIVERED, Cause.MACHINE)
        assert made.vends() == []

    async def test_a_board_without_a_word_for_its_sensor(self, line: LineMaker) -> None:
        """It refuses the questions for sensor and inputs: it sells, by its state alone."""
        made = await line(Zdm8Board, Zdm8Dispenser, ready=False)
        known = made.board._words
        made.board._words = lambda address: None if address in {SENSOR, INPUTS} else known(address)
        await wait_until(lambda: made.dispenser.status.ready, "the driver is ready")
        assert (await made.dispenser.vend(1)).outcome is DELIVERED

    async def test_a_lane_beyond_the_board(self, line: LineMaker) -> None:
        """The board says how many rows and columns it has: a lane beyond them is the slot's fault."""
        made = await line(Zdm8Board, Zdm8Dispenser, ready=False)
        made.board.rows, made.board.columns = 6, 8
        await wait_until(lambda: made.dispenser.status.ready, "the driver is ready")
        for lane in (60, 8):
            ended = await made.dispenser.vend(lane)
            assert (ended.outcome, ended.cause) == (NOT_DELIVERED, Cause.SLOT)
            assert f"6 rows of 8 lanes, counted from 0: no lane {lane}" in ended.detail
        assert made.vends() == []
        assert len(made.dispenser.status.slots) == 48

    async def test_a_board_that_still_runs_takes_no_order(self, line: LineMaker) -> None:
        """After a vend without a result the board is not ready until it has come to rest."""
        made = await line(Zdm8Board, Zdm8Dispenser, {"motor_seconds": 1.5})
        assert (await made.dispenser.vend(1)).outcome is UNKNOWN
        await wait_until(lambda: "still running" in made.dispenser.status.reason, "it was noticed")
        assert (await made.dispenser.vend(2)).cause is Cause.NOT_TAKEN
        await wait_until(lambda: made.dispenser.status.ready, "the board came to rest")
        assert made.vends() == ["1"]


async def test_a_cable_changed_between_two_questions(line: LineMaker) -> None:
    """One answer is missing, then another board answers: it is recognised before it is driven."""
    made = await line(Zdm8Board, Zdm8Dispenser)
    made.board.damage_next(Damage.CUT)
    made.board.identity = "2024-11-05"
    await wait_until(lambda: "another board" in made.dispenser.status.reason, "it was recognised")
    assert "software 20241105" in made.dispenser.status.reason
    assert (await made.dispenser.vend(1)).cause is Cause.NOT_TAKEN
    assert made.vends() == []


async def test_the_order_says_motor_and_sensor(line: LineMaker) -> None:
    """Lane, kind of motor, drop sensor, no lift: as the manual's example."""
    made = await line(Zdm8Board, Zdm8Dispenser)
    assert json.loads(made.dispenser.prepare(16))["frame"] == "01102001000204" + "10010100" + "ff32"
    belt = await line(Zdm8Board, Zdm8Dispenser, drop_sensor=False, motor=Motor.BELT)
    assert json.loads(belt.dispenser.prepare(16))["frame"].startswith("01102001000204" + "10030000")


async def test_the_technician_sees_the_board(line: LineMaker) -> None:
    """Climate, door, sensor, fault code and identity, in words and units."""
    made = await line(Zdm8Board, Zdm8Dispenser)
    made.board.jam(1)
    await made.dispenser.vend(1)
    await wait_until(lambda: made.fact("fault_code") == MOTOR_TIMED_OUT, "the fault was told")
    await wait_until(lambda: made.fact("drop_sensor") == "aligned", "the sensor was asked")
    await wait_until(lambda: made.fact("temperature") == 21.0, "the climate was asked")
    await wait_until(lambda: made.fact("door") == "closed", "the door was asked")
    assert made.fact("humidity") == 55.0
    assert made.fact("identity") == "hardware 2002, software 20200220, 10 x 10 lanes"
