from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from simulation_kit import MERCHANT, ORDER, Caller, HandClock, Mailbox, wait_until
from tornado.httpclient import HTTPResponse
from tornado.simple_httpclient import HTTPTimeoutError

from kiosk.payments.wechat import xml
from kiosk.payments.wechat.signature import verify
from kiosk.settings import SignType
from kiosk.simulation.postman import REPEATS_SECONDS
from kiosk.simulation.wechat import Event, Payment, WeChatSimulator, read_facts

NUMBER = ORDER["out_trade_no"]
CALL_FAULTS_BEFORE = ["no_answer", "reset", "http_500", "bad_gateway", "SYSTEMERROR", "FREQUENCY_LIMITED"]


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


async def unifiedorder(call: Caller, seconds: float = 5.0) -> HTTPResponse | None:
    """The raw answer; None when the connection broke or nothing came in time."""
    try:
        return await call.post("/pay/unifiedorder", call.sealed(ORDER), seconds)
    except (OSError, HTTPTimeoutError):
        return None


class TestCalls:
    @pytest.mark.parametrize("fault", CALL_FAULTS_BEFORE)
    async def test_a_fault_before_the_deed_leaves_nothing_done(
        self, call: Caller, simulator: WeChatSimulator, fault: str
    ) -> None:
        """The order is not placed; the next, identical call places it."""
        simulator.faults.set("unifiedorder", fault, seconds=0.05)
        answer = await unifiedorder(call)
        match fault:
            case "no_answer" | "reset":
                assert answer is None or answer.code == 599
            case "http_500":
                assert answer is not None
                assert answer.code == 500
            case "bad_gateway":
                assert answer is not None
                assert (answer.code, answer.body[:6]) == (502, b"<html>")
            case _:
                assert answer is not None
                assert xml.parse(answer.body)["err_code"] == fault
        assert not simulator.ledger.orders
        assert (await call.order())["result_code"] == "SUCCESS"

    @pytest.mark.parametrize("fault", ["late_answer", "wrong_signature", "cut_xml", "answer_lost"])
    async def test_a_fault_after_the_deed_leaves_it_done(
        self, call: Caller, simulator: WeChatSimulator, fault: str
    ) -> None:
        """The order is placed although the answer is late, unbelievable or lost."""
        simulator.faults.set("calls", fault, seconds=0.3)
        began = asyncio.get_running_loop().time()
        answer = await unifiedorder(call)
        assert NUMBER in simulator.ledger.orders
        match fault:
            case "late_answer":
                assert asyncio.get_running_loop().time() - began >= 0.3
                assert answer is not None
                assert verify(xml.parse(answer.body), MERCHANT.api_key, SignType.HMAC_SHA256)
            case "wrong_signature":
                assert answer is not None
                assert not verify(xml.parse(answer.body), MERCHANT.api_key, SignType.HMAC_SHA256)
            case "cut_xml":
                assert answer is not None
                with pytest.raises(xml.XmlRefused):
                    xml.parse(answer.body)
            case _:
                assert answer is None or answer.code == 599

    async def test_faults_are_used_up(self, call: Caller, simulator: WeChatSimulator) -> None:
        """A fault strikes as often as it was told, at its own place only; without a number, until it is cleared."""
        simulator.faults.set("orderquery", "SYSTEMERROR", times=2)
        await call.order()
        codes = [(await call.query()).get("err_code") for _ in range(3)]
        assert codes == ["SYSTEMERROR", "SYSTEMERROR", None]
        simulator.faults.set("calls", "NOAUTH", times=None)
        assert [(await call.query())["err_code"] for _ in range(3)] == ["NOAUTH"] * 3
        simulator.faults.clear("calls")
        assert (await call.query())["result_code"] == "SUCCESS"

    async def test_a_line_that_is_down_lets_nothing_through(
        self, call: Caller, simulator: WeChatSimulator, mailbox: Mailbox, events: list[Event]
    ) -> None:
        """Calls are torn down and notifications reach nobody; both work again afterwards."""
        await call.order(notify_url=f"{mailbox.url}/notify")
        simulator.faults.set("line", "down", times=None)
        answer = await unifiedorder(call)
        assert answer is None or answer.code == 599
        await simulator.pay(NUMBER)
        await wait_until(lambda: "notification_failed" in kinds(events), "the first try has failed")
        assert not mailbox.bodies
        simulator.faults.clear("line")
        await wait_until(lambda: mailbox.bodies, "the notification arrives by a later try")
        assert (await call.query())["trade_state"] == "SUCCESS"

    @pytest.mark.parametrize(
        ("place", "name", "times"),
        [("payments", "reset", 1), ("notify", "reset", 1), ("calls", "on_fire", 1), ("calls", "reset", 0)],
    )
    def test_a_fault_that_is_none_is_refused(
        self, simulator: WeChatSimulator, place: str, name: str, times: int
    ) -> None:
        """A misspelt fault would make a test that proves nothing."""
        with pytest.raises(ValueError, match="fault"):
            simulator.faults.set(place, name, times=times)


