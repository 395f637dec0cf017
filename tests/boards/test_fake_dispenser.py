"""The dispenser without a wire: works by itself, obeys its script, books its drops."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from hardware.dispenser import Cause, Dispenser, Outcome, VendResult
from hardware.fake import FakeDispenser

JAM = VendResult(Outcome.NOT_DELIVERED, "jammed", Cause.SLOT)
DOUBT = VendResult(Outcome.UNKNOWN, "nobody knows")


async def test_it_delivers_by_itself() -> None:
    """Without a script every vend drops one item, proven, once it was started."""
    fake = FakeDispenser(motor_seconds=0)
    dispenser: Dispenser = fake
    assert not dispenser.status.ready
    await dispenser.start()
    assert dispenser.status.ready
    ended = await dispenser.vend(11)
    assert (ended.outcome, ended.proven) == (Outcome.DELIVERED, True)
    assert fake.drops == [11]
    await dispenser.stop()
    assert not dispenser.status.ready


async def test_scripted_results_come_in_order_then_by_address() -> None:
    """`then` goes before `always`; only what is delivered, or said to drop, drops."""
    fake = FakeDispenser(motor_seconds=0)
    fake.always(1, JAM)
    fake.then(DOUBT, drops=True)
    fake.then(DOUBT)
    assert [await fake.vend(address) for address in (1, 1, 1)] == [DOUBT, DOUBT, JAM]
    assert fake.drops == [1]
    fake.always(1, None)
    assert (await fake.vend(1)).outcome is Outcome.DELIVERED
    assert fake.drops == [1, 1]


async def test_readiness_is_told_when_it_changes() -> None:
    """Callbacks run on every change of the reason, and only then."""
    fake = FakeDispenser()
    told: list[str] = []
    fake.on_status(lambda: told.append(fake.status.reason))
    await fake.start()
    fake.set_ready("the door is open")
    fake.set_ready("the door is open")
    fake.set_ready()
    assert told == ["", "the door is open", ""]


async def test_one_vend_at_a_time() -> None:
    """A second concurrent vend is the caller's mistake."""
    fake = FakeDispenser(motor_seconds=0.01)
    first = asyncio.create_task(fake.vend(1))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one order at a time"):
        await fake.vend(2)
    await first
    assert fake.drops == [1]


async def test_the_ledger_holds_every_drop(tmp_path: Path) -> None:
    """One JSON line for each item, with the evidence that was prepared; a second process adds to it."""
    ledger = tmp_path / "drops.jsonl"
    evidence = []
    for _ in range(2):
        fake = FakeDispenser(motor_seconds=0, ledger=ledger)
        evidence.append(fake.prepare(7))
        await fake.vend(7)
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [(line["address"], line["evidence"]) for line in lines] == [(7, evidence[0]), (7, evidence[1])]


async def test_recall_knows_only_what_it_may(tmp_path: Path) -> None:
    """Without a memory UNKNOWN; with one, DELIVERED for what is in the ledger, and for nothing else."""
    ledger = tmp_path / "drops.jsonl"
    fake = FakeDispenser(motor_seconds=0, ledger=ledger, remembers=True)
    evidence = fake.prepare(7)
    assert (await fake.recall(7, evidence)).outcome is Outcome.UNKNOWN
    await fake.vend(7)
    assert (await fake.recall(7, evidence)).outcome is Outcome.DELIVERED
    assert (await fake.recall(8, evidence)).outcome is Outcome.UNKNOWN
    forgetful = FakeDispenser(ledger=ledger)
    assert (await forgetful.recall(7, evidence)).outcome is Outcome.UNKNOWN
