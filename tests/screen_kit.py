"""Real screens for tests: an X server without a monitor; framebuffers in a folder, and what a kernel says of them."""

from __future__ import annotations

import fcntl
import itertools
import os
import struct
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from PIL import Image

LIMIT_SECONDS = 60.0  # no wait takes longer, also on a busy machine
FBIOGET_VSCREENINFO = 0x4600
FBIOGET_FSCREENINFO = 0x4602
# Numbers of X servers that no other test process uses, so that one that was killed can come back under its own.
NUMBERS = itertools.count(1000 + os.getpid() % 5000 * 10)
UNTOUCHED = 0xEE  # what stands in a framebuffer before anybody writes


def codes_in(image: Image.Image) -> set[str]:
    """What a phone reads off a picture."""
    return {found.text for found in zxingcpp.read_barcodes(image)}


def until(condition: Callable[[], object], what: str) -> Any:
    """Look every few milliseconds until `condition` holds, as another process gives no sign; what it returned."""
    end = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"waited {LIMIT_SECONDS} s in vain until {what}")


class XServer:
    """Xvfb: a real X server whose screen is a file."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._folder = folder
        self._geometry = f"{width}x{height}x24"
        self.display = f":{next(NUMBERS)}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, after `kill` under the same number; returns when it can be used."""
        reading, writing = os.pipe()
        screen = ["-screen", "0", self._geometry, "-fbdir", str(self._folder), "-nolisten", "tcp"]
        self._process = subprocess.Popen(
            ["Xvfb", self.display, "-displayfd", str(writing), *screen],
            pass_fds=(writing,),
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            assert answer.readline(), "the X server has ended at once"

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def tap(self, x: int, y: int) -> None:
        """Put the pointer there and press its first button (XTEST)."""
        command = ["xdotool", "mousemove", str(x), str(y), "click", "1"]
        subprocess.run(command, check=True, env={**os.environ, "DISPLAY": self.display})

    def windows(self) -> int:
        """How many windows of the machine are open."""
        command = ["xdotool", "search", "--class", "^kiosk$"]
        found = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "DISPLAY": self.display})
        return len(found.stdout.split())

    def look(self) -> Image.Image:
        """What is on its screen now (an XWD file, X11/XWDFile.h: big-endian words, then colours of 12 bytes)."""
        content = (self._folder / "Xvfb_screen0").read_bytes()
        words = struct.unpack_from(">25I", content)
        width, height, line, colours = words[4], words[5], words[12], words[19]
        start = words[0] + colours * 12
        return Image.frombytes("RGB", (width, height), content[start : start + line * height], "raw", "BGRX", line)


@dataclass(frozen=True)
class Panel:
    """A framebuffer as a kernel would describe it: `red` and the others are offset and length in bits."""

    width: int = 40
    height: int = 30
    bits: int = 32
    red: tuple[int, int] = (16, 8)
    green: tuple[int, int] = (8, 8)
    blue: tuple[int, int] = (0, 8)
    alpha: tuple[int, int] = (0, 0)
    padding: int = 0  # bytes at the end of every line
    wider: int = 0  # pixels and lines that the memory has beyond what is visible
    higher: int = 0
    x_offset: int = 0  # where in it the visible part begins
    y_offset: int = 0

    @property
    def line(self) -> int:
        """Bytes from one line to the next."""
        return (self.width + self.wider) * self.bits // 8 + self.padding


BGRX = Panel()
RGBX = Panel(red=(0, 8), blue=(16, 8))
XBGR = Panel(red=(24, 8), green=(16, 8), blue=(8, 8))
RGB565 = Panel(bits=16, red=(11, 5), green=(5, 6), blue=(0, 5))
BGR565 = Panel(bits=16, red=(0, 5), green=(5, 6), blue=(11, 5))
RGB555 = Panel(bits=16, red=(10, 5), green=(5, 5), blue=(0, 5))
ARGB = Panel(alpha=(24, 8))
RGBA = Panel(red=(24, 8), green=(16, 8), blue=(8, 8), alpha=(0, 8))
ARGB1555 = Panel(bits=16, red=(10, 5), green=(5, 5), blue=(0, 5), alpha=(15, 1))


