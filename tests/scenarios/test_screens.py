"""A machine and its real screen: taps, a screen that is lost and comes back, pictures while nobody buys."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from scenario_kit import Bench, bench
from screen_kit import BGRX, RGB565, Framebuffers, XServer, codes_in, seen

from display.painter import Painter
from display.scene import TileState
from display.screen import Box, NullScreen, Point
from display.test_pattern import CODE_TEXT
from kiosk.orders import OrderState
from kiosk.settings import DisplayDriver, DisplaySettings
from kiosk.storefront import MINIPROGRAM_TILE
from kiosk.touch import CHOSEN_SECONDS

WIDTH, HEIGHT = 640, 480
WINDOW = DisplaySettings(DisplayDriver.WINDOW, None, 0, 0, 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XServer]:
    started = XServer(tmp_path_factory.mktemp("x"), WIDTH, HEIGHT)
    yield started
    started.kill()


@pytest.fixture
def desktop(server: XServer, monkeypatch: pytest.MonkeyPatch) -> XServer:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.setenv("DISPLAY", server.display)
    return server


async def shows(running: Bench, desktop: XServer, *codes: str | None) -> None:
    """Wait until just these codes can be read off the screen."""
    await running.until(lambda: codes_in(desktop.look()) == set(codes), f"the screen shows {codes}")


def place(running: Bench, product: str) -> Point:
    """The middle of a product's tile, as it is seen now."""
    tiles = Painter(WIDTH, HEIGHT).paint(running.scene()).tiles
    box = next(box for box, tile in tiles if tile.product_id == product)
    return Point((box.left + box.right) // 2, (box.top + box.bottom) // 2)


def large(running: Bench) -> str | None:
    """The product whose code stands alone now."""
    alone = running.scene().large
    return None if alone is None else alone.tile.product_id


class TouchedScreen(NullScreen):
    """A screen without glass: is touched where a test says, and keeps what it was shown."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(width, height)
        self.taps: list[Point] = []
        self.looks = 0  # how often it was asked for taps
        self.shown: list[Image.Image] = []

    @property
    def attention_seconds(self) -> float:  # type: ignore[override] # this one has something to attend to
        return 0.01

    def show(self, image: Image.Image, changed: Sequence[Box]) -> None:
        self.shown += [image.copy()] if changed else []

    def attend(self) -> Sequence[Point]:
        self.looks += 1
        return [self.taps.pop()] if self.taps else []


class TestTouch:
    @pytest.fixture(autouse=True)
    def _quickly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kiosk.storefront.TAKE_GOODS_SECONDS", 0.5)

    async def test_a_tap_opens_a_code_and_a_tap_beside_it_closes_it(self, tmp_path: Path, desktop: XServer) -> None:
        """The product's own code, alone and large, with price and countdown; then all products again."""
        async with bench(tmp_path, display=WINDOW) as running:
            cola, tea = await running.code("cola"), await running.code("tea")
            await shows(running, desktop, cola, tea)
            desktop.tap(*place(running, "cola"))
            await shows(running, desktop, cola)
            alone = running.scene().large
            assert alone is not None
            assert (alone.tile.product_id, alone.tile.price) == ("cola", "¥3.50")
            assert 0 < int("".join(filter(str.isdigit, alone.countdown))) <= CHOSEN_SECONDS
            desktop.tap(2, HEIGHT - 2)
            await shows(running, desktop, cola, tea)
            assert large(running) is None

    async def test_the_countdown_closes_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A customer who walked away leaves the screen to the next one; every second is shown meanwhile."""
        monkeypatch.setattr("kiosk.touch.CHOSEN_SECONDS", 2)
        screen = TouchedScreen(WIDTH, HEIGHT)
        monkeypatch.setattr("kiosk.machine.screen_opener", lambda _: lambda: screen)
        async with bench(tmp_path) as running:
            cola, tea = await running.code("cola"), await running.code("tea")
            await running.until(lambda: screen.shown and codes_in(screen.shown[-1]) == {cola, tea}, "both are shown")
            before = len(screen.shown)
            screen.taps.append(place(running, "tea"))
            await running.until(lambda: len(screen.shown) > before + 2, "it is open, a second passes, it is closed")
            shown = [codes_in(image) for image in screen.shown[before : before + 3]]
        assert shown == [{tea}, {tea}, {cola, tea}]

    async def test_a_renewed_code_takes_the_place_of_the_old_one(self, tmp_path: Path, desktop: XServer) -> None:
        """Mode two: whoever looks at the large code always sees the one that is good."""
        async with bench(tmp_path, display=WINDOW, wechatpay={"code_ttl_seconds": 3}) as running:
            old = await running.code("cola")
            await running.code("tea")
            await running.until(lambda: len(codes_in(desktop.look())) == 2, "both are shown")
            desktop.tap(*place(running, "cola"))
            await running.until(lambda: large(running) == "cola", "it is open")
            new = await running.code("cola", other_than=old)
            await running.until(lambda: codes_in(desktop.look()) - {old} != set(), "the new one is shown")
            assert len(codes_in(desktop.look())) == 1
            assert new != old

    async def test_what_is_sold_out_does_not_open(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """There is nothing to scan, so there is nothing to show; the next product opens as ever."""
        screen = TouchedScreen(WIDTH, HEIGHT)
        monkeypatch.setattr("kiosk.machine.screen_opener", lambda _: lambda: screen)
        async with bench(tmp_path) as running:
            await running.settled(await running.buy("tea"), OrderState.DISPENSED)
            await running.until(lambda: running.tile_state("tea") is TileState.SOLD_OUT, "tea is sold out")
            await running.code("cola")
            await running.until(lambda: running.scene().notice is None, "the goods are taken")
            screen.taps.append(place(running, "tea"))
            await running.until(lambda: not screen.taps, "the tap is taken up")
            looks = screen.looks
            await running.until(lambda: screen.looks > looks + 1, "and has been answered")
            assert large(running) is None
            screen.taps.append(place(running, "cola"))
            await running.until(lambda: large(running) == "cola", "cola is open")

    async def test_the_sale_takes_the_screen_and_gives_it_back_to_all(self, tmp_path: Path, desktop: XServer) -> None:
        """The large code is scanned and paid: vending, goods, then every product with its code."""
        async with bench(tmp_path, display=WINDOW) as running:
            cola, tea = await running.code("cola"), await running.code("tea")
            await shows(running, desktop, cola, tea)
            desktop.tap(*place(running, "cola"))
            await shows(running, desktop, cola)
            number = await running.buy("cola")
            await running.settled(number, OrderState.DISPENSED)
            assert large(running) is None
            await shows(running, desktop, await running.code("cola", other_than=cola), tea)

    async def test_the_mini_program_s_code_opens_too(self, tmp_path: Path, desktop: XServer) -> None:
        """It is a tile like any other."""
        link = "https://pay.example.com/m"
        async with bench(tmp_path, display=WINDOW, miniprogram=True, screen_link=link) as running:
            await running.code("cola")
            await running.code("tea")
            await running.until(lambda: len(codes_in(desktop.look())) == 3, "all three are shown")
            desktop.tap(*place(running, MINIPROGRAM_TILE))
            await shows(running, desktop, f"{link}?m=lobby-1")


def problems(running: Bench) -> set[str]:
    return {problem.code for problem in running.machine.readiness.problems}


class TestLost:
    @pytest.fixture(autouse=True)
    def _quickly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kiosk.stage.SCREEN_RETRY_SECONDS", 0.2)
        monkeypatch.setattr("kiosk.readiness.CHECK_SECONDS", 0.1)
        monkeypatch.setattr("display.framebuffer.WATCH_SECONDS", 0.1)

    async def test_a_framebuffer_that_was_unplugged_comes_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is on the technician's list, the mini-program's customers are served, another screen is taken up."""
        small = replace(BGRX, width=480, height=320)
        other = replace(RGB565, width=800, height=480, padding=64)
        framebuffers = Framebuffers(tmp_path, monkeypatch)
        path = framebuffers.plug(small)
        async with bench(tmp_path, display=DisplaySettings(DisplayDriver.FRAMEBUFFER, path, 0, 0, 0)) as running:
            cola, tea = await running.code("cola"), await running.code("tea")
            await running.until(lambda: codes_in(seen(path, small)) == {cola, tea}, "it shows both codes")
            path.unlink()
            await running.until(lambda: "screen" in problems(running), "the technician is told")
            assert not running.machine.readiness.blocked
            await running.settled(await running.buy("cola"), OrderState.DISPENSED)
            framebuffers.plug(other)
            await running.until(lambda: "screen" not in problems(running), "it is found again")
            await running.code("cola", other_than=cola)
            await running.until(lambda: len(codes_in(seen(path, other))) == 2, "the other one shows both codes")

    async def test_an_x_server_that_crashed_comes_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The machine survives it, says so, sells on, and is on the new one as soon as it is there."""
        folder = tmp_path / "x"
        folder.mkdir()
        server = XServer(folder, WIDTH, HEIGHT)
        monkeypatch.setenv("DISPLAY", server.display)
        try:
            async with bench(tmp_path, display=WINDOW) as running:
                cola, tea = await running.code("cola"), await running.code("tea")
                await shows(running, server, cola, tea)
                server.kill()
                await running.until(lambda: "screen" in problems(running), "the technician is told")
                assert not running.machine.readiness.blocked
                await running.settled(await running.buy("cola"), OrderState.DISPENSED)
                server.start()
                await running.until(lambda: "screen" not in problems(running), "it is found again")
                await shows(running, server, await running.code("cola", other_than=cola), tea)
        finally:
            server.kill()


class TestMistakes:
    async def test_a_picture_that_cannot_be_painted_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A code too large for the screen: on the technician's list with the reason, and the machine sells on."""
        monkeypatch.setattr("kiosk.readiness.CHECK_SECONDS", 0.1)
        link = f"https://pay.example.com/{'m' * 900}"
        async with bench(tmp_path, miniprogram=True, screen_link=link) as running:
            await running.until(lambda: "screen" in problems(running), "the technician is told")
            told = [problem.message for problem in running.machine.readiness.problems if problem.code == "screen"]
            await running.settled(await running.buy("cola"), OrderState.DISPENSED)
        assert "modules does not fit on a screen of 480x320" in told[0]


class TestIdle:
    async def test_pictures_are_shown_beside_the_codes_until_somebody_buys(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Every readable picture of the folder, the others told and skipped; both codes can be read beside them."""
        monkeypatch.setattr("display.slideshow.SLIDE_SECONDS", 0.2)
        folder = tmp_path / "idle"
        folder.mkdir()
        Image.new("RGB", (300, 300), (250, 0, 0)).save(folder / "1.png")
        (folder / "2.png").write_bytes(b"no picture")
        Image.new("RGB", (300, 300), (0, 0, 250)).save(folder / "3.jpg", quality=95)
        screen = tmp_path / "screen.png"
        display = DisplaySettings(DisplayDriver.FILE, screen, 600, 1024, 0, folder, 1)
        with caplog.at_level(logging.WARNING):
            async with bench(tmp_path, display=display) as running:
                await running.code("cola")
                await running.code("tea")
                beside_codes: set[str] = set()  # colours of pictures beside which both codes could be read

                def look() -> str | None:
                    if not screen.exists():
                        return None
                    with Image.open(screen) as image:
                        shown = image.convert("RGB")
                    red, _, blue = shown.getpixel((300, 250))  # type: ignore[misc] # three channels
                    colour = "red" if red > 200 and blue < 50 else "blue" if blue > 200 and red < 50 else ""
                    if len(codes_in(shown)) == 2:  # on a busy computer one may just be made anew
                        beside_codes.add(colour)
                    return colour

                await running.until(
                    lambda: look() is not None and {"red", "blue"} <= beside_codes,
                    "both pictures were shown, and beside each both codes",
                )
                await running.settled(await running.buy("cola"), OrderState.DISPENSED)
                assert running.machine.storefront.scene().notice is not None
                await running.until(lambda: look() == "", "no picture while goods are taken")
        told = [record.getMessage() for record in caplog.records if "2.png" in record.getMessage()]

        assert len(told) == 1
        assert "neither PNG nor JPEG; it is skipped" in told[0]

    async def test_the_test_pattern_is_painted_once_also_while_idle(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing else is due while the technician looks at it."""
        monkeypatch.setattr("display.slideshow.SLIDE_SECONDS", 0.1)
        (tmp_path / "idle").mkdir()
        Image.new("RGB", (300, 300), (250, 0, 0)).save(tmp_path / "idle" / "1.png")
        screen = TouchedScreen(600, 1024)
        monkeypatch.setattr("kiosk.machine.screen_opener", lambda _: lambda: screen)
        display = DisplaySettings(DisplayDriver.NONE, None, 600, 1024, 0, tmp_path / "idle", 1)
        async with bench(tmp_path, display=display) as running:
            await running.code("cola")
            await running.code("tea")
            await running.until(
                lambda: screen.shown and screen.shown[-1].getpixel((300, 250)) == (250, 0, 0), "the picture is shown"
            )
            before = len(screen.shown)
            running.machine.storefront.show_test_pattern()
            await running.until(lambda: len(screen.shown) > before, "the pattern is shown")
            looks = screen.looks
            await running.until(lambda: screen.looks > looks + 20, "some time has passed")
            assert len(screen.shown) == before + 1
            assert codes_in(screen.shown[-1]) == {CODE_TEXT}

    async def test_where_there_is_no_room_it_is_said_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The codes come first; the log tells why no picture is seen, but not while there is another reason."""
        monkeypatch.setattr("kiosk.stage.SLIDE_SECONDS", 0.05)
        screen = TouchedScreen(400, 320)
        monkeypatch.setattr("kiosk.machine.screen_opener", lambda _: lambda: screen)
        display = DisplaySettings(DisplayDriver.NONE, None, 400, 320, 0, tmp_path, 0)
        with caplog.at_level(logging.WARNING):
            async with bench(tmp_path, display=display) as running:
                await running.until(lambda: "leave them no room" in caplog.text, "it is said")
                looks = screen.looks
                await running.until(lambda: screen.looks > looks + 20, "some turns have passed")
        told = [record.getMessage() for record in caplog.records if record.name == "kiosk.stage"]

        assert told == ["no idle pictures are shown: 2 products leave them no room"]
