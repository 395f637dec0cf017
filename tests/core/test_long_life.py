"""Years in the street: journals of earlier versions, and old events that leave for an archive."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from core_values import COLA, NOON, SteppedClock

from kiosk import archive as archives
from kiosk.audit import Audit, audit
from kiosk.journal import JOURNAL_FILE, Journal, UnknownOrder, read_story
from kiosk.orders import Channel, Order, OrderState
from kiosk.records import SlotRecord, Step

JOURNALS = Path(__file__).parent / "journals"  # as machines of versions 1 and 2 wrote them; 3 is 2, brought up
NOW = NOON + timedelta(days=3)  # they sold on the day after noon


@pytest.fixture(params=sorted(path.stem for path in JOURNALS.glob("*.sql")))
def of_version(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The data folder of a machine that an earlier version has run."""
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as connection:
        connection.executescript((JOURNALS / f"{request.param}.sql").read_text(encoding="utf-8"))
    return tmp_path


def test_an_earlier_journal_is_read_as_it_is(of_version: Path) -> None:
    """`kiosk journal verify` and `story` on a copy from a machine that was never upgraded change nothing in it."""
    before = (of_version / JOURNAL_FILE).read_bytes()
    found = audit(of_version / JOURNAL_FILE)
    number = found.unsettled[0].split()[0]
    events, archived = read_story(of_version / JOURNAL_FILE, number)

    assert (found.findings, found.events, found.orders) == ((), 33, 5)
    assert (["created", "awaiting_payment", "paid"], False) == ([event.kind for event in events[:3]], archived)
    assert before == (of_version / JOURNAL_FILE).read_bytes()


async def test_an_earlier_journal_is_brought_up(of_version: Path, clock: SteppedClock) -> None:
    """All orders, stock and events are there afterwards, and the chain goes on from the old end."""
    clock.time = NOW
    journal = Journal(of_version, clock)
    orders = await journal.page_of_orders()
    slots = await journal.slots()
    await journal.note("upgraded", {})
    await journal.close()
    found = audit(of_version / JOURNAL_FILE)

    assert ["in_doubt", "awaiting_payment", "refunded", "dispensed", "refunded"] == [o.state.value for o in orders]
    assert SlotRecord("21", 0, disabled=False, fault="in_doubt") == slots["21"]
    assert (found.findings, found.events, found.orders) == ((), 34, 5)


async def sell(journal: Journal, clock: SteppedClock, order: Order, *states: OrderState) -> str:
    """Lead an order through `states`, a minute for each step."""
    await journal.open_order(order, COLA, reusable_until=clock.now())
    for state in states:
        clock.step(60)
        await journal.update(
            order.out_trade_no,
            lambda order, _, state=state: Step(  # type: ignore[misc] # bound on purpose
                order._replace(state=state, paid_fen=350, transaction_id=order.out_trade_no), state.value
            ),
        )
    return order.out_trade_no


SOLD = (OrderState.PAID, OrderState.DISPENSING, OrderState.DISPENSED)


@pytest.fixture
async def old(journal: Journal, clock: SteppedClock, draft: Callable[..., Order]) -> tuple[Journal, list[str]]:
    """Five sales, a day between them, and a restock after each."""
    numbers = []
    for day in range(5):
        clock.time = NOON + timedelta(days=day)
        numbers.append(await sell(journal, clock, draft(channel=Channel.NATIVE_TWO), *SOLD))
        await journal.change_slot("11", "restock", "tester", lambda slot: replace(slot, stock=2 + slot.stock % 2))
    return journal, numbers


async def archive(folder: Path, days: float) -> tuple[Path, int]:
    """What `kiosk journal archive` does, for everything older than `days` after the first noon."""
    target = folder / "archive.sqlite"
    return target, (await archives.archive(folder / JOURNAL_FILE, target, NOON + timedelta(days=days))).dropped


async def test_the_sums_stay(old: tuple[Journal, list[str]], tmp_path: Path) -> None:
    """Old events leave: orders, stock and counts are as before, what is left is sound, the archive holds the rest."""
    journal, numbers = old
    before = (await journal.page_of_orders(), await journal.slots(), await journal.counts())
    target, dropped = await archive(tmp_path, days=2.5)
    left = audit(tmp_path / JOURNAL_FILE)
    archived = audit(target)

    assert before == (await journal.page_of_orders(), await journal.slots(), await journal.counts())
    assert (left.findings, archived.findings) == ((), ())
    assert (dropped, left.events) == (18, 10)  # three slots, three days of four steps and a restock
    assert dropped + left.events == archived.events
    assert ([], True) == read_story(tmp_path / JOURNAL_FILE, numbers[0])
    assert (4, False) == (len(read_story(target, numbers[0])[0]), read_story(target, numbers[0])[1])


