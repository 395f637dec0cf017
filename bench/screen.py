"""One code changes on a screen of twelve; the first picture of twelve; beside painting everything anew."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageChops

from bench.codes_made import link
from bench.naive_kiosk import picture, pixels
from bench.panel import BYTES, any_file_is_a_framebuffer
from bench.processes import MEMORY
from bench.table import Line, Row, Scale, in_turn, milliseconds, ratio
from bench.values import HEIGHT, WIDTH
from display.framebuffer import Framebuffer
from display.painter import Painter
from display.scene import Phase, Scene, Tile, TileState
from display.screen import Box

TILES = 12
MEMCPY, PRODUCT, FIRST, NAIVE = (
    "memcpy of the whole frame (reference)",
    "this project: one code changed",
    "this project: the whole first frame",
    "qrcode and Pillow, everything anew",
)
CHANGE_MS, FIRST_MS = 15, 150


def scene(first_code: int) -> Scene:
    """Twelve products with codes that nobody has painted yet."""
    tiles = tuple(
        Tile(f"p{n}", "可口可乐", "¥3.50", None, TileState.FOR_SALE, "微信扫一扫", link(first_code + n))
        for n in range(TILES)
    )
    return Scene(
        phase=Phase.FOR_SALE,
        machine_name="大堂饮料机",
        machine_number="编号 bench-1",
        help_line="微信扫码付款，付款后自动出货",
        tiles=tiles,
        page_label="第 {page} 页，共 {pages} 页",
    )


class _Panel:
    """A file in memory that stands for /dev/fb0, and a machine's screen on it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._frame = bytes(BYTES)
        self._copy = memoryview(bytearray(self._frame))
        file.write_bytes(self._frame)
        self._codes = 0
        self._screen: Framebuffer | None = None
        self._start_anew()

    def _start_anew(self) -> None:
        if self._screen is not None:
            self._screen.close()
        self._screen = Framebuffer(self._file)
        self._painter = Painter(WIDTH, HEIGHT)
        self._codes += TILES
        self._scene = scene(self._codes)

    async def memcpy(self) -> float:
        """The frame, as it is."""
        began = time.perf_counter()
        self._copy[:] = self._frame
        return time.perf_counter() - began

    async def first(self) -> float:
        """A painter that has painted nothing."""
        self._start_anew()
        began = time.perf_counter()
        self._show()
        return time.perf_counter() - began

    async def change(self) -> float:
        """One tile's code is another."""
        self._codes += 1
        tiles = list(self._scene.tiles)
        tiles[4] = replace(tiles[4], code=link(self._codes))
        self._scene = replace(self._scene, tiles=tuple(tiles))
        began = time.perf_counter()
        self._show()
        return time.perf_counter() - began

    async def naive(self) -> float:
        """Everything, by somebody else."""
        self._codes += TILES
        codes = [tile.code or "" for tile in scene(self._codes).tiles]
        began = time.perf_counter()
        with self._file.open("r+b") as panel:
            panel.write(pixels(picture(codes)))
        return time.perf_counter() - began

    def _show(self) -> tuple[Box, ...]:
        assert self._screen is not None
        painted = self._painter.paint(self._scene)
        self._screen.show(painted.image, painted.changed)
        return painted.changed

    async def bytes_written(self) -> tuple[int, int]:
        """When one code changes: how many bytes of the panel, and how many the tile has."""
        noise = b"\x5a" * len(self._frame)
        with self._file.open("r+b") as panel:
            panel.write(noise)
        self._codes += 1
        tiles = list(self._scene.tiles)
        tiles[4] = replace(tiles[4], code=link(self._codes))
        self._scene = replace(self._scene, tiles=tuple(tiles))
        (tile,) = self._show()
        before, after = (Image.frombytes("CMYK", (WIDTH, HEIGHT), data) for data in (noise, self._file.read_bytes()))
        written = ImageChops.difference(before, after).getbbox() or (0, 0, 0, 0)
        return Box(*written).width * Box(*written).height * 4, tile.width * tile.height * 4


async def measure(scale: Scale) -> list[Row]:
    """One row."""
    with tempfile.NamedTemporaryFile(dir=MEMORY) as file, any_file_is_a_framebuffer():
        panel = _Panel(Path(file.name))
        await panel.first()
        taken = await in_turn(
            {MEMCPY: panel.memcpy, FIRST: panel.first, PRODUCT: panel.change, NAIVE: panel.naive}, scale.paints
        )
        written, tile = await panel.bytes_written()
    median = {name: statistics.median(seconds) for name, seconds in taken.items()}
    reach = {PRODUCT: CHANGE_MS, FIRST: FIRST_MS}
    lines = [
        Line(
            name,
            milliseconds(seconds),
            ratio(taken, name, MEMCPY),
            f"{reach[name]} ms or less" if name in reach else "",
            seconds * 1000 <= reach[name] if name in reach else None,
        )
        for name, seconds in median.items()
    ]
    lines.append(
        Line("bytes written for it", f"{written / 1e6:.2f} MB", written / tile, "that tile's alone", written <= tile)
    )
    return [Row("a code on a 1080x1920 screen of 12 changes, until it stands in the framebuffer", lines)]
