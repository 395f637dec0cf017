"""Whole sales at a machine whose customers choose at its own keypad, behind an MDB bridge."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from keypad_kit import CUSTOMER, Keypad, at_keypad
from mdb_kit import QUICK
from race_kit import shorten_waits
from scenario_kit import API_TOKEN, Bench, bench
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from display.scene import NoticeKind, Phase, TileState
from kiosk.audit import audit
from kiosk.dispatcher import NotNow
from kiosk.journal import JOURNAL_FILE
from kiosk.machine import Machine
from kiosk.orders import UNPAID, Channel, OrderState
from kiosk.settings import DispenserDriver, InDoubt
from kiosk.simulation.wechat import Told


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_waits(monkeypatch)
    monkeypatch.setattr("kiosk.readiness.CHECK_SECONDS", 0.1)


class TestSale:
    async def test_a_can_for_a_payment(self, tmp_path: Path) -> None:
        """Choose, scan, pay: the machine is told yes once and gives one can; stock, money and journal agree."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            number = await keypad.buy(11)
            order = await here.settled(number, OrderState.DISPENSED)

            assert ([11], 1) == (keypad.dropped(), keypad.approvals())
            assert (350, 0) == here.money(number)
            assert (Channel.KEYPAD, "11", 1, None) == (order.channel, order.slot, order.attempts, order.reason)
            assert 2 == (await here.machine.journal.slots())["11"].stock
            kinds = await here.kinds(number)
            assert ["created", "awaiting_payment", "paid", "dispensing", "dispensed"] == kinds
            await here.until(lambda: keypad.large() is None, "the code has left the screen")
        assert ((), ()) == (audit(here.journal_file).findings, audit(here.journal_file).unsettled)

    async def test_without_any_inbound_connection(self, tmp_path: Path) -> None:
        """No public_url: orderquery finds the payment while the machine waits."""
        async with bench(tmp_path, public=False, wechatpay={"query_interval_seconds": 1}, **at_keypad()) as here:
            keypad = Keypad(here)
            await here.settled(await keypad.buy(12), OrderState.DISPENSED)

            assert [12] == keypad.dropped()

    async def test_what_the_customer_sees(self, tmp_path: Path) -> None:
        """Products with their keys and no codes; then one large code with price and time; then the goods."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            idle = here.scene()
            await keypad.order(11)
            large = keypad.large()
            orders_before_payment = len(here.wechat.ledger.orders)

            assert Phase.KEYPAD is idle.phase
            assert ("请在键盘上选择商品", None) == (idle.headline, idle.large)
            assert [("可口可乐", "¥3.50", "按 11 / 12", None), ("冰红茶", "¥3.00", "按 21", None)] == [
                (tile.name, tile.price, tile.caption, tile.code) for tile in idle.tiles
            ]
            assert large is not None
            assert ("可口可乐", "¥3.50", "微信扫一扫") == (large.tile.name, large.tile.price, large.tile.caption)
            assert large.countdown.startswith("还剩 5")
            assert orders_before_payment == 1  # none is made ahead
            await keypad.pay(next(iter(here.wechat.ledger.orders)))
            await here.until(
                lambda: here.scene().notice and here.scene().notice.kind is NoticeKind.TAKE_GOODS, "take your goods"
            )

    async def test_one_after_the_other(self, tmp_path: Path) -> None:
        """Several customers in a row, each with an order of their own."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            numbers = []
            for item, price in ((11, "3.50"), (21, "3.00"), (11, "3.50")):
                numbers.append(await keypad.buy(item, price))
                await here.settled(numbers[-1], OrderState.DISPENSED)

            assert [11, 21, 11] == keypad.dropped()
            assert len(set(numbers)) == 3

    async def test_the_price_is_the_machines(self, tmp_path: Path) -> None:
        """The machine asks another price than the ini: that is paid, and the technician is told until they agree."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            number = await keypad.buy(11, "4.00")
            await here.settled(number, OrderState.DISPENSED)
            problems, health = keypad.problems(), here.machine.readiness.health
            await here.settled(await keypad.buy(11, "3.50"), OrderState.DISPENSED)

            assert (400, 0) == here.money(number)
            assert (True, "degraded") == ("price_11" in problems, health)
            assert "price_11" not in keypad.problems()


class TestRefused:
    @pytest.mark.parametrize(
        ("item", "price", "words"),
        [
            (33, "3.50", "这个号码没有商品，请重新选择"),
            (21, "3.00", "已售罄"),
            (11, "0.00", "暂不可售"),
            (11, "1.005", "暂不可售"),
        ],
        ids=["unknown item", "sold out", "for nothing", "half a fen"],
    )
    async def test_what_cannot_be_sold(self, item: int, price: str, words: str, tmp_path: Path) -> None:
        """The machine is told no at once, the customer reads why, no order is made."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            await here.machine.journal.change_slot("21", "restock", "test", lambda record: replace(record, stock=0))
            await here.until(lambda: here.tile_state("tea") is TileState.SOLD_OUT, "the books are read")
            await keypad.choose(item, price)
            await here.until(lambda: not keypad.vmc.waits, "the machine got its no")

            assert words == here.scene().headline
            assert ({}, 0) == (here.wechat.ledger.orders, keypad.approvals())

    async def test_a_machine_that_does_not_sell(self, tmp_path: Path) -> None:
        """Out of service: no code, no yes."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            await here.machine.readiness.switch_out_of_service("门坏了", "test")
            assert keypad.vmc.choose(11)
            await here.until(lambda: not keypad.vmc.waits, "the machine got its no")

            assert {} == here.wechat.ledger.orders
            assert Phase.OUT_OF_SERVICE is here.scene().phase

    async def test_wechat_takes_no_order(self, tmp_path: Path) -> None:
        """No code, no sale: the customer is told to try again, the machine is told no."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            here.wechat.faults.set("unifiedorder", "SYSTEMERROR", times=None)
            await keypad.choose(11)
            await here.until(lambda: not keypad.vmc.waits, "the machine got its no")

            assert "系统繁忙，请稍后再试" == here.scene().headline

    async def test_a_test_vend(self, tmp_path: Path) -> None:
        """Nobody can turn a motor from the page: the machine's own menu does that."""
        async with bench(tmp_path, **at_keypad()) as here:
            await Keypad(here).choose(11)
            with pytest.raises(NotNow, match="its own service menu"):
                await here.machine.dispatcher.test_vend("11", "test")


