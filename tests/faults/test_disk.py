"""A disk that takes nothing more: no sale is half made, no payment is lost, and the machine mends itself."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from scenario_kit import Bench, bench
from tornado.httpclient import AsyncHTTPClient

from kiosk.audit import audit
from kiosk.orders import OrderState
from kiosk.records import Change
from kiosk.settings import NativeMode
from kiosk.simulation.messages import payment_notice
from kiosk.simulation.wechat import Payment, Told

Fault = Callable[[Bench], AbstractContextManager[None]]


@contextmanager
def full(here: Bench) -> Iterator[None]:
    """The kernel lets no file of this process grow beyond what the write-ahead log has already."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = here.journal_file.with_name(here.journal_file.name + "-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(here: Bench) -> Iterator[None]:
    """SQLite refuses every write, as on a file system that the kernel has made read-only after an error."""
    connection = here.machine.journal._database._connection  # a read-only mount cannot be had without privileges
    connection.execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        connection.execute("PRAGMA query_only = OFF")


@pytest.fixture(params=[full, read_only])
def fault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Fault:
    """What happens to the disk; retries come soon."""
    monkeypatch.setattr("kiosk.readiness.CHECK_SECONDS", 0.1)
    monkeypatch.setattr("kiosk.dispatcher.RETRY_SECONDS", 0.2)
    found: Fault = request.param
    return found


@pytest.fixture
async def client() -> AsyncIterator[AsyncHTTPClient]:
    made = AsyncHTTPClient(force_instance=True)
    yield made
    made.close()


def at(here: Bench, kind: str) -> asyncio.Event:
    """Set right after the commit of the first event of that kind, before anything follows from it."""
    happened = asyncio.Event()

    def hear(change: Change) -> None:
        if change.event.kind == kind:
            happened.set()

    here.machine.journal.subscribe(hear)
    return happened


async def test_a_sale_is_refused_in_words(tmp_path: Path, fault: Fault) -> None:
    """A scan is answered on the phone, WeChat hears of no order; with room again the machine sells by itself."""
    async with bench(tmp_path, native_mode=NativeMode.ONE) as here:
        code = await here.code("cola")
        with fault(here):
            first = await here.wechat.scan(code, "o-first")
            await here.until(lambda: "journal" in problems(here), "the machine knows of its disk")
            second = await here.wechat.scan(code, "o-second")
            orders = dict(here.wechat.ledger.orders)
        await here.until(lambda: not here.machine.readiness.blocked, "the machine sells again")
        await here.settled(await here.buy("cola", "o-third"), OrderState.DISPENSED)

    assert isinstance(first, Told)
    assert isinstance(second, Told)
    assert first.text
    assert second.text
    assert {} == orders
    assert 1 == len(here.board.drops)
    assert 1 == audit(here.journal_file).orders


async def test_a_payment_is_acknowledged_once_it_is_stored(
    tmp_path: Path, fault: Fault, client: AsyncHTTPClient
) -> None:
    """FAIL as long as the payment cannot be stored, so that WeChat repeats it; then SUCCESS, and the can."""
    async with bench(tmp_path) as here:
        here.wechat.faults.set("notify", "never")
        cashier = await here.scan("cola")
        url = f"http://127.0.0.1:{here.settings.callbacks.port}/wxpay/notify"
        with fault(here):
            assert isinstance(await here.wechat.pay(cashier.out_trade_no, "o-customer"), Payment)
            order = here.wechat.ledger.orders[cashier.out_trade_no]
            assert order.payment is not None
            notice = payment_notice(order, order.payment, here.wechat.merchant, names_sign_type=False)
            refused = await client.fetch(url, method="POST", body=notice)
            state = (await here.order(cashier.out_trade_no)).state
        taken = await client.fetch(url, method="POST", body=notice)
        await here.settled(cashier.out_trade_no, OrderState.DISPENSED)
        await here.until(lambda: not here.machine.readiness.blocked, "the machine sells again")

    assert (200, OrderState.AWAITING_PAYMENT) == (refused.code, state)
    assert b"FAIL" in refused.body
    assert b"SUCCESS" in taken.body
    assert 1 == len(here.board.drops)
    assert () == audit(here.journal_file).findings


async def test_no_motor_turns_before_its_intent_is_stored(tmp_path: Path, fault: Fault) -> None:
    """Paid, and then the disk fails: the board hears nothing until the intent can be written."""
    async with bench(tmp_path) as here:
        dark = fault(here)
        here.machine.journal.subscribe(lambda change: dark.__enter__() if change.event.kind == "paid" else None)
        number = await here.buy("cola")
        await here.until(lambda: here.machine.journal.error, "the intent could not be written")
        drops, state = len(here.board.drops), (await here.order(number)).state
        dark.__exit__(None, None, None)
        await here.settled(number, OrderState.DISPENSED)

    assert (0, OrderState.PAID) == (drops, state)
    assert 1 == len(here.board.drops)
    assert () == audit(here.journal_file).findings


async def test_an_outcome_waits_for_room(tmp_path: Path, fault: Fault) -> None:
    """The can has dropped, the disk is full: the outcome is written as soon as it can be, and nothing turns twice."""
    async with bench(tmp_path) as here:
        dark = fault(here)
        here.machine.journal.subscribe(lambda change: dark.__enter__() if change.event.kind == "dispensing" else None)
        number = await here.buy("cola")
        await here.until(lambda: here.machine.journal.error and here.board.drops, "the outcome could not be written")
        drops, state = len(here.board.drops), (await here.order(number)).state
        dark.__exit__(None, None, None)
        await here.settled(number, OrderState.DISPENSED)

    assert (1, OrderState.DISPENSING) == (drops, state)
    assert (1, (350, 0)) == (len(here.board.drops), here.money(number))
    assert () == audit(here.journal_file).findings


def problems(here: Bench) -> set[str]:
    return {problem.code for problem in here.machine.readiness.problems}
