"""`kiosk` with a file in the place of /dev/fb0, which only a kernel describes; tells when a picture stands in it.

python -m bench.framed_kiosk run -c INI
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from PIL import Image

from bench.values import HEIGHT, WIDTH
from display import framebuffer
from display.screen import Box
from kiosk.__main__ import main

_show = framebuffer.Framebuffer.show


def _show_and_tell(screen: framebuffer.Framebuffer, image: Image.Image, changed: Sequence[Box]) -> None:
    _show(screen, image, changed)
    print("shown", time.monotonic_ns(), flush=True)


if __name__ == "__main__":
    colours = (framebuffer.Channel(16, 8), framebuffer.Channel(8, 8), framebuffer.Channel(0, 8))
    geometry = framebuffer.Geometry(WIDTH, HEIGHT, 0, 0, 32, WIDTH * 4, *colours)
    setattr(framebuffer, "read_geometry", lambda _: geometry)  # noqa: B010 - in another module, for this process only
    setattr(framebuffer.Framebuffer, "show", _show_and_tell)  # noqa: B010
    main()
