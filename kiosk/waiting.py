"""One way to wait for an event with a limit."""

from __future__ import annotations

import asyncio


async def happens(event: asyncio.Event, within_seconds: float | None) -> bool:
    """Wait until `event` is set; False if that takes longer than `within_seconds` (None: for ever).

    Not `asyncio.wait_for`: before Python 3.12 it can lose a cancellation that comes in the moment of the event, and a
    task that cannot be cancelled keeps the machine from stopping.
    """
    try:
        async with asyncio.timeout(within_seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
