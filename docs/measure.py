"""Measure a whole machine between its simulators, all in one process: `make measure`.

Prints how long a payment notification takes to its answer and to the vend command in the driver's hands, and how
long the event loop was held up meanwhile. The customer, WeChat Pay and the board run on the same loop as the machine
and are part of every figure.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from scenario_kit import Bench, bench

from kiosk.orders import OrderState
from kiosk.web.public import PaymentHandler

SALES = 40
TICK_SECONDS = 0.005


class Watch:
    """Notes when a notification came in, was answered, and became a vend."""

    def __init__(self) -> None:
        self.came = 0.0
        self.answered: list[float] = []
        self.vended: list[float] = []
        self.late: list[float] = []

    def attach(self, here: Bench) -> None:
        """Watch the notification handler and the dispatcher."""
        post = PaymentHandler.post

        async def watched(handler: PaymentHandler) -> None:
            self.came = time.perf_counter()
            await post(handler)
            self.answered.append(time.perf_counter() - self.came)

        PaymentHandler.post = watched  # type: ignore[method-assign] # the clock starts where WeChat's request arrives
        dispatcher = here.machine.dispatcher

        def on_vend() -> None:
            if dispatcher.vend is not None:
                self.vended.append(time.perf_counter() - self.came)

        dispatcher.on_vend(on_vend)

    async def tick(self) -> None:
        """How much later than asked for a timer of the loop comes."""
        while True:
            due = time.perf_counter() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self.late.append(time.perf_counter() - due)


def line(name: str, seconds: list[float]) -> str:
    """Median, 99th percentile and worst, in milliseconds."""
    ordered = sorted(seconds)
    worst = ordered[-1] * 1000
    high = ordered[int(len(ordered) * 0.99)] * 1000
    return f"{name:44} median {statistics.median(ordered) * 1000:6.1f} ms   p99 {high:6.1f}   worst {worst:6.1f}"


async def measure() -> None:
    """Sell, and watch."""
    with tempfile.TemporaryDirectory() as folder:
        async with bench(Path(folder)) as here:
            for slot in ("11", "12"):
                await here.machine.journal.change_slot(
                    slot, "restock", "measure", lambda record: replace(record, stock=SALES)
                )
            watch = Watch()
            watch.attach(here)
            ticking = asyncio.create_task(watch.tick())
            for _ in range(SALES):
                await here.settled(await here.buy("cola"), OrderState.DISPENSED)
            ticking.cancel()
    print(line("notification in -> SUCCESS out, durable", watch.answered))
    print(line("notification in -> vend handed to the driver", watch.vended))
    print(line("event loop held up", watch.late))


if __name__ == "__main__":
    asyncio.run(measure())
