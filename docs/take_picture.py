"""Take the README's picture: the screen of the demo's machine, painted by the machine itself.

Run by `make picture`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from kiosk.settings import NativeMode
from kiosk.simulation.scratch import GOODS
from kiosk.simulation.world import World

PICTURE = Path(__file__).parent / "screen.png"
LIMIT_SECONDS = 30.0


async def take() -> None:
    """Switch a machine on, wait until every product has its code on the screen, keep the picture."""
    world = World(native_mode=NativeMode.TWO, language="zh_CN")
    try:
        await world.start()
        async with asyncio.timeout(LIMIT_SECONDS):
            while len(await world.codes()) < len(GOODS):
                await world.change(world.revision, 1.0)
        picture = await world.picture()
        if picture is not None:
            PICTURE.write_bytes(picture)
    finally:
        await world.stop()


if __name__ == "__main__":
    asyncio.run(take())
