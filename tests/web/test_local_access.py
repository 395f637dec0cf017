"""Who may use the technician's listener, and what protects a browser that does (docs/security.md names each)."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from local_kit import BEARER, PASSWORD, Browser
from scenario_kit import bench
from tornado import web, websocket
from tornado.httpclient import HTTPClientError, HTTPRequest

from kiosk.orders import OrderState
from kiosk.web import auth
from kiosk.web.auth import Doorkeeper, Session, Sessions, TooSoon
from kiosk.web.handlers import Guarded
from kiosk.web.local import LiveHandler
from kiosk.web.password import set_password

OPEN = {"/login", "/healthz", "/static/page.css"}  # what anybody may see


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    set_password(tmp_path / "password", PASSWORD)
    async with bench(tmp_path) as here:
        yield Browser(here)


def routes(browser: Browser) -> list[tuple[str, type[web.RequestHandler]]]:
    """Every path of the running listener, with one value for whatever varies, and what serves it."""
    application: Any = browser.here.machine._local.request_callback  # no public face tells all routes
    found = []
    for rule in application.wildcard_router.rules:
        path = rule.matcher.regex.pattern.rstrip("$").replace("\\.", ".")
        path = path.replace("(.*)", "page.css").replace("([^/]{1,64})", "11")
        path = re.sub(r"\((\w[\w-]*)[^)]*\)", r"\1", path)
        found.append((path, rule.target))
    assert len(found) > 25
    return found


def has(handler: type[web.RequestHandler], method: str) -> bool:
    return getattr(handler, method) is not getattr(web.RequestHandler, method)


class TestRoutes:
    async def test_without_a_session_there_is_only_the_login(self, browser: Browser) -> None:
        """Whatever route and method: the page leads to /login, all else is 401; open is what is meant to be."""
        for path, handler in routes(browser):
            for method in ("GET", "POST"):
                code = (await browser.send(method, path)).code
                if path in OPEN:
                    assert not issubclass(handler, Guarded)
                elif path in ("/", "/logout"):
                    assert 302 == code, (method, path)
                else:
                    assert issubclass(handler, (Guarded, LiveHandler))
                    assert 401 == code, (method, path)

    async def test_every_answer_has_the_security_headers(self, browser: Browser) -> None:
        """Pages, errors, files, refusals, with and without a session: nothing inline, no sniffing, in no frame."""
        for logged_in in (False, True):
            if logged_in:
                await browser.log_in()
            paths = [path for path, _ in routes(browser)] + ["/nothing", "/static/nothing", "/api/orders?state=x"]
            for path in paths:
                for method in ("GET", "POST", "DELETE"):
                    headers = (await browser.send(method, path)).headers
                    policy = headers["Content-Security-Policy"]

                    assert "unsafe" not in policy, path
                    assert "default-src 'none'" in policy, path
                    assert "frame-ancestors 'none'" in policy, path
                    assert "nosniff" == headers["X-Content-Type-Options"], path
                    assert "same-origin" == headers["Cross-Origin-Opener-Policy"], path
                    assert "same-origin" == headers["Referrer-Policy"], path
                    assert ("no-cache" if path.startswith("/static") else "no-store") == headers["Cache-Control"]

    async def test_no_error_shows_a_trace_or_the_servers_make(self, browser: Browser) -> None:
        """An error is a code and a sentence in both languages, whatever asks for it."""
        for path in ("/nothing", "/api/orders/no-such", "/api/days/x", "/static/nothing"):
            answer = await browser.send("GET", path, headers=BEARER)
            text = answer.body.decode()

            assert "Traceback" not in text
            assert '"zh_CN"' in text, path
            assert "tornado" not in answer.headers["Server"].lower()

    async def test_a_change_needs_the_token_of_the_form_and_this_site(self, browser: Browser) -> None:
        """Every route that changes something: without the token, with a wrong one, from a foreign page: 403."""
        await browser.log_in()
        token = await browser.form_token()
        foreign = [
            {"Origin": "http://evil.example"},
            *({"Sec-Fetch-Site": f"{each}-site"} for each in ("cross", "same")),
        ]
        bad = [{}, {"X-XSRFToken": "2|x|y|1"}, *({"X-XSRFToken": token, **each} for each in foreign)]
        changing = [path for path, handler in routes(browser) if has(handler, "post")]
        for path in changing:
            for headers in bad:
                assert 403 == (await browser.send("POST", path, "{}", headers)).code, (path, headers)

        assert 10 <= len(changing)
        assert 200 == (await browser.send("POST", "/api/slots/11/disable", "{}", {"X-XSRFToken": token})).code

    async def test_nothing_is_changed_by_looking(self, browser: Browser) -> None:
        """A route that changes something does not answer to GET; one that shows something does not to POST."""
        await browser.log_in()
        token = {"X-XSRFToken": await browser.form_token()}
        for path, handler in routes(browser):
            if not issubclass(handler, Guarded):
                continue
            assert has(handler, "get") != has(handler, "post"), path
            method = "POST" if has(handler, "get") else "GET"
            assert 405 == (await browser.send(method, path, "{}", token)).code, path

    async def test_a_name_is_text_whatever_stands_in_it(self, tmp_path: Path) -> None:
        """Markup in what an ini or a technician wrote ends no element of the page; scripts read it as it was."""
        name = "</script><b>Lobby & hall</b>"
        set_password(tmp_path / "password", PASSWORD)
        async with bench(tmp_path, kiosk={"name": name}) as here:
            browser = Browser(here)
            await browser.log_in()
            await here.machine.readiness.switch_out_of_service("</script><i>noon", "tester")
            page = (await browser.send("GET", "/")).body.decode()
        came_with_it = re.search(r'<data id="first" value="([^"]*)"', page)

        assert "<b>" not in page
        assert "<i>" not in page
        assert re.search(r"<script(?![^>]*src=)|<style| style=| on[a-z]+=", page) is None
        assert came_with_it is not None
        status = json.loads(html.unescape(came_with_it[1]))["status"]
        assert (name, "</script><i>noon") == (status["name"], status["out_of_service"])

    async def test_a_wrong_bearer_token_opens_nothing(self, browser: Browser) -> None:
        """Not even together with a good session."""
        await browser.log_in()
        assert 401 == (await browser.send("GET", "/api/status", headers={"Authorization": "Bearer x"})).code

    async def test_the_feed_is_not_for_strangers(self, browser: Browser) -> None:
        """Neither without a session nor from another site's page; a session that ends ends the feed."""
        url = browser.base.replace("http", "ws") + "/api/live"
        await browser.log_in()
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
        foreign = HTTPRequest(url, headers={**cookies, "Origin": "http://evil.example"})
        for request in (HTTPRequest(url), foreign):
            with pytest.raises(HTTPClientError, match=r"HTTP 40[13]"):
                await websocket.websocket_connect(request)
        feed = await websocket.websocket_connect(HTTPRequest(url, headers=cookies))
        await feed.read_message()
        await browser.send("POST", "/logout", f"_xsrf={await browser.form_token()}")
        async with asyncio.timeout(30):
            while await feed.read_message() is not None:
                pass
        feed.close()

        assert 4401 == feed.close_code


