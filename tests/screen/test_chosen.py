"""One product chosen: its code alone, as large as the screen allows; and the screen of a machine with a keypad."""

from __future__ import annotations

from dataclasses import replace

import pytest
import zxingcpp
from PIL import Image, ImageChops
from scenes import FAILED, GOODS, TAKE_GOODS, VENDING, chosen, keypad, scene

from display import layout, palette
from display.keypad_layout import keypad_plan
from display.large_layout import LargePlan, large_plan
from display.painter import Painter
from display.scene import Notice, Phase, Scene, TileState
from display.screen import Box

SIZES = [(480, 320), (320, 480), (800, 480), (600, 1024), (1280, 800), (1920, 1080), (1080, 1920)]
NAMES = [name for goods in GOODS for name in goods[1:3]] + ["超长名称" * 4, "An extraordinarily long name of a drink"]
READABLE = 11  # pixels: the smallest that a long name may shrink to on the smallest screen


def size_name(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def codes_in(image: Image.Image) -> set[str]:
    return {found.text for found in zxingcpp.read_barcodes(image)}


def parts(plan: LargePlan) -> list[Box]:
    words = [plan.name, plan.price, plan.card, plan.caption, plan.countdown, plan.hint]
    return words if plan.picture is None else [*words, plan.picture]


def apart(boxes: list[Box]) -> bool:
    return not any(
        one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom
        for place, one in enumerate(boxes)
        for other in boxes[place + 1 :]
    )


class TestLargeCode:
    @pytest.mark.parametrize("long", [False, True], ids=["mode-two", "mode-one"])
    @pytest.mark.parametrize("size", SIZES, ids=size_name)
    def test_its_code_is_read_and_no_other_is_there(self, size: tuple[int, int], long: bool) -> None:
        """A phone that is held to the screen finds the code of the product that was chosen, and nothing else."""
        shown = scene(6, long=long, english=long)

        assert {shown.tiles[3].code} == codes_in(Painter(*size).paint(chosen(shown, 3)).image)

    @pytest.mark.parametrize("modules", [37, 65])
    @pytest.mark.parametrize("size", SIZES, ids=size_name)
    def test_it_is_larger_than_on_any_tile(self, size: tuple[int, int], modules: int) -> None:
        """Choosing is worth it: larger modules than in a grid of six; parts keep apart, the price is the largest."""
        plan = large_plan(*size, modules, two_lines=True)
        header = layout.header_box(*size)
        inside = all(
            0 <= part.left < part.right <= size[0] and header.bottom <= part.top < part.bottom <= size[1]
            for part in parts(plan)
        )

        assert plan.module_pixels > layout.plan(*size, 6, modules, two_lines=True).module_pixels or modules == 65
        assert plan.module_pixels >= layout.plan(*size, 6, modules, two_lines=True).module_pixels
        assert inside
        assert apart(parts(plan))
        assert plan.price_size > plan.type_size

    @pytest.mark.parametrize("name", NAMES)
    def test_a_long_name_stays_whole(self, name: str) -> None:
        """No name is cut, on any screen, and none shrinks until it cannot be read."""
        for size in SIZES:
            plan = large_plan(*size, 37, two_lines=True)
            lines, face = palette.fit(name, plan.name.width, 2, plan.type_size)

            assert name.replace(" ", "") == "".join(lines).replace(" ", "")
            assert all(face.getlength(line) <= plan.name.width for line in lines)
            assert face.size >= READABLE  # type: ignore[union-attr] # the tests have the Chinese font

    def test_a_countdown_repaints_its_line_only(self) -> None:
        """A second that passes does not touch the code."""
        painter = Painter(800, 480)
        before = painter.paint(chosen(scene(6), 2, "还剩 58 秒")).image.copy()
        painted = painter.paint(chosen(scene(6), 2, "还剩 57 秒"))
        line = large_plan(800, 480, 37, two_lines=False).countdown

        assert (line,) == painted.changed
        assert ImageChops.difference(before, painted.image).getbbox() is not None

    @pytest.mark.parametrize("state", [TileState.PREPARING, TileState.PAID])
    def test_without_a_code_a_placeholder_says_why(self, state: TileState) -> None:
        """A code that is being made, or was paid, leaves no old one behind; when it comes nothing else moves."""
        painter = Painter(800, 480)
        painter.paint(chosen(scene(6), 0))
        waiting = painter.paint(chosen(scene(6, states={0: state}), 0))
        seen = codes_in(waiting.image)
        plan = large_plan(800, 480, 37, two_lines=False)

        assert set() == seen
        assert set(waiting.changed) == {plan.card, plan.caption}
        assert {scene(6).tiles[0].code} == codes_in(painter.paint(chosen(scene(6), 0)).image)

    @pytest.mark.parametrize("notice", [TAKE_GOODS, FAILED], ids=["take goods", "failed"])
    def test_the_end_of_another_sale_stands_above_it(self, notice: Notice) -> None:
        """A notice takes the header's place, not the code's."""
        shown = scene(6, notice=notice)

        assert {shown.tiles[0].code} == codes_in(Painter(800, 480).paint(chosen(shown)).image)

    @pytest.mark.parametrize(
        "shown",
        [chosen(scene(6, phase=Phase.OUT_OF_SERVICE)), chosen(scene(6, notice=VENDING))],
        ids=["out of service", "vending"],
    )
    def test_no_code_while_nothing_can_be_bought(self, shown: Scene) -> None:
        """Out of service and a sale under way take the screen."""
        assert set() == codes_in(Painter(800, 480).paint(shown).image)

    def test_coming_back_equals_painting_anew(self) -> None:
        """After the large code the tiles stand as if nothing had been between."""
        painter, fresh = Painter(480, 320), Painter(480, 320)
        for shown in (scene(6), chosen(scene(6), 1), scene(6)):
            image = painter.paint(shown, 1).image

        assert ImageChops.difference(image, fresh.paint(scene(6), 1).image).getbbox() is None


class TestKeypad:
    @pytest.mark.parametrize("size", SIZES, ids=size_name)
    def test_it_shows_no_code_of_a_tile(self, size: tuple[int, int]) -> None:
        """Whoever chooses on the keypad pays by the code that comes then."""
        shown = replace(scene(6), phase=Phase.KEYPAD, headline="请在机器键盘上选择商品")

        assert set() == codes_in(Painter(*size).paint(shown).image)

    @pytest.mark.parametrize("size", SIZES, ids=size_name)
    def test_the_chosen_product_has_its_code(self, size: tuple[int, int]) -> None:
        """The large code stands on the keypad's screen too."""
        code = scene(1).tiles[0].code
        shown = replace(keypad(scene(6)), large=chosen(scene(1)).large)

        assert {code} == codes_in(Painter(*size).paint(shown).image)

    @pytest.mark.parametrize("size", SIZES, ids=size_name)
    def test_every_product_has_a_place(self, size: tuple[int, int]) -> None:
        """For 1 to 60 products: all on some page, nothing overlaps, all inside, the price larger than the name."""
        for count in range(1, 61):
            plan = keypad_plan(*size, count, two_lines=True)
            tile = plan.tile
            words = [tile.name, tile.price, tile.key, *([tile.picture] if tile.picture else [])]
            whole = Box(0, 0, plan.tiles[0].width, plan.tiles[0].height)

            assert plan.pages * len(plan.tiles) >= count
            assert apart([plan.header, plan.headline, *plan.tiles])
            assert apart(words)
            assert all(_within(part, whole) for part in words)
            assert all(_within(place, Box(0, 0, *size)) for place in plan.tiles)
            assert tile.price_size > tile.type_size

    def test_only_the_product_that_sold_out_is_painted(self) -> None:
        """A change of one tile repaints that tile."""
        painter = Painter(800, 480)
        painter.paint(keypad(scene(12)))

        assert 1 == len(painter.paint(keypad(scene(12, states={4: TileState.SOLD_OUT}))).changed)


def _within(part: Box, whole: Box) -> bool:
    return whole.left <= part.left < part.right <= whole.right and whole.top <= part.top < part.bottom <= whole.bottom
