from __future__ import annotations

import pytest
from simulation_kit import APP_ID, KEY, MCH_ID, MINI_APP_ID, ORDER, Caller, HandClock

from kiosk.payments.wechat import xml
from kiosk.payments.wechat.signature import verify
from kiosk.settings import SignType
from kiosk.simulation.wechat import CUSTOMER, Cashier, Coupon, Payment, Told, WeChatSimulator

NUMBER = ORDER["out_trade_no"]


async def paid(simulator: WeChatSimulator, number: str = NUMBER) -> Payment:
    payment = await simulator.pay(number)
    assert isinstance(payment, Payment)
    return payment


class TestRequests:
    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"total_fee": "0"}, "PARAM_ERROR"),
            ({"total_fee": "3.50"}, "PARAM_ERROR"),
            ({"total_fee": "-350"}, "PARAM_ERROR"),
            ({"total_fee": ""}, "LACK_PARAMS"),
            ({"body": ""}, "LACK_PARAMS"),
            ({"body": "饮" * 43}, "PARAM_ERROR"),  # 129 bytes
            ({"out_trade_no": "short"}, "PARAM_ERROR"),
            ({"out_trade_no": "x" * 33}, "PARAM_ERROR"),
            ({"out_trade_no": "lobby 1 0001"}, "PARAM_ERROR"),
            ({"notify_url": "https://pay.example.com/notify?order=1"}, "PARAM_ERROR"),
            ({"notify_url": "http://pay.example.com/notify"}, "PARAM_ERROR"),
            ({"notify_url": "https://pay.example.com"}, "PARAM_ERROR"),
            ({"spbill_create_ip": "localhost"}, "PARAM_ERROR"),
            ({"trade_type": "APPLE"}, "PARAM_ERROR"),
            ({"product_id": ""}, "LACK_PARAMS"),
            ({"product_id": "p" * 33}, "PARAM_ERROR"),
            ({"trade_type": "JSAPI"}, "LACK_PARAMS"),  # without an openid
            ({"time_expire": "2026-11-23 12:30"}, "PARAM_ERROR"),
            ({"time_expire": "20261123120459"}, "PARAM_ERROR"),  # less than five minutes away
            ({"time_expire": "20261123115900"}, "PARAM_ERROR"),
            ({"appid": "wx0000000000000000"}, "APPID_MCHID_NOT_MATCH"),
            ({"colour": "red"}, "PARAM_ERROR"),
        ],
    )
    async def test_a_request_that_breaks_a_rule_is_refused_by_its_code(
        self, call: Caller, simulator: WeChatSimulator, changes: dict[str, str], code: str
    ) -> None:
        """Each rule of the field table is kept: the order is not placed and the documented code comes back."""
        answer = await call("/pay/unifiedorder", ORDER | changes)
        assert (answer["result_code"], answer["err_code"]) == ("FAIL", code)
        assert not simulator.ledger.orders

    async def test_a_request_that_is_not_signed_is_not_taken(self, call: Caller, simulator: WeChatSimulator) -> None:
        """A wrong signature, merchant, sign type or XML is answered return_code FAIL, unsigned."""
        good = call.sealed(ORDER)
        fields = xml.parse(good)
        forged = [
            good.replace(b"350", b"100"),
            xml.build(fields | {"mch_id": "1900000110"}),
            xml.build(fields | {"sign_type": "SHA512"}),
            xml.build(fields | {"sign_type": "MD5"}),
            good[:-20],
            b"",
        ]
        for body in forged:
            answer = xml.parse((await call.post("/pay/unifiedorder", body)).body)
            assert answer.keys() == {"return_code", "return_msg"}
            assert answer["return_code"] == "FAIL"
        assert not simulator.ledger.orders

    async def test_answers_carry_wechats_time(self, call: Caller, clock: HandClock) -> None:
        """The Date of every answer is the simulated WeChat's clock, not this computer's."""
        clock.advance(days=400)
        answer = await call.post("/pay/orderquery", b"")
        assert answer.headers["Date"] == "Tue, 28 Dec 2027 04:00:00 GMT"

    @pytest.mark.parametrize("sign_type", list(SignType))
    async def test_answers_are_signed_as_the_question_was(
        self, simulator: WeChatSimulator, sign_type: SignType
    ) -> None:
        """MD5 without a sign_type, HMAC-SHA256 with one; fields that nobody knows take part in it."""
        caller = Caller(simulator, sign_type)
        seen: set[str] = set()
        for index in range(4):
            body = caller.sealed(ORDER | {"out_trade_no": f"lobby-1-000{index}"})
            answer = xml.parse((await caller.post("/pay/unifiedorder", body)).body)
            assert verify(answer, KEY, sign_type)
            seen |= answer.keys()
        caller.close()
        assert {"prepay_id", "code_url", "device_info", "promotion_hint", "risk_note"} <= seen


