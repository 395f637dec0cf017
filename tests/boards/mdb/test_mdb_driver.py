"""The MDB driver before a simulated machine and before a bridge by hand, over a real pty."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from boards_kit import QUICK_LINK, wait_until
from mdb_kit import QUICK, hand_bench, mdb_bench

from hardware.dispenser import Cause, Outcome
from hardware.mdb.driver import MdbDispenser

GONE = (Outcome.NOT_DELIVERED, Cause.CHOICE_GONE)


class TestSelling:
    async def test_a_choice_is_what_the_machine_asks(self, tmp_path: Path) -> None:
        """Item and price as the machine has them; the yes repeats its very text, once."""
        async with mdb_bench(tmp_path) as here:
            await here.ready()
            choice = await here.choose(7, "2.5")
            evidence = json.loads(here.dispenser.prepare(7))
            result = await here.dispenser.vend(7)

            assert (7, Decimal("2.50")) == (choice.address, choice.price)
            assert (choice.serial, "2.5", "5A17C0DE") == (evidence["choice"], evidence["amount"], evidence["bridge"])
            assert (Outcome.DELIVERED, False) == (result.outcome, result.presumed)
            assert ["C,VEND,2.5"] == here.heard("C,VEND")

    async def test_a_failed_vend(self, tmp_path: Path) -> None:
        """VEND FAILURE is the slot's: nothing came out."""
        async with mdb_bench(tmp_path) as here:
            here.machine.jam(3)
            result = await here.sell(3)

            assert (Outcome.NOT_DELIVERED, Cause.SLOT) == (result.outcome, result.cause)
            assert [] == here.machine.drops

    async def test_a_no(self, tmp_path: Path) -> None:
        """A declined choice is over at the machine, and takes no yes any more."""
        async with mdb_bench(tmp_path) as here:
            await here.ready()
            choice = await here.choose(3)
            here.dispenser.decline(choice.serial)
            here.dispenser.decline(choice.serial)
            result = await here.dispenser.vend(3)
            await here.ready()

            assert GONE == (result.outcome, result.cause)
            assert (["C,STOP"], []) == (here.heard("C,STOP"), here.heard("C,VEND"))


class TestWhoseChoice:
    async def test_nobody_has_chosen(self, tmp_path: Path) -> None:
        """Without a choice there is nothing to say yes to, and no word goes to the bridge."""
        async with mdb_bench(tmp_path) as here:
            await here.ready()
            here.dispenser.prepare(3)
            result = await here.dispenser.vend(3)

            assert GONE == (result.outcome, result.cause)
            assert [] == here.heard("C,VEND")

    async def test_another_item_was_chosen(self, tmp_path: Path) -> None:
        """A yes to one item is never given to the choice of another."""
        async with mdb_bench(tmp_path) as here:
            await here.ready()
            await here.choose(4)
            here.dispenser.prepare(3)
            result = await here.dispenser.vend(3)

            assert GONE == (result.outcome, result.cause)
            assert here.machine.waits

    async def test_the_same_item_was_chosen_anew(self, tmp_path: Path) -> None:
        """Chosen, prepared, cancelled, and chosen again by the next customer: the yes was for the first one."""
        async with mdb_bench(tmp_path) as here:
            await here.ready()
            first = await here.choose(3)
            here.dispenser.prepare(3)
            here.machine.cancel()
            await wait_until(lambda: here.dispenser.choice is None, "the driver knows of the cancellation")
            second = await here.choose(3)
            result = await here.dispenser.vend(3)

            assert first.serial != second.serial
            assert GONE == (result.outcome, result.cause)
            assert [] == here.heard("C,VEND")
            assert here.machine.waits

    async def test_a_cancellation_that_was_not_told(self, tmp_path: Path) -> None:
        """The line about the cancellation was lost: the next request is another choice, though it reads the same."""
        async with mdb_bench(tmp_path) as here:
            await here.ready()
            await here.choose(3)
            here.dispenser.prepare(3)
            here.machine.lose_cancels()
            here.machine.cancel()
            await here.choose(3)
            result = await here.dispenser.vend(3)

            assert GONE == (result.outcome, result.cause)
            assert here.machine.waits

    async def test_serials_of_two_lives_differ(self, tmp_path: Path) -> None:
        """The first choice of this process is not taken for the first choice of another."""
        serials = set()
        for _ in range(2):
            async with mdb_bench(tmp_path) as here:
                await here.ready()
                serials.add((await here.choose(3)).serial)

        assert len(serials) == 2

    @pytest.mark.parametrize(
        "words",
        [
            ("c,STATUS,ENABLED",),
            ("c,STATUS,IDLE",),
            ("c,STATUS,DISABLED",),
            ("c,STATUS,INACTIVE",),
            ("c,ERR,VEND 1",),
            ("v,1.0,hand",),
        ],
    )
    async def test_what_ends_a_choice(self, words: tuple[str, ...]) -> None:
        """Any next state, a cancellation, a restart of the bridge: the choice is over, and who listens is told."""
        async with hand_bench() as here:
            told: list[bool] = []
            here.dispenser.on_choice(lambda: told.append(here.dispenser.choice is not None))
            here.bridge.say("c,STATUS,VEND,1.00,5")
            await wait_until(lambda: told == [True], "the choice is told")
            here.bridge.say(*words)
            await wait_until(lambda: told == [True, False], "its end is told")
            result = await here.dispenser.vend(5)

            assert GONE == (result.outcome, result.cause)

    async def test_unplugged(self, tmp_path: Path) -> None:
        """With the line goes the choice."""
        async with mdb_bench(tmp_path) as here:
            await here.ready()
            await here.choose(3)
            here.dispenser.prepare(3)
            here.machine.unplug()
            await wait_until(lambda: here.dispenser.choice is None, "the driver has lost the line")
            result = await here.dispenser.vend(3)

            assert GONE == (result.outcome, result.cause)
            assert "adapter" in here.dispenser.status.reason


