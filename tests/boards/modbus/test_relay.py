"""The relay driver over a real pty: the pulse, its proof, refusals, echoes, boards of another kind."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from boards_kit import QUICK_MASTER, LineMaker, wait_until

from hardware.dispenser import Cause, Outcome
from hardware.modbus.relay import RelayDispenser
from hardware.modbus.simulator import RelayBoard, Zdm8Board
from hardware.modbus.zdm8 import Zdm8Dispenser
from hardware.simulated_board import Damage


class TestProof:
    async def test_the_input_proves_the_delivery(self, line: LineMaker) -> None:
        """One pulse of the length asked for, timed by the board; the input rises: DELIVERED and proven."""
        made = await line(RelayBoard, RelayDispenser, pulse_seconds=0.4)
        ended = await made.dispenser.vend(0)
        assert (ended.outcome, ended.proven) == (Outcome.DELIVERED, True)
        orders = [event.detail for event in made.board.events if event.detail.startswith("01 05")]
        assert orders[0].startswith("01 05 02 00 00 04")
        await wait_until(lambda: not made.board.coils, "the board ended the pulse by itself")

    async def test_an_input_that_is_on_already_proves_nothing(self, line: LineMaker) -> None:
        """Nothing is switched: the slot's fault, with what to look at."""
        made = await line(RelayBoard, RelayDispenser)
        made.board.inputs.add(5)
        ended = await made.dispenser.vend(5)
        assert (ended.outcome, ended.cause) == (Outcome.NOT_DELIVERED, Cause.SLOT)
        assert "input 5 is on before anything was switched" in ended.detail
        assert made.vends() == []

    async def test_two_items_of_one_slot_in_a_row(self, line: LineMaker) -> None:
        """The first one may still be passing the sensor when the second is ordered: it is waited for."""
        made = await line(RelayBoard, RelayDispenser, vend_timeout_seconds=4)
        for _ in range(2):
            assert (await made.dispenser.vend(1)).proven
        assert made.drops() == [1, 1]

    async def test_nothing_fell_is_certain_only_if_it_was_watched_all_the_time(self, line: LineMaker) -> None:
        """Two looks too far apart may have missed the drop: UNKNOWN instead of a failure."""
        slow = replace(QUICK_MASTER, watch_seconds=0.2, blind_seconds=0.1)
        made = await line(RelayBoard, RelayDispenser, timing=slow)
        made.board.jam(1)
        ended = await made.dispenser.vend(1)
        assert ended.outcome is Outcome.UNKNOWN
        assert "could not be watched" in ended.detail

    async def test_without_proof_the_board_is_believed(self, line: LineMaker) -> None:
        """With proof = none an acknowledged pulse is a delivery that nothing proves; it ends with the pulse."""
        made = await line(RelayBoard, RelayDispenser, proof_by_input=False, pulse_seconds=0.3)
        loop = asyncio.get_running_loop()
        before = loop.time()
        ended = await made.dispenser.vend(1)
        assert (ended.outcome, ended.proven) == (Outcome.DELIVERED, False)
        assert loop.time() - before >= 0.3

    async def test_without_proof_a_lost_acknowledgement_is_unknown(self, line: LineMaker) -> None:
        """Nothing else can tell, and the pulse is not repeated."""
        made = await line(RelayBoard, RelayDispenser, proof_by_input=False)
        made.board.lose_results()
        assert (await made.dispenser.vend(1)).outcome is Outcome.UNKNOWN
        assert made.vends() == ["1"]


class TestRefusals:
    async def test_a_board_that_knows_no_timed_pulse(self, line: LineMaker) -> None:
        """An exception proves that nothing moved; no other coil will do: the machine's fault."""
        made = await line(RelayBoard, RelayDispenser, {"knows_pulse": False})
        ended = await made.dispenser.vend(1)
        assert (ended.outcome, ended.cause) == (Outcome.NOT_DELIVERED, Cause.MACHINE)
        assert "illegal value" in ended.detail

    async def test_a_coil_that_the_board_does_not_have(self, line: LineMaker) -> None:
        """The slot's fault, told by the board itself before anything is switched."""
        made = await line(RelayBoard, RelayDispenser, {"coils": range(8)})
        ended = await made.dispenser.vend(9)
        assert (ended.outcome, ended.cause) == (Outcome.NOT_DELIVERED, Cause.SLOT)
        assert "the board has no input 9" in ended.detail
        assert made.vends() == []


