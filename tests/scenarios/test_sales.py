"""Whole sales: from the code on the screen to the can in the tray, or the money back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from scenario_kit import Bench, bench

from display.scene import NoticeKind, Phase, TileState
from kiosk.audit import audit
from kiosk.cashier import CODE_GRACE_SECONDS
from kiosk.orders import OrderState
from kiosk.settings import InDoubt, NativeMode
from kiosk.simulation.wechat import Cashier, Payment, Told


def drops(here: Bench) -> list[int]:
    return [drop.selection for drop in here.board.drops]


class TestModeTwo:
    async def test_a_can_for_a_payment(self, tmp_path: Path) -> None:
        """Scan, pay, notification, vend: one can, the money kept, the stock one less, a sound journal."""
        async with bench(tmp_path) as here:
            number = await here.buy("cola")
            order = await here.settled(number, OrderState.DISPENSED)
            kinds = await here.kinds(number)

            assert [11] == drops(here)
            assert (350, 0) == here.money(number)
            assert ("11", 1, 350) == (order.slot, order.attempts, order.paid_fen)
            assert ["created", "awaiting_payment", "paid", "dispensing", "dispensed"] == kinds
        assert () == audit(here.journal_file).findings

    async def test_without_any_inbound_connection(self, tmp_path: Path) -> None:
        """No public_url: orderquery finds the payment, and the goods drop all the same."""
        async with bench(tmp_path, public=False, wechatpay={"query_interval_seconds": 1}) as here:
            await here.settled(await here.buy("cola"), OrderState.DISPENSED)

            assert [11] == drops(here)

    async def test_a_payment_that_a_notification_told_of_is_not_asked_for(self, tmp_path: Path) -> None:
        """WeChat has said it: a question would only stand in the way of the goods."""
        async with bench(tmp_path) as here:
            number = await here.buy("cola")
            await here.settled(number, OrderState.DISPENSED)
            asked = [each.number for each in here.machine.gateway.reachability.exchanges if "orderquery" in each.call]

            assert number not in asked

    async def test_a_lost_notification(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The notification never comes: the machine asks by itself."""
        monkeypatch.setattr("kiosk.unpaid.QUERY_CODE_SECONDS", 0.5)
        async with bench(tmp_path) as here:
            here.wechat.faults.set("notify", "never")
            await here.settled(await here.buy("cola"), OrderState.DISPENSED)

            assert [11] == drops(here)

    async def test_a_new_code_after_each_sale(self, tmp_path: Path) -> None:
        """A paid code leaves the screen, another one takes its place; nobody can pay the old one again."""
        async with bench(tmp_path) as here:
            first = await here.code("cola")
            number = await here.buy("cola")
            second = await here.code("cola", other_than=first)
            again = await here.wechat.pay(number, "o-other")
            await here.settled(number, OrderState.DISPENSED)

            assert first != second
            assert isinstance(again, Told)

    async def test_the_last_unit(self, tmp_path: Path) -> None:
        """When the last one is sold the tile says so, and no code can be paid any more."""
        async with bench(tmp_path) as here:
            number = await here.buy("tea")
            await here.settled(number, OrderState.DISPENSED)
            await here.until(lambda: here.tile_state("tea") is TileState.SOLD_OUT, "the tea is sold out")
            await here.until(
                lambda: all(
                    here.wechat.ledger.trade_state(order) != "NOTPAY"
                    for order in here.wechat.ledger.orders.values()
                    if order.fields["product_id"] == "tea"
                ),
                "no order for tea is open at WeChat",
            )

            assert here.shown("tea") is None

    async def test_a_code_is_renewed_before_it_expires(self, tmp_path: Path) -> None:
        """After code_ttl another code stands on the screen without a gap; the old one still works for a minute."""
        async with bench(tmp_path, wechatpay={"code_ttl_seconds": 1}) as here:
            old = await here.scan("cola")
            before = here.shown("cola")
            await here.code("cola", other_than=before)
            paid = await here.wechat.pay(old.out_trade_no, "o-customer")
            await here.settled(old.out_trade_no, OrderState.DISPENSED)

            assert isinstance(paid, Payment)
            assert [11] == drops(here)

    async def test_a_code_that_was_renewed_goes_with_its_product(self, tmp_path: Path) -> None:
        """What cannot be sold any more cannot be paid: by the code on the screen, or by the one before it."""
        async with bench(tmp_path, wechatpay={"code_ttl_seconds": 3}) as here:
            first = await here.code("tea")
            await here.code("tea", other_than=first)
            journal, ledger = here.machine.journal, here.wechat.ledger
            await journal.change_slot("21", "disable", "tester", lambda slot: replace(slot, disabled=True))
            teas = [order for order in ledger.orders.values() if order.fields["product_id"] == "tea"]

            def closed() -> bool:
                return {ledger.trade_state(order) for order in teas} == {"CLOSED"}

            async with asyncio.timeout(CODE_GRACE_SECONDS / 2):  # by itself the one before goes a minute later
                await here.until(closed, "both are closed")
            assert len(teas) >= 2

    async def test_a_restart_keeps_the_codes(self, tmp_path: Path) -> None:
        """Whoever scanned before a restart can pay after it; the same code is shown again."""
        async with bench(tmp_path) as here:
            cashier = await here.scan("cola")
            before = here.shown("cola")
            await here.restart()
            after = await here.code("cola")
            await here.wechat.pay(cashier.out_trade_no, "o-customer")
            await here.settled(cashier.out_trade_no, OrderState.DISPENSED)

            assert before == after

    async def test_a_changed_price_withdraws_the_old_code(self, tmp_path: Path) -> None:
        """After a restart with another price nobody can pay the old one."""
        async with bench(tmp_path) as here:
            old = await here.scan("cola")
            dearer = tuple(replace(product, price_fen=400) for product in here.settings.products)
            here.settings = replace(here.settings, products=dearer)
            await here.restart()
            await here.settled(old.out_trade_no, OrderState.CLOSED)
            cashier = await here.scan("cola")

            assert 400 == cashier.amount_fen


