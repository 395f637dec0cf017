"""A window on a real X server: the picture as a phone reads it off, taps as a hand makes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import ImageChops
from scenes import chosen, scene
from screen_kit import XServer, codes_in, until

from display.painter import Painter
from display.scene import TileState
from display.screen import ScreenError
from display.window import Window

WIDTH, HEIGHT = 640, 480


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


class TestPicture:
    @pytest.mark.parametrize("rotate", [0, 90, 180, 270])
    def test_it_fills_the_screen_and_is_read_off_it(self, desktop: XServer, rotate: int) -> None:
        """Without a size the window is the whole screen, no pointer over it; every code is read, however it hangs."""
        window = Window(0, 0, rotate)
        try:
            desktop.tap(WIDTH // 2, HEIGHT // 2)  # the pointer stands in the middle from now on
            painted = Painter(*window.size).paint(scene(2))
            window.show(painted.image, painted.changed)
            expected = painted.image.rotate(-rotate, expand=True)
            until(lambda: ImageChops.difference(expected, desktop.look()).getbbox() is None, "all of it is shown")
            assert {tile.code for tile in scene(2).tiles} == codes_in(desktop.look())
            assert window.size == ((HEIGHT, WIDTH) if rotate in (90, 270) else (WIDTH, HEIGHT))
        finally:
            window.close()

    def test_the_size_of_the_ini_makes_a_window_on_a_desktop(self, desktop: XServer) -> None:
        """A smaller size leaves the rest of the desktop alone."""
        window = Window(480, 320)
        try:
            painted = Painter(*window.size).paint(scene(1))
            window.show(painted.image, painted.changed)
            until(lambda: codes_in(desktop.look()) == {scene(1).tiles[0].code}, "the code is on the desktop")
            assert window.size == (480, 320)
            assert desktop.windows() == 1
        finally:
            window.close()

    def test_only_the_changed_boxes_are_sent(self, desktop: XServer) -> None:
        """What stands outside them on the screen stays as it was."""
        window = Window(0, 0)
        try:
            painter = Painter(*window.size)
            before = painter.paint(scene(2))
            window.show(before.image, before.changed)
            painted = painter.paint(scene(2, states={1: TileState.PAID}))
            (box,) = painted.changed
            expected = painted.image.copy()
            window.show(painted.image.point([255 - level for level in range(256)] * 3), painted.changed)
            expected.paste(painted.image.crop(box).point([255 - level for level in range(256)] * 3), box)
            until(lambda: ImageChops.difference(expected, desktop.look()).getbbox() is None, "just the box changed")
        finally:
            window.close()


class TestTaps:
    @pytest.mark.parametrize("rotate", [0, 90, 180, 270])
    def test_a_tap_hits_the_tile_that_is_seen_there(self, desktop: XServer, rotate: int) -> None:
        """A finger on a product means that product, however the screen hangs; beside all of them it means none."""
        window = Window(0, 0, rotate)
        try:
            painted = Painter(*window.size).paint(scene(4))
            window.show(painted.image, painted.changed)
            hits = []
            for left, top in [(box.left, box.top) for box, _ in painted.tiles] + [(0, 0)]:
                desktop.tap(*on_panel(left, top, rotate))
                hits += [painted.tile_at(point) for point in until(window.attend, "the tap arrives")]
            assert hits == [*scene(4).tiles, None]
        finally:
            window.close()

    def test_only_the_code_itself_is_hit_when_it_stands_alone(self) -> None:
        """Beside the large code is a way back, on it is not."""
        painted = Painter(800, 480).paint(chosen(scene(4), 2))
        ((card, tile),) = painted.tiles

        assert tile == scene(4).tiles[2]
        assert codes_in(painted.image.crop(card)) == {tile.code}
        assert Painter(800, 480).paint(scene(4, states={0: TileState.SOLD_OUT})).tiles[0][1].code is None

    def test_fingers_count_once(self) -> None:
        """A touch screen tells in parts of the window; the click that SDL derives from it is not a second tap."""
        import pygame

        from display.window_process import tap

        finger = pygame.event.Event(pygame.FINGERDOWN, x=0.5, y=1.0)
        derived = pygame.event.Event(pygame.MOUSEBUTTONDOWN, pos=(320, 479), button=1, touch=True)
        right = pygame.event.Event(pygame.MOUSEBUTTONDOWN, pos=(1, 2), button=3, touch=False)

        assert tap(finger, (640, 480)) == (320, 479)
        assert tap(derived, (640, 480)) is None
        assert tap(right, (640, 480)) is None


def on_panel(x: int, y: int, rotate: int) -> tuple[int, int]:
    """Where on the screen of the X server the customer's point is."""
    return {
        0: (x, y),
        90: (WIDTH - 1 - y, x),
        180: (WIDTH - 1 - x, HEIGHT - 1 - y),
        270: (y, HEIGHT - 1 - x),
    }[rotate]


class TestTrouble:
    def test_an_x_server_that_dies_is_a_sentence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its end is noticed without painting anything, and ends nobody but the window; then a new one opens."""
        server = XServer(tmp_path, 480, 320)
        monkeypatch.setenv("DISPLAY", server.display)
        window = Window(0, 0)
        server.kill()
        with pytest.raises(ScreenError, match="the window was lost: its process has ended"):
            until(lambda: window.attend() and False, "the window is lost")
        painted = Painter(*window.size).paint(scene(1))
        with pytest.raises(ScreenError):
            window.show(painted.image, painted.changed)
        window.close()
        with pytest.raises(ScreenError, match="no screen for a window was found"):
            Window(0, 0)
        server.start()
        again = Window(0, 0)
        again.show(painted.image, painted.changed)
        until(lambda: codes_in(server.look()) == {scene(1).tiles[0].code}, "the code is back")
        again.close()
        server.kill()

    def test_without_a_display_it_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither desktop nor KMS: no window that nobody sees."""
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(ScreenError, match="no screen for a window was found"):
            Window(0, 0)

    def test_without_pygame_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The package is optional; whoever chooses the window is told its name."""
        monkeypatch.setitem(sys.modules, "pygame", None)
        with pytest.raises(ScreenError, match=r"pygame-ce.*pip install pygame-ce"):
            Window(0, 0)

    def test_pygame_is_loaded_by_nobody_else(self) -> None:
        """A machine with a framebuffer does not pay for it; not even one with a window, whose process has it."""
        look = "import sys, kiosk.machine, display.window; print('pygame' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)

        assert done.stdout == "False\n"

    def test_no_window_is_left_behind_by_a_machine_that_was_killed(self, desktop: XServer) -> None:
        """A dead machine shows no codes."""
        die = f"import os; from display.window import Window; Window(0, 0); os.kill(os.getpid(), {signal.SIGKILL})"
        done = subprocess.run([sys.executable, "-c", die], env=os.environ, check=False)

        assert done.returncode == -signal.SIGKILL
        until(lambda: desktop.windows() == 0, "the window is closed")