class TestAfterTheYes:
    @pytest.mark.parametrize(
        "words",
        [
            ("c,STATUS,IDLE", "c,STATUS,ENABLED"),
            ("c,STATUS,INACTIVE",),
            ("c,STATUS,DISABLED",),
            ("c,STATUS,OFFLINE",),
            ("v,1.0,hand",),
            ("c,STATUS,VEND,1.00,6",),
        ],
        ids=lambda words: words[-1],
    )
    async def test_the_rule_of_mdb(self, words: tuple[str, ...]) -> None:
        """A reset, or the next state without a word: by MDB/ICP 4.2, 7.4.7 it is sold; for a person to look at."""
        async with hand_bench() as here:
            vend = await here.begin_vend()
            here.bridge.say(*words)
            result = await vend

            assert (Outcome.DELIVERED, True, False) == (result.outcome, result.presumed, result.proven)

    async def test_the_line_is_lost(self, tmp_path: Path) -> None:
        """Adapter pulled while the motor turns: sold by the rule, and the machine is found again."""
        async with mdb_bench(tmp_path, machine={"motor_seconds": 0.3}) as here:
            await here.ready()
            await here.choose(3)
            vend = asyncio.ensure_future(here.dispenser.vend(3))
            await wait_until(lambda: here.heard("C,VEND"), "the yes has arrived")
            here.machine.unplug()
            result = await vend
            here.machine.replug()
            await here.ready()

            assert (Outcome.DELIVERED, True) == (result.outcome, result.presumed)

    @pytest.mark.parametrize(
        "words",
        [
            ("c,VEND,SUCCESS", "c,STATUS,IDLE", "c,STATUS,ENABLED"),
            ("c,STATUS,ENABLED", "c,VEND,SUCCESS"),
            ("c,VEND,SUCCESS", "c,VEND,SUCCESS", "c,ERR,VEND 3"),
        ],
    )
    async def test_the_word_counts_in_any_order(self, words: tuple[str, ...]) -> None:
        """VEND SUCCESS is heard also just after the state that follows it; the first word holds."""
        async with hand_bench() as here:
            vend = await here.begin_vend()
            here.bridge.say(*words)
            result = await vend

            assert (Outcome.DELIVERED, False) == (result.outcome, result.presumed)

    @pytest.mark.parametrize(
        ("words", "cause"),
        [
            (("c,ERR,VEND 3", "c,STATUS,IDLE", "c,STATUS,ENABLED"), Cause.SLOT),
            (("c,STATUS,ENABLED", "c,ERR,VEND 3"), Cause.SLOT),
            (("c,ERR,VEND 1",), Cause.CHOICE_GONE),
            (('c,ERR,"cashless is off"',), Cause.CHOICE_GONE),
        ],
    )
    async def test_nothing_came_out(self, words: tuple[str, ...], cause: Cause) -> None:
        """VEND FAILURE, and a yes that came too late for its choice."""
        async with hand_bench() as here:
            vend = await here.begin_vend()
            here.bridge.say(*words)
            result = await vend

            assert (Outcome.NOT_DELIVERED, cause) == (result.outcome, result.cause)

    async def test_words_that_no_document_explains(self) -> None:
        """An unknown error is no success by any rule."""
        async with hand_bench() as here:
            vend = await here.begin_vend()
            here.bridge.say("c,ERR,VEND 9", "c,STATUS,ENABLED")

            assert Outcome.UNKNOWN is (await vend).outcome

    async def test_a_cancellation_crosses_the_yes(self) -> None:
        """ENABLED sooner than any machine vends: the choice was over before the yes arrived, perhaps."""
        async with hand_bench(timing=replace(QUICK, shortest_vend_seconds=30.0)) as here:
            vend = await here.begin_vend()
            here.bridge.say("c,STATUS,ENABLED")

            assert Outcome.UNKNOWN is (await vend).outcome

    async def test_silence(self, tmp_path: Path) -> None:
        """Nothing at all within vend_timeout: nobody knows; a late word belongs to no other vend."""
        async with mdb_bench(tmp_path, vend_timeout_seconds=0.5) as here:
            here.machine.delay_results(1.0)
            result = await here.sell(3)
            here.dispenser.prepare(3)
            late = await here.dispenser.vend(3)
            again = await here.sell(4)

            assert Outcome.UNKNOWN is result.outcome
            assert GONE == (late.outcome, late.cause)
            assert Outcome.DELIVERED is again.outcome
            assert ["C,VEND,3.50", "C,VEND,3.50"] == here.heard("C,VEND")

    async def test_a_result_that_nobody_asked_for(self) -> None:
        """VEND SUCCESS without a vend is a line in the log and nothing else."""
        async with hand_bench() as here:
            here.bridge.say("c,VEND,SUCCESS", "c,ERR,VEND 3")
            vend = await here.begin_vend()
            here.bridge.say("c,ERR,VEND 3")

            assert Outcome.NOT_DELIVERED is (await vend).outcome


