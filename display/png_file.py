"""A screen that is a PNG file, replaced atomically: for demos, tests, and boxes with other ways to show a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from display.screen import Box, Point, ScreenError
from display.turning import turned, turned_size

COMPRESSION = 1  # of 0 to 9: the file is written at every change, and read on the same machine


class PngFile:
    """Keeps the picture in a file that is always whole."""

    def __init__(self, path: Path, width: int, height: int, rotate: int = 0) -> None:
        """`width` and `height` are the file's; in it the picture stands turned clockwise by `rotate` degrees."""
        self._path = path
        self._size = turned_size((width, height), rotate)
        self._rotate = rotate
        if not path.parent.is_dir():
            raise ScreenError(f"the folder {path.parent} of the screen's picture is not there: make it")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as the customer sees them."""
        return self._size

    @property
    def attention_seconds(self) -> None:
        """Never: a file has nothing to say."""
        return

    def show(self, image: Image.Image, changed: Sequence[Box]) -> None:  # noqa: ARG002 - a PNG is written whole
        """Write beside the file, then take its place: a reader sees the old picture or the new one."""
        unfinished = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            turned(image, self._rotate).save(unfinished, format="PNG", compress_level=COMPRESSION)
            unfinished.replace(self._path)
        except OSError as error:
            raise ScreenError(f"the screen's picture {self._path} cannot be written: {error.strerror}") from error

    def attend(self) -> Sequence[Point]:
        """Nobody touches a file."""
        return ()

    def close(self) -> None:
        """The last picture stays."""
