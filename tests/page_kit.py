"""A technician with a real browser in front of a whole machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect
from scenario_kit import Bench

CHROMIUM = "/usr/bin/chromium"  # Debian's; the project's set-up installs it
PATIENCE_MS = 30_000  # everything takes far less; this is for a busy computer
PASSWORD = "rain-on-the-tin-roof"
PHONE = (360, 740)
DESKTOP = (1280, 900)
ARTEFACTS = Path(__file__).parents[1] / "artefacts"

expect.set_options(timeout=PATIENCE_MS)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """One browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


class Technician:
    """Opens the page; `trouble` is what went wrong in it."""

    def __init__(self, here: Bench, browser: Browser) -> None:
        self.here = here
        self.address = f"http://127.0.0.1:{here.settings.web.listen.port}/"
        self.trouble: list[str] = []
        self._browser = browser

    async def browse(
        self, *, size: tuple[int, int] = PHONE, scheme: str = "light", address: str | None = None
    ) -> Page:
        """A browser of its own, with cookies of its own, in front of the log-in."""
        context = await self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            locale="en-GB",
        )
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("console", self._heard)
        page.on("request", lambda sent: self._asked(sent.url))
        await page.goto(address or self.address)
        return page

    async def log_in(
        self, *, size: tuple[int, int] = PHONE, scheme: str = "light", address: str | None = None
    ) -> Page:
        """The page, as it stands when the feed has not said anything yet."""
        page = await self.browse(size=size, scheme=scheme, address=address)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await expect(page.locator("#headline")).not_to_be_empty()
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        # The browser itself notes every answer of 4xx and every line that breaks: tests provoke both.
        if message.type == "error" and not message.text.startswith(("Failed to load resource", "WebSocket conn")):
            self.trouble.append(message.text)

    def _asked(self, url: str) -> None:
        if urlsplit(url).hostname not in ("127.0.0.1", None):
            self.trouble.append(f"the page asked another host: {url}")


async def confirm(page: Page, button: str, consequence: str) -> None:
    """Read what a dangerous button says of itself, and go on."""
    dialog = page.locator("#ask")
    await expect(dialog).to_contain_text(consequence)
    await dialog.get_by_role("button", name=button).click()


async def keep_picture(page: Page, name: str) -> None:
    """Keep what the page looks like for whoever wants to see it."""
    ARTEFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)


class Relay:
    """The Wi-Fi between phone and machine: `lost`, nothing gets through any more, and nobody is told."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reach = asyncio.Event()
        self._reach.set()
        self._lines: set[asyncio.Task[None]] = set()
        self.address = ""

    @asynccontextmanager
    async def between(self) -> AsyncIterator[Relay]:
        """Carry bytes at `address` as long as this lasts."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield self
        server.close()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    def lose(self) -> None:
        self._reach.clear()

    def find(self) -> None:
        self._reach.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._lines.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pour(reader, back))
                both.create_task(self._pour(there, writer))
        finally:
            for end in (writer, back):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()
            self._lines.discard(task)

    async def _pour(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._reach.wait()
                target.write(data)
                await target.drain()
            target.write_eof()
