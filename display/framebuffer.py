"""The kernel's framebuffer: 16 or 32 bits a pixel, as the kernel itself describes it (linux/fb.h).

Only the lines of changed boxes are written, by write(2): a device that was unplugged answers that with an error; its
memory, had it been mapped, would end the process (SIGBUS). Rotation is done here: the kernel's field is normally 0.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

from display.screen import Box, Point, ScreenError
from display.turning import box_on_panel, turned, turned_size

FBIOGET_VSCREENINFO = 0x4600
FBIOGET_FSCREENINFO = 0x4602
_VARIABLE_BYTES = 160
_FIXED_BYTES = 80  # on 64 bits; 68 on 32 bits, where the kernel fills less
_LINE_LENGTH_AT = 48 if struct.calcsize("P") == 8 else 44
WATCH_SECONDS = 2.0  # how often it is looked whether the device is still the one that was opened


@dataclass(frozen=True)
class Channel:
    """Where a colour stands in a pixel: bits from the lowest, and how many."""

    offset: int
    length: int


@dataclass(frozen=True)
class Geometry:
    """What the kernel says of a framebuffer."""

    width: int
    height: int
    x_offset: int
    y_offset: int
    bits_per_pixel: int
    line_length: int  # bytes from one line to the next: may be more than the pixels need
    red: Channel
    green: Channel
    blue: Channel
    alpha: Channel  # of length 0 where there is none; where there is one, a panel may show black without it


def read_geometry(device: int) -> Geometry:
    """Ask the kernel (FBIOGET_VSCREENINFO, FBIOGET_FSCREENINFO). Raises OSError if it is no framebuffer."""
    variable = fcntl.ioctl(device, FBIOGET_VSCREENINFO, bytes(_VARIABLE_BYTES))
    fixed = fcntl.ioctl(device, FBIOGET_FSCREENINFO, bytes(_FIXED_BYTES))
    width, height, _, _, x_offset, y_offset, bits = struct.unpack_from("=7I", variable, 0)
    red, green, blue, alpha = (Channel(*struct.unpack_from("=2I", variable, at)) for at in (32, 44, 56, 68))
    (line_length,) = struct.unpack_from("=I", fixed, _LINE_LENGTH_AT)
    return Geometry(width, height, x_offset, y_offset, bits, line_length, red, green, blue, alpha)


class Framebuffer:
    """A framebuffer device."""

    def __init__(self, path: Path, rotate: int = 0) -> None:
        """Open it. `rotate`: degrees clockwise that the panel is turned. Raises `ScreenError`."""
        self._path = path
        self._rotate = rotate
        try:
            self._file = os.open(path, os.O_RDWR)
        except OSError as error:
            raise ScreenError(
                f"the framebuffer {path} cannot be opened: {error.strerror}; {_advice(error)}"
            ) from error
        try:
            self._geometry = read_geometry(self._file)
            self._pack = _packer(self._geometry)
        except (OSError, ValueError) as error:
            os.close(self._file)
            raise ScreenError(f"{path} cannot be used as a framebuffer: {error}") from error
        self._fresh = True

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as the customer sees them."""
        return turned_size((self._geometry.width, self._geometry.height), self._rotate)

    @property
    def attention_seconds(self) -> float:
        """Often enough to learn of a cable that was pulled before the technician arrives."""
        return WATCH_SECONDS

    def show(self, image: Image.Image, changed: Sequence[Box]) -> None:
        """Write the changed boxes, the first time everything."""
        boxes = [Box(0, 0, *self.size)] if self._fresh else changed
        try:
            for box in boxes:
                self._write(image.crop(box), box)
        except OSError as error:
            raise ScreenError(f"the framebuffer {self._path} was lost: {error.strerror}") from error
        self._fresh = False

    def attend(self) -> Sequence[Point]:
        """See whether the device is there, as it was: a replug brings another one, or another size."""
        try:
            same = os.path.samestat(self._path.stat(), os.fstat(self._file))
            geometry = read_geometry(self._file)
        except OSError as error:
            raise ScreenError(f"the framebuffer {self._path} was lost: {error.strerror}") from error
        if not same:
            raise ScreenError(f"the framebuffer {self._path} was lost: another device has taken its name")
        if geometry != self._geometry:
            raise ScreenError(f"the framebuffer {self._path} has changed its size or its colours: it is opened anew")
        return ()

    def close(self) -> None:
        """Close it; the last picture stays."""
        os.close(self._file)

    def _write(self, part: Image.Image, box: Box) -> None:
        geometry = self._geometry
        pixels = memoryview(self._pack(turned(part, self._rotate)))
        place = box_on_panel(box, self.size, self._rotate)
        stride = len(pixels) // place.height
        at = (geometry.y_offset + place.top) * geometry.line_length
        at += (geometry.x_offset + place.left) * geometry.bits_per_pixel // 8
        if stride == geometry.line_length:
            self._put(pixels, at)
            return
        for line in range(place.height):
            self._put(pixels[line * stride : (line + 1) * stride], at + line * geometry.line_length)

    def _put(self, pixels: memoryview, at: int) -> None:
        while pixels:
            written = os.pwrite(self._file, pixels, at)
            if written == 0:  # the kernel's answer at the end of the device
                raise OSError(errno.ENOSPC, "it is smaller than the kernel says")
            pixels, at = pixels[written:], at + written


def _advice(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "put the machine's user into the group video"
    return "is a screen connected, and is [display] device right?"


def _packer(geometry: Geometry) -> Callable[[Image.Image], bytes]:
    """What turns an RGB image into pixels of this framebuffer, least significant byte first."""
    channels = (geometry.red, geometry.green, geometry.blue)
    if geometry.bits_per_pixel == 32 and channels == (Channel(16, 8), Channel(8, 8), Channel(0, 8)):
        if geometry.alpha == Channel(24, 8):
            return lambda image: image.convert("RGBA").tobytes("raw", "BGRA")
        return lambda image: image.tobytes("raw", "BGRX")
    if geometry.bits_per_pixel not in (16, 32):
        raise ValueError(f"it has {geometry.bits_per_pixel} bits a pixel; 16 or 32 are supported")
    # A table for each byte of a pixel and each channel: which of the byte's bits a level of the channel sets. Red, at
    # any level, sets those of alpha too.
    opaque = ((1 << geometry.alpha.length) - 1) << geometry.alpha.offset
    tables = [
        [
            [
                (((level >> (8 - channel.length)) << channel.offset | always) >> (8 * byte)) & 255
                for level in range(256)
            ]
            for channel, always in zip(channels, (opaque, 0, 0), strict=True)
        ]
        for byte in range(geometry.bits_per_pixel // 8)
    ]

    def pack(image: Image.Image) -> bytes:
        bands = image.split()
        planes = []
        for byte in tables:
            red, green, blue = (band.point(table) for band, table in zip(bands, byte, strict=True))
            planes.append(ImageChops.add(ImageChops.add(red, green), blue))  # no two channels share a bit
        return Image.merge("LA" if len(planes) == 2 else "RGBA", planes).tobytes()

    return pack
