"""Where everything stands on the screen: pure arithmetic, in pixels.

The grid follows from the number of products, the shape of the screen and the size of the codes: as few pages as
codes of a readable size allow, and on each page codes as large as the tiles allow, all of the same size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from display.screen import Box

MIN_MODULE_PIXELS = 3  # less than this a phone's camera loses on screens of usual pitch
GOOD_MODULE_PIXELS = 4  # worth one more page
SMALLEST_TYPE = 13  # pixels: the smallest text that is read from half a metre on a 5-inch screen
SMALLEST_TYPE_UNITS = 1.3  # the same on a large screen, which is read from further away
LARGEST_TYPE = 48
LINE = 1.28  # line height in type sizes
PRICE = 1.7  # the price's type size in those of the name
LEAST_PICTURE = 36  # a smaller picture tells nothing
LARGEST_PICTURE_SHARE = 0.3  # of a tile's height: the words and the code are what sells
POSTER_SHARES = (0.5, 0.42, 0.34, 0.26)  # of what is below the header
POSTER_KEEPS = 0.6  # of the size of codes: read from nearly as far as before
POSTER_KEEPS_TYPE = 0.5  # of the size of words
PICTURE_SHARE = 0.2  # of a tile's height, where the code stays of a good size


@dataclass(frozen=True)
class TilePlan:
    """The parts of every tile of a page, relative to the tile's left top corner."""

    width: int
    height: int
    name: Box
    price: Box
    code: Box  # the white card: the code with its quiet zone
    caption: Box
    picture: Box | None
    type_size: int
    price_size: int
    centred: bool  # text stands in the middle of its box, else at its left


@dataclass(frozen=True)
class Plan:
    """The whole screen."""

    unit: int  # of all margins and gutters
    header: Box
    body: Box
    tiles: tuple[Box, ...]  # the places of one page
    pages: int
    module_pixels: int
    tile: TilePlan


def unit(width: int, height: int) -> int:
    """The spacing from which all margins and gutters are made."""
    return max(4, round(min(width, height) / 80))


def header_box(width: int, height: int) -> Box:
    """The line across the top; notices stand there too, to be read from a metre."""
    return Box(0, 0, width, max(48, round(height * (0.085 if height > width else 0.11))))


@lru_cache(32)
def plan(width: int, height: int, count: int, modules: int, two_lines: bool) -> Plan:
    """Lay out `count` products whose largest code has `modules` from side to side, quiet zone included.

    `two_lines`: some name needs two lines. Raises ValueError if not even one readable code fits.
    """
    body = Box(0, header_box(width, height).bottom, width, height)
    found = _plan((width, height), body, count, modules, two_lines)
    if found is None:
        raise ValueError(f"a code of {modules} modules does not fit on a screen of {width}x{height}")
    return found


@lru_cache(32)
def plan_beside_poster(width: int, height: int, count: int, modules: int, two_lines: bool) -> tuple[Plan, Box] | None:
    """The same beside the largest poster for which the codes need not suffer: above them, or on a wide screen left.

    They stand on no more pages than without it, with modules of a good size; codes and words keep most of theirs.
    None where there is no room for a poster.
    """
    alone = plan(width, height, count, modules, two_lines)
    least = max(GOOD_MODULE_PIXELS, alone.module_pixels * POSTER_KEEPS)
    least_type = alone.tile.type_size * POSTER_KEEPS_TYPE
    for share in POSTER_SHARES:
        poster, body = split_for_poster(alone.body, alone.unit, share)
        found = _plan((width, height), body, count, modules, two_lines)
        if found is None or found.pages > alone.pages:
            continue
        if found.module_pixels >= least and found.tile.type_size >= least_type:
            return found, poster
    return None


def split_for_poster(body: Box, space: int, share: float) -> tuple[Box, Box]:
    """A poster with so large a share of the body, and what is left for the tiles."""
    if body.height > body.width:
        cut = body.top + round(body.height * share)
        return Box(body.left + space, body.top + space, body.right - space, cut), body._replace(top=cut)
    cut = body.left + round(body.width * share)
    return Box(body.left + space, body.top + space, cut, body.bottom - space), body._replace(left=cut)


def _plan(size: tuple[int, int], body: Box, count: int, modules: int, two_lines: bool) -> Plan | None:
    """The best way to fill `body` on a screen of that size; None if not even one readable code fits."""
    space = unit(*size)
    good = _most_tiles(body, space, count, modules, least=GOOD_MODULE_PIXELS, two_lines=two_lines)
    most = _most_tiles(body, space, count, modules, least=MIN_MODULE_PIXELS, two_lines=two_lines)
    if most == 0:
        return None
    if good and math.ceil(count / good) <= math.ceil(count / most) + 1:
        most = good
    pages = math.ceil(count / most)
    # As even as the pages can be; a number of tiles that makes no grid (7 in two columns) gives way to the next.
    grids: list[Grid] = []
    for per_page in range(math.ceil(count / pages), most + 1):
        grids = _grids(body, space, per_page, modules, two_lines)
        if grids:
            break
    _, columns, rows, tile, module_pixels = max(grids, key=lambda grid: grid[0])
    stand = places(body, space, columns, rows, per_page)
    return Plan(space, header_box(*size), body, stand, pages, module_pixels, tile)


Score = tuple[float, ...]
Grid = tuple[Score, int, int, TilePlan, int]


