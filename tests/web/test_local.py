"""The technician's listener, over real HTTP, in front of a whole machine."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from scenario_kit import API_TOKEN, Bench, bench
from tornado import websocket
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from kiosk.checks import machine_is_running
from kiosk.orders import OrderState
from kiosk.web.password import set_password

PASSWORD = "rain-on-the-tin-roof"
BEARER = {"Authorization": f"Bearer {API_TOKEN}"}
GUARDED = [
    ("GET", "/api/status"),
    ("GET", "/api/orders"),
    ("GET", "/api/orders/lobby-1-x"),
    ("POST", "/api/orders/lobby-1-x/refund"),
    ("POST", "/api/slots/11/restock"),
    ("POST", "/api/slots/11/enable"),
    ("POST", "/api/slots/11/disable"),
    ("POST", "/api/slots/11/test-vend"),
    ("POST", "/api/out-of-service"),
    ("GET", "/api/live"),
    ("GET", "/screen.png"),
    ("GET", "/metrics"),
]


class Browser:
    """Keeps cookies, follows nothing by itself."""

    def __init__(self, here: Bench) -> None:
        self.here = here
        self.base = f"http://127.0.0.1:{here.settings.web.listen.port}"
        self.cookies: dict[str, str] = {}

    async def send(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        sent = dict(headers or {})
        if self.cookies and "Authorization" not in sent:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await AsyncHTTPClient().fetch(
            HTTPRequest(
                self.base + path,
                method=method,
                headers=sent,
                body=(body or "") if method == "POST" else None,
                follow_redirects=False,
                request_timeout=10,
            ),
            raise_error=False,
        )
        for cookie in answer.headers.get_list("Set-Cookie"):
            name, _, rest = cookie.partition("=")
            self.cookies[name] = rest.split(";")[0]
        return answer

    async def form_token(self) -> str:
        """The anti-forgery token in the login form."""
        page = (await self.send("GET", "/login")).body.decode()
        found = re.search(r'name="_xsrf" value="([^"]+)"', page)
        assert found is not None
        return found[1]

    async def log_in(self, password: str = PASSWORD) -> HTTPResponse:
        return await self.send("POST", "/login", f"_xsrf={await self.form_token()}&password={password}")

    async def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """As a script does it, with the token."""
        answer = await self.send(method, path, json.dumps(body) if body is not None else None, BEARER)
        return answer.code, json.loads(answer.body)


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    set_password(tmp_path / "password", PASSWORD)
    async with bench(tmp_path) as here:
        yield Browser(here)


class TestAccess:
    async def test_without_a_session_there_is_only_the_login(self, browser: Browser) -> None:
        """The page leads to /login, everything else is 401, and nothing changes."""
        page = await browser.send("GET", "/")
        codes = {f"{method} {path}": (await browser.send(method, path)).code for method, path in GUARDED}

        assert (302, "/login") == (page.code, page.headers["Location"])
        assert {401} == set(codes.values()), codes

    async def test_logging_in_and_out(self, browser: Browser) -> None:
        """The right password opens, logging out closes on the server: the old cookie opens nothing any more."""
        answer = await browser.log_in()
        cookie = next(each for each in answer.headers.get_list("Set-Cookie") if each.startswith("kiosk_session"))
        inside = (await browser.send("GET", "/api/status")).code
        kept = dict(browser.cookies)
        await browser.send("POST", "/logout", f"_xsrf={await browser.form_token()}")
        browser.cookies = kept
        after = (await browser.send("GET", "/api/status")).code

        assert (303, 200, 401) == (answer.code, inside, after)
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()

    async def test_each_login_has_a_token_of_its_own(self, browser: Browser) -> None:
        """A session token is new at every login and has 256 bits."""
        await browser.log_in()
        first = browser.cookies["kiosk_session"]
        await browser.log_in()

        assert first != browser.cookies["kiosk_session"]
        assert len(first) >= 43

    async def test_wrong_passwords_are_slowed_down(self, browser: Browser) -> None:
        """After a few slips a try has to wait, even with the right password; it is told how long."""
        codes = [(await browser.log_in("wrong")).code for _ in range(4)]
        answer = await browser.log_in()

        assert [403, 403, 403] == codes[:3]
        assert 429 == answer.code
        assert 1 <= int(answer.headers["Retry-After"]) <= 30

    async def test_no_password_no_page(self, tmp_path: Path) -> None:
        """Before a password is set the page says how to set it, and lets nobody in."""
        async with bench(tmp_path) as here:
            browser = Browser(here)
            page = await browser.send("GET", "/login")

            assert 503 == page.code
            assert "kiosk set-password" in page.body.decode()

    async def test_a_change_needs_the_token_of_the_form(self, browser: Browser) -> None:
        """A session alone changes nothing: without, or with a wrong, anti-forgery token the answer is 403."""
        await browser.log_in()
        bare = await browser.send("POST", "/api/slots/11/disable", "{}")
        wrong = await browser.send("POST", "/api/slots/11/disable", "{}", {"X-XSRFToken": "2|x|y|1"})
        right = await browser.send("POST", "/api/slots/11/disable", "{}", {"X-XSRFToken": await browser.form_token()})

        assert (403, 403, 200) == (bare.code, wrong.code, right.code)

    async def test_a_foreign_page_changes_nothing(self, browser: Browser) -> None:
        """A request that another site's page sent is refused, whatever it carries."""
        await browser.log_in()
        headers = {"X-XSRFToken": await browser.form_token(), "Origin": "http://evil.example"}

        assert 403 == (await browser.send("POST", "/api/slots/11/disable", "{}", headers)).code

    async def test_every_answer_has_the_security_headers(self, browser: Browser) -> None:
        """Pages, errors and files: a strict policy without anything inline, no sniffing, no framing."""
        await browser.log_in()
        for path in ("/", "/login", "/api/status", "/nothing", "/static/page.js", "/static/nothing", "/healthz"):
            headers = (await browser.send("GET", path)).headers
            policy = headers["Content-Security-Policy"]

            assert "unsafe-inline" not in policy, path
            assert "default-src 'none'" in policy, path
            assert "frame-ancestors 'none'" in policy, path
            assert "nosniff" == headers["X-Content-Type-Options"], path

    async def test_a_wrong_bearer_token_opens_nothing(self, browser: Browser) -> None:
        """Not even together with a good session."""
        assert 401 == (await browser.send("GET", "/api/status", headers={"Authorization": "Bearer x"})).code


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

    async def test_the_feed_is_not_for_strangers(self, browser: Browser) -> None:
        """Neither without a session nor from another site's page."""
        url = browser.base.replace("http", "ws") + "/api/live"
        await browser.log_in()
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        foreign = HTTPRequest(url, headers={"Cookie": cookies, "Origin": "http://evil.example"})
        for request in (HTTPRequest(url), foreign):
            with pytest.raises(Exception, match=r"HTTP 40[13]"):
                await websocket.websocket_connect(request)
