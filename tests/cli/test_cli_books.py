"""The commands that read and change the books, as a process of their own beside a machine's journal."""

from __future__ import annotations

import asyncio
import csv
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from kiosk.clock import SystemClock
from kiosk.journal import Journal
from kiosk.orders import Channel, Order, OrderState, new_out_trade_no
from kiosk.records import Step
from kiosk.settings import Slot

INI = """
[kiosk]
id = lobby-1
name = 大堂饮料机
data_dir = var
[wechatpay]
app_id = wx8888888888888888
mch_id = 1900000109
api_key = 01234567890123456789012345678901
[callbacks]
listen = 127.0.0.1:8000
[web]
listen = 127.0.0.1:8080
password_file = password
[display]
driver = none
[dispenser]
driver = fake
[product:cola]
name = 可口可乐
price = 3.50
[slot:11]
product = cola
capacity = 8
"""


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    path = tmp_path / "kiosk.ini"
    path.write_text(INI, encoding="utf-8")
    return path


async def _sell(data_dir: Path) -> list[str]:
    clock = SystemClock()
    journal = Journal(data_dir, clock)
    await journal.set_up_slots([Slot("11", "cola", 11, 8)])
    numbers = []
    for paid in (True, False):
        now = clock.now()
        order = Order(
            out_trade_no=new_out_trade_no("lobby-1", now),
            channel=Channel.NATIVE_TWO,
            product_id="cola",
            product_name="可口可乐",
            amount_fen=350,
            app_id="wx8888888888888888",
            state=OrderState.CREATED,
            created_at=now,
            expires_at=now + timedelta(hours=1),
            updated_at=now,
        )
        await journal.open_order(order, ["11"], reusable_until=now)
        numbers.append(order.out_trade_no)
        if paid:
            await journal.update(
                order.out_trade_no,
                lambda order, _: Step(
                    order._replace(state=OrderState.PAID, transaction_id="42", paid_fen=350), "paid"
                ),
            )
    await journal.close()
    return numbers


@pytest.fixture
def sold(ini: Path) -> list[str]:
    """The numbers of a paid and of an unpaid order in the journal."""
    return asyncio.run(_sell(ini.parent / "var"))