class TestRecall:
    @pytest.mark.parametrize(
        ("words", "outcome"),
        [
            (("c,VEND,SUCCESS", "c,STATUS,IDLE", "c,STATUS,ENABLED"), Outcome.DELIVERED),
            (("c,STATUS,ENABLED", "c,VEND,SUCCESS"), Outcome.DELIVERED),
            (("c,ERR,VEND 3", "c,STATUS,IDLE", "c,STATUS,ENABLED"), Outcome.NOT_DELIVERED),
            (("c,STATUS,IDLE", "c,STATUS,ENABLED"), Outcome.UNKNOWN),
            ((), Outcome.UNKNOWN),
        ],
        ids=["delivered", "in another order", "failed", "no word", "silence"],
    )
    @pytest.mark.parametrize("same_bridge", [True, False])
    async def test_a_vend_of_an_earlier_process(
        self, words: tuple[str, ...], outcome: Outcome, tmp_path: Path, *, same_bridge: bool
    ) -> None:
        """Whoever comes back while the motor turns hears what became of it; nothing is approved for it again."""
        async with mdb_bench(tmp_path) as here:
            here.machine.lose_results()
            await here.ready()
            await here.choose(3)
            evidence = here.dispenser.prepare(3)
            vend = asyncio.ensure_future(here.dispenser.vend(3))
            await wait_until(lambda: here.heard("C,VEND"), "the yes has arrived")
            await here.dispenser.stop()
            if not same_bridge:
                here.machine.identity = "ANOTHER0"
            later = MdbDispenser(port=str(tmp_path / "bridge"), timing=QUICK, link_timing=QUICK_LINK)
            await later.start()
            recall = asyncio.ensure_future(later.recall(3, evidence))
            await wait_until(lambda: "being set up" in later.status.reason, "it listens")
            here.machine.tell(*words)
            result = await recall
            await wait_until(lambda: later.status.ready, "it sells again")
            await later.stop()

            assert Outcome.UNKNOWN is (await vend).outcome
            assert (outcome if same_bridge else Outcome.UNKNOWN) is result.outcome
            assert len(here.heard("C,VEND")) == 1

    async def test_a_bridge_that_was_set_up_anew_is_not_asked(self, tmp_path: Path) -> None:
        """Later than that nothing can be heard any more: no time is lost on it."""
        async with mdb_bench(tmp_path, timing=replace(QUICK, recall_seconds=60.0)) as here:
            await here.ready()
            evidence = json.dumps({"choice": "another-1", "item": 3, "amount": "3.50", "bridge": "5A17C0DE"})

            assert Outcome.UNKNOWN is (await here.dispenser.recall(3, evidence)).outcome
            assert Outcome.UNKNOWN is (await here.dispenser.recall(3, "xy")).outcome

    async def test_a_late_word_about_our_own_vend(self, tmp_path: Path) -> None:
        """After an UNKNOWN of this very process, its word may still come."""
        async with mdb_bench(tmp_path, vend_timeout_seconds=0.3, timing=replace(QUICK, recall_seconds=10)) as here:
            here.machine.lose_results()
            await here.ready()
            await here.choose(3)
            evidence = here.dispenser.prepare(3)
            result = await here.dispenser.vend(3)
            recall = asyncio.ensure_future(here.dispenser.recall(3, evidence))
            await asyncio.sleep(0)
            here.machine.tell("c,VEND,SUCCESS")

            assert (Outcome.UNKNOWN, Outcome.DELIVERED) == (result.outcome, (await recall).outcome)


