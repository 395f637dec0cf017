"""The promises that every driver keeps over its simulated board on a pty; `boards_conformance` registers them."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from boards_conformance import RIGS, Bench, Rig, assert_true
from boards_kit import wait_until

from hardware.dispenser import Cause, Outcome
from hardware.pseudo_terminal import PseudoTerminal, Wire
from hardware.simulated_board import Damage

WIRES = {
    "one byte at a time": Wire(piece=1),
    "delays": Wire(delay_seconds=0.01),
    "loss and noise": Wire(loss=0.01, noise=0.004, seed=7),
}
COMMON_FACTS = {"port", "reconnects", "noise_bytes", "last_frame_in", "last_frame_out"}
IDENTIFYING = {name: rig for name, rig in RIGS.items() if not rig.no_identity}

Maker = Callable[..., Awaitable[Bench]]


@pytest.fixture(params=RIGS.values(), ids=RIGS.keys())
def rig(request: pytest.FixtureRequest) -> Rig:
    made: Rig = request.param
    return made


@pytest.fixture
async def make(rig: Rig, tmp_path: Path) -> AsyncIterator[Maker]:
    benches: list[Bench] = []

    async def started(**options: Any) -> Bench:
        benches.append(Bench(rig, tmp_path, **options))
        await benches[-1].start()
        await benches[-1].ready()
        return benches[-1]

    yield started
    for bench in benches:
        await bench.stop()


class TestOutcomes:
    async def test_delivered(self, make: Maker, rig: Rig) -> None:
        """Each slot gives one item for one command, and the driver says so."""
        bench = await make()
        for slot in rig.slots[:3]:
            assert (await bench.vend(slot)).outcome is Outcome.DELIVERED
        assert bench.drops() == list(rig.slots[:3])
        assert bench.commands == [str(slot) for slot in rig.slots[:3]]

    async def test_failed_for_certain(self, make: Maker, rig: Rig) -> None:
        """A slot that jams is NOT_DELIVERED and its own fault; nothing fell, and the next slot sells."""
        bench = await make(vend_timeout_seconds=20)
        bench.board.jam(rig.slots[0])
        failed = await bench.vend(rig.slots[0])
        assert (failed.outcome, failed.cause) == (Outcome.NOT_DELIVERED, Cause.SLOT)
        assert bench.drops() == []
        assert (await bench.vend_when_it_can(rig.slots[1])).outcome is Outcome.DELIVERED
        assert bench.commands == [str(rig.slots[0]), str(rig.slots[1])]

    async def test_unknown(self, make: Maker, rig: Rig) -> None:
        """The board falls silent once it has the order: UNKNOWN in time, and never the same order again."""
        bench = await make(vend_timeout_seconds=1)
        bench.when["vend"] = lambda: setattr(bench.board, "silent", True)
        async with asyncio.timeout(10):
            ended = await bench.vend(rig.slots[0])
        assert ended.outcome is Outcome.UNKNOWN
        bench.board.silent = False
        await bench.ready()
        assert bench.commands == [str(rig.slots[0])]

    async def test_late(self, make: Maker, rig: Rig) -> None:
        """A result that comes after its time never confirms the next vend."""
        bench = await make(vend_timeout_seconds=1)
        bench.board.delay_results(1.3)
        ended = await bench.vend(rig.slots[0])
        assert ended.outcome is not Outcome.NOT_DELIVERED
        bench.board.jam(rig.slots[0])
        again = await bench.vend_when_it_can(rig.slots[0])
        assert again.outcome is not Outcome.DELIVERED
        assert bench.drops() == [rig.slots[0]]
        assert len(bench.commands) <= 2

    async def test_lost(self, make: Maker, rig: Rig) -> None:
        """A result that never comes: UNKNOWN unless something else proves the delivery; one command."""
        bench = await make(vend_timeout_seconds=1)
        bench.board.lose_results()
        ended = await bench.vend(rig.slots[0])
        assert ended.outcome is Outcome.UNKNOWN or (ended.outcome is Outcome.DELIVERED and ended.proven)
        assert bench.drops() == [rig.slots[0]]
        assert len(bench.commands) == 1


class TestLine:
    @pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
    async def test_noisy(self, make: Maker, rig: Rig, wire: Wire) -> None:
        """On any line: DELIVERED means one item in the board's ledger, NOT_DELIVERED none, UNKNOWN at most one."""
        bench = await make(vend_timeout_seconds=1 if wire.loss else 20, wire=wire)
        bench.board.jam(rig.slots[2])
        outcomes = []
        for slot in rig.slots[:4]:
            await bench.ready()
            booked, commands = len(bench.drops()), len(bench.commands)
            ended = await bench.vend(slot)
            outcomes.append(ended.outcome)
            assert_true(ended, bench.drops()[booked:], slot)
            assert len(bench.commands) - commands <= 1
        if not wire.loss:
            no, yes = Outcome.NOT_DELIVERED, Outcome.DELIVERED
            assert outcomes == [yes, yes, no, yes]

    async def test_silent(self, make: Maker, rig: Rig) -> None:
        """A silent board is a status with a reason; a vend is not taken; it comes back by itself."""
        bench = await make()
        told: list[str] = []
        bench.dispenser.on_status(lambda: told.append(bench.dispenser.status.reason))
        await rig.arrange(bench, rig.slots[0])
        bench.board.silent = True
        assert str(bench.port) in await bench.not_ready()
        refused = await bench.dispenser.vend(rig.slots[0])
        assert (refused.outcome, refused.cause) == (Outcome.NOT_DELIVERED, rig.not_now)
        bench.board.silent = False
        await bench.ready()
        assert told[0]
        assert told[-1] == ""
        assert bench.commands == []

    @pytest.mark.parametrize("phase", ["idle", "vend", "drop", "ended"])
    async def test_unplugged_and_back_under_another_name(self, make: Maker, rig: Rig, phase: str) -> None:
        """Pulled out before, in, and after a vend: the truth about the vend, then the next one is sold."""
        bench = await make(vend_timeout_seconds=3)
        old = bench.board.path
        held = os.open(old, os.O_RDWR | os.O_NOCTTY)  # so that its name is not free when the adapter comes back
        await rig.arrange(bench, rig.slots[0])
        bench.dispenser.prepare(rig.slots[0])
        if phase in {"vend", "drop"}:
            bench.when[phase] = bench.board.unplug
        elif phase == "idle":
            bench.board.unplug()
            await bench.not_ready()
        vend = asyncio.create_task(bench.dispenser.vend(rig.slots[0]))
        if phase in {"idle", "ended"}:
            ended = await vend
        if phase == "ended":
            bench.board.unplug()
        assert str(bench.port) in await bench.not_ready()
        bench.board.replug()
        assert bench.board.path != old
        ended = await vend
        assert_true(ended, bench.drops(), rig.slots[0])
        assert len(bench.commands) == (phase != "idle")
        if phase == "idle":
            assert ended.cause is rig.not_now
        else:  # the motor goes on, whoever watches
            await wait_until(bench.drops, "the item fell")
        dropped = len(bench.drops())
        assert (await bench.vend_when_it_can(rig.slots[1])).outcome is Outcome.DELIVERED
        assert bench.drops()[dropped:] == [rig.slots[1]]
        assert bench.facts()["reconnects"] == 1
        os.close(held)

    async def test_something_else_is_plugged_in(self, rig: Rig, tmp_path: Path) -> None:
        """Whatever speaks another language is no board: a sentence that names the port, and no vend."""
        noise = random.Random(5)
        line = PseudoTerminal(link=tmp_path / "board", wire=Wire(), on_bytes=lambda _: None)
        line.plug()
        dispenser = rig.make_dispenser(str(tmp_path / "board"), 2)
        await dispenser.start()
        talker = asyncio.create_task(_babble(line, noise))
        await wait_until(lambda: "another kind" in dispenser.status.reason, "it was noticed")
        assert str(tmp_path / "board") in dispenser.status.reason
        assert (await dispenser.vend(rig.slots[0])).cause is rig.not_now
        await dispenser.stop()
        talker.cancel()
        await asyncio.wait({talker})
        line.unplug()


