"""Two years of sales, a million orders: every page and every answer still comes at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

from local_kit import PASSWORD, Browser
from million_kit import MANY_A_DAY, ORDERS, make_million
from scenario_kit import API_TOKEN, bench
from tornado.httpclient import HTTPResponse

from kiosk.orders import OrderState
from kiosk.web.page_words import SALES_STATES
from kiosk.web.password import set_password

LIMIT_SECONDS = 0.2
DAYS_AGO = 700  # near the other end of the journal
TRIES = 10  # the best of them counts: what else the computer does meanwhile is not the machine's


async def best(ask: Callable[[], Awaitable[HTTPResponse]]) -> tuple[float, int]:
    """The shortest time and the status; asks no more once it was quick enough."""
    shortest, status = 1000.0, 0
    for _ in range(TRIES):
        began = time.perf_counter()
        status = (await ask()).code
        shortest = min(shortest, time.perf_counter() - began)
        if shortest < LIMIT_SECONDS:
            break
    return shortest, status


def long_ago() -> date:
    return (datetime.now(UTC).astimezone() - timedelta(days=DAYS_AGO)).date()


def questions(number: str, transaction: str) -> list[str]:
    """Everything that the page and scripts ask: every filter alone, and what is rare together with what is common."""
    day = long_ago()
    sales = "&".join(f"state={state.value}" for state in SALES_STATES)
    filters = [
        *("", sales, f"day={day}", f"{sales}&day={day}", "product=tea", f"{sales}&product=tea"),
        *(f"search={text}" for text in (number, transaction, number[-6:], "nothing")),
        *(f"state={state.value}&{more}" for state in OrderState for more in ("", "product=tea", f"day={day}")),
        *(f"{sales}&product={product}&day={day}" for product in ("tea", "cola", "nothing")),
        *("product=nothing", f"{sales}&product=nothing", "state=closed&product=nothing"),
        *(f"{sales}&search={number[-6:]}", f"state=refund_failed&search={number}", f"{sales}&limit=500"),
    ]
    return [
        *(
            "/",
            "/login",
            "/api/status",
            "/api/machine",
            "/api/log",
            "/api/changes",
            "/screen.png",
            "/metrics",
            "/healthz",
        ),
        *(f"/api/orders?{narrowed}" for narrowed in filters),
        *(f"/api/orders?{narrowed}&before={number}" for narrowed in filters),
        *("/api/orders?unsettled=1", f"/api/orders/{number}", f"/api/orders.csv?day={day}", f"/api/days/{day}"),
        *("/api/sales", "/api/sales?days=92", f"/api/sales?days=92&last={day}", "/api/support.zip"),
    ]


async def test_every_answer_comes_at_once_with_a_million_orders(tmp_path: Path) -> None:
    """Each page, list, story, sum, file and change within 200 ms; the whole list as CSV begins within it too."""
    await asyncio.to_thread(make_million, tmp_path)
    set_password(tmp_path / "password", PASSWORD)
    number, transaction = f"lobby-1-{ORDERS // 2:012d}-{ORDERS // 2:06d}", f"42000000{ORDERS // 2:020d}"
    times: dict[str, tuple[float, int]] = {}
    async with bench(tmp_path) as here:
        browser = Browser(here)
        await browser.log_in()
        token = {"X-XSRFToken": await browser.form_token()}
        for path in questions(number, transaction):
            times[path] = await best(partial(browser.send, "GET", path))
        for path, body in (
            ("/api/slots/11/restock", '{"stock": 2}'),
            ("/api/slots/fill", "{}"),
            ("/api/slots/11/disable", "{}"),
            ("/api/slots/11/enable", "{}"),
            ("/api/out-of-service", '{"text": "x"}'),
            ("/api/out-of-service", '{"text": ""}'),
            ("/api/language", '{"language": "en"}'),
            ("/api/screen-test", "{}"),
        ):
            times[f"{path} {body}"] = await best(partial(browser.send, "POST", path, body, token))
        begins = min([await first_part(here.settings.web.listen.port) for _ in range(TRIES)])
        _, status = await browser.api("GET", "/api/status")
        _, day = await browser.api("GET", f"/api/days/{long_ago()}")

    assert {200, 202} == {code for _, code in times.values()}
    assert [] == [(path, seconds) for path, (seconds, _) in times.items() if seconds >= LIMIT_SECONDS]
    assert begins < LIMIT_SECONDS
    assert abs(sum(status["orders"].values()) - ORDERS) < 10
    assert abs(day["day"]["sold"]["count"] / MANY_A_DAY - 0.9) < 0.05


async def first_part(port: int) -> float:
    """How long until the first row of the whole list is there; nobody reads the rest."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /api/orders.csv HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_TOKEN}\r\n\r\n".encode())
    await reader.readuntil(b"out_trade_no")
    await reader.readuntil(b"lobby-1-")
    seconds = time.perf_counter() - began
    writer.close()
    await writer.wait_closed()
    return seconds
