"""The technician's listener, over real HTTP, in front of a whole machine."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from local_kit import BEARER, PASSWORD, Browser
from PIL import Image
from scenario_kit import bench
from tornado import websocket
from tornado.httpclient import HTTPRequest

from kiosk.checks import machine_is_running
from kiosk.orders import OrderState
from kiosk.web.password import set_password


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    set_password(tmp_path / "password", PASSWORD)
    async with bench(tmp_path) as here:
        yield Browser(here)


class TestStatus:
    async def test_a_machine_that_sells(self, browser: Browser) -> None:
        """The contract's fields, with the stock of every slot."""
        code, status = await browser.api("GET", "/api/status")

        assert (200, "lobby-1", "大堂饮料机", "ok") == (code, status["id"], status["name"], status["health"])
        assert [] == status["problems"]
        assert {"id": "11", "product": "cola", "stock": 3, "capacity": 3, "state": "ok", "fault": None} == status[
            "slots"
        ][0]

    async def test_a_board_that_is_gone(self, browser: Browser) -> None:
        """Out of service, with a sentence and since when."""
        browser.here.board.unplug()
        await browser.here.until(lambda: browser.here.machine.readiness.blocked, "the machine is out of service")
        _, status = await browser.api("GET", "/api/status")
        problem = status["problems"][0]

        assert ("out_of_service", "dispenser") == (status["health"], problem["code"])
        assert "adapter" in problem["message"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d", problem["since"])

    async def test_the_customers_screen(self, browser: Browser) -> None:
        """The very picture, as PNG."""
        answer = await browser.send("GET", "/screen.png", headers=BEARER)

        assert answer.body.startswith(b"\x89PNG")

    async def test_a_check_beside_the_running_machine(self, browser: Browser) -> None:
        """`kiosk check` knows the machine by its answer, and holds the ports in use not against it."""
        assert await asyncio.to_thread(machine_is_running, browser.here.settings)

    async def test_health_is_open_to_all(self, browser: Browser) -> None:
        """A monitor needs no password to know that the process serves."""
        assert b"ok" == (await browser.send("GET", "/healthz")).body


class TestSlots:
    async def test_restock(self, browser: Browser) -> None:
        """The slot holds what was counted; the journal knows who said so."""
        code, answer = await browser.api("POST", "/api/slots/11/restock", {"stock": 1})
        record = (await browser.here.machine.journal.slots())["11"]

        assert (200, 1, 1) == (code, answer["slot"]["stock"], record.stock)

    @pytest.mark.parametrize("stock", [-1, 4, 10_000, "3", 2.5, True, None])
    async def test_a_stock_that_cannot_be(self, browser: Browser, stock: object) -> None:
        """Refused with what would be right; nothing has changed."""
        code, answer = await browser.api("POST", "/api/slots/11/restock", {"stock": stock})

        assert 400 == code
        assert "0 to 3" in answer["error"]["message"]
        assert 3 == (await browser.here.machine.journal.slots())["11"].stock

    async def test_disable_and_enable(self, browser: Browser) -> None:
        """A disabled slot sells nothing until it is enabled again."""
        _, off = await browser.api("POST", "/api/slots/21/disable")
        await browser.here.until(lambda: browser.here.shown("tea") is None, "the tea is not for sale")
        _, on = await browser.api("POST", "/api/slots/21/enable")
        await browser.here.code("tea")

        assert ("disabled", "ok") == (off["slot"]["state"], on["slot"]["state"])

    async def test_a_jam_is_cleared_by_a_person(self, browser: Browser) -> None:
        """A slot that jammed is off sale until it is enabled."""
        here = browser.here
        here.board.jam(11)
        await here.settled(await here.buy("cola"), OrderState.DISPENSED)
        _, before = await browser.api("GET", "/api/status")
        here.board.clear(11)
        _, after = await browser.api("POST", "/api/slots/11/enable")

        assert ("jammed", "ok") == (before["slots"][0]["state"], after["slot"]["state"])
        assert "degraded" == before["health"]

    async def test_test_vend(self, browser: Browser) -> None:
        """One item drops, booked apart from sales."""
        code, answer = await browser.api("POST", "/api/slots/11/test-vend")

        assert (200, "delivered", 2) == (code, answer["outcome"], answer["slot"]["stock"])
        assert [11] == [drop.selection for drop in browser.here.board.drops]
        assert OrderState.DISPENSED not in await browser.here.machine.journal.counts()

    async def test_an_unknown_slot(self, browser: Browser) -> None:
        """404 with a sentence."""
        code, answer = await browser.api("POST", "/api/slots/99/enable")

        assert 404 == code
        assert "99" in answer["error"]["message"]


class TestOrders:
    async def test_list_story_and_refund(self, browser: Browser) -> None:
        """A sale is listed with its numbers, told as a story, and can be refunded once."""
        here = browser.here
        number = await here.buy("cola")
        await here.settled(number, OrderState.DISPENSED)
        _, listed = await browser.api("GET", "/api/orders?state=dispensed&limit=10")
        _, story = await browser.api("GET", f"/api/orders/{number}")
        refund, _ = await browser.api("POST", f"/api/orders/{number}/refund")
        await here.settled(number, OrderState.REFUNDED)
        again, refused = await browser.api("POST", f"/api/orders/{number}/refund")

        assert [number] == [order["out_trade_no"] for order in listed["orders"]]
        assert ("cola", "11", 350) == tuple(listed["orders"][0][name] for name in ("product_id", "slot", "amount"))
        assert "dispensed" == story["events"][-1]["kind"]
        assert (202, 409) == (refund, again)
        assert "refunded" in refused["error"]["message"]
        assert (350, 350) == here.money(number)

    async def test_an_empty_filter_is_none(self, browser: Browser) -> None:
        """As the address is written in the contract, with nothing filled in."""
        await browser.here.settled(await browser.here.buy("cola"), OrderState.DISPENSED)
        code, answer = await browser.api("GET", "/api/orders?state=&limit=&before=")

        assert 200 == code
        assert "dispensed" in {order["state"] for order in answer["orders"]}

    @pytest.mark.parametrize("query", ["state=sold", "limit=0", "limit=501", "limit=x"])
    async def test_a_wrong_filter(self, browser: Browser, query: str) -> None:
        """400 with what would be right."""
        code, answer = await browser.api("GET", f"/api/orders?{query}")

        assert 400 == code
        assert answer["error"]["message"]

    async def test_an_unknown_order(self, browser: Browser) -> None:
        """404 for its story and for its refund."""
        assert 404 == (await browser.api("GET", "/api/orders/lobby-1-nothing"))[0]
        assert 404 == (await browser.api("POST", "/api/orders/lobby-1-nothing/refund"))[0]


class TestService:
    async def test_out_of_service_and_back(self, browser: Browser) -> None:
        """The switch takes every code off the screen, shows the words, and survives a restart."""
        await browser.api("POST", "/api/out-of-service", {"text": "正在补货"})
        await browser.here.machine.stop()
        browser.here.machine = type(browser.here.machine)(browser.here.settings, browser.here.clock)
        await browser.here.machine.start()
        scene = browser.here.scene()
        await browser.api("POST", "/api/out-of-service", {"text": ""})
        await browser.here.code("cola")

        assert "正在补货" == scene.explanation
        assert () == scene.tiles


class TestLive:
    async def test_a_sale_is_seen_as_it_happens(self, browser: Browser) -> None:
        """Status at once, then each change of the order, within the same second."""
        url = browser.base.replace("http", "ws") + "/api/live"
        await browser.here.code("cola")
        feed = await websocket.websocket_connect(HTTPRequest(url, headers=BEARER))
        first = json.loads(str(await feed.read_message()))
        number = await browser.here.buy("cola")
        seen: list[str] = []
        async with asyncio.timeout(10):
            while "dispensed" not in seen:
                message = json.loads(str(await feed.read_message()))
                if message["type"] == "order" and message["order"]["out_trade_no"] == number:
                    seen.append(message["order"]["state"])
        feed.close()

        assert "status" == first["type"]
        assert ["paid", "dispensing", "dispensed"] == seen

    async def test_a_new_picture_is_told(self, browser: Browser) -> None:
        """When customers see something new the page hears of it, so that it shows the same."""
        await browser.here.code("cola")
        await browser.here.code("tea")
        feed = await websocket.websocket_connect(
            HTTPRequest(browser.base.replace("http", "ws") + "/api/live", headers=BEARER)
        )
        before = (await browser.send("GET", "/screen.png", headers=BEARER)).body
        await browser.api("POST", "/api/out-of-service", {"text": "Back at noon"})
        async with asyncio.timeout(30):
            while (await browser.send("GET", "/screen.png", headers=BEARER)).body == before:
                while json.loads(str(await feed.read_message()))["type"] != "picture":
                    pass
        feed.close()

    async def test_a_small_picture_for_a_small_phone(self, browser: Browser) -> None:
        """As wide as it was asked for, in the screen's own shape."""
        answer = await browser.send("GET", "/screen.png?width=120", headers=BEARER)

        assert (120, 80) == Image.open(io.BytesIO(answer.body)).size