def _most_tiles(body: Box, space: int, count: int, modules: int, *, least: int, two_lines: bool) -> int:
    """How many tiles fit on a page with modules of at least `least` pixels."""
    for tiles in range(count, 0, -1):
        if any(grid[4] >= least for grid in _grids(body, space, tiles, modules, two_lines)):
            return tiles
    return 0


def _grids(body: Box, space: int, tiles: int, modules: int, two_lines: bool) -> list[Grid]:
    """Every way to set `tiles` in columns and rows with readable codes, each with how good it is."""
    grids: list[Grid] = []
    for columns in range(1, tiles + 1):
        rows = math.ceil(tiles / columns)
        if (columns - 1) * rows >= tiles:
            continue  # a column would stand empty
        width = (body.width - space * (columns + 1)) // columns
        height = (body.height - space * (rows + 1)) // rows
        for arrange in (_upright, _beside):
            found = arrange(width, height, space, modules, two_lines)
            if found is None:
                continue
            tile, module_pixels = found
            picture = 0 if tile.picture is None else min(tile.picture.width, tile.picture.height)
            empty = columns * rows - tiles
            # Beyond a code that is read at arm's length, a picture says more than larger modules.
            enough = min(module_pixels * modules, round(min(body.width, body.height) * 0.36))
            worth = enough + 0.4 * min(picture, enough) + 4 * tile.type_size
            score = (worth * (1 - 0.08 * empty), -empty, arrange is _upright)
            grids.append((score, columns, rows, tile, module_pixels))
    return grids


def _upright(width: int, height: int, space: int, modules: int, two_lines: bool) -> tuple[TilePlan, int] | None:
    """Picture, name, price, code, caption, one above the other."""
    inner = width - 2 * space
    size = _type_size(min(inner * 0.11, height * 0.065), space)
    price_size = round(size * PRICE)
    lines = round(size * LINE) * (2 if two_lines else 1)
    price = round(price_size * LINE)
    caption = round(size * LINE)
    rest = height - 2 * space - lines - price - caption - 2 * (space // 2)
    largest = min(inner, rest) // modules
    if largest < MIN_MODULE_PIXELS:
        return None
    pixels = largest
    while pixels > GOOD_MODULE_PIXELS and rest - pixels * modules < height * PICTURE_SHARE:
        pixels -= 1
    pixels = max(pixels, min(largest, GOOD_MODULE_PIXELS))
    side = pixels * modules
    room = min(rest - side - space // 2, inner, round(height * LARGEST_PICTURE_SHARE))
    picture = None
    spare = rest - side - (room + space // 2 if room >= LEAST_PICTURE else 0)
    y = space + spare // 3
    if room >= LEAST_PICTURE:
        picture = Box((width - room) // 2, y, (width + room) // 2, y + room)
        y += room + space // 2 + spare // 3
    name = Box(space, y, width - space, y + lines)
    price_box = Box(space, name.bottom, width - space, name.bottom + price)
    top = price_box.bottom + space // 2
    code = Box((width - side) // 2, top, (width - side) // 2 + side, top + side)
    caption_box = Box(space, code.bottom + space // 2, width - space, code.bottom + space // 2 + caption)
    return TilePlan(width, height, name, price_box, code, caption_box, picture, size, price_size, True), pixels


def _beside(width: int, height: int, space: int, modules: int, two_lines: bool) -> tuple[TilePlan, int] | None:
    """Code and caption on the right; picture, name and price on the left."""
    for pixels in range((height - 2 * space) // modules, MIN_MODULE_PIXELS - 1, -1):
        side = pixels * modules
        left = width - side - 3 * space
        size = _type_size(min(left * 0.14, height * 0.11), space)
        caption = round(size * LINE)
        if side + caption + space // 2 > height - 2 * space or left < max(5.5 * size, 0.3 * width):
            continue
        price_size = round(size * PRICE)
        lines = round(size * LINE) * (2 if two_lines else 1)
        price = round(price_size * LINE)
        room = min(height - 2 * space - lines - price - space // 2, left, round(height * 0.5))
        if room < 0:
            continue
        top = (height - side - caption - space // 2) // 2
        code = Box(width - space - side, top, width - space, top + side)
        caption_box = Box(code.left, code.bottom + space // 2, code.right, code.bottom + space // 2 + caption)
        picture = None
        y = (height - lines - price) // 2
        if room >= LEAST_PICTURE:
            y = (height - lines - price - room - space // 2) // 2
            picture = Box(space + (left - room) // 2, y, space + (left - room) // 2 + room, y + room)
            y += room + space // 2
        name = Box(space, y, space + left, y + lines)
        price_box = Box(space, name.bottom, space + left, name.bottom + price)
        return TilePlan(width, height, name, price_box, code, caption_box, picture, size, price_size, True), pixels
    return None


def _type_size(wanted: float, space: int) -> int:
    smallest = max(SMALLEST_TYPE, round(space * SMALLEST_TYPE_UNITS))
    return max(smallest, min(LARGEST_TYPE, int(wanted)))


def places(body: Box, space: int, columns: int, rows: int, tiles: int) -> tuple[Box, ...]:
    """The boxes of the first `tiles` places of a grid, row by row."""
    width = (body.width - space * (columns + 1)) // columns
    height = (body.height - space * (rows + 1)) // rows
    left = body.left + (body.width - columns * width - (columns - 1) * space) // 2
    top = body.top + (body.height - rows * height - (rows - 1) * space) // 2
    boxes = []
    for number in range(tiles):
        row, column = divmod(number, columns)
        x, y = left + column * (width + space), top + row * (height + space)
        boxes.append(Box(x, y, x + width, y + height))
    return tuple(boxes)
