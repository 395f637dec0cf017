"""The live page: from a change on the machine until it is in the browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from bench.machine_ini import Place, furnish
from bench.processes import READY_SECONDS, running
from bench.table import Line, Row, Scale, milliseconds
from bench.values import TOKEN
from kiosk.web.password import set_password

LIMIT_MS = 50
PAUSE_SECONDS = 0.3  # between two changes: longer than the feed gathers changes for
SLOT = "11"
FIRST_STOCK = 501  # of 999: the page says "501 / 999"
PASSWORD = "rain-on-the-tin-roof"
_BEARER = {"Authorization": f"Bearer {TOKEN}"}
# Notes, in milliseconds since 1970, when text that was waited for first stood anywhere in the page.
_WATCH = """
() => {
  window.arrived = {};
  const look = () => {
    const text = document.body.textContent;
    for (const stock of text.match(/\\d{3}(?= \\/ 999)/g) || []) {
      window.arrived[stock] ??= performance.timeOrigin + performance.now();
    }
  };
  const everything = {subtree: true, childList: true, characterData: true, attributes: true};
  new MutationObserver(look).observe(document.body, everything);
}
"""


class _Watcher:
    """A page's connection, which notes when each stock of the slot was heard of."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self.connection = connection
        self.arrived: dict[int, float] = {}

    async def watch(self) -> None:
        """Until the machine hangs up."""
        while (message := await self.connection.read_message()) is not None:
            told: dict[str, Any] = json.loads(message)
            if told["type"] == "status":
                stock = next(slot["stock"] for slot in told["status"]["slots"] if slot["id"] == SLOT)
                self.arrived.setdefault(stock, time.time())


async def _change(place: Place, stock: int) -> float:
    """Fill the slot; when it was asked for."""
    began = time.time()
    body = json.dumps({"stock": stock})
    await AsyncHTTPClient().fetch(f"{place.web}/api/slots/{SLOT}/restock", method="POST", body=body, headers=_BEARER)
    return began


async def _sells(place: Place) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            with contextlib.suppress(OSError, HTTPClientError):
                await AsyncHTTPClient().fetch(f"{place.web}/api/status", headers=_BEARER)
                return
            await asyncio.sleep(0.01)


async def measure(scale: Scale) -> list[Row]:
    """One row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = furnish(folder)
        set_password(folder / "password", PASSWORD)
        async with running("-m", "kiosk", "run", "-c", str(place.ini), ready=False):
            await _sells(place)
            feed = f"ws://127.0.0.1:{place.web_port}/api/live"
            watchers = [
                _Watcher(await websocket_connect(HTTPRequest(feed, headers=_BEARER))) for _ in range(scale.watchers)
            ]
            tasks = [asyncio.create_task(watcher.watch()) for watcher in watchers]
            seen = await _in_a_browser(place, scale) if scale.browser else {}
            asked = {} if scale.browser else await _changes(place, scale.changes)
            asked |= seen.pop("asked", {})
            for watcher in watchers:
                watcher.connection.close()
            await asyncio.gather(*tasks)
    heard = [watcher.arrived[stock] - began for watcher in watchers for stock, began in asked.items()]
    median = statistics.median(heard)
    slowest = statistics.median(max(w.arrived[stock] for w in watchers) - began for stock, began in asked.items())
    limit = f"{LIMIT_MS} ms or less"
    lines = [
        Line(
            f"heard by {scale.watchers} open pages, median",
            milliseconds(median),
            None,
            limit,
            median * 1000 <= LIMIT_MS,
        ),
        Line("by the last of them", milliseconds(slowest)),
    ]
    if scale.browser:
        shown = statistics.median(seen["arrived"][str(stock)] / 1000 - began for stock, began in asked.items())
        what = "in the page of a real Chromium, beside them"
        lines.append(Line(what, milliseconds(shown), None, limit, shown * 1000 <= LIMIT_MS))
    return [Row("a change on the machine, until it is in the browser", lines)]


async def _changes(place: Place, count: int) -> dict[int, float]:
    asked = {}
    for stock in range(FIRST_STOCK, FIRST_STOCK + count):
        asked[stock] = await _change(place, stock)
        await asyncio.sleep(PAUSE_SECONDS)
    return asked


async def _in_a_browser(place: Place, scale: Scale) -> dict[str, dict[Any, float]]:
    from playwright.async_api import async_playwright  # noqa: PLC0415 - not for a test that the rows run

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(f"{place.web}/login")
        await page.fill("input[type=password]", PASSWORD)
        await page.press("input[type=password]", "Enter")
        await page.wait_for_url(f"{place.web}/")
        await page.wait_for_function("() => /999/.test(document.body.textContent)")
        await page.evaluate(_WATCH)
        asked = await _changes(place, scale.changes)
        arrived = await page.evaluate("() => window.arrived")
        await browser.close()
    return {"asked": asked, "arrived": arrived}


def _chromium() -> str:
    import shutil  # noqa: PLC0415 - as above

    return next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