class TestNotifications:
    async def test_a_payment_is_told_once_when_it_is_taken(
        self, call: Caller, simulator: WeChatSimulator, mailbox: Mailbox
    ) -> None:
        """The notification is signed as the order was and names what was paid."""
        await call.order(notify_url=f"{mailbox.url}/notify", attach="")
        payment = await simulator.pay(NUMBER)
        assert isinstance(payment, Payment)
        await wait_until(lambda: mailbox.bodies, "the notification arrives")
        notice = mailbox.messages()[0]
        assert verify(notice, MERCHANT.api_key, SignType.HMAC_SHA256)
        expected = {"transaction_id": payment.transaction_id, "out_trade_no": NUMBER, "total_fee": "350"}
        assert expected.items() <= notice.items()
        assert "sign_type" not in notice

    async def test_the_sign_type_is_named_when_told(
        self, call: Caller, simulator: WeChatSimulator, mailbox: Mailbox
    ) -> None:
        """Some notifications carry a sign_type field, which then takes part in the signature."""
        simulator.names_sign_type = True
        await call.order(notify_url=f"{mailbox.url}/notify")
        await simulator.pay(NUMBER)
        await wait_until(lambda: mailbox.bodies, "the notification arrives")
        assert mailbox.messages()[0]["sign_type"] == "HMAC-SHA256"
        assert verify(mailbox.messages()[0], MERCHANT.api_key, SignType.HMAC_SHA256)

    @pytest.mark.parametrize(
        "reply",
        [
            b"success",
            b"",
            b'{"return_code": "SUCCESS"}',
            b"<xml><return_code>FAIL</return_code><return_msg>no</return_msg></xml>",
            b"<xml>\n<return_code><![CDATA[SUCCESS]]></return_code>\n<return_msg><![CDATA[OK]]></return_msg>\n</xml>",
            b"<xml><return_code><![CDATA[ SUCCESS ]]></return_code></xml>",
        ],
    )
    async def test_only_the_exact_reply_ends_the_repeats(
        self, call: Caller, simulator: WeChatSimulator, mailbox: Mailbox, reply: bytes
    ) -> None:
        """Anything but SUCCESS on one line is as good as no reply: the notification comes again, unchanged."""
        mailbox.replies.append(reply)
        await call.order(notify_url=f"{mailbox.url}/notify")
        await simulator.pay(NUMBER)
        await wait_until(lambda: len(mailbox.bodies) == 2, "the notification is repeated")
        assert mailbox.bodies[0] == mailbox.bodies[1]

    async def test_repeats_keep_to_the_timetable(self, mailbox: Mailbox, clock: HandClock) -> None:
        """Fifteen repeats, whose intervals are those of the document, scaled."""
        assert sum(REPEATS_SECONDS) == 24 * 3600 + 4 * 60
        given_up = asyncio.Event()
        scale = 0.00002  # the day lasts under two seconds
        simulator = WeChatSimulator(
            MERCHANT,
            clock=clock,
            scale=scale,
            on_event=lambda event: given_up.set() if event.kind == "notification_given_up" else None,
        )
        await simulator.start()
        caller = Caller(simulator)
        mailbox.status = 500
        await caller.order(notify_url=f"{mailbox.url}/notify")
        await simulator.pay(NUMBER)
        async with asyncio.timeout(20):
            await given_up.wait()
        caller.close()
        await simulator.stop()
        assert len(mailbox.arrived_at) == 16
        waits = [late - early for early, late in zip(mailbox.arrived_at, mailbox.arrived_at[1:], strict=False)]
        for waited, seconds in zip(waits, REPEATS_SECONDS, strict=True):
            assert waited >= seconds * scale - 0.01

    @pytest.mark.parametrize(("fault", "copies"), [("doubled", 2), ("hundredfold", 100), ("lost", 1)])
    async def test_notifications_come_as_often_as_told(
        self,
        call: Caller,
        simulator: WeChatSimulator,
        mailbox: Mailbox,
        events: list[Event],
        *,
        fault: str,
        copies: int,
    ) -> None:
        """Twice, a hundred times at once, or only with the first repeat."""
        simulator.faults.set("notify", fault)
        await call.order(notify_url=f"{mailbox.url}/notify")
        await simulator.pay(NUMBER)
        await wait_until(lambda: "notified" in kinds(events), "the notification was taken")
        assert len(mailbox.bodies) == copies
        assert ("notification_failed" in kinds(events)) == (fault == "lost")

    async def test_never_is_never(
        self, call: Caller, simulator: WeChatSimulator, mailbox: Mailbox, events: list[Event]
    ) -> None:
        """The payment is there, and only orderquery tells of it."""
        simulator.faults.set("notify", "never")
        await call.order(notify_url=f"{mailbox.url}/notify")
        await simulator.pay(NUMBER)
        await wait_until(lambda: "notification_given_up" in kinds(events), "it is given up")
        assert not mailbox.bodies
        assert (await call.query())["trade_state"] == "SUCCESS"

    async def test_out_of_order_comes_after_the_next(
        self, call: Caller, simulator: WeChatSimulator, mailbox: Mailbox
    ) -> None:
        """The notification of a later payment overtakes it."""
        simulator.faults.set("notify", "out_of_order")
        await call.order(notify_url=f"{mailbox.url}/notify")
        await call.order(out_trade_no="lobby-1-0002", notify_url=f"{mailbox.url}/notify")
        await simulator.pay(NUMBER)
        await wait_until(lambda: not list(simulator.faults), "the first is held back")
        await simulator.pay("lobby-1-0002")
        await wait_until(lambda: len(mailbox.bodies) == 2, "both arrive")
        assert [notice["out_trade_no"] for notice in mailbox.messages()] == ["lobby-1-0002", NUMBER]

    async def test_a_payment_can_be_told_before_the_order_is_answered(
        self, call: Caller, simulator: WeChatSimulator, mailbox: Mailbox
    ) -> None:
        """The notification has arrived, and was replied to, when unifiedorder's answer comes."""
        simulator.faults.set("unifiedorder", "paid_before_answer")
        answer = await call.order(notify_url=f"{mailbox.url}/notify")
        assert answer["result_code"] == "SUCCESS"
        assert [notice["out_trade_no"] for notice in mailbox.messages()] == [NUMBER]

    async def test_nobody_is_not_called(self, call: Caller, simulator: WeChatSimulator, events: list[Event]) -> None:
        """A notify_url under .invalid is nobody's: nothing is sent, nothing is repeated."""
        await call.order(notify_url="https://kiosk.invalid/wxpay/notify")
        await simulator.pay(NUMBER)
        await wait_until(lambda: "notification_given_up" in kinds(events), "it is given up")