async def _babble(line: PseudoTerminal, noise: random.Random) -> None:
    while True:
        line.write(noise.randbytes(40))
        await asyncio.sleep(0.02)


class TestBoard:
    @pytest.mark.parametrize("after_drop", [True, False])
    async def test_rebooted(self, make: Maker, rig: Rig, *, after_drop: bool) -> None:
        """A reboot in mid-vend: the truth, no second command, and the machine sells on."""
        bench = await make(vend_timeout_seconds=3)
        bench.board.reboot_in_next_vend(after_drop=after_drop)
        ended = await bench.vend(rig.slots[0])
        assert_true(ended, bench.drops(), rig.slots[0])
        assert len(bench.drops()) == after_drop
        assert len(bench.commands) == 1
        assert (await bench.vend_when_it_can(rig.slots[1])).outcome is Outcome.DELIVERED

    @pytest.mark.parametrize("rig", IDENTIFYING.values(), ids=IDENTIFYING.keys(), indirect=True)
    async def test_swapped(self, make: Maker, rig: Rig) -> None:
        """Another board at the end of the cable is recognised and never driven; the first one is welcome again."""
        bench = await make()
        await wait_until(lambda: bench.facts().get("identity"), "the board told its identity", limit_seconds=20)
        known = bench.facts()["identity"]
        await bench.board.stop()
        await bench.not_ready()
        stranger = bench.another_board(identity="ANOTHER")
        await stranger.start()
        await wait_until(lambda: "another board" in bench.dispenser.status.reason, "the stranger was recognised")
        assert known in bench.dispenser.status.reason
        assert (await bench.dispenser.vend(rig.slots[0])).cause is rig.not_now
        await stranger.stop()
        bench.board = bench.another_board()
        await bench.board.start()
        assert (await bench.vend_when_it_can(rig.slots[0])).outcome is Outcome.DELIVERED
        assert len(bench.commands) == 1

    def test_every_protocol_has_an_identity_or_says_why_not(self, rig: Rig) -> None:
        """Where a swapped board cannot be recognised, that is said in a sentence."""
        assert rig.no_identity == "" or len(rig.no_identity.split()) > 5


