"""Keeps the screen showing what is to be seen, page after page, and looks for a screen that was lost.

One thread paints and talks to the screen; nothing here makes the event loop wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from PIL import Image

from display.painter import Painted, Painter
from display.pictures import forget_pictures
from display.scene import Scene, Tile
from display.screen import Point, Screen, ScreenError
from display.slideshow import SLIDE_SECONDS, Slideshow
from display.test_pattern import test_pattern
from kiosk.waiting import happens

PATTERN_SECONDS = 20  # long enough to step back and look
PAGE_SECONDS = 8  # how long a page of tiles stands when they do not fit on one
# Changes come in bursts: painted once, and after a paid order is on its way to the board, which painting would delay.
GATHER_SECONDS = 0.04
SCREEN_RETRY_SECONDS = 5  # how often a screen that is lost is looked for

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shot:
    """What is to be seen now, and until when (the loop's clock) if nothing else happens; None: for ever."""

    scene: Scene
    until: float | None = None
    idle: bool = False  # nobody is buying: posters may be shown


class Stage:
    """Owns the screen and the painter. Tells whether there is a screen, and which tile was tapped."""

    def __init__(
        self,
        *,
        open_screen: Callable[[], Screen],
        shot: Callable[[], Shot],
        tapped: Callable[[Tile | None], None],
        report: Callable[[str | None], None],
        slideshow: Slideshow | None = None,
    ) -> None:
        """`open_screen` is called in the painter's thread, at the start and when the screen was lost.

        `shot` says what is to be seen; `tapped` hears of every tap, with the tile under it if it hit one; `report` is
        told after every picture why there is no screen, or None.
        """
        self._open_screen = open_screen
        self._shot = shot
        self._tapped = tapped
        self._report = report
        self._slideshow = slideshow
        self._told_no_room = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="painter")
        self._dirty = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._screen: Screen | None = None
        self._painter: Painter | None = None
        self._painted: Painted | None = None
        self._page = 0
        self._turn_at = 0.0  # the loop's clock, as the next
        self._pattern_until = 0.0
        self._picture_listeners: list[Callable[[], None]] = []

    def on_picture(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever customers see something new."""
        self._picture_listeners.append(listener)

    def repaint(self) -> None:
        """Look again at what is to be seen."""
        self._dirty.set()

    def paint_anew(self) -> None:
        """Read every picture's file again."""
        self._thread.submit(self._forget)
        self._dirty.set()

    def start(self) -> None:
        """Show what is to be seen from now on."""
        self._dirty.set()
        self._task = asyncio.get_running_loop().create_task(self._show_forever())

    async def stop(self, farewell: Scene) -> None:
        """Show a last scene, and let go of the screen."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._show, Shot(farewell), 0, loop.time())
        except ScreenError as error:
            _log.warning("%s", error)
        await loop.run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def show_test_pattern(self) -> None:
        """Show a picture that tells a good screen from a bad one; nobody can scan meanwhile."""
        self._pattern_until = asyncio.get_running_loop().time() + PATTERN_SECONDS
        self._dirty.set()

    async def picture(self) -> Image.Image | None:
        """A copy of what the customer sees now; None before the first picture."""
        copy = asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: None if self._painted is None else self._painted.image.copy()
        )
        return await copy

    async def _show_forever(self) -> None:
        loop = asyncio.get_running_loop()
        pages, self._turn_at = 1, loop.time() + PAGE_SECONDS
        mistake = ""  # the last one told in the log
        while True:
            self._dirty.clear()
            now = loop.time()
            shot = self._shot()
            if shot.scene.large is not None:  # its page comes back, for as long as any page stands
                self._turn_at = now + PAGE_SECONDS
            elif now >= self._turn_at:
                self._page, self._turn_at = self._page + 1, now + PAGE_SECONDS
            pattern = now < self._pattern_until
            try:
                painted = await loop.run_in_executor(
                    self._thread, self._show, None if pattern else shot, self._page % pages, now
                )
                pages = painted.pages
                self._report(None)
                if painted.changed:
                    for listener in self._picture_listeners:
                        listener()
                ends = [self._turn_at] if pages > 1 else []
                ends += [shot.until] if shot.until is not None else []
                ends += [self._pattern_until] if pattern else []
                if shot.idle and not pattern and self._slideshow is not None:
                    ends.append(self._slideshow.turn_at)
                again = await self._attend(min(ends) if ends else None)
            except ScreenError as error:
                self._report(str(error))
                again = await happens(self._dirty, SCREEN_RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - a mistake of ours in one picture must not end all others
                self._painter = None  # what it has painted so far is not known
                if str(error) != mistake:
                    _log.exception("the screen's picture could not be painted; it is tried again")
                mistake = str(error)
                self._report(f"the screen's picture could not be painted: {error}")
                again = await happens(self._dirty, SCREEN_RETRY_SECONDS)
            if again:
                await asyncio.sleep(GATHER_SECONDS)

    async def _attend(self, until: float | None) -> bool:
        """Wait for a change, looking after the screen meanwhile; False if there was none until then."""
        loop = asyncio.get_running_loop()
        while True:
            attention = None if self._screen is None else self._screen.attention_seconds
            left = None if until is None else max(0.0, until - loop.time())
            waits = [wait for wait in (attention, left) if wait is not None]
            if await happens(self._dirty, min(waits) if waits else None):
                return True
            if until is not None and loop.time() >= until:
                return False
            for point in await loop.run_in_executor(self._thread, self._look_after):
                self._turn_at = loop.time() + PAGE_SECONDS  # somebody is looking at this page
                self._tapped(None if self._painted is None else self._painted.tile_at(point))

    # In the painter's thread -------------------------------------------------------------------------------

    def _forget(self) -> None:
        forget_pictures()
        self._painter = None

    def _show(self, shot: Shot | None, page: int, now: float) -> Painted:
        """Paint and show; return what was painted. No shot: the test pattern."""
        if self._screen is None:
            self._screen = self._open_screen()
            self._painter = None
        if shot is None:
            self._painter = None  # what comes after it is painted whole
            painted = test_pattern(*self._screen.size)
        else:
            self._painter = self._painter or Painter(*self._screen.size)
            scene = self._with_poster(self._painter, shot.scene, now) if shot.idle else shot.scene
            painted = self._painter.paint(scene, page)
        self._painted = painted
        try:
            self._screen.show(painted.image, painted.changed)
        except ScreenError:
            self._close()
            raise
        return painted

    def _with_poster(self, painter: Painter, scene: Scene, now: float) -> Scene:
        """The same with the poster whose turn it is, where there is room for one beside the tiles."""
        if self._slideshow is None:
            return scene
        box = painter.poster_box(scene)
        if box is None:
            self._slideshow.turn_at = now + SLIDE_SECONDS
            if scene.calm and not self._told_no_room:
                _log.warning("no idle pictures are shown: %d products leave them no room", len(scene.tiles))
                self._told_no_room = True
            return scene
        return replace(scene, poster=self._slideshow.current(now, box.width, box.height))

    def _look_after(self) -> tuple[Point, ...]:
        """The places that were touched since the last look."""
        if self._screen is None:
            return ()
        try:
            return tuple(self._screen.attend())
        except ScreenError:
            self._close()
            raise

    def _close(self) -> None:
        if self._screen is not None:
            self._screen.close()
            self._screen = None