async def test_it_sells_on_after_an_archive(
    old: tuple[Journal, list[str]], clock: SteppedClock, draft: Callable[..., Order], tmp_path: Path
) -> None:
    """Even if everything was old: the chain goes on, and a second archive follows the first."""
    journal, numbers = old
    _, first = await archive(tmp_path, days=100)
    await sell(journal, clock, draft(channel=Channel.NATIVE_TWO), *SOLD)
    await journal.update(
        numbers[0], lambda order, _: Step(order._replace(state=OrderState.REFUNDING, refund_serial=1), "refunding")
    )
    (tmp_path / "archive.sqlite").rename(tmp_path / "first.sqlite")
    _, second = await archive(tmp_path, days=100)

    assert (27, 5) == (first, second)  # the last event stays, and with it the refund that is under way
    assert () == audit(tmp_path / JOURNAL_FILE).findings


async def test_an_unsettled_order_keeps_its_story(
    old: tuple[Journal, list[str]], clock: SteppedClock, draft: Callable[..., Order], tmp_path: Path
) -> None:
    """However old: what a person has still to decide is not taken away from the machine."""
    journal, _ = old
    doubtful = await sell(journal, clock, draft(channel=Channel.NATIVE_TWO), *SOLD[:2], OrderState.IN_DOUBT)
    clock.step(86400 * 100)
    await sell(journal, clock, draft(channel=Channel.NATIVE_TWO), *SOLD)
    await archive(tmp_path, days=90)

    assert (4, False) == (len(await journal.story(doubtful)), read_story(tmp_path / JOURNAL_FILE, doubtful)[1])
    assert () == audit(tmp_path / JOURNAL_FILE).findings


@pytest.mark.usefixtures("old")
async def test_nothing_is_dropped_that_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine books while its journal is copied stays, however old its date."""

    def book() -> None:
        async def note() -> None:
            journal = Journal(tmp_path, SteppedClock())
            for number in range(3):
                await journal.note("noted", {"number": number})
            await journal.close()

        asyncio.run(note())

    def audit_while_it_sells(path: Path) -> Audit:
        found = audit(path)
        thread = threading.Thread(target=book)
        thread.start()
        thread.join()
        return found

    monkeypatch.setattr(archives, "audit", audit_while_it_sells)
    _, dropped = await archive(tmp_path, days=100)

    assert (28, ()) == (dropped, audit(tmp_path / JOURNAL_FILE).findings)
    assert 3 == audit(tmp_path / JOURNAL_FILE).events


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize(
    ("sql", "finding"),
    [
        ("UPDATE archived_stock SET stock_delta = stock_delta + 1 WHERE slot = '11'", "its events add up to"),
        ("UPDATE archived SET last_id = last_id - 1", "is missing"),
        ("UPDATE archived SET hash = zeroblob(32)", "does not fit the chain"),
        ("DELETE FROM archived", "is missing"),
    ],
)
async def test_what_the_archive_left_is_checked(tmp_path: Path, sql: str, finding: str) -> None:
    """Who edits the sums or the end of the archive is found out."""
    await archive(tmp_path, days=2.5)
    with closing(sqlite3.connect(tmp_path / JOURNAL_FILE)) as connection:
        connection.execute(sql)
        connection.commit()

    assert finding in "\n".join(audit(tmp_path / JOURNAL_FILE).findings)


@pytest.mark.usefixtures("old")
async def test_many_events_go_in_small_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sale beside it waits for one of them at most; all go in the end."""
    monkeypatch.setattr(archives, "DROPPED_AT_ONCE", 4)

    assert (18, ()) == ((await archive(tmp_path, days=2.5))[1], audit(tmp_path / JOURNAL_FILE).findings)


async def test_the_story_of_no_order(journal: Journal, tmp_path: Path) -> None:
    """An order that never was is told apart from one whose events are archived."""
    await journal.note("noted", {})

    with pytest.raises(UnknownOrder):
        read_story(tmp_path / JOURNAL_FILE, "lobby-1-nothing")
