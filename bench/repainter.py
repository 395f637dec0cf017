"""A board's driver on the loop, and beside it a painter that never rests: twelve new codes, painted and shown, again.

python -m bench.repainter PORT FRAMEBUFFER
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.panel import any_file_is_a_framebuffer
from bench.screen import TILES, scene
from bench.values import HEIGHT, WIDTH
from display.framebuffer import Framebuffer
from display.painter import Painter
from hardware.xy.driver import XyDispenser
from kiosk.machine import share_interpreter


async def repaint(port: str, framebuffer: Path) -> None:
    """Until killed."""
    dispenser = XyDispenser(port=port)
    await dispenser.start()
    screen, painter = Framebuffer(framebuffer), Painter(WIDTH, HEIGHT)

    def show(first_code: int) -> None:
        painted = painter.paint(scene(first_code))
        screen.show(painted.image, painted.changed)

    share_interpreter()
    print("ready", flush=True)
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1)
    for first_code in itertools.count(step=TILES):
        await loop.run_in_executor(thread, show, first_code)


if __name__ == "__main__":
    with any_file_is_a_framebuffer():
        asyncio.run(repaint(sys.argv[1], Path(sys.argv[2])))