class TestRefundNotifications:
    @pytest.mark.parametrize("status", ["SUCCESS", "REFUNDCLOSE", "CHANGE"])
    async def test_a_refunds_end_is_told(
        self, call: Caller, simulator: WeChatSimulator, mailbox: Mailbox, status: str
    ) -> None:
        """Encrypted, to the refund's own notify_url, with the state in which it ended."""
        if status != "SUCCESS":
            simulator.faults.set("refund_end", status)
        await call.order()
        await simulator.pay(NUMBER)
        await call.refund(notify_url=f"{mailbox.url}/refund-notify")
        await wait_until(lambda: mailbox.bodies, "the refund notification arrives")
        outer = mailbox.messages()[0]
        assert "sign" not in outer
        assert len(outer["req_info"]) <= 1024
        assert (await call.query_refund())["refund_status_0"] == status


class TestBooks:
    async def test_books_survive_the_process(self, tmp_path: Path, clock: HandClock) -> None:
        """What is in the file is the whole ledger: another process takes it over, a line cut short is no fact."""
        books = tmp_path / "books.jsonl"
        first = WeChatSimulator(MERCHANT, clock=clock, books=books)
        await first.start()
        caller = Caller(first)
        code = (await caller.order())["code_url"]
        await caller.order(out_trade_no="lobby-1-0002")
        first.faults.set("refund_end", "processing")
        await first.scan(code)
        await first.pay(NUMBER)
        await caller.refund()
        caller.close()
        await first.stop()
        assert [fact.kind for fact in read_facts(books)] == [
            "ordered", "ordered", "entered", "paid", "refund_accepted",
        ]  # fmt: skip
        with books.open("a") as file:
            file.write('{"kind": "refund_en')
        second = WeChatSimulator(MERCHANT, clock=clock, books=books, refund_seconds=0.01)
        assert second.ledger.orders == first.ledger.orders
        await second.start()
        await wait_until(lambda: second.ledger.audit()[NUMBER].refunded_fen == 350, "the refund is made")
        await second.stop()
        assert second.ledger.audit()[NUMBER].refunding_fen == 0

    async def test_other_programs_can_use_it(self, call: Caller) -> None:
        """Scan, pay, faults and books by HTTP."""
        code = (await call.order())["code_url"]
        _, answer = await call.json("POST", "/simulator/scan", {"code": code})
        expected = {"out_trade_no": NUMBER, "shop": "大堂饮料机", "goods": "可口可乐", "amount_fen": 350}
        assert expected.items() <= answer["cashier"].items()
        _, answer = await call.json("POST", "/simulator/cancel", {"out_trade_no": NUMBER})
        _, answer = await call.json("POST", "/simulator/pay", {"out_trade_no": NUMBER, "coupons": [["CASH", 50]]})
        assert answer["payment"]["transaction_id"].startswith("42000")
        _, answer = await call.json("GET", "/simulator/books")
        assert answer == {NUMBER: {"paid_fen": 350, "refunded_fen": 0, "refunding_fen": 0}}
        _, answer = await call.json("POST", "/simulator/faults", {"place": "refund", "name": "reset", "times": None})
        assert answer == {"faults": [{"place": "refund", "name": "reset", "times": None, "seconds": None}]}
        status, answer = await call.json("POST", "/simulator/faults", {"place": "refund", "name": "boredom"})
        assert status == 400
        assert "'boredom' is no fault of refund" in answer["error"]
        _, answer = await call.json("DELETE", "/simulator/faults?place=refund")
        assert answer == {"faults": []}
        assert json.loads((await call.post("/simulator/pay", b"{}")).body)["error"].startswith("415")