class TestOrders:
    async def test_the_same_order_again_gets_a_fresh_code(self, call: Caller, simulator: WeChatSimulator) -> None:
        """A repeat with the same parameters is the same order; the code made before it no longer works."""
        first, second = await call.order(), await call.order()
        assert first["prepay_id"] == second["prepay_id"]
        assert first["code_url"] != second["code_url"]
        assert isinstance(await simulator.scan(second["code_url"]), Cashier)
        assert await simulator.scan(first["code_url"]) == Told("CODE_REPLACED", "二维码已失效，请重新扫码")

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"total_fee": "351"}, "OUT_TRADE_NO_USED"),
            ({"trade_type": "JSAPI", "openid": CUSTOMER}, "OUT_TRADE_NO_USED"),
            ({"time_expire": "20261123124500"}, "INVALID_REQUEST"),
            ({"notify_url": "https://pay.example.com/other"}, "INVALID_REQUEST"),
        ],
    )
    async def test_a_number_is_not_used_twice(self, call: Caller, changes: dict[str, str], code: str) -> None:
        """Other parameters under a known number are refused."""
        await call.order()
        answer = await call.order(**changes)
        assert (answer["result_code"], answer["err_code"]) == ("FAIL", code)

    async def test_a_paid_number_is_spent(self, call: Caller, simulator: WeChatSimulator) -> None:
        """Unifiedorder and closeorder of a paid order say ORDERPAID; orderquery tells of the payment."""
        await call.order(attach="")
        payment = await paid(simulator)
        assert (await call.order())["err_code"] == "ORDERPAID"
        assert (await call.close_order())["err_code"] == "ORDERPAID"
        answer = await call.query()
        expected = {"trade_state": "SUCCESS", "transaction_id": payment.transaction_id, "total_fee": "350"}
        assert expected.items() <= answer.items()
        assert (answer["time_end"], answer["openid"], answer["attach"]) == ("20261123120000", CUSTOMER, "")

    async def test_a_young_order_is_not_closed(
        self, call: Caller, simulator: WeChatSimulator, clock: HandClock
    ) -> None:
        """Within five minutes closeorder says SUCCESS and the order can still be paid; later it is closed."""
        code = (await call.order())["code_url"]
        assert (await call.close_order())["result_code"] == "SUCCESS"
        assert (await call.query())["trade_state"] == "NOTPAY"
        clock.advance(minutes=5)
        assert (await call.close_order())["result_code"] == "SUCCESS"
        assert (await call.query())["trade_state"] == "CLOSED"
        assert (await call.close_order())["err_code"] == "ORDERCLOSED"
        assert (await call.order())["err_code"] == "ORDERCLOSED"
        assert await simulator.scan(code) == Told("ORDERCLOSED", "订单已关闭，请重新扫码")
        assert isinstance(await simulator.pay(NUMBER), Told)

    async def test_the_switch_closes_young_orders(self, call: Caller, simulator: WeChatSimulator) -> None:
        """With closes_young_orders a closeorder closes whatever the order's age."""
        simulator.ledger.closes_young_orders = True
        await call.order()
        await call.close_order()
        assert (await call.query())["trade_state"] == "CLOSED"

    async def test_an_order_expires(self, call: Caller, simulator: WeChatSimulator, clock: HandClock) -> None:
        """After time_expire no cashier opens; whoever has it open can pay some seconds more; then it is closed."""
        first = (await call.order())["code_url"]
        other = (await call.order(out_trade_no="lobby-1-0002"))["code_url"]
        assert isinstance(await simulator.scan(first), Cashier)
        clock.advance(minutes=30)
        assert (await simulator.scan(other)) == Told("ORDEREXPIRED", "订单已过期，请重新扫码")
        clock.advance(seconds=29)
        await paid(simulator)
        clock.advance(seconds=1)
        assert (await call.query("lobby-1-0002"))["trade_state"] == "CLOSED"

    async def test_a_code_lives_two_hours(self, call: Caller, simulator: WeChatSimulator, clock: HandClock) -> None:
        """Whatever time_expire says, after two hours the code opens nothing."""
        code = (await call.order(time_expire="20261124120000"))["code_url"]
        clock.advance(hours=2)
        assert await simulator.scan(code) == Told("CODE_EXPIRED", "二维码已过期，请重新扫码")
        assert (await call.query())["trade_state"] == "NOTPAY"

    async def test_an_order_belongs_to_who_opened_it(self, call: Caller, simulator: WeChatSimulator) -> None:
        """Another customer's phone cannot pay an order that one customer has opened."""
        code = (await call.order())["code_url"]
        assert isinstance(await simulator.scan(code), Cashier)
        answer = await simulator.scan(code, openid="oSomebodyElse")
        assert isinstance(answer, Told)
        assert answer.code == "OTHER_CUSTOMER"
        assert isinstance(await simulator.scan(code), Cashier)

    async def test_a_miniprogram_order_is_paid_by_its_customer_only(
        self, call: Caller, simulator: WeChatSimulator
    ) -> None:
        """A JSAPI order has a prepay_id, no code, and one openid."""
        answer = await call.order(appid=MINI_APP_ID, trade_type="JSAPI", openid=CUSTOMER)
        assert "code_url" not in answer
        assert isinstance(await simulator.pay(NUMBER, openid="oSomebodyElse"), Told)
        await paid(simulator)

    async def test_nothing_is_known_of_unknown_orders(self, call: Caller) -> None:
        """ORDERNOTEXIST for orderquery, closeorder and refund; INVALID_TRANSACTIONID for WeChat's own number."""
        assert (await call.query("lobby-1-9999"))["err_code"] == "ORDERNOTEXIST"
        assert (await call.close_order("lobby-1-9999"))["err_code"] == "ORDERNOTEXIST"
        assert (await call.refund(out_trade_no="lobby-1-9999"))["err_code"] == "ORDERNOTEXIST"
        asked = {"appid": APP_ID, "mch_id": MCH_ID, "transaction_id": "4200000065201803063807324676"}
        assert (await call("/pay/orderquery", asked))["err_code"] == "INVALID_TRANSACTIONID"

    async def test_coupons_show_in_the_payment(self, call: Caller, simulator: WeChatSimulator) -> None:
        """total_fee stays the price; cash_fee lacks the coupons, settlement_total_fee those without prepaid money."""
        await call.order()
        await simulator.pay(NUMBER, coupons=(Coupon("CASH", 50), Coupon("NO_CASH", 100)))
        answer = await call.query()
        told = {name: answer[name] for name in ("total_fee", "cash_fee", "coupon_fee", "settlement_total_fee")}
        assert told == {"total_fee": "350", "cash_fee": "200", "coupon_fee": "150", "settlement_total_fee": "250"}
        assert (answer["coupon_type_1"], answer["coupon_fee_1"]) == ("NO_CASH", "100")


