"""`kiosk` with a file in the place of /dev/fb0; tells when a picture stands in it.

python -m bench.framed_kiosk run -c INI
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from PIL import Image

from bench.panel import any_file_is_a_framebuffer
from display import framebuffer
from display.screen import Box
from kiosk.__main__ import main

_show = framebuffer.Framebuffer.show


def _show_and_tell(screen: framebuffer.Framebuffer, image: Image.Image, changed: Sequence[Box]) -> None:
    _show(screen, image, changed)
    print("shown", time.monotonic_ns(), flush=True)


if __name__ == "__main__":
    setattr(framebuffer.Framebuffer, "show", _show_and_tell)  # noqa: B010 - for this process only
    with any_file_is_a_framebuffer():
        main()
