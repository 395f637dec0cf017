"""What changes the machine: booked with who and when, refused in words when it cannot be, never half done."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import zipfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from local_kit import BEARER, PASSWORD, Browser
from scenario_kit import API_TOKEN, Bench, bench

from kiosk.database import DatabaseError
from kiosk.logs import LineFormatter, recent
from kiosk.orders import OrderState
from kiosk.records import Step
from kiosk.web.handlers import MAX_BODY_BYTES
from kiosk.web.local import MAX_READ_BYTES
from kiosk.web.password import set_password


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    set_password(tmp_path / "password", PASSWORD)
    async with bench(tmp_path) as here:
        yield Browser(here)


async def everything(here: Bench) -> tuple[Any, ...]:
    """What a technician can change, and every line that the journal has of it."""
    journal = here.machine.journal
    switches = [await journal.switch(name) for name in ("out_of_service", "language")]
    return (await journal.slots(), switches, await journal.changes(1000), here.machine.storefront.language)


class TestBadInput:
    STOCKS = (-1, 4, 10_000, 2**70, "3", 2.5, True, None, [], {})
    REFUSED = (
        *(("/api/slots/11/restock", {"stock": stock}, 400, "0 to 3") for stock in STOCKS),
        ("/api/slots/11/restock", {}, 400, "0 to 3"),
        ("/api/slots/11/restock", {"stock": 2, "seen": 1}, 409, "held 1 when you counted and holds 3 now"),
        ("/api/slots/11/restock", {"stock": 2, "seen": "x"}, 409, "count again"),
        *((f"/api/slots/99/{act}", {"stock": 1}, 404, "no slot 99") for act in ("restock", "enable", "test-vend")),
        ("/api/slots/99'%20OR%201=1/disable", {}, 404, "no slot 99"),
        ("/api/slots/11/explode", {}, 404, "nothing here"),
        ("/api/slots/fill", {"seen": [3]}, 400, "the stock that was shown"),
        ("/api/slots/fill", {"seen": {"11": 3, "12": 1}}, 409, "slot 12 held 1 when you counted"),
        *(("/api/out-of-service", {"text": text}, 400, "at most 60") for text in (None, 1, "x" * 61, ["a"])),
        ("/api/out-of-service", {}, 400, "at most 60"),
        *(("/api/language", {"language": language}, 400, "zh_CN, en") for language in ("fr", None, ["en"], {})),
        ("/api/orders/lobby-1-nothing/refund", {}, 404, "no order lobby-1-nothing"),
        *((f"/api/days/{day}/close", {}, 400, "is no day") for day in ("yesterday", "2026-13-01", "0001-01-01")),
        ("/api/days/2999-01-01/close", {}, 409, "not over yet"),
        ("/api/prove", {"password": "x"}, 400, "within a session"),
    )
    BROKEN = (b"{", b"[1]", b"null", b'"stock"', b"\xff\xfe", b"stock=1", b"[" * 30_000)
    QUERIES = (
        *(("/api/orders?limit=" + limit, "limit must be 1 to 500") for limit in ("0", "501", "-1", "x", "1e3", "٣")),
        ("/api/orders?state=sold", "no state sold"),
        ("/api/orders?day=2026-02-30", "is no day"),
        ("/api/days/today", "is no day"),
        ("/api/sales?days=93", "days must be 1 to 92"),
        ("/api/sales?last=never", "is no day"),
        ("/api/log?level=loud", "no level loud"),
        ("/screen.png?width=1", "width must be"),
    )

    async def test_what_cannot_be_is_refused_with_what_would_be_right(self, browser: Browser) -> None:
        """Wrong types, numbers out of range, unknown slots, orders and days: a sentence, and nothing has changed."""
        before = await everything(browser.here)
        for path, body, status, words in self.REFUSED:
            code, answer = await browser.api("POST", path, body)

            assert status == code, (path, body, answer)
            assert words in answer["error"]["message"], (path, body)
            assert answer["error"]["text"]["zh_CN"], path
        assert before == await everything(browser.here)

    async def test_a_question_that_cannot_be_is_refused(self, browser: Browser) -> None:
        """400 with what would be right."""
        for path, words in self.QUERIES:
            code, answer = await browser.api("GET", path)

            assert (400, True) == (code, words in answer["error"]["message"]), (path, answer)

    async def test_a_body_that_is_no_object_is_refused(self, browser: Browser) -> None:
        """Cut off, another kind of value, no text at all, nested without end: 400, and nothing has changed."""
        before = await everything(browser.here)
        for body in self.BROKEN:
            answer = await browser.send("POST", "/api/slots/11/restock", body, BEARER)

            assert 400 == answer.code, body[:20]
            assert "JSON object" in json.loads(answer.body)["error"]["message"]
        assert before == await everything(browser.here)

    async def test_a_huge_body_is_refused(self, browser: Browser) -> None:
        """More than 64 KiB: 413 with the limit; far more is not even read. Nothing has changed."""
        before = await everything(browser.here)
        large = await browser.send("POST", "/api/slots/11/restock", b" " * (MAX_BODY_BYTES + 1), BEARER)
        login = await browser.send("POST", "/login", b"password=" + b"x" * MAX_BODY_BYTES)
        reader, writer = await asyncio.open_connection("127.0.0.1", browser.here.settings.web.listen.port)
        head = f"POST /api/slots/11/restock HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_READ_BYTES + 1}\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()

        assert (413, 413) == (large.code, login.code)
        assert "at most 64 KiB" in json.loads(large.body)["error"]["message"]
        assert answer.startswith(b"HTTP/1.1 400")
        assert before == await everything(browser.here)

    async def test_what_has_no_money_is_not_refunded(self, browser: Browser) -> None:
        """An order that nobody paid: 409 that says so; a second refund of one that is refunded: the same."""
        await browser.here.code("cola")
        _, listed = await browser.api("GET", "/api/orders?state=awaiting_payment")
        unpaid = listed["orders"][0]["out_trade_no"]
        code, answer = await browser.api("POST", f"/api/orders/{unpaid}/refund")

        assert 409 == code
        assert "only a paid order" in answer["error"]["message"]
        assert (0, 0) == browser.here.money(unpaid)

    async def test_a_board_that_is_away_turns_nothing(self, browser: Browser) -> None:
        """409 with why; the stock stays."""
        browser.here.board.unplug()
        await browser.here.until(lambda: browser.here.machine.readiness.blocked, "the machine knows")
        before = (await everything(browser.here))[0]
        code, answer = await browser.api("POST", "/api/slots/11/test-vend")

        assert (409, "board_away") == (code, answer["error"]["code"])
        assert before == (await everything(browser.here))[0]


class TestTwoAtOnce:
    async def test_one_of_two_counts_is_booked(self, browser: Browser) -> None:
        """Two technicians who saw the same stock: one is booked, the other is told and counts again."""
        answers = await asyncio.gather(
            *(browser.api("POST", "/api/slots/11/restock", {"stock": n, "seen": 3}) for n in (1, 2))
        )
        stock = (await browser.here.machine.journal.slots())["11"].stock

        assert [200, 409] == sorted(code for code, _ in answers)
        assert [stock] == [answer["slot"]["stock"] for code, answer in answers if code == 200]

    async def test_one_of_two_refunds_is_asked_for(self, browser: Browser) -> None:
        """The money goes back once."""
        here = browser.here
        number = await here.buy("cola")
        await here.settled(number, OrderState.DISPENSED)
        answers = await asyncio.gather(*(browser.api("POST", f"/api/orders/{number}/refund") for _ in range(2)))
        await here.settled(number, OrderState.REFUNDED)

        assert [202, 409] == sorted(code for code, _ in answers)
        assert (350, 350) == here.money(number)

    async def test_one_of_two_test_vends_turns(self, browser: Browser) -> None:
        """The other is told that the board is busy."""
        answers = await asyncio.gather(*(browser.api("POST", f"/api/slots/{n}/test-vend") for n in ("11", "12")))

        assert [200, 409] == sorted(code for code, _ in answers)
        assert 1 == len(browser.here.board.drops)


class TestBooks:
    async def test_every_change_is_booked_with_who_and_when(self, browser: Browser) -> None:
        """Each route that changes something leaves an event of its own: who, when, and what in two languages."""
        here = browser.here
        number = await here.buy("cola")
        order = await here.settled(number, OrderState.DISPENSED)
        # As after a reset of an MDB machine in mid-vend: it counts as dispensed, a person is to look.
        presumed = Step(order._replace(reason="by the rule of MDB"), "dispensed", {"presumed": True})
        await here.machine.journal.update(number, lambda *_: presumed)
        began = datetime.now(UTC)
        await browser.log_in()
        token = {"X-XSRFToken": await browser.form_token()}
        yesterday = (datetime.now(UTC).astimezone() - timedelta(days=1)).date()
        acts: list[tuple[str, object, str]] = [
            ("/api/slots/11/restock", {"stock": 1}, "restock"),
            ("/api/slots/fill", {}, "restock"),
            ("/api/slots/12/disable", {}, "disable"),
            ("/api/slots/12/enable", {}, "enable"),
            ("/api/slots/21/test-vend", {}, "test_vend_delivered"),
            ("/api/out-of-service", {"text": "正在补货"}, "switch_out_of_service"),
            ("/api/out-of-service", {"text": ""}, "switch_out_of_service"),
            ("/api/language", {"language": "en"}, "switch_language"),
            ("/api/screen-test", {}, "screen_test"),
            (f"/api/days/{yesterday}/close", {}, "day_closed"),
            (f"/api/orders/{number}/delivered", {}, "delivery_confirmed"),
            (f"/api/orders/{number}/refund", {}, "refund_requested"),
        ]
        for path, body, kind in acts:
            answer = await browser.send("POST", path, json.dumps(body), token)
            _, changes = await browser.api("GET", "/api/changes")
            _, story = await browser.api("GET", f"/api/orders/{number}")
            newest = [*changes["changes"][:3], *story["events"]]
            event = next(event for event in newest if event["kind"] == kind)

            assert answer.code in (200, 202), path
            assert "technician 127.0.0.1" == event["detail"]["who"], path
            assert began <= datetime.fromisoformat(event["at"]) <= datetime.now(UTC), path
            if kind != "test_vend_delivered":
                assert all("technician 127.0.0.1" in event["text"][language] for language in ("en", "zh_CN")), path

        routes: Any = here.machine._local.request_callback  # no public face tells all routes
        patterns = [rule.matcher.regex for rule in routes.wildcard_router.rules if "post" in vars(rule.target)]
        booked_elsewhere = {"/login", "/logout", "/api/prove"}  # the log tells of them
        tried = {pattern.pattern for pattern in patterns for path, _, _ in acts if pattern.match(path)}
        assert booked_elsewhere == {
            pattern.pattern.rstrip("$") for pattern in patterns if pattern.pattern not in tried
        }

    async def test_a_script_is_told_from_a_technician(self, browser: Browser) -> None:
        """Who came with the token is booked as such."""
        await browser.api("POST", "/api/slots/12/disable")
        _, told = await browser.api("GET", "/api/changes")

        assert "token 127.0.0.1" == told["changes"][0]["detail"]["who"]

    async def test_filling_is_one_change_of_all_slots(self, browser: Browser) -> None:
        """Every slot holds what fits, each booked with what was added; a jam stays until somebody has looked."""
        here = browser.here
        here.board.jam(11)
        await here.settled(await here.buy("cola"), OrderState.DISPENSED)
        code, answer = await browser.api("POST", "/api/slots/fill", {"seen": {"11": 3, "12": 1, "21": 1}})
        _, told = await browser.api("GET", "/api/changes")

        assert (200, [3, 2, 1]) == (code, [slot["stock"] for slot in answer["slots"]])
        assert "jammed" == answer["slots"][0]["state"]
        assert ["+0", "+1", "+0"] == [event["text"]["en"][-4:-2] for event in reversed(told["changes"][:3])]

    async def test_a_test_vend_of_an_empty_slot_invents_no_stock(self, browser: Browser) -> None:
        """Nothing was taken from the books, so nothing comes back when nothing drops."""
        await browser.api("POST", "/api/slots/21/restock", {"stock": 0})
        browser.here.board.jam(21)
        code, answer = await browser.api("POST", "/api/slots/21/test-vend")

        assert (200, "not_delivered", 0) == (code, answer["outcome"], answer["slot"]["stock"])

    async def test_a_journal_that_cannot_be_written_is_told(
        self, browser: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """503 that says that nothing was changed; the slot is what it was."""
        journal = browser.here.machine.journal
        before = await journal.slots()

        async def refuse(*_: object) -> None:
            raise DatabaseError("the disk is full")

        monkeypatch.setattr(journal, "change_slots", refuse)
        code, answer = await browser.api("POST", "/api/slots/11/disable")

        assert (503, "journal_stuck") == (code, answer["error"]["code"])
        assert "the disk is full" in answer["error"]["message"]
        assert before == await journal.slots()


class TestSupportFile:
    @pytest.fixture
    def log(self) -> Iterator[logging.Logger]:
        """The log as the program sets it up, kept for the page."""
        root = logging.getLogger()
        kept = recent.formatter
        root.addHandler(recent)
        yield logging.getLogger("kiosk.tests")
        root.removeHandler(recent)
        recent.setFormatter(kept)

    async def test_no_secret_leaves_the_machine(self, tmp_path: Path, log: logging.Logger) -> None:
        """Every secret is sent through the log in every form, and stands in the ini: no answer shows one."""
        set_password(tmp_path / "password", PASSWORD)
        customer = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
        async with bench(tmp_path, miniprogram=True) as here:
            browser = Browser(here)
            settings = here.settings
            assert settings.miniprogram is not None
            secrets = [settings.wechatpay.api_key, API_TOKEN, settings.miniprogram.app_secret]
            recent.setFormatter(LineFormatter(settings.secrets))
            settings.path.write_text(f"[wechatpay]\napi_key = {secrets[0]}\n[web]\n# {API_TOKEN}\n")
            await browser.log_in()
            number = await here.buy("cola", customer)
            await here.settled(number, OrderState.DISPENSED)
            hidden = [*secrets, PASSWORD, browser.cookies["kiosk_session"], customer]
            for secret in hidden:
                log.warning("<sign>%s</sign> <openid><![CDATA[%s]]></openid>", secret, secret)
                log.warning('{"session_key": "%s", "password": "%s"}', secret, secret)
                log.warning("GET /?secret=%s&openid=%s", secret, secret)
                log.warning("Authorization: Bearer %s", secret)
                log.warning("Cookie: kiosk_session=%s", secret)
            for secret in secrets:
                log.warning("bare: %s", secret)
                log.error("a mistake with %s", secret, exc_info=RuntimeError(secret))
            packed = await browser.send("GET", "/api/support.zip", headers=BEARER)
            shown = {
                path: (await browser.send("GET", path, headers=BEARER)).body.decode()
                for path in (
                    *("/api/log", "/api/status", "/api/machine", "/api/orders", "/api/orders.csv", "/api/changes"),
                    *(f"/api/orders/{number}", "/metrics"),
                )
            }
        hidden.append((tmp_path / "password").read_text().strip().rpartition("$")[2])
        with zipfile.ZipFile(io.BytesIO(packed.body)) as archive:
            files = {name: archive.read(name).decode() for name in archive.namelist()}

        assert {"status.json", "machine.json", "orders.csv", "stories.json", "log.txt", "kiosk.ini"} == files.keys()
        assert number in files["orders.csv"]
        assert number in files["stories.json"]
        assert "a mistake with" in files["log.txt"]
        for name, text in {**files, **shown}.items():
            for secret in hidden:
                assert secret not in text, f"{name} shows {secret}"
