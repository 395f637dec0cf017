"""What WeChat reaches, over real HTTP: what is believed, what is answered, what changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from scenario_kit import Bench, bench
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from kiosk.clock import CHINA_STANDARD_TIME
from kiosk.orders import OrderState
from kiosk.payments.wechat import xml
from kiosk.payments.wechat.signature import nonce, sign
from kiosk.settings import NativeMode, SignType
from kiosk.simulation.wechat import Payment

SUCCESS = b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"


@dataclass
class WeChat:
    """Says to the machine what WeChat, or somebody who is not WeChat, would say."""

    here: Bench

    async def post(self, path: str, body: bytes) -> HTTPResponse:
        url = f"http://127.0.0.1:{self.here.settings.callbacks.port}{path}"
        return await AsyncHTTPClient().fetch(url, method="POST", body=body, raise_error=False, request_timeout=10)

    def notice(self, number: str, **changes: str) -> dict[str, str]:
        """The fields of a payment notification for an order, signed; `changes` are signed too."""
        pay = self.here.settings.wechatpay
        fields = {
            "return_code": "SUCCESS",
            "result_code": "SUCCESS",
            "appid": pay.app_id,
            "mch_id": pay.mch_id,
            "nonce_str": nonce(),
            "openid": "o-customer",
            "is_subscribe": "N",
            "trade_type": "NATIVE",
            "bank_type": "CFT",
            "total_fee": "350",
            "cash_fee": "350",
            "transaction_id": "4200000065201803063807324676",
            "out_trade_no": number,
            "time_end": datetime.now(CHINA_STANDARD_TIME).strftime("%Y%m%d%H%M%S"),
            **changes,
        }
        fields["sign"] = sign(fields, pay.api_key, pay.sign_type)
        return fields

    async def notify(self, fields: dict[str, str]) -> bytes:
        return (await self.post("/wxpay/notify", xml.build(fields))).body


@pytest.fixture
async def wechat(tmp_path: Path) -> AsyncIterator[WeChat]:
    async with bench(tmp_path) as here:
        yield WeChat(here)


def forge_amount(fields: dict[str, str]) -> dict[str, str]:
    return {**fields, "total_fee": "1"}


def weaker_signature(fields: dict[str, str]) -> dict[str, str]:
    unsigned = {name: value for name, value in fields.items() if name != "sign"} | {"sign_type": "MD5"}
    return {**unsigned, "sign": sign(unsigned, "k" * 32, SignType.MD5)}


def without_signature(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name != "sign"}


class TestPayment:
    async def test_success_comes_after_the_commit(self, wechat: WeChat) -> None:
        """The answer is the exact line that WeChat wants, and what it acknowledges is in the journal by then."""
        cashier = await wechat.here.scan("cola")
        answer = await wechat.notify(wechat.notice(cashier.out_trade_no))
        order = await wechat.here.order(cashier.out_trade_no)

        assert answer == SUCCESS
        assert (350, "4200000065201803063807324676") == (order.paid_fen, order.transaction_id)

    async def test_a_true_one_many_times(self, wechat: WeChat) -> None:
        """Twenty copies at once and one later are all answered SUCCESS; one can drops."""
        number = (await wechat.here.scan("cola")).out_trade_no
        fields = wechat.notice(number)
        answers = await asyncio.gather(*(wechat.notify(fields) for _ in range(20)))
        await wechat.here.settled(number, OrderState.DISPENSED)
        later = await wechat.notify(fields)

        assert {SUCCESS} == {*answers, later}
        assert 1 == len(wechat.here.board.drops)

    @pytest.mark.parametrize("forge", [forge_amount, weaker_signature, without_signature])
    async def test_a_forged_one_changes_nothing(
        self, wechat: WeChat, forge: Callable[[dict[str, str]], dict[str, str]]
    ) -> None:
        """An altered amount, a weaker signature of the message's own choice, none at all: FAIL, and no can."""
        number = (await wechat.here.scan("cola")).out_trade_no
        answer = await wechat.notify(forge(wechat.notice(number)))

        assert b"FAIL" in answer
        assert OrderState.AWAITING_PAYMENT is (await wechat.here.order(number)).state

    @pytest.mark.parametrize(
        "changes",
        [
            {"total_fee": "1"},
            {"total_fee": "35000"},
            {"mch_id": "1900000110"},
            {"appid": "wx0000000000000000"},
            {"fee_type": "USD"},
            {"result_code": "FAIL"},
            {"out_trade_no": "lobby-1-000000000000-XXXXXX"},
        ],
    )
    async def test_a_signed_one_that_does_not_fit_changes_nothing(
        self, wechat: WeChat, changes: dict[str, str]
    ) -> None:
        """Another amount, merchant, app, currency or order, though signed with our key: FAIL, and WeChat is asked."""
        number = (await wechat.here.scan("cola")).out_trade_no
        answer = await wechat.notify(wechat.notice(number, **changes))

        assert b"FAIL" in answer
        assert OrderState.AWAITING_PAYMENT is (await wechat.here.order(number)).state
        assert [] == wechat.here.board.drops

    async def test_one_payment_is_not_good_for_two_orders(self, wechat: WeChat) -> None:
        """The same transaction under another order number is refused."""
        first = (await wechat.here.scan("cola")).out_trade_no
        second = (await wechat.here.scan("tea")).out_trade_no
        await wechat.notify(wechat.notice(first))
        answer = await wechat.notify(wechat.notice(second, total_fee="300"))

        assert b"FAIL" in answer
        assert (await wechat.here.order(second)).transaction_id is None

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"hello",
            b"<xml>",
            b"<!DOCTYPE x [<!ENTITY a 'b'>]><xml><return_code>&a;</return_code></xml>",
            b"<xml><sign>1</sign><sign>2</sign></xml>",
            "<xml><return_code>成</return_code></xml>".encode("gbk"),
            b"\xff\xfe<\x00x\x00",
        ],
    )
    async def test_garbage_is_answered_and_forgotten(self, wechat: WeChat, body: bytes) -> None:
        """What is no message of the protocol is answered FAIL on every path, in one line."""
        for path in ("/wxpay/notify", "/wxpay/refund-notify", "/wxpay/scan"):
            answer = await wechat.post(path, body)

            assert 200 == answer.code
            assert b"<return_code><![CDATA[FAIL]]></return_code>" in answer.body
            assert b"\n" not in answer.body

    async def test_a_body_above_the_limit_is_refused(self, wechat: WeChat) -> None:
        """More than 64 KiB is not read."""
        answer = await wechat.post("/wxpay/notify", b"<xml>" + b"a" * 70_000 + b"</xml>")

        assert answer.code in (400, 413)