class TestModeOne:
    async def test_a_can_for_a_payment(self, tmp_path: Path) -> None:
        """The static code is scanned, the callback answers with an order, the payment drops the can."""
        async with bench(tmp_path, native_mode=NativeMode.ONE) as here:
            number = await here.buy("cola")
            await here.settled(number, OrderState.DISPENSED)

            assert ([11], (350, 0)) == (drops(here), here.money(number))

    async def test_one_order_for_two_scans_by_one_customer(self, tmp_path: Path) -> None:
        """Whoever cancels and scans again gets the same order; the last unit is not lost to the own reservation."""
        async with bench(tmp_path, native_mode=NativeMode.ONE) as here:
            code = await here.code("tea")
            first, second = await here.wechat.scan(code), await here.wechat.scan(code)

            assert isinstance(first, Cashier)
            assert isinstance(second, Cashier)
            assert first.out_trade_no == second.out_trade_no

    async def test_the_last_unit_is_reserved(self, tmp_path: Path) -> None:
        """Another customer reads on the phone that it is sold out; after expiry it can be bought again."""
        async with bench(tmp_path, native_mode=NativeMode.ONE, wechatpay={"order_ttl_seconds": 2}) as here:
            code = await here.code("tea")
            first = await here.scan("tea", "o-first")
            second = await here.wechat.scan(code, "o-second")
            await here.settled(first.out_trade_no, OrderState.CLOSED)
            third = await here.scan("tea", "o-second")

            assert isinstance(second, Told)
            assert "已售罄" in second.text
            assert third.out_trade_no != first.out_trade_no

    async def test_a_slow_unifiedorder_is_answered_in_words(self, tmp_path: Path) -> None:
        """Whatever unifiedorder does, the customer reads something within three seconds."""
        async with bench(tmp_path, native_mode=NativeMode.ONE) as here:
            code = await here.code("cola")
            here.wechat.faults.set("unifiedorder", "no_answer", times=None)
            loop = asyncio.get_running_loop()
            started = loop.time()
            told = await here.wechat.scan(code)

            assert isinstance(told, Told)
            assert "稍后" in told.text
            assert loop.time() - started < 3.0

    async def test_a_network_that_dies_while_nobody_buys_takes_the_codes_away(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No scan can come any more, so nothing but the machine's own question finds out; it comes back likewise."""
        monkeypatch.setattr("kiosk.readiness.QUIET", timedelta(seconds=0.2))
        monkeypatch.setattr("kiosk.readiness.KNOCK_SECONDS", 0.1)
        async with bench(tmp_path, native_mode=NativeMode.ONE) as here:
            await here.code("cola")
            here.wechat.faults.set("line", "down", times=None)
            await here.until(lambda: "wechat_unreachable" in codes(here), "it is noticed")
            assert here.scene().phase is Phase.OUT_OF_SERVICE
            here.wechat.faults.clear("line")
            await here.code("cola")

    async def test_out_of_service_is_told_on_the_phone(self, tmp_path: Path) -> None:
        """A printed code is scanned while the board is away: the reason, no order."""
        async with bench(tmp_path, native_mode=NativeMode.ONE) as here:
            code = await here.code("cola")
            here.board.unplug()
            await here.until(lambda: here.machine.readiness.blocked, "the machine is out of service")
            told = await here.wechat.scan(code)

            assert isinstance(told, Told)
            assert here.scene().phase is Phase.OUT_OF_SERVICE
            assert {} == dict(here.wechat.ledger.orders)


class TestFailures:
    async def test_the_next_slot_after_a_jam(self, tmp_path: Path) -> None:
        """Slot 11 jams, slot 12 delivers: one can, no refund, slot 11 is off sale."""
        async with bench(tmp_path) as here:
            here.board.jam(11)
            number = await here.buy("cola")
            order = await here.settled(number, OrderState.DISPENSED)

            assert ([12], "12", (350, 0)) == (drops(here), order.slot, here.money(number))
            assert "degraded" == here.machine.readiness.health

    async def test_the_money_goes_back_when_all_slots_jam(self, tmp_path: Path) -> None:
        """Nothing drops, everything is refunded, and the screen says so with the order's last characters."""
        async with bench(tmp_path) as here:
            here.board.jam(11)
            here.board.jam(12)
            number = await here.buy("cola")
            order = await here.settled(number, OrderState.REFUNDED)
            notice = here.scene().notice

            assert ([], (350, 350)) == (drops(here), here.money(number))
            assert notice is not None
            assert NoticeKind.FAILED is notice.kind
            assert order.claim_code in notice.text
            assert here.tile_state("cola") is TileState.SOLD_OUT

    async def test_a_refund_that_takes_its_time(self, tmp_path: Path) -> None:
        """PROCESSING, an unanswered call and SYSTEMERROR: one refund in the end, under one number."""
        async with bench(tmp_path) as here:
            here.board.jam(11)
            here.board.jam(12)
            here.wechat.faults.set("refund", "SYSTEMERROR", times=2)
            here.wechat.faults.set("refund", "answer_lost", times=1)
            here.wechat.faults.set("refund_end", "processing", seconds=1.0)
            number = await here.buy("cola")
            await here.settled(number, OrderState.REFUNDED)

            assert (350, 350) == here.money(number)

    async def test_a_refused_refund_waits_for_a_person(self, tmp_path: Path) -> None:
        """REFUNDCLOSE: the order is on the technician's list; asked for again, it goes back under a new number."""
        async with bench(tmp_path) as here:
            here.board.jam(11)
            here.board.jam(12)
            here.wechat.faults.set("refund_end", "REFUNDCLOSE")
            number = await here.buy("cola")
            await here.settled(number, OrderState.REFUND_FAILED)
            await here.machine.cashier.refund(number, "technician")
            order = await here.settled(number, OrderState.REFUNDED)

            assert (350, 350) == here.money(number)
            assert order.out_refund_no.endswith("-R2")

    async def test_without_a_certificate_the_technician_is_told(self, tmp_path: Path) -> None:
        """No client certificate: nothing is promised that cannot be kept."""
        async with bench(tmp_path, wechatpay={"client_cert_file": None, "client_key_file": None}) as here:
            here.board.jam(11)
            here.board.jam(12)
            number = await here.buy("cola")
            await here.settled(number, OrderState.REFUND_FAILED)
            await here.until(lambda: "refund_failed" in codes(here), "the refund is on the list")
            notice = here.scene().notice

            assert notice is not None
            assert "工作人员" in notice.text

    async def test_a_refund_on_the_merchant_platform_settles_the_order(self, tmp_path: Path) -> None:
        """Without a certificate a person refunds by hand; asked for again, the order is settled, and off the list."""
        async with bench(tmp_path, wechatpay={"client_cert_file": None, "client_key_file": None}) as here:
            here.board.jam(11)
            here.board.jam(12)
            number = await here.buy("cola")
            await here.settled(number, OrderState.REFUND_FAILED)
            here.wechat.refund_on_platform(number)
            await here.until(lambda: here.money(number) == (350, 350), "the money is back")
            await here.machine.cashier.refund(number, "technician")
            await here.settled(number, OrderState.REFUNDED)

            assert (await here.kinds(number))[-1] == "refunded_elsewhere"
            await here.until(lambda: "refund_failed" not in codes(here), "nothing is left on the list")

    async def test_a_notification_of_a_refund_by_hand_is_checked_and_taken(self, tmp_path: Path) -> None:
        """It carries a number that this machine never gave; WeChat's own answer to a question settles it."""
        async with bench(tmp_path) as here:
            here.board.jam(11)
            here.board.jam(12)
            here.wechat.faults.set("refund_end", "CHANGE")
            number = await here.buy("cola")
            await here.settled(number, OrderState.REFUND_FAILED)
            here.wechat.ledger.orders[number].refunds.clear()  # the bank sent it back, the operator tries by hand
            here.wechat.refund_on_platform(
                number, notify_url=f"{here.settings.wechatpay.public_url}/wxpay/refund-notify"
            )
            await here.settled(number, OrderState.REFUNDED)

            assert (await here.kinds(number))[-1] == "refunded_elsewhere"

    async def test_money_that_went_back_before_the_machine_knew_of_it(self, tmp_path: Path) -> None:
        """WeChat calls the order REFUND: no goods, no second refund is asked for, and it counts as made."""
        async with bench(tmp_path, public=False, wechatpay={"query_interval_seconds": 60}) as here:
            number = await here.buy("cola")
            here.wechat.refund_on_platform(number)
            await here.until(lambda: here.money(number) == (350, 350), "the money is back")
            await here.machine.cashier.confirm(number)
            await here.settled(number, OrderState.REFUNDED)

            assert ([], (350, 350)) == (drops(here), here.money(number))
            assert "/secapi/pay/refund" not in {each.call for each in here.machine.gateway.reachability.exchanges}

    async def test_money_that_went_back_in_part_needs_a_person(self, tmp_path: Path) -> None:
        """WeChat calls the order REFUND, but not all of it came back: the technician is told how much did."""
        async with bench(tmp_path, public=False, wechatpay={"query_interval_seconds": 60}) as here:
            number = await here.buy("cola")
            here.wechat.refund_on_platform(number, fen=100)
            await here.until(lambda: here.money(number) == (350, 100), "a part of the money is back")
            await here.machine.cashier.confirm(number)
            order = await here.settled(number, OrderState.REFUND_FAILED)

            assert (order.reason or "").endswith("only 100 of 350 fen of it")

    async def test_silence_is_refunded_once_and_never_vended_again(self, tmp_path: Path) -> None:
        """The result is lost though the can fell: in doubt, refunded by the operator's own setting, one can."""
        async with bench(tmp_path, vend_timeout_seconds=1) as here:
            here.board.lose_results(5)
            number = await here.buy("cola")
            await here.settled(number, OrderState.REFUNDED)

            assert ([11], (350, 350)) == (drops(here), here.money(number))
            assert "in_doubt" in await here.kinds(number)

    async def test_doubt_is_held_if_the_ini_says_so(self, tmp_path: Path) -> None:
        """in_doubt = hold: no refund, no second vend, on the technician's list."""
        async with bench(tmp_path, vend_timeout_seconds=1, kiosk={"in_doubt": InDoubt.HOLD}) as here:
            here.board.lose_results(5)
            number = await here.buy("cola")
            await here.settled(number, OrderState.IN_DOUBT)
            await here.until(lambda: "in_doubt" in codes(here), "the doubt is on the list")

            assert ([11], (350, 0)) == (drops(here), here.money(number))

    async def test_a_late_payment_is_refunded(self, tmp_path: Path) -> None:
        """The machine learns of a payment after dispense_within: the customer has left, the money goes back."""
        async with bench(tmp_path, kiosk={"dispense_within_seconds": 30}) as here:
            cashier = await here.scan("cola")
            await here.machine.stop()
            here.wechat_clock.offset = timedelta(seconds=-60)  # it was paid a minute ago
            await here.wechat.pay(cashier.out_trade_no, "o-customer")
            here.wechat_clock.offset = timedelta()
            await here.start_again()
            await here.settled(cashier.out_trade_no, OrderState.REFUNDED)

            assert ([], (350, 350)) == (drops(here), here.money(cashier.out_trade_no))


def codes(here: Bench) -> set[str]:
    return {problem.code for problem in here.machine.readiness.problems}