class TestRandomLife:
    @pytest.mark.parametrize("seed", [1, 2])
    async def test_whatever_happens_the_books_agree(self, make: Maker, rig: Rig, seed: int) -> None:
        """Faults at random, one vend of each slot: never two items for a vend, and what was said of it was true."""
        chance = random.Random(seed)
        bench = await make(vend_timeout_seconds=0.8)
        board, outcomes = bench.board, {}

        def unplug() -> None:
            board.unplug()
            asyncio.get_running_loop().call_later(0.1, board.replug)

        def fall_silent() -> None:
            board.silent = True
            asyncio.get_running_loop().call_later(0.3, setattr, board, "silent", False)

        for slot in rig.slots:
            faults: dict[str, Callable[[], object]] = {
                "none": lambda: None,
                "jam": lambda slot=slot: board.jam(slot),
                "lost result": board.lose_results,
                "late result": lambda: board.delay_results(chance.uniform(0.2, 1.2)),
                "damage": lambda: board.damage_next(*chance.choices(list(Damage), k=3)),
                "lost command": board.lose_commands,
                "reboot": lambda: board.reboot_in_next_vend(after_drop=chance.random() < 0.5),
                "unplugged": lambda: bench.when.update({chance.choice(["vend", "drop"]): unplug}),
                "silent": lambda: bench.when.update({chance.choice(["vend", "drop"]): fall_silent}),
            }
            await bench.ready()
            fault = chance.choice(list(faults))
            faults[fault]()
            ended = await bench.vend(slot)
            outcomes[slot] = (ended, fault)
            bench.when.clear()
        await bench.ready()
        for slot, (ended, fault) in outcomes.items():
            dropped = [drop for drop in bench.drops() if drop == slot]
            assert bench.commands.count(str(slot)) <= 1, fault
            assert_true(ended, dropped, slot)


class TestContract:
    async def test_one_vend_at_a_time(self, make: Maker, rig: Rig) -> None:
        """A second vend while one is open is the caller's mistake; the first is not disturbed."""
        bench = await make()
        first = asyncio.create_task(bench.vend(rig.slots[0]))
        await wait_until(lambda: bench.commands, "the board has the order")
        with pytest.raises(RuntimeError, match="one order at a time"):
            await bench.dispenser.vend(rig.slots[1])
        assert (await first).outcome is Outcome.DELIVERED
        assert len(bench.commands) == 1

    async def test_recall_moves_nothing(self, make: Maker, rig: Rig) -> None:
        """Asked for any vend, real, foreign or none, it ends in time, never claims a failure, and turns nothing."""
        bench = await make(vend_timeout_seconds=1)
        await rig.arrange(bench, rig.slots[0])
        evidence = bench.dispenser.prepare(rig.slots[0])
        for proof in (evidence, "", "nonsense", "[]", '{"count":true}'):
            async with asyncio.timeout(20):
                recalled = await bench.dispenser.recall(rig.slots[0], proof)
            assert recalled.outcome is Outcome.UNKNOWN
        assert bench.commands == []
        assert bench.drops() == []

    async def test_evidence_fits_into_the_journal(self, make: Maker, rig: Rig) -> None:
        """Printable, at most 500 characters."""
        bench = await make()
        await rig.arrange(bench, rig.slots[0])
        evidence = bench.dispenser.prepare(rig.slots[0])
        assert evidence.isprintable()
        assert 0 < len(evidence) <= 500

    async def test_an_impossible_address(self, make: Maker, rig: Rig) -> None:
        """ValueError with a sentence, before anything is sent."""
        bench = await make()
        with pytest.raises(ValueError, match=str(rig.bad_address)):
            bench.dispenser.prepare(rig.bad_address)
        with pytest.raises(ValueError, match=str(rig.bad_address)):
            await bench.dispenser.vend(rig.bad_address)
        assert bench.commands == []

    async def test_stopped_in_mid_vend(self, make: Maker, rig: Rig) -> None:
        """A vend that is open when the driver is stopped ends as UNKNOWN; nothing is ready any more."""
        bench = await make(motor_seconds=2)
        vend = asyncio.create_task(bench.vend(rig.slots[0]))
        await wait_until(lambda: bench.commands, "the board has the order")
        await bench.dispenser.stop()
        async with asyncio.timeout(5):
            assert (await vend).outcome is Outcome.UNKNOWN
        assert not bench.dispenser.status.ready

    async def test_facts(self, make: Maker, rig: Rig) -> None:
        """What every driver tells the technician, under the same names; frames in hex."""
        bench = await make()
        assert (await bench.vend(rig.slots[0])).outcome is Outcome.DELIVERED
        facts = bench.facts()
        assert facts.keys() >= COMMON_FACTS
        assert facts["port"] == str(bench.port)
        assert bytes.fromhex(facts["last_frame_in"])
        assert bytes.fromhex(facts["last_frame_out"])
        assert bench.dispenser.status.alive