class TestOver:
    async def test_cancelled_before_the_payment(self, tmp_path: Path) -> None:
        """The code leaves the screen with the choice, and its order is closed at WeChat."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            number = await keypad.order(11)
            keypad.vmc.cancel()
            await here.until(lambda: keypad.large() is None, "the code has left the screen")
            await here.settled(number, OrderState.CLOSED)

            assert isinstance(await here.wechat.pay(number, CUSTOMER), Told)
            assert ([], 0) == (keypad.dropped(), keypad.approvals())

    async def test_paid_as_it_is_cancelled(self, tmp_path: Path) -> None:
        """The payment wins against closeorder: the goods are not given any more, the money goes back."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            number = await keypad.order(11)
            here.wechat.faults.set("closeorder", "no_answer", times=1)
            keypad.vmc.cancel()
            await keypad.pay(number)
            await here.settled(number, OrderState.REFUNDED)

            assert (350, 350) == here.money(number)
            assert ([], 0) == (keypad.dropped(), keypad.approvals())
            assert 3 == (await here.machine.journal.slots())["11"].stock

    async def test_paid_late_while_the_next_customer_waits_for_the_same(self, tmp_path: Path) -> None:
        """A payment for a choice that is over never gives the goods that somebody else has chosen."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            here.wechat.ledger.closes_young_orders = False  # as merchants report: it answers SUCCESS and stays open
            first = await keypad.order(11)
            keypad.vmc.cancel()
            second = await keypad.order(11, openid="o-other")
            await keypad.pay(first)
            await here.settled(first, OrderState.REFUNDED)
            still_waits, given = keypad.vmc.waits, keypad.dropped()
            await keypad.pay(second, "o-other")
            await here.settled(second, OrderState.DISPENSED)

            assert (True, []) == (still_waits, given)
            assert [11] == keypad.dropped()
            assert ((350, 350), (350, 0)) == (here.money(first), here.money(second))

    async def test_chosen_anew_between_intent_and_yes(self, tmp_path: Path) -> None:
        """The choice changes hands while the intent is being written: the yes is not given, the money goes back."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            number = await keypad.order(11)
            dispenser, prepare = here.machine.dispenser, here.machine.dispenser.prepare

            def and_then_another(address: int) -> str:
                evidence = prepare(address)
                keypad.vmc.cancel()
                assert keypad.vmc.choose(11)
                return evidence

            dispenser.prepare = and_then_another
            heard = asyncio.Event()
            vend = dispenser.vend

            async def once_it_is_known(address: int) -> object:
                await here.until(
                    lambda: keypad.sales.offer is not None and not keypad.sales.offer.paid, "chosen anew"
                )
                heard.set()
                return await vend(address)

            dispenser.vend = once_it_is_known
            await keypad.pay(number)
            await here.settled(number, OrderState.REFUNDED)

            assert heard.is_set()
            assert ([], 0) == (keypad.dropped(), keypad.approvals())
            assert "not_delivered" in await here.kinds(number)

    async def test_nobody_pays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """When the code's time is over the order is closed and the machine told no, before its patience ends."""
        monkeypatch.setattr("kiosk.keypad.LAST_LOOK_SECONDS", 0.5)
        async with bench(tmp_path, **at_keypad(answer_within_seconds=1)) as here:
            keypad = Keypad(here)
            await keypad.choose(11)
            await here.until(lambda: not keypad.vmc.waits, "the machine got its no")
            (number,) = here.wechat.ledger.orders
            await here.settled(number, OrderState.CLOSED)

            assert "付款时间已到，请重新选择" == here.scene().headline
            assert "denied" in [event.kind for event in keypad.vmc.events]

    async def test_paid_in_the_last_moment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Paid while the code leaves the screen, without a notification: closing it finds the payment, goods drop."""
        monkeypatch.setattr("kiosk.keypad.LAST_LOOK_SECONDS", 20.0)
        monkeypatch.setattr("kiosk.unpaid.QUERY_CUSTOMER_SECONDS", 60.0)
        async with bench(tmp_path, **at_keypad(answer_within_seconds=21)) as here:
            keypad = Keypad(here)
            here.wechat.faults.set("notify", "never", times=None)
            await keypad.choose(11)
            number = await keypad.ordered()
            await keypad.pay(number)
            await here.settled(number, OrderState.DISPENSED)

            assert [11] == keypad.dropped()

    async def test_the_bridge_is_pulled(self, tmp_path: Path) -> None:
        """With the line goes the choice, and its code; back again, the machine sells."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            number = await keypad.order(11)
            keypad.vmc.unplug()
            await here.settled(number, OrderState.CLOSED)
            keypad.vmc.cancel()
            keypad.vmc.replug()
            await here.settled(await keypad.buy(12), OrderState.DISPENSED)

            assert [12] == keypad.dropped()


