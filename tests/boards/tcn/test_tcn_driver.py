"""The TCN driver over a real pty: what each answer means, and what may not be taken for an answer."""

from __future__ import annotations

import asyncio

import pytest
from boards_kit import LineMaker, wait_until

from hardware.dispenser import Cause, Outcome
from hardware.simulated_board import Damage
from hardware.tcn.codec import Answer
from hardware.tcn.driver import TcnDispenser
from hardware.tcn.simulator import TcnBoard

DELIVERED, NOT_DELIVERED, UNKNOWN = Outcome.DELIVERED, Outcome.NOT_DELIVERED, Outcome.UNKNOWN


class TestAnswers:
    @pytest.mark.parametrize(
        ("answer", "with_sensor", "without"),
        [
            (Answer(done=True, error=0, value=0xAA), (DELIVERED, None), (DELIVERED, None)),
            (Answer(done=True, error=0, value=0), (NOT_DELIVERED, Cause.SLOT), (DELIVERED, None)),
            (Answer(done=False, error=0x40, value=0), (NOT_DELIVERED, Cause.SLOT), (NOT_DELIVERED, Cause.SLOT)),
            (Answer(done=False, error=0x50, value=0), (NOT_DELIVERED, Cause.SLOT), (UNKNOWN, None)),
            (Answer(done=False, error=0x50, value=0xAA), (DELIVERED, None), (DELIVERED, None)),
            (Answer(done=False, error=0x02, value=0), (UNKNOWN, None), (UNKNOWN, None)),
            (Answer(done=False, error=0x53, value=0), (UNKNOWN, None), (UNKNOWN, None)),
            (Answer(done=False, error=0x60, value=0), (UNKNOWN, None), (UNKNOWN, None)),
            (Answer(done=True, error=0, value=0xCC), (UNKNOWN, None), (UNKNOWN, None)),
        ],
    )
    async def test_what_each_means(
        self,
        line: LineMaker,
        answer: Answer,
        with_sensor: tuple[Outcome, Cause | None],
        without: tuple[Outcome, Cause | None],
    ) -> None:
        """The drop sensor outranks the motor; nothing seen is a failure only where a sound sensor looked."""
        for drop_sensor, expected in ((True, with_sensor), (False, without)):
            made = await line(TcnBoard, TcnDispenser, drop_sensor=drop_sensor)
            made.board.answer_next_vend(answer)
            ended = await made.dispenser.vend(3)
            assert (ended.outcome, ended.cause) == expected
            assert f"{answer.error:02X} {answer.value:02X}" in ended.detail
            assert ended.proven == (answer.value == 0xAA)

    async def test_a_lane_without_a_motor(self, line: LineMaker) -> None:
        """The board says that the motor is missing: the slot's fault, nothing turned."""
        made = await line(TcnBoard, TcnDispenser, {"lanes": (1, 2)})
        ended = await made.dispenser.vend(3)
        assert (ended.outcome, ended.cause) == (NOT_DELIVERED, Cause.SLOT)
        assert "missing" in ended.detail


class TestLateAnswers:
    async def test_nothing_is_asked_while_an_answer_is_owed(self, line: LineMaker) -> None:
        """Not ready, with a reason, and silent, until the answer came; it settles its own vend by `recall`."""
        made = await line(TcnBoard, TcnDispenser)
        made.board.delay_results(1.4)
        evidence = made.dispenser.prepare(1)
        assert (await made.dispenser.vend(1)).outcome is UNKNOWN
        assert "may still send the answer" in made.dispenser.status.reason
        recalled = await made.dispenser.recall(1, evidence)
        assert recalled.outcome is DELIVERED
        kinds = [event.kind for event in made.board.events]
        assert next(kind for kind in kinds[kinds.index("vend") :] if kind in {"in", "out"}) == "out"
        await wait_until(lambda: made.dispenser.status.ready, "it is ready again")
        assert made.vends() == ["1"]

    async def test_an_answer_that_never_comes_is_waited_for_as_long_again(self, line: LineMaker) -> None:
        """Then the board sells again, and the lost vend stays unknown."""
        made = await line(TcnBoard, TcnDispenser)
        made.board.lose_results()
        evidence = made.dispenser.prepare(1)
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert (await made.dispenser.vend(1)).outcome is UNKNOWN
        assert (await made.dispenser.recall(1, evidence)).outcome is UNKNOWN
        await wait_until(lambda: made.dispenser.status.ready, "it is ready again")
        assert loop.time() - before > 1.9
        assert (await made.dispenser.vend(2)).outcome is DELIVERED

    async def test_an_earlier_processes_vend_is_waited_for_and_never_told(self, line: LineMaker) -> None:
        """Its answer may come at any moment, and could not be told from another's: UNKNOWN, and no vend meanwhile."""
        made = await line(TcnBoard, TcnDispenser)
        recalled = await made.dispenser.recall(1, '{"frame":"00ff01feaa55","time":1}')
        assert recalled.outcome is UNKNOWN
        assert (await made.dispenser.vend(1)).cause is Cause.NOT_TAKEN
        await wait_until(lambda: made.dispenser.status.ready, "it is ready again")
        assert made.vends() == []


class TestLine:
    async def test_an_adapter_that_echoes(self, line: LineMaker) -> None:
        """Our own bytes before every answer do no harm, and are told."""
        made = await line(TcnBoard, TcnDispenser, {"echo": True})
        assert (await made.dispenser.vend(1)).outcome is DELIVERED
        assert made.fact("echo") is True
        assert made.fact("noise_bytes") == 0

    async def test_damaged_answers(self, line: LineMaker) -> None:
        """Noise around the answer does no harm; a damaged one is no answer."""
        made = await line(TcnBoard, TcnDispenser)
        for damage in (Damage.NOISE_BEFORE, Damage.NOISE_AFTER):
            vend = asyncio.create_task(made.dispenser.vend(1))
            count = len(made.vends())
            await wait_until(lambda count=count: len(made.vends()) > count, "the board has the order")
            made.board.damage_next(damage)
            assert (await vend).outcome is DELIVERED
        vend = asyncio.create_task(made.dispenser.vend(1))
        await wait_until(lambda: len(made.vends()) == 3, "the board has the order")
        made.board.damage_next(Damage.CHECKSUM)
        assert (await vend).outcome is UNKNOWN
        assert made.fact("checksum_errors") == 1

    async def test_a_broken_answer_before_the_real_one(self, line: LineMaker) -> None:
        """The start of an answer and a whole "goods were seen" read as "nothing fell": not certain, so UNKNOWN."""
        made = await line(TcnBoard, TcnDispenser)
        vend = asyncio.create_task(made.dispenser.vend(1))
        await wait_until(made.vends, "the board has the order")
        made.board._terminal.write(bytes.fromhex("00 5D 00"))
        ended = await vend
        assert ended.outcome is UNKNOWN
        assert "disturbed" in ended.detail

    async def test_the_technician_sees_the_board(self, line: LineMaker) -> None:
        """Door and temperature, in words and units."""
        made = await line(TcnBoard, TcnDispenser)
        made.board.temperature = -4
        made.board.door_open = True
        await wait_until(lambda: made.fact("door") == "open", "the door was asked")
        await wait_until(lambda: made.fact("temperature") == -4, "the temperature was asked")
