"""A picture that tells a good screen from a bad one: edges, colours, grey steps, sharpness, a code to scan."""

from __future__ import annotations

from PIL import Image, ImageDraw

from display import qr
from display.fonts import font
from display.painter import Painted
from display.palette import PAPER, Colour
from display.screen import Box

CODE_TEXT = "SCREEN TEST"  # what a phone reads off a good screen
GREY_STEPS = 16
_BARS: tuple[Colour, ...] = (
    (255, 255, 255),
    (255, 255, 0),
    (0, 255, 255),
    (0, 255, 0),
    (255, 0, 255),
    (255, 0, 0),
    (0, 0, 255),
    (0, 0, 0),
)


def test_pattern(width: int, height: int) -> Painted:
    """The pattern, whole, for a screen of that size: a line along each edge shows what a frame cuts off."""
    image = Image.new("RGB", (width, height), (64, 64, 64))
    draw = ImageDraw.Draw(image)
    third = height // 3
    for number, colour in enumerate(_BARS):
        draw.rectangle((_part(width, number, len(_BARS)), 0, _part(width, number + 1, len(_BARS)), third), colour)
    for number in range(GREY_STEPS):
        grey = round(255 * number / (GREY_STEPS - 1))
        left, right = (_part(width, each, GREY_STEPS) for each in (number, number + 1))
        draw.rectangle((left, third, right, third + third // 3), (grey, grey, grey))
    top = third + third // 3
    stripes = Box(0, top, width // 2, top + third // 3)
    for x in range(stripes.left, stripes.right, 2):  # grey where it is sharp, wavy where it is scaled
        draw.line((x, stripes.top, x, stripes.bottom), PAPER)
    for y in range(stripes.top, stripes.bottom, 2):
        draw.line((width // 2, y, width, y), PAPER)
    below = stripes.bottom
    room = min(height - below, width // 2) - 16
    module = max(1, room // qr.modules(CODE_TEXT))
    code = qr.paint(CODE_TEXT, module)
    image.paste(code, ((width // 2 - code.width) // 2, below + (height - below - code.height) // 2))
    size = max(10, min(width, height) // 24)
    draw.text(
        (width * 3 // 4, (below + height) // 2),
        f"{width} × {height}\n屏幕测试\nSCREEN TEST",
        PAPER,
        font(size),
        anchor="mm",
        align="center",
        spacing=size // 2,
    )
    draw.rectangle((0, 0, width - 1, height - 1), outline=(255, 0, 0))
    draw.rectangle((4, 4, width - 5, height - 5), outline=(0, 255, 0))
    return Painted(image, (Box(0, 0, width, height),), 1)


def _part(length: int, number: int, parts: int) -> int:
    return length * number // parts
