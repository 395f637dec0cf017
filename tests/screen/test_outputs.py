"""Pictures on their way out: a PNG that is always whole, a framebuffer as the kernel describes it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from scenes import scene

from display.framebuffer import Channel, Framebuffer, Geometry
from display.painter import Painter
from display.png_file import PngFile
from display.screen import Box, ScreenError

WIDTH, HEIGHT = 64, 48
BGRX = Geometry(WIDTH, HEIGHT, 0, 0, 32, WIDTH * 4, Channel(16, 8), Channel(8, 8), Channel(0, 8))
RGBX = replace(BGRX, red=Channel(0, 8), blue=Channel(16, 8))
RGB565 = Geometry(WIDTH, HEIGHT, 0, 0, 16, WIDTH * 2, Channel(11, 5), Channel(5, 6), Channel(0, 5))
PADDED = replace(BGRX, line_length=WIDTH * 4 + 32)
PADDED565 = replace(RGB565, line_length=WIDTH * 2 + 6)
PANNED = replace(BGRX, x_offset=3, y_offset=5, line_length=(WIDTH + 3) * 4)


def gradient(width: int, height: int) -> Image.Image:
    """A picture in which every pixel is another."""
    image = Image.new("RGB", (width, height))
    for x in range(width):
        for y in range(height):
            image.putpixel((x, y), (x * 255 // width, y * 255 // height, (x * 7 + y * 13) % 256))
    return image


def device(folder: Path, geometry: Geometry) -> Path:
    """A file in place of /dev/fb0."""
    path = folder / "fb0"
    path.write_bytes(b"\xee" * (geometry.line_length * (geometry.height + geometry.y_offset)))
    return path


def pixel(path: Path, geometry: Geometry, x: int, y: int) -> tuple[int, int, int]:
    """What the panel shows at a place, in 8 bits a channel."""
    size = geometry.bits_per_pixel // 8
    at = (geometry.y_offset + y) * geometry.line_length + (geometry.x_offset + x) * size
    value = int.from_bytes(path.read_bytes()[at : at + size], "little")
    return tuple(  # type: ignore[return-value] # three channels
        ((value >> channel.offset) & ((1 << channel.length) - 1)) << (8 - channel.length)
        for channel in (geometry.red, geometry.green, geometry.blue)
    )


def kept(colour: tuple[int, int, int], geometry: Geometry) -> tuple[int, int, int]:
    """A colour with the bits that the framebuffer keeps."""
    channels = (geometry.red, geometry.green, geometry.blue)
    return tuple(  # type: ignore[return-value] # three channels
        value >> (8 - channel.length) << (8 - channel.length) for value, channel in zip(colour, channels, strict=True)
    )


def turned(rotate: int, x: int, y: int, image: Image.Image) -> tuple[int, int]:
    """Where a pixel of the customer's picture stands on a panel that is turned clockwise by so many degrees."""
    return {
        0: (x, y),
        90: (image.height - 1 - y, x),
        180: (image.width - 1 - x, image.height - 1 - y),
        270: (y, image.width - 1 - x),
    }[rotate]


class TestFramebuffer:
    @pytest.mark.parametrize("rotate", [0, 90, 180, 270])
    @pytest.mark.parametrize(
        "geometry",
        [BGRX, RGBX, RGB565, PADDED, PADDED565, PANNED],
        ids=["32 bit BGRX", "32 bit RGBX", "16 bit 565", "padded lines", "padded 565", "offsets"],
    )
    def test_every_pixel_stands_where_it_belongs(self, tmp_path: Path, geometry: Geometry, rotate: int) -> None:
        """Depth, channel order, line length, offsets and rotation: pixel for pixel."""
        path = device(tmp_path, geometry)
        screen = Framebuffer(path, rotate, geometry)
        image = gradient(*screen.size)
        screen.show(image, ())
        screen.close()

        assert screen.size == ((HEIGHT, WIDTH) if rotate in (90, 270) else (WIDTH, HEIGHT))
        for x in range(0, image.width, 5):
            for y in range(0, image.height, 3):
                place = turned(rotate, x, y, image)
                expected = kept(image.getpixel((x, y)), geometry)  # type: ignore[arg-type] # RGB
                assert expected == pixel(path, geometry, *place)

    @pytest.mark.parametrize("rotate", [0, 90, 180, 270])
    def test_only_the_changed_box_is_written(self, tmp_path: Path, rotate: int) -> None:
        """Bytes outside the box stay untouched."""
        path = device(tmp_path, PADDED)
        screen = Framebuffer(path, rotate, PADDED)
        screen.show(Image.new("RGB", screen.size, (10, 20, 30)), ())
        before = path.read_bytes()
        box = Box(8, 4, 20, 10)
        screen.show(Image.new("RGB", screen.size, (200, 100, 50)), (box,))
        after = path.read_bytes()
        screen.close()
        changed = sum(one != other for one, other in zip(before, after, strict=True))

        assert changed == box.width * box.height * 3

    def test_a_real_picture_in_565_is_still_read(self, tmp_path: Path) -> None:
        """The whole way: painted, packed into 16 bits, unpacked, decoded."""
        import zxingcpp

        geometry = Geometry(480, 320, 0, 0, 16, 480 * 2, Channel(11, 5), Channel(5, 6), Channel(0, 5))
        path = device(tmp_path, geometry)
        screen = Framebuffer(path, 0, geometry)
        shown = scene(1)
        screen.show(Painter(480, 320).paint(shown).image, ())
        screen.close()
        seen = Image.frombytes("RGB", (480, 320), path.read_bytes(), "raw", "BGR;16")

        assert {shown.tiles[0].code} == {found.text for found in zxingcpp.read_barcodes(seen)}

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

    def test_a_depth_that_is_not_known_is_a_sentence(self, tmp_path: Path) -> None:
        """8 bits a pixel: said, not guessed."""
        geometry = replace(BGRX, bits_per_pixel=8)
        with pytest.raises(ScreenError, match="8 bits a pixel"):
            Framebuffer(device(tmp_path, geometry), 0, geometry)


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

    def test_a_folder_that_is_not_there_is_a_sentence(self, tmp_path: Path) -> None:
        """The folder is named."""
        with pytest.raises(ScreenError, match="nowhere"):
            PngFile(tmp_path / "nowhere" / "screen.png", 200, 100)