class TestSession:
    async def test_logging_in_and_out(self, browser: Browser) -> None:
        """The right password opens, logging out closes on the server: the old cookie opens nothing any more."""
        answer = await browser.log_in()
        inside = (await browser.send("GET", "/api/status")).code
        kept = dict(browser.cookies)
        await browser.send("POST", "/logout", f"_xsrf={await browser.form_token()}")
        browser.cookies = kept

        assert (303, 200, 401) == (answer.code, inside, (await browser.send("GET", "/api/status")).code)

    async def test_the_cookies_are_for_this_site_only_and_for_no_script(self, browser: Browser) -> None:
        """Every cookie that is set: HttpOnly and SameSite=Strict, for no other host."""
        page, answer = await browser.send("GET", "/login"), await browser.log_in()
        cookies = page.headers.get_list("Set-Cookie") + answer.headers.get_list("Set-Cookie")

        assert {"_xsrf", "kiosk_session"} == {each.split("=")[0] for each in cookies}
        for each in cookies:
            attributes = {part.strip().lower() for part in each.split(";")[1:]}
            assert {"httponly", "samesite=strict", "path=/"} <= attributes
            assert not any(part.startswith("domain") for part in attributes)

    async def test_by_tls_the_cookies_are_for_tls_only(self, browser: Browser) -> None:
        """Behind a proxy with TLS on the same board: Secure, the session's under a `__Host-` name, and it opens."""
        tls = {"X-Forwarded-Proto": "https"}
        page = await browser.send("GET", "/login", headers=tls)
        token = re.search(r'name="_xsrf" value="([^"]+)"', page.body.decode())
        assert token is not None
        answer = await browser.send("POST", "/login", f"_xsrf={token[1]}&password={PASSWORD}", tls)
        cookies = answer.headers.get_list("Set-Cookie")

        assert ["__Host-kiosk_session"] == [each.split("=")[0] for each in cookies]
        assert "secure" in cookies[0].lower()
        assert 200 == (await browser.send("GET", "/api/status", headers=tls)).code
        assert 401 == (await browser.send("GET", "/api/status")).code

    async def test_behind_a_proxy_the_technicians_own_address_is_booked(self, browser: Browser) -> None:
        """Of what a proxy on this board tells, the last address is its own finding; what is none is not believed."""
        for forwarded in ("10.0.0.9, 192.168.1.5", "192.168.1.5, nonsense"):
            await browser.send("POST", "/api/slots/12/disable", "{}", {**BEARER, "X-Forwarded-For": forwarded})
        _, told = await browser.api("GET", "/api/changes")

        assert ["token 127.0.0.1", "token 192.168.1.5"] == [each["detail"]["who"] for each in told["changes"][:2]]

    async def test_a_login_form_that_is_too_old_is_shown_anew(self, browser: Browser) -> None:
        """403 with a form and a sentence, not a bare error."""
        page = await browser.send("POST", "/login", f"_xsrf=2|x|y|1&password={PASSWORD}")

        assert 403 == page.code
        assert "load it again" in page.body.decode()
        assert 'name="password"' in page.body.decode()

    async def test_each_login_has_a_token_of_its_own(self, browser: Browser) -> None:
        """A session token is new at every login and has 256 bits; the one before it is over."""
        await browser.log_in()
        first = dict(browser.cookies)
        await browser.log_in()
        second, browser.cookies = browser.cookies, first

        assert first["kiosk_session"] != second["kiosk_session"]
        assert len(second["kiosk_session"]) >= 43
        assert 401 == (await browser.send("GET", "/api/status")).code

    async def test_what_the_page_asks_by_itself_keeps_no_session_alive(
        self, browser: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a person asks for counts as use; what the page says that it asks by itself, and the log, do not."""
        used: list[bool] = []
        find = Sessions.find

        def spy(sessions: Sessions, token: str, **more: bool) -> Session | None:
            used.append(more.get("used", True))
            return find(sessions, token, **more)

        await browser.log_in()
        monkeypatch.setattr(Sessions, "find", spy)
        for path, headers in (("/api/status", {}), ("/api/status", {"X-By-Itself": "1"}), ("/api/log", {})):
            await browser.send("GET", path, headers=headers)

        assert [True, False, False] == used

    async def test_no_password_no_page(self, tmp_path: Path) -> None:
        """There is no default account: before a password is set the page says how to set one, and lets nobody in."""
        async with bench(tmp_path) as here:
            page = await Browser(here).send("GET", "/login")

            assert 503 == page.code
            assert "kiosk set-password" in page.body.decode()

    async def test_money_and_motors_want_the_password_again(
        self, browser: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Some minutes after the log-in a refund and a test vend are refused until the password is given again."""
        number = await browser.here.buy("cola")
        await browser.here.settled(number, OrderState.DISPENSED)
        await browser.log_in()
        token = {"X-XSRFToken": await browser.form_token()}
        acts = (f"/api/orders/{number}/refund", "/api/slots/21/test-vend")
        monkeypatch.setattr(auth, "PROOF_SECONDS", -1.0)  # as if they had passed
        refused = [await browser.send("POST", path, "{}", token) for path in acts]
        monkeypatch.undo()
        wrong = await browser.send("POST", "/api/prove", '{"password": "not it"}', token)
        right = await browser.send("POST", "/api/prove", f'{{"password": "{PASSWORD}"}}', token)
        allowed = [(await browser.send("POST", path, "{}", token)).code for path in acts]

        assert [403, 403] == [answer.code for answer in refused]
        assert all(b'"prove_it"' in answer.body for answer in refused)
        assert (403, 200, [202, 200]) == (wrong.code, right.code, allowed)
        assert [11, 21] == [drop.selection for drop in browser.here.board.drops]


class HandTime:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> HandTime:
    return HandTime()


@pytest.fixture
def door(tmp_path: Path, time: HandTime) -> Doorkeeper:
    set_password(tmp_path / "password", PASSWORD)
    return Doorkeeper(tmp_path / "password", None, time)


class TestLimits:
    async def test_a_session_that_nobody_uses_ends(self, door: Doorkeeper, time: HandTime) -> None:
        """After half an hour; whoever uses it within that time goes on."""
        token = await door.log_in("192.168.1.5", PASSWORD) or ""
        seen = []
        for minutes in (29, 29, 31):
            time.seconds += minutes * 60
            seen.append(door.sessions.find(token) is not None)

        assert [True, True, False] == seen

    async def test_watching_alone_does_not_keep_it(self, door: Doorkeeper, time: HandTime) -> None:
        """A page that lies open and is fed is no person."""
        token = await door.log_in("192.168.1.5", PASSWORD) or ""
        for _ in range(31):
            time.seconds += 60
            door.sessions.find(token, used=False)

        assert door.sessions.find(token) is None

    async def test_no_session_lasts_longer_than_a_working_day(self, door: Doorkeeper, time: HandTime) -> None:
        """Twelve hours after the log-in it is over, however busy it was."""
        token = await door.log_in("192.168.1.5", PASSWORD) or ""
        alive = 0
        for _ in range(13 * 6):
            time.seconds += 600
            alive += door.sessions.find(token) is not None

        assert 12 * 6 == alive

    async def test_guessing_is_slow_and_locks_nobody_out(self, door: Doorkeeper, time: HandTime) -> None:
        """100 guesses in 100 s: few are looked at; the technician gets in, from elsewhere and from there."""
        looked_at = 0
        for _ in range(100):
            time.seconds += 1
            try:
                await door.log_in("192.168.1.66", "guess")
                looked_at += 1
            except TooSoon:
                pass
        elsewhere = await door.log_in("192.168.1.5", PASSWORD)
        with pytest.raises(TooSoon) as told:
            await door.log_in("192.168.1.66", PASSWORD)
        time.seconds += told.value.whole_seconds
        there = await door.log_in("192.168.1.66", PASSWORD)

        assert looked_at <= 10
        assert told.value.whole_seconds <= 30
        assert None not in (elsewhere, there)

    async def test_guessing_from_many_addresses_is_slow_too(self, door: Doorkeeper, time: HandTime) -> None:
        """150 addresses: about one guess a second is looked at; a newcomer waits no longer than that second."""
        looked_at = 0
        for number in range(150):
            time.seconds += 0.1
            try:
                await door.log_in(f"fe80::{number:x}", "guess")
                looked_at += 1
            except TooSoon:
                pass
        time.seconds += 1

        assert looked_at <= 30 + 15
        assert await door.log_in("192.168.1.5", PASSWORD) is not None

    async def test_wrong_passwords_are_slowed_down(self, browser: Browser) -> None:
        """Over HTTP: after a few slips a try has to wait, even with the right password; it is told how long."""
        codes = [(await browser.log_in("wrong")).code for _ in range(4)]
        answer = await browser.log_in()

        assert [403, 403, 403] == codes[:3]
        assert 429 == answer.code
        assert 1 <= int(answer.headers["Retry-After"]) <= 30