def kiosk(ini: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the ini."""
    return subprocess.run(
        [sys.executable, "-m", "kiosk", *arguments, "-c", str(ini)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_orders_as_csv(ini: Path, sold: list[str]) -> None:
    """Newest first, with a title line, amounts in whole fen."""
    done = kiosk(ini, "orders", "--csv")
    rows = list(csv.DictReader(done.stdout.splitlines()))

    assert (0, sold[::-1]) == (done.returncode, [row["out_trade_no"] for row in rows])
    assert ("350", "paid") == (rows[1]["amount"], rows[1]["state"])


def test_a_day_is_shown_and_closed_once(ini: Path, sold: list[str]) -> None:
    """The close has a number and keeps it, whoever asks again; a day that is not over is refused."""
    assert sold
    shown, closed, again = (kiosk(ini, "day", "yesterday", *more) for more in ((), ("--close",), ("--close",)))
    early = kiosk(ini, "day", "today", "--close")

    assert (0, False) == (shown.returncode, "closed" in shown.stdout)
    assert "closed as number 1 by the command line" in closed.stdout
    assert (0, closed.stdout) == (again.returncode, again.stdout)
    assert (1, True) == (early.returncode, "is not over yet" in early.stderr)


def test_the_books_need_no_secret(ini: Path, sold: list[str]) -> None:
    """Who may read the journal but not the keys (the nightly copy) can use every command that looks at the books."""
    text = ini.read_text(encoding="utf-8").replace("api_key = 0123", "api_key_file = /nowhere/api_key # 0123")
    ini.write_text(text, encoding="utf-8")
    for command in (
        ("orders",),
        ("day", "yesterday"),
        ("journal", "story", sold[0]),
        ("journal", "verify"),
        ("journal", "backup", str(ini.parent / "copy.sqlite")),
        ("journal", "archive", str(ini.parent / "archive.sqlite"), "--before", "180d"),
        ("refund", sold[0]),
    ):
        done = kiosk(ini, *command)
        assert 0 == done.returncode, (command, done.stderr)
    assert 2 == kiosk(ini, "run").returncode


def test_orders_filtered(ini: Path, sold: list[str]) -> None:
    """--state and --since narrow the list."""
    done = kiosk(ini, "orders", "--state", "paid", "--since", "1h")

    assert sold[0] in done.stdout
    assert sold[1] not in done.stdout


@pytest.mark.parametrize("arguments", [("--state", "sold"), ("--since", "yesterday")])
@pytest.mark.usefixtures("sold")
def test_a_wrong_filter_says_what_would_be_right(ini: Path, arguments: tuple[str, str]) -> None:
    """A state or a time that is none is refused with the possible ones."""
    done = kiosk(ini, "orders", *arguments)

    assert 2 == done.returncode
    assert arguments[1] in done.stderr


def test_refund_of_a_paid_order(ini: Path, sold: list[str]) -> None:
    """The order is on its way back; asked twice, it is one refund."""
    first = kiosk(ini, "refund", sold[0])
    second = kiosk(ini, "refund", sold[0])

    assert (0, 1) == (first.returncode, second.returncode)
    assert f"{sold[0]}-R1" in first.stdout
    assert "is refunding" in second.stderr


def test_refund_of_an_unpaid_or_unknown_order(ini: Path, sold: list[str]) -> None:
    """What was not paid is not refunded; the reason is a sentence."""
    unpaid, unknown = kiosk(ini, "refund", sold[1]), kiosk(ini, "refund", "lobby-1-nothing")

    assert (1, 1) == (unpaid.returncode, unknown.returncode)
    assert "only a paid order can be refunded" in unpaid.stderr
    assert "there is no order lobby-1-nothing" in unknown.stderr


@pytest.mark.usefixtures("sold")
def test_verify_and_backup(ini: Path, tmp_path: Path) -> None:
    """A sound journal is called sound, and so is its copy."""
    copy = tmp_path / "copy.sqlite"

    assert 0 == kiosk(ini, "journal", "backup", str(copy)).returncode
    done = kiosk(ini, "journal", "verify", str(copy))

    assert 0 == done.returncode
    assert "2 orders, 0 findings" in done.stdout
    assert "unsettled" in done.stdout


def test_no_journal_is_a_sentence(ini: Path) -> None:
    """Before the first run there is nothing to list, which is no mistake."""
    done = kiosk(ini, "orders")

    assert 0 == done.returncode
    assert "yet: this machine has never run" in done.stderr


def test_the_story_of_an_order(ini: Path, sold: list[str]) -> None:
    """What happened, in sentences of the machine's language; an unknown order is named."""
    told, unknown = kiosk(ini, "journal", "story", sold[0]), kiosk(ini, "journal", "story", "lobby-1-nothing")

    assert (0, 1) == (told.returncode, unknown.returncode)
    assert "已创建 cola 的订单，金额 ¥3.50" in told.stdout
    assert "已付款" in told.stdout
    assert "lobby-1-nothing" in unknown.stderr


def test_an_archive(ini: Path, sold: list[str], tmp_path: Path) -> None:
    """What is not settled stays; the archive is sound, and tells an order's story."""
    copy = tmp_path / "2026.sqlite"
    done = kiosk(ini, "journal", "archive", str(copy), "--before", "2099-01-01")
    again = kiosk(ini, "journal", "archive", str(copy), "--before", "2099-01-01")

    assert (0, 1) == (done.returncode, again.returncode)
    assert "holds 4 events; 1 of them were dropped" in done.stdout  # the slot's; both orders are unsettled
    assert "exists already" in again.stderr
    assert 0 == kiosk(ini, "journal", "verify").returncode
    assert "已付款" in kiosk(ini, "journal", "story", sold[0], "--file", str(copy)).stdout


def test_a_journal_that_does_not_hold_together_is_not_archived(ini: Path, sold: list[str], tmp_path: Path) -> None:
    """Nothing is dropped from it, for it may be the only witness."""
    journal = ini.parent / "var" / "journal.sqlite"
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("UPDATE events SET kind = 'edited' WHERE id = 2")
        connection.commit()
    done = kiosk(ini, "journal", "archive", str(tmp_path / "copy.sqlite"), "--before", "2099-01-01")

    assert 1 == done.returncode
    assert "nothing was dropped" in done.stderr
    assert sold[0] in kiosk(ini, "orders").stdout
