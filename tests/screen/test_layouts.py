"""What a phone can read off the screen, on every layout; and that only what changed is painted."""

from __future__ import annotations

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops
from scenes import FAILED, GOODS, TAKE_GOODS, VENDING, scene

from display import layout, palette, qr
from display.painter import Painter
from display.scene import Notice, Phase, Scene, TileState
from display.screen import Box, Point

SIZES = [(1080, 1920), (1920, 1080), (800, 480), (600, 1024), (480, 320)]
COUNTS = [1, 2, 3, 5, 8, 12, 24, 60]
SMALL = (480, 320)


def codes_in(image: Image.Image) -> set[str]:
    """What a reader finds in a picture."""
    return {found.text for found in zxingcpp.read_barcodes(image)}


def codes_on_all_pages(painter: Painter, shown: Scene) -> set[str]:
    pages = painter.paint(shown).pages
    return set().union(*(codes_in(painter.paint(shown, page).image) for page in range(pages)))


class TestCodes:
    @pytest.mark.parametrize("long", [False, True], ids=["mode-two", "mode-one"])
    @pytest.mark.parametrize("count", COUNTS)
    @pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
    def test_every_code_can_be_read(self, size: tuple[int, int], count: int, long: bool) -> None:
        """Each product's code is on some page, and is read off the picture itself."""
        shown = scene(count, long=long, english=count % 2 == 0)

        assert {tile.code for tile in shown.tiles} == codes_on_all_pages(Painter(*size), shown)

    @pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
    @pytest.mark.parametrize("modules", [37, 65])
    def test_modules_are_large_enough(self, size: tuple[int, int], modules: int) -> None:
        """At least three pixels a module, and a page holds at least one tile, for 1 to 60 products."""
        for count in range(1, 61):
            plan = layout.plan(*size, count, modules, two_lines=True)

            assert plan.module_pixels >= 3
            assert plan.pages * len(plan.tiles) >= count

    def test_a_code_stands_in_whole_pixels_with_its_quiet_zone(self) -> None:
        """Four white modules on every side, each module a square of the same size, black and white only."""
        image = qr.paint("weixin://wxpay/bizpayurl?pr=000000001", 5)
        quiet = 4 * 5

        assert image.width == qr.modules("weixin://wxpay/bizpayurl?pr=000000001") * 5
        assert {0, 255} == {value for value, count in enumerate(image.histogram()) if count}
        for border in (
            (0, 0, image.width, quiet),
            (0, 0, quiet, image.height),
            (image.width - quiet, 0, image.width, image.height),
            (0, image.height - quiet, image.width, image.height),
        ):
            assert (255, 255) == image.crop(border).getextrema()

    @pytest.mark.parametrize("notice", [TAKE_GOODS, FAILED], ids=["take goods", "failed"])
    @pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
    def test_the_end_of_a_sale_covers_no_code(self, size: tuple[int, int], notice: Notice) -> None:
        """While one customer takes the goods, the next one can scan."""
        shown = scene(4, notice=notice)

        assert {tile.code for tile in shown.tiles} == codes_on_all_pages(Painter(*size), shown)

    @pytest.mark.parametrize(
        "shown",
        [
            scene(6, phase=Phase.OUT_OF_SERVICE),
            scene(6, phase=Phase.STARTING),
            scene(6, phase=Phase.OUT_OF_SERVICE, notice=FAILED),
            scene(6, notice=VENDING),
            scene(3, states=dict.fromkeys(range(3), TileState.SOLD_OUT)),
            scene(3, states={0: TileState.SOLD_OUT, 1: TileState.PAID, 2: TileState.PREPARING}),
        ],
        ids=["out of service", "starting", "out of service after a failure", "vending", "sold out", "no code yet"],
    )
    def test_no_code_where_nothing_can_be_bought(self, shown: Scene) -> None:
        """Whatever cannot be bought now has no code anywhere."""
        assert set() == codes_in(Painter(800, 480).paint(shown).image)

    def test_a_code_in_the_making_does_not_move_the_others(self) -> None:
        """A tile without its code yet leaves every other tile where it was."""
        painter = Painter(800, 480)
        painter.paint(scene(4, long=True))
        changed = painter.paint(scene(4, long=True, states={1: TileState.PREPARING})).changed

        assert 1 == len(changed)


