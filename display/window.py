"""A window, or a bare board's screen without any desktop (KMSDRM), through SDL.

SDL lives in a process of its own (`display.window_process`): it wants one thread that never waits, and when the X
server goes away Xlib ends the process that it lives in, which must not be the one that runs everything else.
"""

from __future__ import annotations

import importlib.util
import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

from PIL import Image

from display.screen import Box, Point, ScreenError
from display.turning import box_on_panel, point_of_customer, turned, turned_size
from display.window_link import BOX, SHOW

OPEN_SECONDS = 20.0  # a small board loads SDL and its graphics driver from a slow card
SHOW_SECONDS = 10.0  # a picture is shown within a hundredth of that, or the graphics driver hangs
CLOSE_SECONDS = 2.0  # for letting go of the screen; then the process is killed
ATTENTION_SECONDS = 0.05  # a tap is answered before the finger is lifted
MAX_TAPS = 8  # more than a hand makes between two looks; the oldest are forgotten
MAX_BYTES = 64 * 1024  # at once; what the process says in a second is much less

# What SDL is to know before it is loaded; whoever starts the machine may say otherwise.
SDL_ENVIRONMENT = {
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
    "SDL_VIDEO_MINIMIZE_ON_FOCUS_LOSS": "0",  # it stays where it is, whatever else opens
    "SDL_MOUSE_FOCUS_CLICKTHROUGH": "1",  # the first touch counts
    "SDL_VIDEO_X11_WMCLASS": "kiosk",  # by which window managers know it
    "SDL_VIDEO_WAYLAND_WMCLASS": "kiosk",
}

NO_PYGAME = "the package pygame-ce, which opens windows, is not installed; run: pip install pygame-ce"


class Window:
    """A picture in a window of so many pixels; on the whole screen where that is its size, or 0 x 0."""

    def __init__(self, width: int, height: int, rotate: int = 0) -> None:
        """`rotate`: degrees clockwise that the picture is turned on the screen. Raises `ScreenError`."""
        if importlib.util.find_spec("pygame") is None:
            raise ScreenError(NO_PYGAME)
        self._rotate = rotate
        self._panel: tuple[int, int] | None = None
        self._taps: deque[Point] = deque(maxlen=MAX_TAPS)
        self._said = b""
        self._shown = False
        self._fresh = True
        self._link, theirs = socket.socketpair()
        arguments = [str(number) for number in (theirs.fileno(), width, height)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our module, numbers
                [sys.executable, "-m", "display.window_process", *arguments],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env=SDL_ENVIRONMENT | os.environ,
            )
        except OSError as error:
            self._link.close()
            raise ScreenError(f"the window's process cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
        try:
            self._wait_for(lambda: self._panel is not None, OPEN_SECONDS)
        except ScreenError:
            self.close()
            raise

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as the customer sees them."""
        return turned_size(self._panel or (0, 0), self._rotate)

    @property
    def attention_seconds(self) -> float:
        """Often: fingers."""
        return ATTENTION_SECONDS

    def show(self, image: Image.Image, changed: Sequence[Box]) -> None:
        """Hand over the changed boxes, the first time everything, and wait until they are on the screen."""
        boxes = [Box(0, 0, *self.size)] if self._fresh else changed
        self._shown = False
        self._link.settimeout(SHOW_SECONDS)
        try:
            for box in boxes:
                self._link.sendall(BOX.pack(*box_on_panel(box, self.size, self._rotate)))
                self._link.sendall(turned(image.crop(box), self._rotate).tobytes())
            self._link.sendall(SHOW)
        except OSError as error:
            self._listen(0.0)  # its last words tell more than the broken pipe
            raise ScreenError(f"the window cannot show anything: {error}") from error
        self._wait_for(lambda: self._shown, SHOW_SECONDS)
        self._fresh = False

    def attend(self) -> Sequence[Point]:
        """The places that were touched or clicked since the last call."""
        self._listen(0.0)
        taps = [point_of_customer(tap, self.size, self._rotate) for tap in self._taps]
        self._taps.clear()
        return taps

    def close(self) -> None:
        """Let go of the screen."""
        self._link.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_for(self, happened: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not happened():
            left = end - time.monotonic()
            if left <= 0:
                raise ScreenError(
                    f"the window's process has not answered for {seconds:g} s: its graphics driver hangs"
                )
            self._listen(left)

    def _listen(self, seconds: float) -> None:
        """Take in what the process says within that time, returning with the first words."""
        ready, _, _ = select.select([self._link], [], [], seconds)
        if not ready:
            return
        try:
            words = self._link.recv(MAX_BYTES)
        except ConnectionResetError:
            words = b""
        if not words:
            raise ScreenError("the window was lost: its process has ended; is the display server running?")
        *lines, self._said = (self._said + words).split(b"\n")
        for line in lines:
            word, _, rest = line.decode("ascii", "replace").partition(" ")
            match word:
                case "size":
                    width, height = map(int, rest.split())
                    self._panel = (width, height)
                case "shown":
                    self._shown = True
                case "tap":
                    self._taps.append(Point(*map(int, rest.split())))
                case _:
                    raise ScreenError(rest)