class TestRefunds:
    async def test_a_refund_is_made_once(self, call: Caller, simulator: WeChatSimulator) -> None:
        """The same number gets the same refund, PROCESSING first; the money goes back once."""
        simulator.faults.set("refund_end", "processing")
        await call.order()
        await paid(simulator)
        first, second = await call.refund(), await call.refund()
        assert first["refund_id"] == second["refund_id"]
        assert (await call.query_refund())["refund_status_0"] == "PROCESSING"
        assert simulator.ledger.audit()[NUMBER].refunding_fen == 350
        await simulator.finish_refunds()
        answer = await call.query_refund()
        assert (answer["refund_status_0"], answer["refund_success_time_0"]) == ("SUCCESS", "2026-11-23 12:00:00")
        assert simulator.ledger.audit()[NUMBER].refunded_fen == 350
        assert (await call.query())["trade_state"] == "REFUND"

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"total_fee": "100", "refund_fee": "100"}, "INVALID_REQUEST"),
            ({"out_refund_no": "lobby-1-0001-R2", "refund_fee": "351"}, "INVALID_REQUEST"),
            ({"refund_fee": "50"}, "REFUND_FEE_MISMATCH"),
            ({"out_refund_no": "lobby-1-0001-R2", "refund_fee": "251"}, "INVALID_REQUEST"),
            ({"out_refund_no": "lobby-1-0001-R2", "refund_fee": "10"}, "FREQUENCY_LIMITED"),
            ({"refund_fee": "0"}, "PARAM_ERROR"),
            ({"out_refund_no": "R" * 65}, "PARAM_ERROR"),
            ({"refund_desc": "没" * 27}, "PARAM_ERROR"),
        ],
    )
    async def test_a_wrong_refund_is_refused(
        self, call: Caller, simulator: WeChatSimulator, changes: dict[str, str], code: str
    ) -> None:
        """Not more than was paid, not another amount under the same number, not two within a minute."""
        await call.order()
        await paid(simulator)
        assert (await call.refund(refund_fee="100"))["result_code"] == "SUCCESS"
        assert (await call.refund(**changes))["err_code"] == code
        account = simulator.ledger.audit()[NUMBER]
        assert account.refunded_fen + account.refunding_fen == 100

    async def test_an_unpaid_order_is_not_refunded(self, call: Caller) -> None:
        """A refund needs a payment."""
        await call.order()
        assert (await call.refund())["err_code"] == "ERROR"
        assert (await call.query_refund())["err_code"] == "REFUNDNOTEXIST"

    async def test_a_refund_needs_the_merchants_money(self, call: Caller, simulator: WeChatSimulator) -> None:
        """NOTENOUGH until the balance suffices; the same number is then taken."""
        simulator.ledger.balance_fen = 100
        await call.order()
        await paid(simulator)
        assert (await call.refund())["err_code"] == "NOTENOUGH"
        simulator.ledger.balance_fen = 350
        assert (await call.refund())["result_code"] == "SUCCESS"

    async def test_a_refund_that_failed_for_good_can_be_made_under_a_new_number(
        self, call: Caller, simulator: WeChatSimulator
    ) -> None:
        """REFUNDCLOSE sets the money free for another refund."""
        simulator.faults.set("refund_end", "processing")
        await call.order()
        await paid(simulator)
        await call.refund()
        await simulator.finish_refunds("REFUNDCLOSE")
        assert (await call.query_refund())["refund_status_0"] == "REFUNDCLOSE"
        assert (await call.refund(out_refund_no="lobby-1-0001-R2"))["result_code"] == "SUCCESS"

    async def test_refunds_older_than_a_year_are_refused(
        self, call: Caller, simulator: WeChatSimulator, clock: HandClock
    ) -> None:
        """TRADE_OVERDUE."""
        await call.order()
        await paid(simulator)
        clock.advance(days=366)
        assert (await call.refund())["err_code"] == "TRADE_OVERDUE"