class TestTiles:
    @pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
    def test_nothing_overlaps(self, size: tuple[int, int]) -> None:
        """Tiles keep apart and below the header; the parts of a tile keep apart and inside it."""
        for count in range(1, 61):
            for modules in (37, 65):
                plan = layout.plan(*size, count, modules, two_lines=True)
                parts = plan.tile
                inside = [
                    parts.name,
                    parts.price,
                    parts.code,
                    parts.caption,
                    *([parts.picture] if parts.picture else []),
                ]

                assert apart([plan.header, *plan.tiles])
                assert apart(inside)
                assert all(within(part, Box(0, 0, parts.width, parts.height)) for part in inside)
                assert all(within(tile, Box(0, 0, *size)) for tile in plan.tiles)

    @pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
    def test_a_point_means_the_tile_that_is_seen_there(self, size: tuple[int, int]) -> None:
        """On every page: a tile's corners are that tile's, the pixels beside them and the header are nobody's."""
        shown = scene(7)
        painter = Painter(*size)
        met = []
        for page in range(painter.paint(shown).pages):
            painted = painter.paint(shown, page)
            for box, tile in painted.tiles:
                met.append(tile)
                corners = ((box.left, box.top), (box.right - 1, box.bottom - 1))

                assert all(painted.tile_at(Point(*corner)) == tile for corner in corners)
                assert painted.tile_at(Point(box.left - 1, box.top)) is None
                assert painted.tile_at(Point(box.left, box.bottom)) is None
            assert painted.tile_at(Point(0, 0)) is None
        assert list(shown.tiles) == met

    @pytest.mark.parametrize("name", [name for goods in GOODS for name in goods[1:3]])
    def test_a_name_is_never_cut(self, name: str) -> None:
        """Whatever the width: all of the name is there, words stay whole, and every line fits."""
        for width in (90, 140, 200, 320):
            lines, face = palette.fit(name, width, 2, 26)

            assert name.replace(" ", "") == "".join(lines).replace(" ", "")
            assert all(face.getlength(line) <= width for line in lines)
            assert all(word in name.split() for line in lines for word in line.split() if word.isascii())


def apart(boxes: list[Box]) -> bool:
    return not any(
        one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom
        for place, one in enumerate(boxes)
        for other in boxes[place + 1 :]
    )


def within(part: Box, whole: Box) -> bool:
    return (
        whole.left <= part.left <= part.right <= whole.right and whole.top <= part.top <= part.bottom <= whole.bottom
    )


class TestChanges:
    def test_only_the_tile_that_changed_is_painted(self) -> None:
        """A new code repaints one tile; nothing else."""
        painter = Painter(1080, 1920)
        before = painter.paint(scene(12)).image.copy()
        painted = painter.paint(scene(12, states={4: TileState.PAID}))
        difference = ImageChops.difference(before, painted.image).getbbox()

        assert 1 == len(painted.changed)
        assert difference is not None
        assert within(Box(*difference), painted.changed[0])

    def test_the_same_scene_paints_nothing(self) -> None:
        """Without a change nothing is written to the screen."""
        painter = Painter(800, 480)
        painter.paint(scene(5))

        assert () == painter.paint(scene(5)).changed

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(1, 9),
                st.sampled_from([None, VENDING, TAKE_GOODS, FAILED]),
                st.sampled_from(list(Phase)),
                st.dictionaries(st.integers(0, 8), st.sampled_from(list(TileState))),
                st.integers(0, 3),
            ),
            min_size=2,
            max_size=5,
        )
    )
    def test_painting_step_by_step_equals_painting_anew(
        self, steps: list[tuple[int, Notice | None, Phase, dict[int, TileState], int]]
    ) -> None:
        """After any scenes the picture is what a fresh painter makes of the last; the boxes tell all changes."""
        painter, copied = Painter(*SMALL), Image.new("RGB", SMALL)
        for count, notice, phase, states, page in steps:
            shown = scene(count, notice=notice, phase=phase, states=states)
            painted = painter.paint(shown, page)
            for box in painted.changed:
                copied.paste(painted.image.crop(box), box)
            fresh = Painter(*SMALL).paint(shown, page).image

            assert ImageChops.difference(painted.image, fresh).getbbox() is None
            assert ImageChops.difference(copied, fresh).getbbox() is None


class TestContrast:
    @pytest.mark.parametrize(
        ("text", "ground"),
        [
            (palette.TEXT, palette.GROUND),
            (palette.TEXT, palette.CARD),
            (palette.TEXT, palette.PANEL),
            (palette.TEXT, palette.GOOD),
            (palette.TEXT, palette.BAD),
            (palette.QUIET_TEXT, palette.GROUND),
            (palette.QUIET_TEXT, palette.CARD),
            (palette.QUIET_TEXT, palette.PANEL),
            (palette.SCAN, palette.CARD),
            (palette.SCAN, palette.GROUND),
            (palette.GROUND, palette.SCAN),
        ],
    )
    def test_text_can_be_read(self, text: tuple[int, int, int], ground: tuple[int, int, int]) -> None:
        """At least 7:1 for every text on its ground (WCAG 2.2, 1.4.6)."""
        lighter, darker = sorted((luminance(text), luminance(ground)), reverse=True)

        assert (lighter + 0.05) / (darker + 0.05) >= 7


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance as WCAG defines it."""
    red, green, blue = (
        value / 255 / 12.92 if value / 255 <= 0.04045 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