class TestScan:
    async def test_a_replayed_scan_makes_no_second_order(self, tmp_path: Path) -> None:
        """The very same message twice, also at once: one order at WeChat, the same prepay_id in both answers."""
        async with bench(tmp_path, native_mode=NativeMode.ONE) as here:
            await here.code("cola")
            wechat = WeChat(here)
            body = self._scan(here, "cola")
            answers = await asyncio.gather(*(wechat.post("/wxpay/scan", body) for _ in range(5)))
            prepaid = {xml.parse(answer.body)["prepay_id"] for answer in answers}

            assert 1 == len(prepaid)
            assert 1 == len(here.wechat.ledger.orders)

    async def test_an_unknown_product_is_told(self, tmp_path: Path) -> None:
        """A printed code of something that is no longer sold: words for the customer, signed, no order."""
        async with bench(tmp_path, native_mode=NativeMode.ONE) as here:
            await here.code("cola")
            answer = await WeChat(here).post("/wxpay/scan", self._scan(here, "beer"))
            fields = xml.parse(answer.body)

            assert ("SUCCESS", "FAIL") == (fields["return_code"], fields["result_code"])
            assert "没有这种商品" in fields["err_code_des"]
            assert {} == dict(here.wechat.ledger.orders)

    def _scan(self, here: Bench, product: str) -> bytes:
        pay = here.settings.wechatpay
        fields = {
            "appid": pay.app_id,
            "openid": "o-customer",
            "mch_id": pay.mch_id,
            "is_subscribe": "N",
            "nonce_str": nonce(),
            "product_id": product,
        }
        return xml.build({**fields, "sign": sign(fields, pay.api_key, SignType.MD5)})


