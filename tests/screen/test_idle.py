"""Pictures while nobody buys: they cost the codes nothing, and none of them stops the machine."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from PIL import Image
from scenes import FAILED, TAKE_GOODS, VENDING, chosen, keypad, scene
from screen_kit import codes_in

from display import layout
from display.keypad_layout import keypad_plan, keypad_plan_beside_poster
from display.painter import Painter
from display.pictures import PictureError, open_picture
from display.scene import Phase, Poster, Scene
from display.screen import Box
from display.slideshow import SLIDE_SECONDS, Slideshow

SIZES = [(480, 320), (320, 480), (800, 480), (600, 1024), (1920, 1080), (1080, 1920)]
COUNTS = [1, 2, 3, 4, 6, 8, 12, 20, 30, 60]
RED = (250, 0, 0)


def size_name(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def picture(path: Path, colour: tuple[int, int, int] = RED, size: tuple[int, int] = (300, 200)) -> Poster:
    Image.new("RGB", size, colour).save(path, quality=95)
    return Poster(path, path.stat().st_mtime_ns)


class TestRoom:
    @pytest.mark.parametrize("modules", [37, 65])
    @pytest.mark.parametrize("size", SIZES, ids=size_name)
    def test_it_costs_the_codes_no_page_and_little_size(self, size: tuple[int, int], modules: int) -> None:
        """However many products: no more pages, good modules, and nothing of the picture where a tile stands."""
        for count in COUNTS:
            found = layout.plan_beside_poster(*size, count, modules, two_lines=True)
            alone = layout.plan(*size, count, modules, two_lines=True)
            if found is None:
                continue
            plan, poster = found

            assert plan.pages <= alone.pages
            assert plan.module_pixels >= max(4, alone.module_pixels * 0.6)
            assert not any(overlap(poster, box) for box in (plan.header, *plan.tiles))
            assert all(inside(box, size) for box in (poster, *plan.tiles))

    def test_there_is_room_where_there_are_few_products(self) -> None:
        """Not a rule that is kept by never showing anything."""
        for size in SIZES:
            assert layout.plan_beside_poster(*size, 1, 37, two_lines=False) is not None
            assert keypad_plan_beside_poster(*size, 1, two_lines=False) is not None
        assert layout.plan_beside_poster(1080, 1920, 12, 37, two_lines=True) is not None
        assert layout.plan_beside_poster(480, 320, 60, 65, two_lines=True) is None

    @pytest.mark.parametrize("size", SIZES, ids=size_name)
    def test_it_costs_the_keypad_s_screen_no_page(self, size: tuple[int, int]) -> None:
        """Likewise for products without codes."""
        for count in COUNTS:
            found = keypad_plan_beside_poster(*size, count, two_lines=True)
            if found is None:
                continue
            plan, poster = found

            assert plan.pages <= keypad_plan(*size, count, two_lines=True).pages
            assert not any(overlap(poster, box) for box in (plan.header, plan.headline, *plan.tiles))
            assert all(inside(box, size) for box in (poster, *plan.tiles))


def overlap(one: Box, other: Box) -> bool:
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom


def inside(box: Box, size: tuple[int, int]) -> bool:
    return 0 <= box.left < box.right <= size[0] and 0 <= box.top < box.bottom <= size[1]


class TestPainted:
    @pytest.mark.parametrize("size", [(480, 320), (1080, 1920)], ids=size_name)
    def test_picture_and_codes_are_seen_together(self, tmp_path: Path, size: tuple[int, int]) -> None:
        """The picture stands whole in its place; every code of the page is read."""
        shown = scene(1) if size == (480, 320) else scene(12)
        poster = picture(tmp_path / "a.png")
        painter = Painter(*size)
        box = painter.poster_box(shown)
        image = painter.paint(replace(shown, poster=poster)).image

        assert box is not None
        assert image.getpixel(((box.left + box.right) // 2, (box.top + box.bottom) // 2)) == RED
        assert {tile.code for tile in shown.tiles} == codes_in(image)

    def test_the_next_picture_repaints_no_tile(self, tmp_path: Path) -> None:
        """Slides change, codes stay untouched."""
        painter = Painter(1080, 1920)
        box = painter.poster_box(scene(6))
        painter.paint(replace(scene(6), poster=picture(tmp_path / "a.png")))

        assert (box,) == painter.paint(replace(scene(6), poster=picture(tmp_path / "b.png", (0, 0, 250)))).changed

    @pytest.mark.parametrize(
        "shown",
        [
            chosen(scene(1)),
            scene(1, notice=TAKE_GOODS),
            scene(1, notice=FAILED),
            scene(1, notice=VENDING),
            scene(1, phase=Phase.OUT_OF_SERVICE),
            keypad(replace(scene(1), notice=FAILED)),
        ],
        ids=["chosen", "take goods", "failed", "vending", "out of service", "failed, with a keypad"],
    )
    def test_whoever_is_being_served_sees_no_picture(self, shown: Scene) -> None:
        """There is no place for one in these scenes."""
        assert Painter(1080, 1920).poster_box(shown) is None

    def test_a_file_that_was_taken_away_leaves_its_place_empty(self, tmp_path: Path) -> None:
        """Between two slides a file may go; the codes are there all the same."""
        gone = Poster(tmp_path / "gone.png", 0)

        assert {scene(1).tiles[0].code} == codes_in(Painter(800, 480).paint(replace(scene(1), poster=gone)).image)


class TestSlideshow:
    def names(self, slides: Slideshow, turns: int) -> list[str]:
        shown = (slides.current(turn * SLIDE_SECONDS, 100, 100) for turn in range(turns))
        return [poster.path.name if poster else "" for poster in shown]

    def test_pictures_come_one_after_the_other(self, tmp_path: Path) -> None:
        """By name, each for its time, from the first again after the last; hidden files and folders are none."""
        for name in ("b.jpg", "a.png", ".hidden.png"):
            picture(tmp_path / name)
        (tmp_path / "folder").mkdir()
        slides = Slideshow(tmp_path)

        assert ["a.png", "b.jpg", "a.png"] == self.names(slides, 3)
        assert slides.current(2 * SLIDE_SECONDS + 1, 100, 100) == slides.current(2 * SLIDE_SECONDS + 2, 100, 100)

    def test_what_cannot_be_read_is_told_once_and_skipped(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Named with the reason; tried again when the file has changed."""
        (tmp_path / "a.png").write_text("no picture")
        picture(tmp_path / "b.png")
        slides = Slideshow(tmp_path)
        with caplog.at_level(logging.WARNING):
            names = self.names(slides, 4)
            picture(tmp_path / "a.png")
            later = slides.current(9 * SLIDE_SECONDS, 100, 100)

        assert ["b.png"] * 4 == names
        assert [f"the picture {tmp_path / 'a.png'} is neither PNG nor JPEG; it is skipped"] == caplog.messages
        assert later is not None
        assert later.path.name == "a.png"

    def test_a_folder_without_pictures_shows_none(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """An empty folder is empty; one that is missing is told once."""
        assert ["", ""] == self.names(Slideshow(tmp_path), 2)
        with caplog.at_level(logging.WARNING):
            assert ["", ""] == self.names(Slideshow(tmp_path / "none"), 2)
        assert 1 == len(caplog.messages)
        assert str(tmp_path / "none") in caplog.messages[0]

    def test_a_camera_that_was_held_upright_is_respected(self, tmp_path: Path) -> None:
        """JPEGs of phones lie on their side and say so."""
        lying = Image.new("RGB", (200, 100))
        exif = lying.getexif()
        exif[0x0112] = 6  # orientation: turn clockwise to see it upright
        lying.save(tmp_path / "a.jpg", exif=exif)

        assert open_picture(tmp_path / "a.jpg").size == (100, 200)

    def test_half_a_picture_is_refused(self, tmp_path: Path) -> None:
        """A copy that was cut off is found before it is shown."""
        picture(tmp_path / "a.jpg", size=(800, 800))
        whole = (tmp_path / "a.jpg").read_bytes()
        (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(PictureError, match="cannot be read"):
            open_picture(tmp_path / "a.jpg", (100, 100))

    @pytest.mark.filterwarnings("ignore")  # of Pillow, about the damage
    def test_no_damage_to_a_file_stops_the_screen(self, tmp_path: Path) -> None:
        """Whatever bytes are changed, also what the camera wrote: a picture, or the sentence that says why not."""
        random = Random(20261126)
        made = Image.effect_noise((40, 30), 80).convert("RGB")
        exif = made.getexif()
        exif[0x010F], exif[0x0112] = "maker", 8
        made.save(tmp_path / "a.jpg", exif=exif)
        made.save(tmp_path / "a.png", exif=exif)
        files = {path: path.read_bytes() for path in (tmp_path / "a.jpg", tmp_path / "a.png")}
        damages = [[(41, 66)]]  # a note of an unknown kind, which Pillow reads and cannot write again
        damages += [[(random.randrange(260), random.randrange(256)) for _ in range(3)] for _ in range(300)]
        for path, whole in files.items():
            for damage in damages:
                damaged = bytearray(whole)
                for place, value in damage:
                    damaged[place] = value
                path.write_bytes(damaged)
                with contextlib.suppress(PictureError):
                    assert open_picture(path, (20, 20)).mode == "RGBA"
