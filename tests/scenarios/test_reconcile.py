"""`kiosk reconcile`: the command as a process, between a machine's journal and the simulated WeChat Pay's bill."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from config_files import write_ini
from scenario_kit import Bench, bench

from kiosk.clock import CHINA_STANDARD_TIME
from kiosk.orders import OrderState, new_out_trade_no
from kiosk.refunds import request_refund
from kiosk.settings import NativeMode, SignType

NOON = (datetime.now(CHINA_STANDARD_TIME) - timedelta(days=2)).replace(hour=12, minute=0, second=0, microsecond=0)
DAY = NOON.date().isoformat()  # its bill has been there since yesterday morning


@pytest.fixture
async def sold(tmp_path: Path) -> AsyncIterator[Bench]:
    """A machine whose day is the one before yesterday."""
    async with bench(tmp_path, native_mode=NativeMode.ONE, offset=NOON - datetime.now(UTC)) as running:
        yield running


async def buy(running: Bench) -> str:
    number = await running.buy("cola")
    await running.settled(number, OrderState.DISPENSED)
    return number


async def refund(running: Bench, number: str) -> None:
    await request_refund(running.machine.journal, number, "a test")
    await running.settled(number, OrderState.REFUNDED)


def ini(running: Bench) -> Path:
    pay, base = running.settings.wechatpay, running.wechat.base_url
    return write_ini(
        running.folder,
        ("id = lobby-1\n", f"id = lobby-1\ndata_dir = {running.folder}\n"),
        ("0123456789abcdefghijklmnopqrstuv", f"{pay.api_key}\napi_base = {base}\nbackup_api_base = {base}"),
    )


async def reconcile(running: Bench, *arguments: str, day: str = DAY) -> tuple[int, str, str]:
    """Exit status, output and errors of the command, on the real day of today."""
    running.wechat_clock.offset = timedelta()
    command = [sys.executable, "-m", "kiosk", "reconcile", day, "-c", str(ini(running)), *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()


async def test_a_day_of_sales_and_refunds_agrees(sold: Bench) -> None:
    """Two payments and a refund stand in both books with the same sums: exit 0."""
    await buy(sold)
    await refund(sold, await buy(sold))
    status, out, errors = await reconcile(sold)
    assert (status, errors) == (0, "")
    bill, journal, verdict = (line.split() for line in out.splitlines()[1:])
    assert bill[2:] == journal[2:] == ["2", "¥7.00", "1", "¥3.50"]
    assert verdict == ["the", "books", "agree"]


async def test_every_kind_of_difference_is_found(sold: Bench) -> None:
    """Missing, extra, other amounts, other transactions, refunds: each is one line that names the order; exit 1."""
    same, missing, amount, transaction, by_hand = [await buy(sold) for _ in range(5)]
    ledger = sold.wechat.ledger
    await refund(sold, same)
    ledger.order(out_trade_no=missing).payment = None
    changed = ledger.order(out_trade_no=amount)
    changed.fields = {**changed.fields, "total_fee": "300"}
    payment = ledger.order(out_trade_no=transaction).payment
    assert payment is not None
    object.__setattr__(payment, "transaction_id", "4200000000")
    ledger.refund(
        {
            "out_trade_no": by_hand,
            "out_refund_no": "by-hand",
            "total_fee": "350",
            "refund_fee": "100",
            "notify_url": "",
        }
    )
    extra = pay_unknown(sold, "lobby-1")
    pay_unknown(sold, "lobby-2")  # another machine of the same merchant
    status, out, _ = await reconcile(sold, "--json")
    report: dict[str, Any] = json.loads(out)
    found = {
        (line["kind"], line["out_trade_no"], line["out_refund_no"], line["wechat"], line["journal"])
        for line in report["differences"]
    }
    assert (status, report["date"], report["equal"]) == (1, DAY, False)
    assert found == {
        ("missing", missing, None, None, 350),
        ("extra", extra, None, 100, None),
        ("amount", amount, None, 300, 350),
        ("transaction", transaction, None, 350, 350),
        ("refund_extra", by_hand, "by-hand", 100, None),
    }
    assert report["journal"] == {"payments": 5, "paid_fen": 1750, "refunds": 1, "refunded_fen": 350}


async def test_a_refund_that_wechat_does_not_bill_is_found(sold: Bench) -> None:
    """The journal has the money as returned, WeChat's bill has it not, or of another amount."""
    gone, less = await buy(sold), await buy(sold)
    for number in (gone, less):
        await refund(sold, number)
    sold.wechat.ledger.order(out_trade_no=gone).refunds.clear()
    sold.wechat.ledger.order(out_trade_no=less).refunds[f"{less}-R1"].refund_fen = 300
    status, out, _ = await reconcile(sold)
    lines = out.splitlines()
    assert status == 1
    assert lines[3].split()[:3] == ["refund_amount", f"{less}-R1", "¥3.00"]
    assert lines[4].split()[:3] == ["refund_missing", f"{gone}-R1", "¥3.50"]
    assert lines[5] == "2 differences"


async def test_a_day_without_sales_agrees(sold: Bench) -> None:
    """WeChat makes no bill for it; the journal has nothing either."""
    assert (await reconcile(sold))[0] == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("cut_xml", "was cut short"),
        ("bad_gateway", "HTTP 502"),
        ("reset", "ConnectionError"),
        ("SIGNERROR", "WeChat Pay refuses the bill: SIGNERROR"),
    ],
)
async def test_without_a_whole_bill_nothing_is_compared(sold: Bench, fault: str, words: str) -> None:
    """No bill, or a part of one, is never taken for differences: exit 3 with the reason."""
    await buy(sold)
    sold.wechat.faults.set("downloadbill", fault, times=None)
    status, out, errors = await reconcile(sold)
    assert (status, out) == (3, "")
    assert words in errors


async def test_a_day_that_has_no_bill_yet_is_told(sold: Bench) -> None:
    """Today's bill does not exist, whoever asks: exit 3 and when it will."""
    status, _, errors = await reconcile(sold, day=datetime.now(CHINA_STANDARD_TIME).date().isoformat())
    assert status == 3
    assert "made on the next day" in errors


def pay_unknown(running: Bench, machine: str) -> str:
    """Let WeChat have a paid order that the journal does not know."""
    ledger = running.wechat.ledger
    number = new_out_trade_no(machine, running.clock.now())
    fields = {
        "appid": running.settings.wechatpay.app_id,
        "out_trade_no": number,
        "total_fee": "100",
        "trade_type": "NATIVE",
        "body": "大堂饮料机-可乐,大杯",
    }
    ledger.pay(ledger.place(fields, SignType.HMAC_SHA256), "o-somebody")
    return number