class TestMistakes:
    async def test_a_mistake_of_ours_is_not_the_last_answer(
        self, wechat: WeChat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever goes wrong with a message, its sender gets an answer that is no SUCCESS; the repeat is taken."""
        number = (await wechat.here.scan("cola")).out_trade_no
        notice = xml.build(wechat.notice(number))

        async def fail(*_: object) -> None:
            raise RuntimeError("a mistake")

        with monkeypatch.context() as broken:
            broken.setattr(wechat.here.machine.cashier, "payment_notified", fail)
            answer = await wechat.post("/wxpay/notify", notice)
        repeated = await wechat.post("/wxpay/notify", notice)

        assert (500, b"") == (answer.code, answer.body)
        assert (200, SUCCESS) == (repeated.code, repeated.body)

    async def test_two_messages_on_one_connection(self, wechat: WeChat) -> None:
        """A proxy that keeps its connections gets an answer to each message, sent in one piece or in drops."""
        number = (await wechat.here.scan("cola")).out_trade_no
        body = xml.build(wechat.notice(number))
        lines = ("POST /wxpay/notify?a=1 HTTP/1.1", "Host: pay.example.com", f"Content-Length: {len(body)}", "", "")
        head = "\r\n".join(lines).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", wechat.here.settings.callbacks.port)
        answers = []
        for pieces in ([head + body], [head, body[:100], body[100:]], [head + body]):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            answers.append(await reader.readuntil(SUCCESS))
        writer.close()

        assert 3 == len(answers)
        assert all(answer.startswith(b"HTTP/1.1 200 OK\r\n") for answer in answers)


class TestSurface:
    async def test_nothing_else_is_reachable(self, wechat: WeChat) -> None:
        """Neither the technician's page nor its API; GET of a callback is not allowed; /healthz says ok."""
        base = f"http://127.0.0.1:{wechat.here.settings.callbacks.port}"
        codes, servers = {}, set()
        for path in (
            "/",
            "/login",
            "/api/status",
            "/screen.png",
            "/metrics",
            "/static/page.js",
            "/wxpay/notify",
            "/healthz",
        ):
            answer = await AsyncHTTPClient().fetch(base + path, raise_error=False)
            codes[path] = answer.code
            servers.add(answer.headers["Server"])
        looked = await AsyncHTTPClient().fetch(f"{base}/healthz", method="HEAD")

        assert 200 == codes.pop("/healthz")
        assert 405 == codes.pop("/wxpay/notify")
        assert {404} == set(codes.values()), codes
        assert (200, {"kiosk"}) == (looked.code, servers)

    async def test_a_wrong_amount_that_wechat_confirms_is_refunded(self, wechat: WeChat) -> None:
        """When WeChat itself says that another amount was paid, nothing drops and all of it goes back."""
        here = wechat.here
        cashier = await here.scan("cola")
        order = here.wechat.ledger.orders[cashier.out_trade_no]
        order.fields["total_fee"] = "100"
        here.wechat.faults.set("notify", "never")
        paid = await here.wechat.pay(cashier.out_trade_no, "o-customer")
        assert isinstance(paid, Payment)
        await wechat.notify(wechat.notice(cashier.out_trade_no, total_fee="100"))
        settled = await here.settled(cashier.out_trade_no, OrderState.REFUNDED)

        assert ([], (100, 100)) == (here.board.drops, here.money(cashier.out_trade_no))
        assert "350" in (settled.reason or "")
