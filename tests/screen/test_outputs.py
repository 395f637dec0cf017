"""Pictures on their way out: a PNG that is always whole, a framebuffer as the kernel describes it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from scenes import scene
from screen_kit import (
    ARGB,
    ARGB1555,
    BGR565,
    BGRX,
    RGB555,
    RGB565,
    RGBA,
    RGBX,
    UNTOUCHED,
    XBGR,
    Framebuffers,
    Panel,
    codes_in,
    kept,
    margins,
    seen,
)

from display.framebuffer import Framebuffer
from display.painter import Painter
from display.png_file import PngFile
from display.screen import Box, ScreenError

WIDTH, HEIGHT = 40, 30
PANELS = {
    "32 bit BGRX": BGRX,
    "32 bit RGBX": RGBX,
    "32 bit XBGR": XBGR,
    "32 bit with alpha": ARGB,
    "32 bit with alpha, another order": RGBA,
    "16 bit 1555": ARGB1555,
    "16 bit 565": RGB565,
    "16 bit 565, blue first": BGR565,
    "16 bit 555": RGB555,
    "padded lines": replace(BGRX, padding=32),
    "padded 565": replace(RGB565, padding=6),
    "wider and higher than the screen": replace(BGRX, wider=16, higher=30),
    "the second page of two": replace(RGB565, higher=30, y_offset=30),
    "in the middle": replace(BGRX, wider=8, higher=9, x_offset=3, y_offset=5),
}


@pytest.fixture
def framebuffers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Framebuffers:
    return Framebuffers(tmp_path, monkeypatch)


def gradient(width: int, height: int) -> Image.Image:
    """A picture in which every pixel is another."""
    image = Image.new("RGB", (width, height))
    for x in range(width):
        for y in range(height):
            image.putpixel((x, y), (x * 255 // width, y * 255 // height, (x * 7 + y * 13) % 256))
    return image


class TestFramebuffer:
    @pytest.mark.parametrize("rotate", [0, 90, 180, 270])
    @pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
    def test_every_pixel_stands_where_it_belongs(self, framebuffers: Framebuffers, panel: Panel, rotate: int) -> None:
        """Depth, channels, line length, what is visible of the memory, rotation: every pixel, opaque, and no more."""
        path = framebuffers.plug(panel)
        screen = Framebuffer(path, rotate)
        image = gradient(*screen.size)
        screen.show(image, ())
        screen.close()
        turned = image.rotate(-rotate, expand=True)

        assert turned.size == (panel.width, panel.height)
        assert kept(turned, panel).tobytes() == seen(path, panel).tobytes()
        assert margins(path, panel) <= {UNTOUCHED}

    @pytest.mark.parametrize("rotate", [0, 90, 180, 270])
    @pytest.mark.parametrize("name", ["padded lines", "the second page of two"])
    def test_only_the_changed_box_is_written(self, framebuffers: Framebuffers, name: str, rotate: int) -> None:
        """Whatever stands outside the box stays; the box itself is where the customer sees it."""
        panel = PANELS[name]
        path = framebuffers.plug(panel)
        screen = Framebuffer(path, rotate)
        before = gradient(*screen.size)
        screen.show(before, ())
        box = Box(8, 4, 20, 10)
        screen.show(Image.new("RGB", screen.size, (200, 100, 50)), (box,))
        screen.close()
        expected = before.copy()
        expected.paste((200, 100, 50), box)

        assert kept(expected.rotate(-rotate, expand=True), panel).tobytes() == seen(path, panel).tobytes()

    @pytest.mark.parametrize("rotate", [0, 270])
    def test_a_real_picture_in_565_is_still_read(self, framebuffers: Framebuffers, rotate: int) -> None:
        """The whole way: painted, turned, packed into 16 bits, unpacked, decoded."""
        panel = replace(RGB565, width=480, height=320, padding=64)
        path = framebuffers.plug(panel)
        screen = Framebuffer(path, rotate)
        shown = scene(1)
        screen.show(Painter(*screen.size).paint(shown).image, ())
        screen.close()

        assert {shown.tiles[0].code} == codes_in(seen(path, panel))

    @pytest.mark.parametrize("back", [BGRX, replace(RGB565, width=24, height=32)], ids=["the same", "another"])
    def test_a_screen_that_was_replugged_is_noticed(self, framebuffers: Framebuffers, back: Panel) -> None:
        """Gone, and back under its name: the old one is given up in both cases, the new one is opened as it is."""
        path = framebuffers.plug(BGRX)
        screen = Framebuffer(path)
        screen.show(gradient(*screen.size), ())
        assert () == screen.attend()
        path.unlink()
        with pytest.raises(ScreenError, match=r"fb0 was lost: No such file"):
            screen.attend()
        framebuffers.plug(back)
        with pytest.raises(ScreenError, match=r"fb0 was lost: another device has taken its name"):
            screen.attend()
        screen.close()
        again = Framebuffer(path)
        again.show(gradient(*again.size), ())
        again.close()

        assert again.size == (back.width, back.height)
        assert kept(gradient(*again.size), back).tobytes() == seen(path, back).tobytes()

    def test_another_mode_is_noticed(self, framebuffers: Framebuffers) -> None:
        """A monitor of another size at the same plug: the device is to be opened anew."""
        path = framebuffers.plug(replace(BGRX, higher=30))
        screen = Framebuffer(path)
        framebuffers.change(path, replace(BGRX, height=60))
        with pytest.raises(ScreenError, match="has changed its size or its colours"):
            screen.attend()
        screen.close()

    def test_a_device_that_refuses_to_be_written_is_a_sentence(self, framebuffers: Framebuffers) -> None:
        """What the kernel answers to a write is told; nothing crashes."""
        screen = Framebuffer(framebuffers.plug_broken())
        with pytest.raises(ScreenError, match=r"fb0 was lost: No space left on device"):
            screen.show(gradient(*screen.size), ())
        screen.close()

    def test_a_missing_device_is_a_sentence(self, tmp_path: Path) -> None:
        """The path is named, and what to look at."""
        with pytest.raises(ScreenError, match=r"fb7.*cannot be opened.*is a screen connected"):
            Framebuffer(tmp_path / "fb7")

    def test_a_file_that_is_no_framebuffer_is_a_sentence(self, tmp_path: Path) -> None:
        """Something else under that name is not written to."""
        path = tmp_path / "fb0"
        path.write_bytes(b"some other file")
        with pytest.raises(ScreenError, match="cannot be used as a framebuffer"):
            Framebuffer(path)

        assert b"some other file" == path.read_bytes()

    @pytest.mark.parametrize("bits", [1, 8, 24])
    def test_a_depth_that_is_not_known_is_a_sentence(self, framebuffers: Framebuffers, bits: int) -> None:
        """Said, not guessed."""
        with pytest.raises(ScreenError, match=f"{bits} bits a pixel; 16 or 32 are supported"):
            Framebuffer(framebuffers.plug(replace(BGRX, bits=bits)))


class TestPngFile:
    def test_a_reader_never_sees_half_a_picture(self, tmp_path: Path) -> None:
        """While the picture is replaced a hundred times, every look finds a whole one."""
        path = tmp_path / "screen.png"
        screen = PngFile(path, 200, 100)
        screen.show(Image.new("RGB", (200, 100)), ())
        done = threading.Event()
        looks: list[tuple[int, int]] = []
        errors: list[Exception] = []

        def look() -> None:
            while not done.is_set():
                try:
                    with Image.open(path) as image:
                        image.load()
                        looks.append(image.size)
                except (OSError, SyntaxError) as error:
                    errors.append(error)

        reader = threading.Thread(target=look)
        reader.start()
        for shade in range(100):
            screen.show(Image.new("RGB", (200, 100), (shade, 0, 0)), ())
        done.set()
        reader.join()

        assert [] == errors
        assert {(200, 100)} == set(looks)
        assert [path] == list(tmp_path.iterdir())

    @pytest.mark.parametrize("rotate", [0, 90, 180, 270])
    def test_it_can_be_turned(self, tmp_path: Path, rotate: int) -> None:
        """The file has the size of the ini; the picture stands in it as on a panel that is mounted turned."""
        path = tmp_path / "screen.png"
        screen = PngFile(path, WIDTH, HEIGHT, rotate)
        image = gradient(*screen.size)
        screen.show(image, ())
        with Image.open(path) as written:
            assert written.size == (WIDTH, HEIGHT)
            assert written.tobytes() == image.rotate(-rotate, expand=True).tobytes()

    def test_a_folder_that_is_not_there_is_a_sentence(self, tmp_path: Path) -> None:
        """The folder is named."""
        with pytest.raises(ScreenError, match="nowhere"):
            PngFile(tmp_path / "nowhere" / "screen.png", 200, 100)
