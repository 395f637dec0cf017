"""The payment race table: whenever somebody pays, an order is vended, refunded, or closed unpaid, and nothing else.

Paid before, during or after closing, with a notification or none, while WeChat answers questions, errs or is silent,
with a restart in between or not: 36 rows, in both native modes, 12 of them in the mini-program and at a keypad too.
The books of WeChat, board and machine have to tell of the same end.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from race_kit import CUSTOMER, ROWS, STATES, Query, Row, run, sell_one_product, shorten_waits
from scenario_kit import bench

from kiosk.orders import OrderState
from kiosk.settings import NativeMode
from kiosk.simulation.wechat import Payment


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_waits(monkeypatch)
    sell_one_product(monkeypatch)


def test_the_table_is_whole() -> None:
    """36 rows, all different."""
    assert len(ROWS) == len(set(ROWS)) == 36


@pytest.mark.parametrize("mode", [NativeMode.TWO, NativeMode.ONE], ids=["mode_two", "mode_one"])
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_one_end(row: Row, mode: NativeMode, tmp_path: Path) -> None:
    """Money, goods and journal tell of the one end that the row has to have; nothing is left over."""
    books = await run(row, mode, tmp_path)

    assert row.end is books.end, books
    assert STATES[row.end] is books.state
    assert ((), ()) == (books.findings, books.unsettled)


@pytest.mark.parametrize("row", [row for row in ROWS if row.query is Query.ANSWERS], ids=lambda row: row.name)
async def test_one_end_in_the_miniprogram(row: Row, tmp_path: Path) -> None:
    """An order of the mini-program comes to the same end as one of a scan."""
    books = await run(row, NativeMode.ONE, tmp_path, miniprogram=True)

    assert row.end is books.end, books
    assert STATES[row.end] is books.state
    assert ((), ()) == (books.findings, books.unsettled)


@pytest.mark.parametrize("row", [row for row in ROWS if row.query is Query.ANSWERS], ids=lambda row: row.name)
async def test_one_end_at_a_keypad(row: Row, tmp_path: Path) -> None:
    """An order for what was chosen at the machine is vended while the choice stands, and never after it."""
    row = replace(row, keypad=True)
    books = await run(row, NativeMode.TWO, tmp_path)

    assert row.end is books.end, books
    assert STATES[row.end] is books.state
    assert ((), ()) == (books.findings, books.unsettled)


async def test_a_close_that_closed_nothing(tmp_path: Path) -> None:
    """Closeorder of a young order answers SUCCESS and leaves it open, as merchants report: a payment is honoured."""
    async with bench(tmp_path) as here:
        here.wechat.ledger.closes_young_orders = False
        number = (await here.scan("cola", CUSTOMER)).out_trade_no
        await here.machine.readiness.switch_out_of_service("closed for the test", "test")
        await here.until(lambda: here.shown("cola") is None, "the code has left the screen")
        paid = await here.wechat.pay(number, CUSTOMER)
        await here.settled(number, OrderState.DISPENSED)

        assert isinstance(paid, Payment)
        assert (1, (350, 0)) == (len(here.board.drops), here.money(number))
