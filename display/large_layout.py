"""Where everything stands when one product is shown alone, its code as large as the screen allows: in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from display import layout
from display.screen import Box

TYPE = (0.07, 0.04)  # of the shorter and the longer side of what is left below the header
TYPE_SIZES = (16, 64)
NARROWEST = 9  # the words beside the code in type sizes: nine Chinese characters in a line
PRICE = 2.0  # the price's type size in those of the name
PICTURE_SHARE = 0.12  # of the height that a picture above the code is granted before the code takes the rest
LARGEST_PICTURE_SHARE = 0.42  # of the height, beside the code


@dataclass(frozen=True)
class LargePlan:
    """The parts; no two of them overlap."""

    picture: Box | None
    name: Box
    price: Box
    card: Box  # white: the code with its quiet zone
    caption: Box
    countdown: Box
    hint: Box
    type_size: int
    price_size: int
    module_pixels: int


@lru_cache(32)
def large_plan(width: int, height: int, modules: int, two_lines: bool) -> LargePlan:
    """Lay out one product whose code has `modules` from side to side, quiet zone included.

    `two_lines`: its name needs two lines. Raises ValueError if no readable code fits.
    """
    space = layout.unit(width, height)
    header = layout.header_box(width, height)
    body = Box(space * 2, header.bottom + space, width - space * 2, height - space)
    sides = sorted((body.width, body.height))
    wanted = min(side * share for side, share in zip(sides, TYPE, strict=True))
    size = max(TYPE_SIZES[0], min(TYPE_SIZES[1], round(wanted)))
    found = [
        plan
        for arrange in (_upright, _beside)
        if (plan := arrange(body, space, size, modules, two_lines)).module_pixels >= layout.MIN_MODULE_PIXELS
    ]
    if not found:
        raise ValueError(f"a code of {modules} modules does not fit on a screen of {width}x{height}")
    return max(found, key=lambda plan: plan.module_pixels)


def _upright(body: Box, space: int, size: int, modules: int, two_lines: bool) -> LargePlan:
    """One above the other: picture, name, price, code, caption, countdown, hint."""
    line = round(size * layout.LINE)
    price_size = round(size * PRICE)
    name, price = line * (2 if two_lines else 1), round(price_size * layout.LINE)
    rest = body.height - name - price - 3 * line - 3 * space
    pixels = max(0, min(body.width, rest - space - round(body.height * PICTURE_SHARE))) // modules
    side = pixels * modules
    room = min(rest - side - space, body.width)
    picture = None
    y = body.top
    if room >= layout.LEAST_PICTURE:
        left = body.left + (body.width - room) // 2
        picture = Box(left, y, left + room, y + room)
        y += room + space
    name_box = Box(body.left, y, body.right, y + name)
    price_box = Box(body.left, name_box.bottom, body.right, name_box.bottom + price)
    top = price_box.bottom + space
    left = body.left + (body.width - side) // 2
    card = Box(left, top, left + side, top + side)
    caption = Box(body.left, card.bottom + space, body.right, card.bottom + space + line)
    countdown = Box(body.left, caption.bottom, body.right, caption.bottom + line)
    hint = Box(body.left, countdown.bottom, body.right, countdown.bottom + line)
    return LargePlan(picture, name_box, price_box, card, caption, countdown, hint, size, price_size, pixels)


def _beside(body: Box, space: int, size: int, modules: int, two_lines: bool) -> LargePlan:
    """Code and caption on the right; picture, name, price, countdown and hint on the left."""
    line = round(size * layout.LINE)
    price_size = round(size * PRICE)
    name, price = line * (2 if two_lines else 1), round(price_size * layout.LINE)
    words_width = max(body.width // 3, NARROWEST * size)  # whatever the code would like
    pixels = max(0, min(body.height - line - space, body.width - words_width - 2 * space)) // modules
    side = pixels * modules
    top = body.top + (body.height - side - line - space) // 2
    card = Box(body.right - side, top, body.right, top + side)
    caption = Box(card.left, card.bottom + space, card.right, card.bottom + space + line)
    left, right = body.left, card.left - 2 * space
    words = name + price + 2 * line + 2 * space
    room = min(body.height - words, right - left, round(body.height * LARGEST_PICTURE_SHARE))
    picture = None
    y = body.top + (body.height - words - max(0, room)) // 2
    if room >= layout.LEAST_PICTURE:
        x = left + (right - left - room) // 2
        picture = Box(x, y, x + room, y + room)
        y += room + space
    name_box = Box(left, y, right, y + name)
    price_box = Box(left, name_box.bottom, right, name_box.bottom + price)
    countdown = Box(left, price_box.bottom + space, right, price_box.bottom + space + line)
    hint = Box(left, countdown.bottom, right, countdown.bottom + line)
    return LargePlan(picture, name_box, price_box, card, caption, countdown, hint, size, price_size, pixels)