class TestAfterTheYes:
    async def test_vend_failure(self, tmp_path: Path) -> None:
        """Nothing came out: the money goes back, no other slot is tried, the slot is off sale."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            keypad.vmc.jam(11)
            number = await keypad.buy(11)
            await here.settled(number, OrderState.REFUNDED)
            record = (await here.machine.journal.slots())["11"]
            await keypad.choose(11)
            await here.until(lambda: not keypad.vmc.waits, "the slot is refused")

            assert ([], 1) == (keypad.dropped(), keypad.approvals())
            assert (350, 350) == here.money(number)
            assert (3, True) == (record.stock, record.fault is not None)

    @pytest.mark.parametrize("after_drop", [True, False])
    async def test_a_reset_counts_as_sold(self, tmp_path: Path, *, after_drop: bool) -> None:
        """The rule of MDB: sold, no refund by itself, on the technician's list until somebody has looked."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            keypad.vmc.reboot_in_next_vend(after_drop=after_drop)
            number = await keypad.buy(11)
            order = await here.settled(number, OrderState.DISPENSED)
            await here.until(lambda: "to_review" in keypad.problems(), "the technician is told")
            listed = await here.machine.journal.unsettled(timedelta(minutes=10))
            if after_drop:
                assert (await _confirm(here, number))[0] == 200
            else:
                await here.machine.cashier.refund(number, "test")
                await here.settled(number, OrderState.REFUNDED)
            await here.until(lambda: "to_review" not in keypad.problems(), "somebody has looked")

            assert [number] == [order.out_trade_no for order in listed]
            assert "rule of MDB" in (order.reason or "")
            assert [11] * after_drop == keypad.dropped()
            assert (350, 0 if after_drop else 350) == here.money(number)
        assert () == audit(here.journal_file).findings

    async def test_silence_is_doubt(self, tmp_path: Path) -> None:
        """No word and no state: in doubt, and the operator's setting decides; a technician confirms it, once."""
        async with bench(tmp_path, vend_timeout_seconds=1, kiosk={"in_doubt": InDoubt.HOLD}, **at_keypad()) as here:
            keypad = Keypad(here)
            keypad.vmc.lose_results()
            number = await keypad.order(11)
            early, _ = await _confirm(here, number)
            await keypad.pay(number)
            await here.settled(number, OrderState.IN_DOUBT)
            code, answer = await _confirm(here, number)
            again, refused = await _confirm(here, number)

            assert (409, 200, 409) == (early, code, again)
            assert ("dispensed", 350) == (answer["order"]["state"], answer["order"]["amount"])
            assert "cannot become dispensed" in refused["error"]["message"]
            assert "delivery_confirmed" == (await here.kinds(number))[-1]
            assert (350, 0) == here.money(number)


