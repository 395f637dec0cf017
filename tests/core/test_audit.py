"""`kiosk journal verify`: a sound journal is sound, and each way of breaking one shows."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from core_values import COLA, NOON, SLOTS, SteppedClock, make_settings

from hardware.fake import FakeDispenser
from kiosk.audit import audit
from kiosk.database import DatabaseError
from kiosk.dispatcher import Dispatcher
from kiosk.journal import JOURNAL_FILE, Journal
from kiosk.line import Line
from kiosk.orders import Order, OrderState
from kiosk.records import Step


@pytest.fixture
async def sold(tmp_path: Path, clock: SteppedClock, draft: Callable[..., Order]) -> Path:
    """The journal of a machine that sold one can and was restocked."""
    journal = Journal(tmp_path, clock)
    await journal.set_up_slots(SLOTS)
    board = FakeDispenser(motor_seconds=0)
    await board.start()
    dispatcher = Dispatcher(
        settings=make_settings(tmp_path), journal=journal, line=Line(journal), dispenser=board, clock=clock
    )
    await dispatcher.start()
    order = await journal.open_order(draft(), COLA, reusable_until=NOON)
    done = asyncio.Event()
    journal.subscribe(lambda change: done.set() if change.event.kind == "dispensed" else None)
    await journal.update(
        order.out_trade_no,
        lambda order, _: Step(
            order._replace(state=OrderState.PAID, paid_fen=350, transaction_id="42", confirmed_at=clock.now()), "paid"
        ),
    )
    await asyncio.wait_for(done.wait(), 10)
    await dispatcher.stop()
    await journal.change_slot("11", "restock", "tester", lambda slot: replace(slot, stock=3))
    await journal.close()
    return tmp_path / JOURNAL_FILE


def change(path: Path, sql: str) -> None:
    """Do to the file what no door of the journal does."""
    connection = sqlite3.connect(path)
    connection.execute(sql)
    connection.commit()
    connection.close()


async def test_a_sound_journal_has_no_findings(sold: Path) -> None:
    """Three slots added, four steps of a sale, one restock: all fits."""
    found = audit(sold)

    assert (found.findings, found.unsettled) == ((), ())
    assert (found.events, found.orders) == (8, 1)


@pytest.mark.parametrize(
    ("sql", "finding"),
    [
        ("DELETE FROM events WHERE id = 5", "event 5 is missing"),
        ("UPDATE events SET stock_delta = 0 WHERE id = 6", "event 6 .dispensing. does not fit the chain"),
        ("UPDATE events SET detail = replace(detail, 'paid', 'closed') WHERE id = 5", "from closed to dispensing"),
        ("UPDATE orders SET state = 'refunded'", "is refunded, its last event says dispensed"),
        ("UPDATE orders SET paid_fen = 1", "was not paid in full"),
        ("UPDATE slots SET stock = 9 WHERE id = '12'", "slot 12 holds 9 by the books, its events add up to 2"),
        ("DELETE FROM orders", "has events, but is not among the orders"),
        ("UPDATE order_counts SET count = 7 WHERE state = 'dispensed'", "the counters of orders say"),
    ],
)
async def test_whatever_is_broken_shows(sold: Path, sql: str, finding: str) -> None:
    """A gap, an edit, an impossible step, a sum that is off: each is a sentence of its own."""
    change(sold, sql)
    findings = "\n".join(audit(sold).findings)

    assert re.search(finding, findings), findings


async def test_an_unsettled_order_is_listed(sold: Path) -> None:
    """What a person has to look at is named."""
    change(sold, "UPDATE orders SET state = 'refund_failed'")

    assert "refund_failed" in audit(sold).unsettled[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A wrong path is a sentence."""
    with pytest.raises(DatabaseError, match="there is no journal"):
        audit(tmp_path / "none.sqlite")
