"""A file that stands for /dev/fb0, which only a kernel could describe."""

from __future__ import annotations

import contextlib
import fcntl
import struct
from collections.abc import Iterator
from typing import Any

from bench.values import HEIGHT, WIDTH

FBIOGET_VSCREENINFO, FBIOGET_FSCREENINFO = 0x4600, 0x4602  # linux/fb.h
BYTES = WIDTH * HEIGHT * 4
_LINE_LENGTH_AT = 48 if struct.calcsize("P") == 8 else 44
_COLOURS_AT = {32: (16, 8), 44: (8, 8), 56: (0, 8)}  # red, green, blue: offset and length in bits


@contextlib.contextmanager
def any_file_is_a_framebuffer() -> Iterator[None]:
    """Answer in the kernel's place, in this process: 1080x1920 at 32 bits a pixel."""
    ask_kernel = fcntl.ioctl

    def ioctl(device: Any, request: int, *argument: Any) -> Any:
        if request not in (FBIOGET_VSCREENINFO, FBIOGET_FSCREENINFO):
            return ask_kernel(device, request, *argument)
        answer = bytearray(argument[0])
        if request == FBIOGET_FSCREENINFO:
            struct.pack_into("=I", answer, _LINE_LENGTH_AT, WIDTH * 4)
        else:
            struct.pack_into("=7I", answer, 0, WIDTH, HEIGHT, WIDTH, HEIGHT, 0, 0, 32)
            for at, bits in _COLOURS_AT.items():
                struct.pack_into("=2I", answer, at, *bits)
        return bytes(answer)

    fcntl.ioctl = ioctl
    try:
        yield
    finally:
        fcntl.ioctl = ask_kernel