class TestEcho:
    @pytest.mark.parametrize("proof", [True, False])
    async def test_an_echo_is_no_acknowledgement(self, line: LineMaker, *, proof: bool) -> None:
        """The echo of a pulse is what its acknowledgement looks like: a command that was lost is not believed."""
        made = await line(RelayBoard, RelayDispenser, {"echo": True}, proof_by_input=proof)
        assert (await made.dispenser.vend(1)).outcome is Outcome.DELIVERED
        assert made.fact("echo") is True
        made.board.lose_commands()
        lost = await made.dispenser.vend(2)
        assert lost.outcome is Outcome.UNKNOWN
        assert "did not acknowledge" in lost.detail
        assert made.drops() == [1]

    async def test_a_line_on_which_an_echo_cannot_be_told_is_not_used(self, line: LineMaker) -> None:
        """Noise before every answer hides whether our own bytes come back: nothing is switched."""
        made = await line(RelayBoard, RelayDispenser, ready=False)
        made.board.damage_next(*[Damage.NOISE_BEFORE] * 1000)
        await wait_until(lambda: made.dispenser.status.ready, "the board answers all the same")
        refused = await made.dispenser.vend(1)
        assert refused.cause is Cause.NOT_TAKEN
        assert "too noisy" in refused.detail
        assert made.vends() == []

    async def test_only_an_echo_is_told(self, line: LineMaker) -> None:
        """An adapter without a board behind it answers itself: the sentence says so."""
        made = await line(RelayBoard, RelayDispenser, {"echo": True}, ready=False)
        made.board.silent = True
        await wait_until(lambda: "own bytes" in made.dispenser.status.reason, "the echo was recognised")
        assert (await made.dispenser.vend(1)).cause is Cause.NOT_TAKEN


class TestAnotherKind:
    @pytest.mark.parametrize(
        ("board", "options", "driver", "words"),
        [
            (RelayBoard, {}, Zdm8Dispenser, "does not answer as a zdm8 board does"),
            (Zdm8Board, {}, RelayDispenser, "does not answer as a relay board does"),
            (RelayBoard, {"has_inputs": False}, RelayDispenser, "has no discrete inputs"),
        ],
    )
    async def test_it_is_told_and_not_driven(
        self, line: LineMaker, board: type, options: dict[str, object], driver: type, words: str
    ) -> None:
        """A sentence with port and unit, and what to set right; no motor turns."""
        made = await line(board, driver, options, ready=False)
        await wait_until(lambda: words in made.dispenser.status.reason, "it was recognised")
        assert "unit 1" in made.dispenser.status.reason
        assert made.dispenser.status.reason.count("line-0") == 1
        assert (await made.dispenser.vend(1)).cause is Cause.NOT_TAKEN
        assert made.vends() == []

    async def test_another_unit_is_silence(self, line: LineMaker) -> None:
        """A board that has another address on the bus does not answer; the sentence names the unit."""
        made = await line(RelayBoard, RelayDispenser, ready=False, unit=2)
        await wait_until(lambda: "unit 2) does not answer" in made.dispenser.status.reason, "it was noticed")


async def test_a_board_with_few_relays(line: LineMaker) -> None:
    """One that has four answers no question for eight: it is asked for fewer, and sells."""
    made = await line(RelayBoard, RelayDispenser, {"coils": range(4)})
    made.board.inputs.add(3)
    await wait_until(lambda: made.fact("inputs_on") == "3", "the inputs were asked")
    assert (await made.dispenser.vend(0)).outcome is Outcome.DELIVERED


async def test_the_technician_sees_coils_and_inputs(line: LineMaker) -> None:
    """By their numbers."""
    made = await line(RelayBoard, RelayDispenser)
    made.board.inputs |= {0, 3}
    await wait_until(lambda: made.fact("inputs_on") == "0 3", "the inputs were asked")
    assert made.fact("relays_on") == "none"