class TestRestart:
    async def test_while_a_code_is_shown(self, tmp_path: Path) -> None:
        """The choice ends with the process: its code is withdrawn, a payment that comes all the same goes back."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            here.wechat.ledger.closes_young_orders = False
            number = await keypad.order(11)
            await here.restart()
            assert not keypad.vmc.waits
            second = await keypad.order(11, openid="o-other")
            await keypad.pay(number)
            await here.settled(number, OrderState.REFUNDED)
            await keypad.pay(second, "o-other")
            await here.settled(second, OrderState.DISPENSED)

            assert [11] == keypad.dropped()

    async def test_paid_while_the_machine_was_away(self, tmp_path: Path) -> None:
        """Found by the next process, whose machine waits for nobody: refunded at once."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            number = await keypad.order(11)
            here.wechat.faults.set("closeorder", "no_answer", times=None)
            await here.machine.stop()
            await keypad.pay(number)
            await here.start_again()
            await here.settled(number, OrderState.REFUNDED)

            assert ([], 0) == (keypad.dropped(), keypad.approvals())

    async def test_died_in_mid_vend(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process dies while the motor turns; the next one hears VEND SUCCESS and books it."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            keypad.vmc.lose_results()
            number = await keypad.order(11)
            await keypad.pay(number)
            await here.until(keypad.approvals, "the machine was told yes")
            copy = (tmp_path / JOURNAL_FILE).with_name("at-the-death")
            await here.machine.journal.pulse()
            await asyncio.to_thread(_copy, tmp_path / JOURNAL_FILE, copy)
            await here.machine.dispenser.stop()  # the driver says UNKNOWN, which that copy has not heard of
            await here.machine.stop()
            for suffix in ("-wal", "-shm"):
                (tmp_path / f"{JOURNAL_FILE}{suffix}").unlink(missing_ok=True)
            copy.replace(tmp_path / JOURNAL_FILE)
            patient = replace(QUICK, listen_seconds=30, recall_seconds=30)
            monkeypatch.setattr("hardware.mdb.driver.MdbTiming", lambda: patient)
            here.machine = Machine(here.settings, here.clock)
            await here.machine.start()
            await here.until(lambda: "being set up" in here.machine.dispenser.status.reason, "it listens")
            keypad.vmc.tell("c,VEND,SUCCESS", "c,STATUS,IDLE", "c,STATUS,ENABLED")
            order = await here.settled(number, OrderState.DISPENSED)

            assert ([11], 1) == (keypad.dropped(), keypad.approvals())
            assert order.reason is None

    async def test_another_board_was_built_in(self, tmp_path: Path) -> None:
        """An order of the keypad that was paid under the old board is not given by the new one: refunded."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            here.wechat.faults.set("closeorder", "no_answer", times=None)
            number = await keypad.order(11)
            await here.machine.stop()
            await keypad.pay(number)
            here.settings = replace(
                here.settings, dispenser=replace(here.settings.dispenser, driver=DispenserDriver.FAKE)
            )
            await here.start_again()
            await here.settled(number, OrderState.REFUNDED)

            assert [] == here.machine.dispenser.drops

    async def test_codes_of_the_old_board_are_closed(self, tmp_path: Path) -> None:
        """Codes for each product, left by a board without a keypad, are withdrawn; paid, they are refunded."""
        async with bench(tmp_path, **at_keypad()) as here:
            keypad = Keypad(here)
            mdb = here.settings
            await here.machine.stop()
            here.settings = replace(mdb, dispenser=replace(mdb.dispenser, driver=DispenserDriver.FAKE))
            await here.start_again()
            number = (await here.scan("cola")).out_trade_no
            await here.machine.stop()
            here.settings = mdb
            await keypad.pay(number)
            await here.start_again()
            await here.settled(number, OrderState.REFUNDED)

            assert [] == keypad.dropped()
            assert [] == await here.machine.journal.orders_in(UNPAID)


async def _confirm(here: Bench, number: str) -> tuple[int, dict[str, Any]]:
    """Say, as the technician's page does, that somebody has seen to it that the goods came out."""
    request = HTTPRequest(
        f"http://127.0.0.1:{here.settings.web.listen.port}/api/orders/{number}/delivered",
        method="POST",
        headers={"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json"},
        body="{}",
    )
    answer = await AsyncHTTPClient().fetch(request, raise_error=False)
    return answer.code, json.loads(answer.body)


def _copy(source: Path, target: Path) -> None:
    """The journal as it stands now, WAL included."""
    with sqlite3.connect(source) as connection, sqlite3.connect(target) as copy:
        connection.backup(copy)
