"""The contract between a painted picture and whatever shows it; and the screen that shows it to nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from PIL import Image


class Point(NamedTuple):
    """A pixel, counted from the left top corner."""

    x: int
    y: int


class Box(NamedTuple):
    """A rectangle in pixels: left and top inside, right and bottom outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    def contains(self, point: Point) -> bool:
        """Whether a pixel is inside."""
        return self.left <= point.x < self.right and self.top <= point.y < self.bottom

    def moved(self, right: int, down: int) -> Box:
        """The same rectangle, so many pixels further."""
        return Box(self.left + right, self.top + down, self.right + right, self.bottom + down)


class ScreenError(Exception):
    """The screen cannot show anything now; the sentence names it and says what to do."""


class Screen(Protocol):
    """Shows pictures. All methods may block: call them in a thread, one at a time."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as the customer sees them, in pixels."""

    @property
    def attention_seconds(self) -> float | None:
        """How often `attend` is to be called; None: there is nothing to attend to."""

    def show(self, image: Image.Image, changed: Sequence[Box]) -> None:
        """Show `image`; only `changed` differs from the picture shown before. Raises `ScreenError`.

        The first picture after opening is shown whole.
        """

    def attend(self) -> Sequence[Point]:
        """The places that were touched since the last call, as the customer sees them.

        Raises `ScreenError` when the screen was lost meanwhile.
        """

    def close(self) -> None:
        """Let go of the device."""


class NullScreen:
    """A machine without a screen of its own."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._size

    @property
    def attention_seconds(self) -> None:
        """Never."""
        return

    def show(self, image: Image.Image, changed: Sequence[Box]) -> None:
        """Show it to nobody."""

    def attend(self) -> Sequence[Point]:
        """Nobody touches it."""
        return ()

    def close(self) -> None:
        """Nothing is held."""
