"""Where everything stands when products are chosen on the machine's own keypad, in pixels: there are no codes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from display import layout
from display.screen import Box

PRICE = 1.7  # the price's type size in those of the name
KEY = 1.6  # the height of the key's number in type sizes of the name
NARROWEST = 6.5  # a tile's width in type sizes of the name: six Chinese characters in a line
KEY_WIDTH = 8  # of a key in type sizes: it is a key, not a band
GOOD_TYPE = 18  # pixels: read from a metre on a 7-inch screen; worth one more page
TYPE_SHARES = (0.125, 0.09)  # of a tile's width, of its height
LARGEST_PICTURE_SHARE = 0.5  # of a tile's height


@dataclass(frozen=True)
class KeypadTile:
    """The parts of every tile of a page, relative to the tile's left top corner."""

    picture: Box | None
    name: Box
    price: Box
    key: Box
    type_size: int
    price_size: int


@dataclass(frozen=True)
class KeypadPlan:
    """The whole screen."""

    unit: int
    header: Box
    headline: Box
    tiles: tuple[Box, ...]  # the places of one page
    pages: int
    tile: KeypadTile


@lru_cache(32)
def keypad_plan(width: int, height: int, count: int, two_lines: bool) -> KeypadPlan:
    """Lay out `count` products on as few pages as can be read. `two_lines`: some name needs two lines.

    Raises ValueError if not even one product fits.
    """
    found = _plan(width, height, _body(width, height), count, two_lines)
    if found is None:
        raise ValueError(f"a product does not fit on a screen of {width}x{height}")
    return found


@lru_cache(32)
def keypad_plan_beside_poster(width: int, height: int, count: int, two_lines: bool) -> tuple[KeypadPlan, Box] | None:
    """The same beside the largest poster that costs no page and not much of the type; None without room for one."""
    alone = keypad_plan(width, height, count, two_lines)
    for share in layout.POSTER_SHARES:
        poster, body = layout.split_for_poster(_body(width, height), alone.unit, share)
        found = _plan(width, height, body, count, two_lines)
        least = max(GOOD_TYPE, alone.tile.type_size * layout.POSTER_KEEPS_TYPE)
        if found is not None and found.pages <= alone.pages and found.tile.type_size >= least:
            return found, poster
    return None


def _body(width: int, height: int) -> Box:
    """What is left below the header and the headline, which is as high."""
    return Box(0, 2 * layout.header_box(width, height).bottom, width, height)


def _plan(width: int, height: int, body: Box, count: int, two_lines: bool) -> KeypadPlan | None:
    space = layout.unit(width, height)
    header = layout.header_box(width, height)
    headline = Box(space * 2, header.bottom, width - space * 2, 2 * header.bottom)
    found: list[KeypadPlan] = []
    for pages in range(1, count + 1):
        per_page = math.ceil(count / pages)
        grids = _grids(body, space, per_page, two_lines)
        if grids:
            _, columns, rows, tile = max(grids, key=lambda grid: grid[0])
            stand = layout.places(body, space, columns, rows, per_page)
            found.append(KeypadPlan(space, header, headline, stand, pages, tile))
        if found and (found[-1].tile.type_size >= GOOD_TYPE or pages > found[0].pages):
            break
    if not found:
        return None
    return found[-1] if found[-1].tile.type_size >= GOOD_TYPE else found[0]


Score = tuple[float, ...]
Grid = tuple[Score, int, int, KeypadTile]


def _grids(body: Box, space: int, tiles: int, two_lines: bool) -> list[Grid]:
    """Every way to set `tiles` in columns and rows that can be read, each with how good it is."""
    grids: list[Grid] = []
    for columns in range(1, tiles + 1):
        rows = math.ceil(tiles / columns)
        if (columns - 1) * rows >= tiles:
            continue  # a column would stand empty
        width = (body.width - space * (columns + 1)) // columns
        height = (body.height - space * (rows + 1)) // rows
        tile = _tile(width, height, space, two_lines)
        if tile is None:
            continue
        picture = 0 if tile.picture is None else tile.picture.width
        empty = columns * rows - tiles
        score = ((min(picture, 6 * tile.type_size) + 10 * tile.type_size) * (1 - 0.08 * empty), -empty)
        grids.append((score, columns, rows, tile))
    return grids


def _tile(width: int, height: int, space: int, two_lines: bool) -> KeypadTile | None:
    """Picture, name, price and the number to press, one above the other; None where they do not fit."""
    of_width, of_height = TYPE_SHARES
    wanted = int(min((width - 2 * space) * of_width, height * of_height))
    size = max(layout.SMALLEST_TYPE, min(layout.LARGEST_TYPE, wanted))
    price_size = round(size * PRICE)
    name = round(size * layout.LINE) * (2 if two_lines else 1)
    price, key = round(price_size * layout.LINE), round(size * KEY)
    rest = height - 2 * space - name - price - key - space // 2
    if rest < 0 or width - 2 * space < NARROWEST * size:
        return None
    room = min(rest - space // 2, width - 2 * space, round(height * LARGEST_PICTURE_SHARE))
    picture = None
    spare = rest - (room + space // 2 if room >= layout.LEAST_PICTURE else 0)
    y = space + spare // 3
    if room >= layout.LEAST_PICTURE:
        picture = Box((width - room) // 2, y, (width + room) // 2, y + room)
        y += room + space // 2 + spare // 3
    name_box = Box(space, y, width - space, y + name)
    price_box = Box(space, name_box.bottom, width - space, name_box.bottom + price)
    top = price_box.bottom + space // 2
    margin = max(space, (width - KEY_WIDTH * size) // 2)
    return KeypadTile(picture, name_box, price_box, Box(margin, top, width - margin, top + key), size, price_size)
