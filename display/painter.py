"""Paints a scene: the same scene gives the same picture; only what changed since the last one is painted again."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

from display import layout, palette, qr
from display.fonts import font
from display.keypad_layout import KeypadPlan, keypad_plan, keypad_plan_beside_poster
from display.large_layout import large_plan
from display.palette import text_in
from display.parts import Card, Keyed, Part, Picture, Slide, Words, lines_in, paint_code, paint_placeholder
from display.pictures import product_picture
from display.scene import LargeCode, Notice, NoticeKind, Phase, Scene, Tile, TileState
from display.screen import Box, Point

USUAL_CODE_MODULES = 29 + 2 * qr.QUIET_MODULES  # version 3: what WeChat's own code_url needs
_SELLING = {Phase.FOR_SALE, Phase.KEYPAD}
_NOTICE_GROUND = {
    NoticeKind.VENDING: palette.GROUND,
    NoticeKind.TAKE_GOODS: palette.GOOD,
    NoticeKind.FAILED: palette.BAD,
}


@dataclass(frozen=True)
class Painted:
    """A picture, what of it differs from the one before, and how many pages the scene has."""

    image: Image.Image  # the painter goes on painting on it: copy what is to be kept
    changed: tuple[Box, ...]
    pages: int
    tiles: tuple[tuple[Box, Tile], ...] = ()  # what a customer can point at: tiles with codes, or the one large code

    def tile_at(self, point: Point) -> Tile | None:
        """The tile that stands at a point."""
        return next((tile for box, tile in self.tiles if box.contains(point)), None)


class Painter:
    """Paints for a screen of one size."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._image = Image.new("RGB", self._size, palette.GROUND)
        self._draw = ImageDraw.Draw(self._image)
        self._shown: dict[Box, object] = {}  # what stands in each box now
        self._modules = USUAL_CODE_MODULES

    def paint(self, scene: Scene, page: int = 0) -> Painted:
        """Paint page `page` (counted from 0, taken modulo the number of pages)."""
        if scene.notice is not None and scene.notice.kind is NoticeKind.VENDING:
            whole = Box(0, 0, *self._size)
            return Painted(self._image, self._put({whole: scene.notice}), self._pages(scene))
        header = layout.header_box(*self._size)
        if scene.phase in _SELLING and scene.large is not None:
            return self._alone(scene, scene.large)
        if scene.phase is Phase.KEYPAD and scene.tiles:
            return self._keypad(scene, page)
        if scene.phase is not Phase.FOR_SALE or not scene.tiles:
            body = Box(0, header.bottom, *self._size)
            content = {header: _Header.of(scene, ""), body: _Still(scene.headline, scene.explanation)}
            return Painted(self._image, self._put(content), 1)
        plan, poster_box = self._plan(scene)
        page %= plan.pages
        label = scene.page_label.format(page=page + 1, pages=plan.pages) if plan.pages > 1 else ""
        tiles = scene.tiles[page * len(plan.tiles) : (page + 1) * len(plan.tiles)]
        standing = tuple(zip(plan.tiles, tiles, strict=False))
        content = {plan.header: _Header.of(scene, label)}
        content |= {box: _Placed(tile, plan) for box, tile in standing}
        content |= _slide(scene, poster_box)
        return Painted(self._image, self._put(content), plan.pages, standing)

    def poster_box(self, scene: Scene) -> Box | None:
        """Where a poster would stand; None where there is no room for one, or somebody is being served."""
        if not scene.calm:
            return None
        return (self._plan if scene.phase is Phase.FOR_SALE else self._keypad_plan)(scene, with_poster=True)[1]

    def _keypad(self, scene: Scene, page: int) -> Painted:
        plan, poster_box = self._keypad_plan(scene)
        page %= plan.pages
        label = scene.page_label.format(page=page + 1, pages=plan.pages) if plan.pages > 1 else ""
        tiles = scene.tiles[page * len(plan.tiles) : (page + 1) * len(plan.tiles)]
        size = round(plan.headline.height * 0.48)
        content: dict[Box, object] = {
            plan.header: _Header.of(scene, label),
            plan.headline: Words(scene.headline, size, palette.TEXT),
        }
        content |= {box: Keyed(tile, plan) for box, tile in zip(plan.tiles, tiles, strict=False)}
        content |= _slide(scene, poster_box)
        return Painted(self._image, self._put(content), plan.pages)

    def _alone(self, scene: Scene, large: LargeCode) -> Painted:
        """One product and its code, every part for itself: a countdown repaints nothing but its line."""
        tile = large.tile
        self._modules = max(self._modules, qr.modules(tile.code) if tile.code is not None else 0)
        plan = large_plan(*self._size, self._modules, two_lines=False)
        if font(plan.type_size).getlength(tile.name) > plan.name.width:
            plan = large_plan(*self._size, self._modules, two_lines=True)
        size, quiet = plan.type_size, max(layout.SMALLEST_TYPE, round(plan.type_size * 0.8))
        scan = tile.caption if tile.state is TileState.FOR_SALE and tile.code is not None else ""
        content: dict[Box, object] = {
            layout.header_box(*self._size): _Header.of(scene, ""),
            plan.name: Words(tile.name, size, palette.TEXT, 2),
            plan.price: Words(tile.price, plan.price_size, palette.TEXT),
            plan.card: Card(tile, plan.module_pixels, plan.price_size),
            plan.caption: Words(scan, size, palette.SCAN),
            plan.countdown: Words(large.countdown, quiet, palette.TEXT),
            plan.hint: Words(large.hint, quiet, palette.QUIET_TEXT),
        }
        if plan.picture is not None:
            content[plan.picture] = Picture.of(tile)
        return Painted(self._image, self._put(content), self._pages(scene), ((plan.card, tile),))

    def _pages(self, scene: Scene) -> int:
        """How many pages the tiles have that are covered now."""
        if not scene.tiles or scene.phase not in _SELLING:
            return 1
        return (self._plan(scene) if scene.phase is Phase.FOR_SALE else self._keypad_plan(scene))[0].pages

    def _keypad_plan(self, scene: Scene, *, with_poster: bool = False) -> tuple[KeypadPlan, Box | None]:
        def lay_out(two_lines: bool) -> tuple[KeypadPlan, Box | None]:
            found = None
            if with_poster or scene.poster is not None:
                found = keypad_plan_beside_poster(*self._size, len(scene.tiles), two_lines)
            return found or (keypad_plan(*self._size, len(scene.tiles), two_lines), None)

        plan, poster = lay_out(two_lines=False)
        return lay_out(two_lines=True) if _long(scene, plan.tile.name, plan.tile.type_size) else (plan, poster)

    def _plan(self, scene: Scene, *, with_poster: bool = False) -> tuple[layout.Plan, Box | None]:
        # Codes only grow: a tile whose code is being made must not make the page jump.
        codes = [qr.modules(tile.code) for tile in scene.tiles if tile.code is not None]
        self._modules = max([self._modules, *codes])

        def lay_out(two_lines: bool) -> tuple[layout.Plan, Box | None]:
            found = None
            if with_poster or scene.poster is not None:
                found = layout.plan_beside_poster(*self._size, len(scene.tiles), self._modules, two_lines)
            return found or (layout.plan(*self._size, len(scene.tiles), self._modules, two_lines), None)

        plan, poster = lay_out(two_lines=False)
        return lay_out(two_lines=True) if _long(scene, plan.tile.name, plan.tile.type_size) else (plan, poster)

    def _put(self, content: dict[Box, object]) -> tuple[Box, ...]:
        """Paint what does not stand there yet; return the boxes that were painted."""
        if content.keys() != self._shown.keys():
            self._shown = {}
            self._draw.rectangle((0, 0, *self._size), palette.GROUND)
        changed = []
        for box, thing in content.items():
            if self._shown.get(box) != thing:
                self._draw.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), palette.GROUND)
                self._paint(box, thing)
                changed.append(box)
        fresh = not self._shown
        self._shown = content
        return (Box(0, 0, *self._size),) if fresh else tuple(changed)

    def _paint(self, box: Box, thing: object) -> None:
        match thing:
            case _Placed(tile, plan):
                self._tile(box, tile, plan)
            case _Header():
                self._header(box, thing)
            case _Still():
                self._still(box, thing)
            case Notice():
                self._vending(thing)
            case Part():
                thing.paint(self._image, self._draw, box)

    # Parts -------------------------------------------------------------------------------------------------

    def _header(self, box: Box, header: _Header) -> None:
        space = layout.unit(*self._size) * 2
        if header.notice is not None:
            self._band(box, header.notice)
            return
        large, small = round(box.height * 0.34), max(layout.SMALLEST_TYPE, round(box.height * 0.2))
        right = round(max(font(small).getlength(header.number), font(small).getlength(header.page)) + space)
        middle = box.top + round(box.height * 0.56)
        left_width = box.right - right - space
        name = Box(space, box.top + box.height // 10, left_width, middle)
        text_in(self._draw, name, header.name, large, palette.TEXT, centred=False)
        help_box = Box(space, middle, left_width, box.bottom - box.height // 10)
        text_in(self._draw, help_box, header.help, small, palette.QUIET_TEXT, centred=False)
        for text, (top, bottom) in (
            (header.number, (name.top, name.bottom)),
            (header.page, (help_box.top, help_box.bottom)),
        ):
            y = (top + bottom) / 2
            self._draw.text((box.right - space, y), text, palette.QUIET_TEXT, font(small), anchor="rm")

    def _band(self, box: Box, notice: Notice) -> None:
        """The end of somebody's purchase, across the top."""
        self._draw.rectangle((0, box.top, box.right - 1, box.bottom - 1), _NOTICE_GROUND[notice.kind])
        space = layout.unit(*self._size) * 2
        mark = round(box.height * 0.56)
        top = (box.top + box.bottom - mark) // 2
        self._mark(Box(space, top, space + mark, top + mark), notice.kind)
        left = space + mark + space
        middle = box.top + round(box.height * 0.55)
        title = Box(left, box.top + box.height // 12, box.right - space, middle)
        text_in(self._draw, title, notice.title, round(box.height * 0.36), palette.TEXT, centred=False)
        text = Box(left, middle, box.right - space, box.bottom - box.height // 12)
        text_in(self._draw, text, notice.text, max(14, round(box.height * 0.24)), palette.TEXT, centred=False)

    def _mark(self, box: Box, kind: NoticeKind) -> None:
        """A tick or an exclamation mark in a ring: what happened is told by shape, not by colour alone."""
        line = max(2, box.width // 12)
        self._draw.ellipse((box.left, box.top, box.right - 1, box.bottom - 1), outline=palette.TEXT, width=line)
        x, y, side = box.left, box.top, box.width
        if kind is NoticeKind.TAKE_GOODS:
            corners = ((0.28, 0.52), (0.45, 0.68), (0.73, 0.36))
            points = [(x + side * right, y + side * down) for right, down in corners]
            self._draw.line(points, palette.TEXT, line, joint="curve")
        else:
            centre = x + side / 2
            self._draw.line([(centre, y + side * 0.24), (centre, y + side * 0.58)], palette.TEXT, line)
            dot = side * 0.06
            self._draw.ellipse((centre - dot, y + side * 0.7 - dot, centre + dot, y + side * 0.7 + dot), palette.TEXT)

    def _still(self, box: Box, still: _Still) -> None:
        """Nothing is for sale: large words, and why."""
        width, height = self._size
        size = round(min(width * 0.11, height * 0.13))
        margin = round(width * 0.08)
        middle = box.top + round(box.height * 0.44)
        headline = Box(margin, middle - round(size * 1.4), width - margin, middle)
        text_in(self._draw, headline, still.headline, size, palette.TEXT)
        below = Box(margin, middle + size // 3, width - margin, middle + size // 3 + round(size * 1.5))
        text_in(self._draw, below, still.explanation, round(size * 0.45), palette.QUIET_TEXT, lines=2)

    def _vending(self, notice: Notice) -> None:
        """The product large, and where in the machine it comes from."""
        width, height = self._size
        space = layout.unit(width, height) * 2
        upright = height > width
        title_size = round(min(width * 0.075, height * 0.1))
        title = Box(space, space, width - space, space + round(title_size * 1.8))
        text_in(self._draw, title, notice.title, title_size, palette.TEXT)
        stage = Box(space, title.bottom + space, width - space, height - space)
        if notice.slots is None:
            left = right = stage
        elif upright:
            cut = stage.top + round(stage.height * 0.56)
            left, right = (
                Box(stage.left, stage.top, stage.right, cut),
                Box(stage.left, cut + space, stage.right, stage.bottom),
            )
        else:
            cut = stage.left + round(stage.width * 0.5)
            left = Box(stage.left, stage.top, cut, stage.bottom)
            right = Box(cut + space, stage.top, stage.right, stage.bottom)
        name_size = round(title_size * 0.62)
        room = min(round(left.width * 0.6), left.height - round(name_size * 1.8))
        picture = product_picture(notice.picture, notice.text, notice.product_id, room)
        x = left.left + (left.width - picture.width) // 2
        y = left.top + (left.height - round(name_size * 1.8) - picture.height) // 2
        self._image.paste(picture, (x, y), picture)
        below = Box(left.left, y + picture.height, left.right, y + picture.height + round(name_size * 1.8))
        text_in(self._draw, below, notice.text, name_size, palette.TEXT)
        if notice.slots is not None:
            self._machine(right, notice)

    def _machine(self, box: Box, notice: Notice) -> None:
        """The machine's front as rows of slots, the one that turns filled."""
        if notice.slots is None:
            return
        rows = notice.slots.rows
        columns = max(len(row) for row in rows)
        gap = max(2, layout.unit(*self._size) // 2)
        cell = min((box.width - gap) // columns - gap, (box.height - gap) // len(rows) - gap, box.width // 4)
        frame_width, frame_height = columns * (cell + gap) + gap, len(rows) * (cell + gap) + gap
        left, top = box.left + (box.width - frame_width) // 2, box.top + (box.height - frame_height) // 2
        self._draw.rounded_rectangle((left, top, left + frame_width, top + frame_height), gap * 2, palette.CARD)
        for number, row in enumerate(rows):
            for column, slot in enumerate(row):
                x, y = left + gap + column * (cell + gap), top + gap + number * (cell + gap)
                marked = slot == notice.slots.marked
                ground = palette.SCAN if marked else palette.PANEL
                self._draw.rounded_rectangle((x, y, x + cell - 1, y + cell - 1), gap, ground)
                place = Box(x + 1, y + 1, x + cell - 1, y + cell - 1)
                colour = palette.GROUND if marked else palette.QUIET_TEXT
                if cell >= layout.SMALLEST_TYPE * 1.3:
                    text_in(self._draw, place, slot, round(cell * 0.42), colour)

    def _tile(self, box: Box, tile: Tile, plan: layout.Plan) -> None:
        parts = plan.tile
        self._draw.rounded_rectangle((box.left, box.top, box.right - 1, box.bottom - 1), plan.unit, palette.CARD)

        def at(part: Box) -> Box:
            return part.moved(box.left, box.top)

        if parts.picture is not None:
            Picture.of(tile).paint(self._image, self._draw, at(parts.picture))
        colour = palette.QUIET_TEXT if tile.state is TileState.SOLD_OUT else palette.TEXT
        lines = lines_in(parts.name, parts.type_size)
        text_in(self._draw, at(parts.name), tile.name, parts.type_size, colour, lines=lines)
        text_in(self._draw, at(parts.price), tile.price, parts.price_size, colour)
        code, caption = at(parts.code), at(parts.caption)
        if tile.state is TileState.FOR_SALE and tile.code is not None:
            paint_code(self._image, self._draw, code, tile.code, plan.module_pixels)
            text_in(self._draw, caption, tile.caption, parts.type_size, palette.SCAN)
            return
        paint_placeholder(self._draw, code, tile.caption, parts.price_size, colour)


def _slide(scene: Scene, box: Box | None) -> dict[Box, object]:
    """The scene's poster in its place, where it has one."""
    return {} if box is None or scene.poster is None else {box: Slide(scene.poster)}


def _long(scene: Scene, name: Box, type_size: int) -> bool:
    """Whether some product's name needs two lines in a place of that width."""
    face = font(type_size)
    return any(face.getlength(tile.name) > name.width for tile in scene.tiles)


@dataclass(frozen=True)
class _Placed:
    """A tile in its place; compared to know whether it stands there already."""

    tile: Tile
    plan: layout.Plan


@dataclass(frozen=True)
class _Header:
    name: str
    number: str
    help: str
    page: str
    notice: Notice | None

    @staticmethod
    def of(scene: Scene, page: str) -> _Header:
        return _Header(scene.machine_name, scene.machine_number, scene.help_line, page, scene.notice)


@dataclass(frozen=True)
class _Still:
    headline: str
    explanation: str