class TestSettingUp:
    async def test_settings_after_every_start(self, tmp_path: Path) -> None:
        """They are volatile: sent when the line comes up, and again when the bridge has lost its power."""
        async with mdb_bench(tmp_path, mdb_address=0x60, currency=978, settings={"mdb-timeout": "90"}) as here:
            await here.ready()
            first = dict(here.machine.settings)
            here.machine.reboot(0.05)
            await wait_until(lambda: not here.machine.settings, "the bridge has forgotten its settings")
            await here.ready()

            expected = {
                "mdb-addr": "0x60",
                "mdb-currency-code": "0x1978",
                "mdb-always-idle": "1",
                "mdb-timeout": "90",
            }
            assert (expected, expected) == (first, here.machine.settings)
            assert here.fact("last_restart")

    async def test_a_setting_that_the_bridge_refuses(self, tmp_path: Path) -> None:
        """It is told; the machine sells if it can."""
        async with mdb_bench(tmp_path, settings={"mdb-timeout": "90"}, machine={}) as here:
            here.machine.refuses = {"mdb-timeout"}
            await here.ready()

            assert here.fact("settings_refused") == "mdb-timeout=90"

    async def test_the_machine_lets_nobody_pay(self, tmp_path: Path) -> None:
        """DISABLED (an open door, a service menu) is a reason in words, and ends by itself."""
        async with mdb_bench(tmp_path) as here:
            await here.ready()
            here.machine.lets_pay = False
            await wait_until(lambda: "disabled cashless" in here.dispenser.status.reason, "the reason is told")
            here.machine.lets_pay = True
            await here.ready()

    async def test_the_machine_begins_anew(self, tmp_path: Path) -> None:
        """A reset of the VMC: not ready, and ready again without anybody's doing."""
        async with mdb_bench(tmp_path) as here:
            await here.ready()
            reasons: list[str] = []
            here.dispenser.on_status(lambda: reasons.append(here.dispenser.status.reason))
            here.machine.reset_machine()
            await wait_until(lambda: reasons and reasons[-1] == "", "it is ready again")

            assert any("MDB cable" in reason for reason in reasons)

    async def test_a_silent_bridge(self, tmp_path: Path) -> None:
        """A bridge that answers no more is found out without a customer, and found again."""
        async with mdb_bench(tmp_path, timing=replace(QUICK, answer_seconds=0.2)) as here:
            await here.ready()
            here.machine.silent = True
            await wait_until(lambda: "does not answer" in here.dispenser.status.reason, "its silence is noticed")
            here.machine.silent = False
            await here.ready()

    async def test_in_order(self, tmp_path: Path) -> None:
        """Stopped in order, it leaves a machine that takes no choices which nobody would answer."""
        async with mdb_bench(tmp_path) as here:
            await here.ready()
            await here.choose(3)
        assert not here.machine.waits
        assert not here.machine.can_choose
