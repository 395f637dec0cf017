"""Colours by role, and shapes that more than one painter uses. Text has a contrast of 7:1 or more on its ground."""

from __future__ import annotations

import zlib

from PIL import Image, ImageDraw

from display.fonts import Font, font
from display.screen import Box

Colour = tuple[int, int, int]

GROUND: Colour = (11, 15, 20)
CARD: Colour = (22, 28, 36)
PANEL: Colour = (33, 41, 51)
TEXT: Colour = (255, 255, 255)
QUIET_TEXT: Colour = (184, 193, 204)
PAPER: Colour = (255, 255, 255)
SCAN: Colour = (46, 219, 124)  # WeChat's green, lightened until it can be read on the card
GOOD: Colour = (6, 79, 40)
BAD: Colour = (122, 22, 22)

# Grounds of the drawn stand-ins: dark enough for a white letter.
_DISCS: tuple[Colour, ...] = (
    (154, 40, 52),
    (146, 66, 12),
    (112, 84, 4),
    (42, 98, 38),
    (8, 96, 92),
    (22, 84, 148),
    (78, 66, 168),
    (138, 44, 122),
)
SMALLEST_SIZE = 6  # below this nothing can be read, however small the box
LINE_STEP = 1.28  # line height in type sizes
_SUPERSAMPLING = 4  # a disc has no jagged edge


def disc(letter: str, key: str, side: int) -> Image.Image:
    """A coloured disc with a letter on it, RGBA, `side` pixels wide; the colour follows from `key`."""
    big = side * _SUPERSAMPLING
    colour = _DISCS[zlib.crc32(key.encode()) % len(_DISCS)]
    shape = Image.new("L", (big, big))
    ImageDraw.Draw(shape).ellipse((0, 0, big - 1, big - 1), fill=255)
    image = Image.new("RGBA", (side, side), colour)
    ImageDraw.Draw(image).text((side / 2, side / 2), letter, TEXT, font(round(side * 0.5)), anchor="mm")
    image.putalpha(shape.reduce(_SUPERSAMPLING))
    return image


def grey(image: Image.Image) -> Image.Image:
    """The picture of something that cannot be had: without colour, and half faded."""
    alpha = image.getchannel("A").point([level // 2 for level in range(256)])
    faded = image.convert("L").convert("RGBA")
    faded.putalpha(alpha)
    return faded


def fit(text: str, width: int, lines: int, size: int) -> tuple[list[str], Font]:
    """Break `text` into at most `lines` lines of at most `width` pixels, in the largest type up to `size`.

    Words stay whole; Chinese breaks anywhere, not before punctuation. Nothing is cut: type shrinks until it fits.
    """
    while True:
        face = font(size)
        broken = wrap(text, width, face)
        if size <= SMALLEST_SIZE:
            return broken[:lines], face
        if len(broken) <= lines and all(face.getlength(line) <= width for line in broken):
            return broken, face
        size -= 1


def wrap(text: str, width: int, face: Font) -> list[str]:
    """Lines of at most `width` pixels, broken between words or Chinese characters; balanced where two suffice."""
    pieces = _pieces(text)
    lines = _fill(pieces, width, face)
    if len(lines) == 2:  # two lines of like length look better than a full one and a crumb
        low = max(face.getlength(piece.strip()) for piece in pieces)
        for share in range(50, 100, 5):
            narrow = max(low, face.getlength(text) * share / 100)
            if narrow > width:
                break
            balanced = _fill(pieces, narrow, face)
            if len(balanced) == 2:
                return balanced
    return lines


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    for character in text:
        wide = ord(character) >= 0x2E80
        stays = character in "，。、；：！？）》」％%)" or (pieces and pieces[-1][-1] in "（《「(")
        fresh = not pieces or (not stays and (wide or pieces[-1][-1] == " " or ord(pieces[-1][-1]) >= 0x2E80))
        if fresh:
            pieces.append(character)
        else:
            pieces[-1] += character
    return pieces


def _fill(pieces: list[str], width: float, face: Font) -> list[str]:
    lines: list[str] = []
    line = ""
    for piece in pieces:
        if line and face.getlength((line + piece).rstrip()) > width:
            lines.append(line.rstrip())
            line = piece.lstrip()
        else:
            line += piece
    return [*lines, line.rstrip()] if line.strip() else lines


def text_in(
    draw: ImageDraw.ImageDraw, box: Box, text: str, size: int, colour: Colour, *, lines: int = 1, centred: bool = True
) -> None:
    """Write `text` into a box, in the middle of its height."""
    if not text:
        return
    broken, face = fit(text, box.width, lines, max(SMALLEST_SIZE, min(size, int(box.height / LINE_STEP))))
    step = min(getattr(face, "size", size) * LINE_STEP, box.height / len(broken))
    y = (box.top + box.bottom) / 2 - step * (len(broken) - 1) / 2
    for line in broken:
        if centred:
            draw.text(((box.left + box.right) / 2, y), line, colour, face, anchor="mm")
        else:
            draw.text((box.left, y), line, colour, face, anchor="lm")
        y += step
