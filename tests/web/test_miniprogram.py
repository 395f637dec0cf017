"""The mini-program's flow, over HTTP: log in, order, pay, look; and everything that is to be refused."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta
from pathlib import Path

import pytest
from phone_kit import Phone
from scenario_kit import bench
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from zxingcpp import read_barcodes

from kiosk.audit import audit
from kiosk.customers import SESSIONS_EACH
from kiosk.journal import JOURNAL_FILE
from kiosk.orders import OrderState
from kiosk.simulation.wechat import Told
from kiosk.web.miniprogram import (
    LOGINS_EACH_ADDRESS,
    MAX_UNPAID_ORDERS,
    ORDERS_EACH_CUSTOMER,
    client_address,
)


@pytest.mark.parametrize(
    ("asker", "proxy", "told", "believed"),
    [
        ("10.0.0.2", "10.0.0.2", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.2", "10.0.0.2", "9.9.9.9, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.3", "10.0.0.2", "203.0.113.5", "10.0.0.3"),
        ("127.0.0.1", "10.0.0.2", "203.0.113.5", "127.0.0.1"),
        ("::1", "127.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.2", "10.0.0.2", "unknown", "10.0.0.2"),
        ("10.0.0.2", "10.0.0.2", None, "10.0.0.2"),
    ],
)
def test_only_the_configured_proxy_is_believed(asker: str, proxy: str, told: str | None, believed: str) -> None:
    """Its last entry of X-Forwarded-For counts, where it is an address; everybody else is who asks."""
    headers = HTTPHeaders({"Host": "x"} if told is None else {"Host": "x", "X-Forwarded-For": told})
    request = HTTPServerRequest(start_line=RequestStartLine("GET", "/", "HTTP/1.1"), headers=headers)
    request.remote_ip = asker
    assert believed == client_address(request, proxy)


class TestAWholeSale:
    async def test_from_login_to_the_can(self, tmp_path: Path) -> None:
        """Log in, order, pay, notification, vend: one can, the money kept, every step told with its time."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            number = await phone.order()
            ordered = await phone.look(number)
            await phone.pay(number)
            await here.settled(number, OrderState.DISPENSED)
            told = await phone.look(number)

            assert [11] == [drop.selection for drop in here.board.drops]
            assert (350, 0) == here.money(number)
            assert ("created", 350, "cola") == (ordered["state"], ordered["amount"], ordered["product_id"])
            assert ("dispensed", "11") == (told["state"], told["slot"])
            steps = [step["state"] for step in told["history"]]
            assert ["created", "awaiting_payment", "paid", "dispensing", "dispensed"] == steps
            assert [step["at"] for step in told["history"]] == sorted(step["at"] for step in told["history"])
        assert () == audit(here.journal_file).findings

    async def test_the_notification_is_lost(self, tmp_path: Path) -> None:
        """Nothing comes from WeChat: the look of the customer makes the machine ask, and the can drops."""
        async with bench(tmp_path, miniprogram=True) as here:
            here.wechat.faults.set("notify", "never")
            phone = await Phone(here).log_in()
            number = await phone.buy()
            told = await phone.look(number)

            assert told["state"] in {"paid", "dispensing", "dispensed"}
            await here.settled(number, OrderState.DISPENSED)

    async def test_every_slot_is_jammed(self, tmp_path: Path) -> None:
        """The customer reads that the refund is on its way, and then that it has come."""
        async with bench(tmp_path, miniprogram=True) as here:
            here.board.jam(11)
            here.board.jam(12)
            phone = await Phone(here).log_in()
            number = await phone.buy()
            await here.settled(number, OrderState.REFUNDED)
            told = await phone.look(number)

            assert "refunded" == told["state"]
            assert ["refunding", "refunded"] == [step["state"] for step in told["history"]][-2:]
            assert (350, 350) == here.money(number)

    async def test_an_order_under_the_merchants_app_id(self, tmp_path: Path) -> None:
        """WeChat calls the payment by the mini-program's app id, and the order is of that one too."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            number = await phone.buy()
            order = await here.settled(number, OrderState.DISPENSED)

            assert here.settings.miniprogram is not None
            assert here.settings.miniprogram.app_id == order.app_id
            assert phone.openid == order.openid
            assert here.settings.miniprogram.app_id == here.wechat.ledger.orders[number].fields["appid"]


class TestLogin:
    async def test_the_session_key_stays_on_the_server(self, tmp_path: Path) -> None:
        """The answer has a token and its life; WeChat's key is in no answer, and no token in the journal."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = Phone(here)
            reply = await phone.ask("POST", "login", {"code": here.wechat.login("o-customer")})
            key = here.machine._login.session_keys.get("o-customer")  # type: ignore[union-attr] # it is configured

            assert {"token", "expires_in"} == reply.values.keys()
            assert key
            assert key not in json.dumps(reply.values)
            assert reply.values["expires_in"] > 3600
        content = (tmp_path / JOURNAL_FILE).read_bytes()  # the write-ahead log was folded in when it was closed
        assert reply.values["token"].encode() not in content
        assert key.encode() not in content

    @pytest.mark.parametrize(
        ("errcode", "status", "code"),
        [
            ("40029", 401, "bad_code"),
            ("40163", 401, "bad_code"),
            ("45011", 429, "too_often"),
            ("40226", 403, "blocked_user"),
            ("40013", 503, "misconfigured"),
            ("40125", 503, "misconfigured"),
            ("48001", 503, "busy"),
        ],
    )
    async def test_what_wechat_refuses(self, tmp_path: Path, errcode: str, status: int, code: str) -> None:
        """Each errcode of code2Session has its own answer, and opens no session."""
        async with bench(tmp_path, miniprogram=True) as here:
            here.wechat.faults.set("jscode2session", errcode)
            reply = await Phone(here).ask("POST", "login", {"code": here.wechat.login()})

            assert (status, code) == reply.error

    @pytest.mark.parametrize("fault", ["-1", "http_500", "bad_gateway", "reset"])
    async def test_a_busy_wechat_is_asked_again(self, tmp_path: Path, fault: str) -> None:
        """One busy answer, or none, is not the customer's trouble; two are told."""
        async with bench(tmp_path, miniprogram=True) as here:
            here.wechat.faults.set("jscode2session", fault)
            await Phone(here).log_in()
            here.wechat.faults.set("jscode2session", fault, times=2)
            reply = await Phone(here).ask("POST", "login", {"code": here.wechat.login()})

            assert (503, "busy") == reply.error

    async def test_a_code_is_good_once(self, tmp_path: Path) -> None:
        """The second log-in with the same code is refused, in words."""
        async with bench(tmp_path, miniprogram=True) as here:
            code = here.wechat.login()
            first = await Phone(here).ask("POST", "login", {"code": code})
            second = await Phone(here).ask("POST", "login", {"code": code}, **{"Accept-Language": "en"})

            assert 200 == first.status
            assert (401, "bad_code") == second.error
            assert "log in" in second.values["error"]["message"]

    @pytest.mark.parametrize("body", ["", "{", "[]", "null", "{}", '{"code": 5}', '{"code": ""}', '{"code": null}'])
    async def test_a_body_of_another_kind(self, tmp_path: Path, body: str) -> None:
        """400 with words for whatever is no object with a text; WeChat is not asked."""
        async with bench(tmp_path, miniprogram=True) as here:
            assert (400, "bad_request") == (await Phone(here).ask("POST", "login", body)).error

    async def test_sessions_end(self, tmp_path: Path) -> None:
        """By log-out at once, by time, and the oldest of too many; a foreign token never was one."""
        async with bench(tmp_path, miniprogram=True) as here:
            phones = [await Phone(here).log_in() for _ in range(SESSIONS_EACH + 1)]
            statuses = [(await phone.ask("GET", "orders")).status for phone in phones]
            assert [401] + [200] * SESSIONS_EACH == statuses

            assert 204 == (await phones[1].ask("POST", "logout")).status
            assert (401, "unauthorized") == (await phones[1].ask("GET", "orders")).error
            assert 200 == (await phones[2].ask("GET", "orders")).status

            here.clock.offset = timedelta(days=8)
            assert (401, "unauthorized") == (await phones[2].ask("GET", "orders")).error
            for header in ("", "Bearer", "Bearer x", f"Basic {phones[3].token}", f"Bearer {'x' * 5000}"):
                reply = await Phone(here).ask("GET", "orders", Authorization=header)
                assert (401, "unauthorized") == reply.error

    async def test_the_secret_is_in_no_log(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Whatever goes wrong on the way to WeChat: neither app_secret nor code nor token is logged."""
        caplog.set_level(logging.DEBUG)
        async with bench(tmp_path, miniprogram=True) as here:
            here.wechat.faults.set("jscode2session", "reset", times=2)
            await Phone(here).ask("POST", "login", {"code": "a-code-to-be-found"})
            phone = await Phone(here).log_in()
            assert here.settings.miniprogram is not None
            secret = here.settings.miniprogram.app_secret

        ours = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
        assert not any(secret in line or phone.token in line or "a-code-to-be-found" in line for line in ours)


class TestPaying:
    async def test_asked_twice(self, tmp_path: Path) -> None:
        """The same prepay_id, a fresh signature; WeChat knows one order."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            number = await phone.order()
            first = await phone.ask("POST", f"orders/{number}/pay")
            second = await phone.ask("POST", f"orders/{number}/pay")

            assert {"timeStamp", "nonceStr", "package", "signType", "paySign"} == first.values.keys()
            assert first.values["package"] == second.values["package"]
            assert first.values["nonceStr"] != second.values["nonceStr"]
            ours = [no for no, order in here.wechat.ledger.orders.items() if order.fields["trade_type"] == "JSAPI"]
            assert [number] == ours

    async def test_tapped_twice_at_once(self, tmp_path: Path) -> None:
        """Two requests side by side: one unifiedorder, the same answer for both."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            number = await phone.order()
            replies = await asyncio.gather(*(phone.ask("POST", f"orders/{number}/pay") for _ in range(4)))

            assert {200} == {reply.status for reply in replies}
            assert 1 == len({reply.values["package"] for reply in replies})

    async def test_ordered_twice(self, tmp_path: Path) -> None:
        """The customer's unpaid order is found again: no second unit is held back."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            first, second = await phone.order("tea"), await phone.order("tea")
            other = await Phone(here, "o-other").log_in()
            reply = await other.ask("POST", "orders", {"product_id": "tea"})

            assert first == second
            assert (409, "sold_out") == reply.error
            await phone.pay(first)
            await here.settled(first, OrderState.DISPENSED)

    async def test_what_was_refused_is_not_offered(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The list that the phone asks for after "sold out" says so too, however fresh the last sale."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone, other = await Phone(here).log_in(), await Phone(here, "o-other").log_in()
            monkeypatch.setattr("kiosk.shelf.GATHER_SECONDS", 3600)  # nothing else brings the list up to date
            await phone.order("tea")
            refused = await other.ask("POST", "orders", {"product_id": "tea"})
            listed = await other.ask("GET", "products")

            assert (409, "sold_out") == refused.error
            assert {"tea": False} == {
                product["id"]: product["available"] for product in listed.values["products"] if product["id"] == "tea"
            }

    async def test_wechat_is_slow_then_well(self, tmp_path: Path) -> None:
        """An order that could not be announced is kept, and can be paid a moment later."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            number = await phone.order()
            here.wechat.faults.set("unifiedorder", "reset", times=2)
            busy = await phone.ask("POST", f"orders/{number}/pay")
            assert (503, "try_again") == busy.error
            assert "created" == (await phone.look(number))["state"]
            await phone.pay(number)
            await here.settled(number, OrderState.DISPENSED)

    async def test_the_address_is_the_same_in_every_repeat(self, tmp_path: Path) -> None:
        """WeChat takes a repeated order only unchanged: the phone may have changed its network meanwhile."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here, headers={"X-Forwarded-For": "9.9.9.9, 203.0.113.5"}).log_in()
            number = await phone.order()
            here.wechat.faults.set("unifiedorder", "answer_lost", times=2)
            assert 503 == (await phone.ask("POST", f"orders/{number}/pay")).status
            phone.headers = {"X-Forwarded-For": "203.0.113.77"}
            await phone.pay(number)

            assert "203.0.113.5" == here.wechat.ledger.orders[number].fields["spbill_create_ip"]
            await here.settled(number, OrderState.DISPENSED)

    async def test_a_proxy_that_is_not_the_configured_one(self, tmp_path: Path) -> None:
        """Whoever is not `[callbacks] proxy` is taken for who it is, whatever X-Forwarded-For says."""
        async with bench(tmp_path, miniprogram=True, proxy="10.0.0.2") as here:
            phone = await Phone(here, headers={"X-Forwarded-For": "203.0.113.5"}).log_in()
            number = await phone.order()
            await phone.ask("POST", f"orders/{number}/pay")
            assert "127.0.0.1" == here.wechat.ledger.orders[number].fields["spbill_create_ip"]

    async def test_an_order_ends(self, tmp_path: Path) -> None:
        """Unpaid until its time is over, announced or not: closed, the unit free, and paying is refused."""
        async with bench(tmp_path, miniprogram=True, wechatpay={"order_ttl_seconds": 1}) as here:
            phone = await Phone(here).log_in()
            silent = await phone.order("tea")
            announced = await phone.order("cola")
            arguments = (await phone.ask("POST", f"orders/{announced}/pay")).values
            for number in (silent, announced):
                await here.settled(number, OrderState.CLOSED)
                assert (409, "order_closed") == (await phone.ask("POST", f"orders/{number}/pay")).error
            assert isinstance(await here.wechat.request_payment(arguments, phone.openid), Told)
            assert await phone.order("tea") != silent

    async def test_a_paid_order_is_not_paid_again(self, tmp_path: Path) -> None:
        """409 once the money is there."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            number = await phone.buy()
            await here.settled(number, OrderState.DISPENSED)
            assert (409, "order_paid") == (await phone.ask("POST", f"orders/{number}/pay")).error

    async def test_a_restart_between_order_and_payment(self, tmp_path: Path) -> None:
        """The session, the order and its unit are still there; the payment goes on where it was."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            number = await phone.order("tea")
            await here.restart()
            assert "created" == (await phone.look(number))["state"]
            await phone.pay(number)
            await here.settled(number, OrderState.DISPENSED)


class TestRefusals:
    async def test_nobody_sees_anothers_order(self, tmp_path: Path) -> None:
        """To another customer, and for orders made by a code, it is as if there were none."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            other = await Phone(here, "o-other").log_in()
            number = await phone.order()
            scanned = (await here.scan("cola", phone.openid)).out_trade_no

            for method, path in (("GET", f"orders/{number}"), ("POST", f"orders/{number}/pay")):
                assert (404, "unknown_order") == (await other.ask(method, path)).error
            assert (404, "unknown_order") == (await phone.ask("GET", f"orders/{scanned}")).error
            assert [] == (await other.ask("GET", "orders")).values["orders"]
            assert [number] == [o["out_trade_no"] for o in (await phone.ask("GET", "orders")).values["orders"]]

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"product_id": "unknown"}, (404, "unknown_product")),
            ({"product_id": 5}, (400, "bad_request")),
            ({"product_id": ["cola"]}, (400, "bad_request")),
            ({}, (400, "bad_request")),
            ("not json", (400, "bad_request")),
            ("[" * 20_000, (400, "bad_request")),
        ],
    )
    async def test_a_bad_order(self, tmp_path: Path, body: object, expected: tuple[int, str]) -> None:
        """4xx with a code and words; no order is made."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            reply = await phone.ask("POST", "orders", body)

            assert expected == reply.error
            assert reply.values["error"]["message"]
            assert [] == (await phone.ask("GET", "orders")).values["orders"]

    async def test_out_of_service(self, tmp_path: Path) -> None:
        """Neither order nor payment; the customer reads the technician's own words."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            number = await phone.order()
            await here.machine.readiness.switch_out_of_service("明天再来", "test")
            for method, path, body in (
                ("POST", "orders", {"product_id": "tea"}),
                ("POST", f"orders/{number}/pay", None),
            ):
                reply = await phone.ask(method, path, body)
                assert (503, "out_of_service") == reply.error
                assert "明天再来" == reply.values["error"]["message"]
            products = (await phone.ask("GET", "products")).values["products"]
            assert not any(product["available"] for product in products)
            assert not (await phone.ask("GET", "machine")).values["open"]

    async def test_a_slot_jams_before_the_payment(self, tmp_path: Path) -> None:
        """The unit that was reserved cannot be given any more: refused before the money moves."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            number = await phone.order("tea")
            await here.machine.journal.change_slot(
                "21", "jammed", "test", lambda slot: type(slot)(slot.id, slot.stock, slot.disabled, "jammed")
            )
            await here.until(lambda: here.machine.shelf.records["21"].fault, "the shelf has seen the jam")
            assert (409, "sold_out") == (await phone.ask("POST", f"orders/{number}/pay")).error

    async def test_products_need_no_login(self, tmp_path: Path) -> None:
        """Whoever scans the machine's code sees what it sells, in fen, as the contract has it."""
        async with bench(tmp_path, miniprogram=True) as here:
            reply = await Phone(here).ask("GET", "products")

            assert {
                "products": [
                    {"id": "cola", "name": "可口可乐", "name_en": "Coca-Cola", "price": 350, "available": True},
                    {"id": "tea", "name": "冰红茶", "name_en": "Iced tea", "price": 300, "available": True},
                ]
            } == reply.values

    async def test_too_many_log_ins_from_one_address(self, tmp_path: Path) -> None:
        """429 with the seconds to wait; another address is not held up."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = Phone(here, headers={"X-Forwarded-For": "203.0.113.9"})
            for _ in range(LOGINS_EACH_ADDRESS.burst):
                assert (401, "bad_code") == (await phone.ask("POST", "login", {"code": "wrong"})).error
            reply = await phone.ask("POST", "login", {"code": "wrong"})

            assert (429, "too_often") == reply.error
            assert 1 <= int(reply.headers["Retry-After"]) <= 60
            await Phone(here, headers={"X-Forwarded-For": "203.0.113.10"}).log_in()

    async def test_too_many_orders_of_one_customer(self, tmp_path: Path) -> None:
        """429; another customer goes on."""
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            for _ in range(ORDERS_EACH_CUSTOMER.burst):
                await phone.order()
            assert (429, "too_often") == (await phone.ask("POST", "orders", {"product_id": "cola"})).error
            await (await Phone(here, "o-other").log_in()).order()

    async def test_nothing_is_there_without_the_section(self, tmp_path: Path) -> None:
        """A machine without [miniprogram] has no such paths."""
        async with bench(tmp_path) as here:
            port = here.settings.callbacks.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /miniprogram/products HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            first_line = await reader.readline()
            writer.close()
            await writer.wait_closed()

            assert b"404" in first_line

    async def test_unpaid_orders_are_few(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """One customer cannot hold back more products than a few."""
        monkeypatch.setattr("kiosk.web.miniprogram.MAX_UNPAID_ORDERS", 1)
        async with bench(tmp_path, miniprogram=True) as here:
            phone = await Phone(here).log_in()
            number = await phone.order("cola")

            assert MAX_UNPAID_ORDERS > 1
            assert (409, "too_many_unpaid") == (await phone.ask("POST", "orders", {"product_id": "tea"})).error
            assert number == await phone.order("cola")


async def test_a_wrong_signature_opens_no_cashier(tmp_path: Path) -> None:
    """The simulated phone checks paySign as the real one: an altered package is refused."""
    async with bench(tmp_path, miniprogram=True) as here:
        phone = await Phone(here).log_in()
        number = await phone.order()
        arguments = (await phone.ask("POST", f"orders/{number}/pay")).values
        altered = await here.wechat.request_payment(arguments | {"nonceStr": "other"}, phone.openid)

        assert isinstance(altered, Told)
        assert "PAY_SIGN" == altered.code


async def test_both_ways_to_pay_sell_from_one_stock(tmp_path: Path) -> None:
    """Mode-two codes and the mini-program sell side by side from the same stock."""
    async with bench(tmp_path, miniprogram=True) as here:
        number = await (await Phone(here).log_in()).buy("cola")
        scanned = await here.buy("cola", "o-scanner")
        for each in (number, scanned):
            await here.settled(each, OrderState.DISPENSED)

        assert 2 == len(here.board.drops)


async def test_its_code_stands_beside_the_others(tmp_path: Path) -> None:
    """Where the ini asks for it, one more code is really on the picture; it goes when nothing can be bought."""
    link = "https://pay.example.com/m"
    async with bench(tmp_path, miniprogram=True, screen_link=link) as here:
        await here.code("cola")
        await here.code("tea")

        async def is_painted() -> bool:
            picture = await here.machine.storefront.picture()
            return picture is not None and f"{link}?m=lobby-1" in {found.text for found in read_barcodes(picture)}

        await here.until_async(is_painted, "the mini-program's code is on the screen")
        texts = [tile.code for tile in here.scene().tiles]
        await here.machine.readiness.switch_out_of_service("tomorrow", "test")
        await here.until(lambda: not here.scene().tiles, "nothing is for sale")

    assert f"{link}?m=lobby-1" == texts[-1]
    assert 3 == len(texts)