class Framebuffers:
    """A folder in place of /dev, and a kernel that knows what is in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._panels: dict[int, Panel] = {}  # by the file's inode, as the kernel knows a device by its number
        ask = fcntl.ioctl

        def ioctl(file: Any, request: int, argument: Any = 0, mutate: bool = True) -> Any:
            if request not in (FBIOGET_VSCREENINFO, FBIOGET_FSCREENINFO):
                return ask(file, request, argument, mutate)
            panel = self._panels.get(os.fstat(file).st_ino)
            if panel is None:
                return ask(file, request, argument, mutate)  # which refuses: it is no framebuffer
            return _variable(panel) if request == FBIOGET_VSCREENINFO else _fixed(panel)

        monkeypatch.setattr(fcntl, "ioctl", ioctl)

    def plug(self, panel: Panel, name: str = "fb0") -> Path:
        """Put a device there, in place of one that may have that name; its path."""
        path = self._folder / name
        fresh = path.with_suffix(".new")
        fresh.write_bytes(bytes([UNTOUCHED]) * (panel.line * (panel.height + panel.higher)))
        self._panels[fresh.stat().st_ino] = panel
        fresh.replace(path)
        return path

    def change(self, path: Path, panel: Panel) -> None:
        """Have the device show itself in another way from now on."""
        self._panels[path.stat().st_ino] = panel

    def plug_broken(self, name: str = "fb0") -> Path:
        """Put a device there that the kernel describes, and that answers every write with an error; its path."""
        path = self._folder / name
        path.symlink_to("/dev/full")
        self._panels[path.stat().st_ino] = BGRX
        return path


def _variable(panel: Panel) -> bytes:
    """As struct fb_var_screeninfo of linux/fb.h."""
    head = struct.pack(
        "=8I",
        panel.width,
        panel.height,
        panel.width + panel.wider,
        panel.height + panel.higher,
        panel.x_offset,
        panel.y_offset,
        panel.bits,
        0,
    )
    colours = b"".join(
        struct.pack("=3I", *channel, 0) for channel in (panel.red, panel.green, panel.blue, panel.alpha)
    )
    return (head + colours).ljust(160, b"\0")


def _fixed(panel: Panel) -> bytes:
    """As struct fb_fix_screeninfo of linux/fb.h, whose address is as long as the machine's own."""
    memory = panel.line * (panel.height + panel.higher)
    head = b"stand-in".ljust(16, b"\0") + struct.pack("@L", 0) + struct.pack("=4I", memory, 0, 0, 2)
    steps = struct.pack("=3H2x", 1, 1, 0)
    return (head + steps + struct.pack("=I", panel.line)).ljust(80, b"\0")


def seen(path: Path, panel: Panel) -> Image.Image:
    """What the panel shows, in 8 bits a channel."""
    content = path.read_bytes()
    size = panel.bits // 8
    channels = (panel.red, panel.green, panel.blue)
    values: list[int] = []
    for y in range(panel.height):
        start = (panel.y_offset + y) * panel.line + panel.x_offset * size
        values += struct.unpack_from(f"<{panel.width}{'H' if size == 2 else 'I'}", content, start)
    offset, length = panel.alpha
    opaque = (1 << length) - 1
    assert all(value >> offset & opaque == opaque for value in set(values)), "some of it is transparent"
    colours = {
        value: tuple((value >> offset & (1 << length) - 1) << 8 - length for offset, length in channels)
        for value in set(values)
    }
    image = Image.new("RGB", (panel.width, panel.height))
    image.putdata([colours[value] for value in values])
    return image


def margins(path: Path, panel: Panel) -> set[int]:
    """The bytes that stand where nothing is visible: line ends, what is wider or higher than the screen."""
    content = bytearray(path.read_bytes())
    size = panel.bits // 8
    for y in reversed(range(panel.height)):
        start = (panel.y_offset + y) * panel.line + panel.x_offset * size
        del content[start : start + panel.width * size]
    return set(content)


def kept(image: Image.Image, panel: Panel) -> Image.Image:
    """The picture with the bits that the panel keeps of each colour."""
    bands = [
        band.point([level >> 8 - length << 8 - length for level in range(256)])
        for band, (_, length) in zip(image.split(), (panel.red, panel.green, panel.blue), strict=True)
    ]
    return Image.merge("RGB", bands)
