"""A whole machine whose board takes every command at once; prints when it got one.

python -m bench.vending_machine INI ORDERS
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from bench.payments_server import fill
from hardware.dispenser import Outcome, VendResult
from hardware.fake import FakeDispenser
from kiosk import machine
from kiosk.clock import SystemClock
from kiosk.config import load
from kiosk.journal import Journal


class Wire(FakeDispenser):
    """Delivers at once, and tells when it was asked."""

    async def vend(self, address: int) -> VendResult:
        """Say so on standard output, where a driver would write to its port."""
        print("vend", time.monotonic_ns(), address, flush=True)
        return VendResult(Outcome.DELIVERED, "delivered", proven=True)


async def sell(ini: Path, count: int) -> None:
    """Until killed."""
    settings = load(ini)
    journal = Journal(settings.kiosk.data_dir, SystemClock())
    await journal.set_up_slots(settings.slots)
    await fill(journal, settings, count)
    await journal.close()
    setattr(machine, "make_dispenser", lambda _: Wire())  # noqa: B010 - for this process only
    machine.share_interpreter()
    made = machine.Machine(settings)
    await made.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(sell(Path(sys.argv[1]), int(sys.argv[2])))
