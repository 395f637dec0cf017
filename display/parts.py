"""Parts of a picture that paint themselves: values that are compared to know whether they stand there already."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from PIL import Image, ImageDraw

from display import palette, qr
from display.keypad_layout import KeypadPlan
from display.palette import Colour, text_in
from display.pictures import PictureError, poster_picture, product_picture
from display.scene import Poster, Tile, TileState
from display.screen import Box

ROUNDING = 0.06  # a placeholder's corners, of its height


@runtime_checkable
class Part(Protocol):
    """Something with a place of its own."""

    def paint(self, image: Image.Image, draw: ImageDraw.ImageDraw, box: Box) -> None:
        """Paint it into its box, which has been cleared. `draw` draws on `image`."""


@dataclass(frozen=True)
class Words:
    """A text in the middle of its box."""

    text: str
    size: int
    colour: Colour
    lines: int = 1

    def paint(self, image: Image.Image, draw: ImageDraw.ImageDraw, box: Box) -> None:  # noqa: ARG002 - as all parts
        """Write it."""
        text_in(draw, box, self.text, self.size, self.colour, lines=self.lines)


@dataclass(frozen=True)
class Picture:
    """A product, or its stand-in; grey where it cannot be had."""

    path: Path | None
    name: str
    product_id: str
    grey: bool

    @staticmethod
    def of(tile: Tile) -> Picture:
        """What a tile shows, whatever becomes of its code."""
        return Picture(tile.picture, tile.name, tile.product_id, tile.state is TileState.SOLD_OUT)

    def paint(self, image: Image.Image, draw: ImageDraw.ImageDraw, box: Box) -> None:  # noqa: ARG002 - as all parts
        """Put it into the middle of its box."""
        picture = product_picture(self.path, self.name, self.product_id, box.width)
        shown = palette.grey(picture) if self.grey else picture
        x, y = box.left + (box.width - shown.width) // 2, box.top + (box.height - shown.height) // 2
        image.paste(shown, (x, y), shown)


@dataclass(frozen=True)
class Slide:
    """A poster, whole, in the middle of its box."""

    poster: Poster

    def paint(self, image: Image.Image, draw: ImageDraw.ImageDraw, box: Box) -> None:  # noqa: ARG002 - as all parts
        """Paint it; nothing where its file was taken away meanwhile."""
        with contextlib.suppress(PictureError):
            shown = poster_picture(self.poster, box.width, box.height)
            x, y = box.left + (box.width - shown.width) // 2, box.top + (box.height - shown.height) // 2
            image.paste(shown, (x, y), shown)


@dataclass(frozen=True)
class Card:
    """The place of the large code: the code, or why there is none."""

    tile: Tile
    module_pixels: int
    type_size: int

    def paint(self, image: Image.Image, draw: ImageDraw.ImageDraw, box: Box) -> None:
        """Paint the card whole."""
        if self.tile.state is TileState.FOR_SALE and self.tile.code is not None:
            paint_code(image, draw, box, self.tile.code, self.module_pixels)
        else:
            paint_placeholder(draw, box, self.tile.caption, self.type_size, palette.TEXT)


@dataclass(frozen=True)
class Keyed:
    """A product without a code, and what to press for it."""

    tile: Tile
    plan: KeypadPlan

    def paint(self, image: Image.Image, draw: ImageDraw.ImageDraw, box: Box) -> None:
        """Paint the tile; a key is drawn only where pressing it brings something."""
        parts, rounding = self.plan.tile, self.plan.unit
        gone = self.tile.state is TileState.SOLD_OUT
        colour = palette.QUIET_TEXT if gone else palette.TEXT
        _rounded(draw, box, rounding, palette.CARD)
        if parts.picture is not None:
            Picture.of(self.tile).paint(image, draw, parts.picture.moved(box.left, box.top))
        name = parts.name.moved(box.left, box.top)
        text_in(draw, name, self.tile.name, parts.type_size, colour, lines=lines_in(name, parts.type_size))
        text_in(draw, parts.price.moved(box.left, box.top), self.tile.price, parts.price_size, colour)
        key = parts.key.moved(box.left, box.top)
        if not gone:
            _rounded(draw, key, rounding, palette.PANEL)
        text_in(draw, key, self.tile.caption, parts.type_size, colour)


def paint_code(image: Image.Image, draw: ImageDraw.ImageDraw, card: Box, text: str, module_pixels: int) -> None:
    """The code in whole pixels, in the middle of its white card: nothing is ever drawn over it."""
    draw.rectangle((card.left, card.top, card.right - 1, card.bottom - 1), palette.PAPER)
    code = qr.paint(text, module_pixels)
    image.paste(code, (card.left + (card.width - code.width) // 2, card.top + (card.height - code.height) // 2))


def paint_placeholder(draw: ImageDraw.ImageDraw, card: Box, caption: str, size: int, colour: Colour) -> None:
    """Where a code would stand: why there is none."""
    margin = round(card.height * ROUNDING)
    _rounded(draw, card, margin, palette.PANEL)
    inner = Box(card.left + margin, card.top, card.right - margin, card.bottom)
    text_in(draw, inner, caption, size, colour, lines=2)


def lines_in(name: Box, type_size: int) -> int:
    """How many lines a name's box has room for."""
    return 2 if name.height > type_size * 1.9 else 1


def _rounded(draw: ImageDraw.ImageDraw, box: Box, rounding: int, colour: Colour) -> None:
    draw.rounded_rectangle((box.left, box.top, box.right - 1, box.bottom - 1), rounding, colour)
