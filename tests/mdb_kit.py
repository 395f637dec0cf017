"""What the tests of MDB machines share: a driver before a simulated machine, or before a bridge played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boards_kit import QUICK_LINK, wait_until

from hardware.dispenser import Choice, VendResult
from hardware.mdb import codec
from hardware.mdb.driver import MdbDispenser
from hardware.mdb.session import MdbTiming
from hardware.mdb.simulator import MdbMachine
from hardware.pseudo_terminal import PseudoTerminal, Wire

# The waits of real bridges, shortened where a test would wait for them; `shortest_vend_seconds` is 0 because the
# simulated motors here turn for 50 ms.
QUICK = MdbTiming(
    answer_seconds=2.0,
    retry_seconds=0.1,
    heartbeat_seconds=0.3,
    stale_seconds=1.0,
    listen_seconds=0.02,
    recall_seconds=1.0,
    verdict_seconds=0.2,
    shortest_vend_seconds=0.0,
)


@dataclass
class MdbBench:
    """A driver and a simulated machine on one line."""

    machine: MdbMachine
    dispenser: MdbDispenser

    def fact(self, name: str) -> Any:
        return next(fact.value for fact in self.dispenser.status.facts if fact.name == name)

    async def ready(self) -> None:
        await wait_until(lambda: self.dispenser.status.ready and self.machine.can_choose, "the machine takes choices")

    async def choose(self, item: int, price: str = "3.50") -> Choice:
        """Somebody presses a number; the choice as the driver has it."""
        before = self.dispenser.choice
        assert self.machine.choose(item, price)
        await wait_until(lambda: self.dispenser.choice not in (None, before), "the driver knows of the choice")
        choice = self.dispenser.choice
        assert choice is not None
        return choice

    async def sell(self, item: int, price: str = "3.50") -> VendResult:
        """Choose, and say yes."""
        await self.ready()
        await self.choose(item, price)
        self.dispenser.prepare(item)
        return await self.dispenser.vend(item)

    def heard(self, beginning: str) -> list[str]:
        """The lines that the machine's bridge understood, as far as they begin like that."""
        lines = [event.detail for event in self.machine.events if event.kind == "in"]
        return [line for line in lines if line.startswith(beginning)]


@asynccontextmanager
async def mdb_bench(
    folder: Path, *, machine: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[MdbBench]:
    """A bench that is ready; `machine` and all other options are those of MdbMachine and MdbDispenser."""
    link = folder / "bridge"
    made = MdbBench(
        MdbMachine(**{"link": link, "ledger": folder / "drops.jsonl", "motor_seconds": 0.05} | (machine or {})),
        MdbDispenser(
            **{"port": str(link), "vend_timeout_seconds": 5, "timing": QUICK, "link_timing": QUICK_LINK} | options
        ),
    )
    await made.machine.start()
    await made.dispenser.start()
    try:
        yield made
    finally:
        await made.dispenser.stop()
        await made.machine.stop()


class HandBridge:
    """A bridge whose every line a test writes."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        self._lines = codec.Lines()
        self.line = PseudoTerminal(link=None, wire=Wire(), on_bytes=self._bytes_came)
        self.line.plug()

    def _bytes_came(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if line == "V":  # asked now and then, whatever happens
                self.say("v,1.0,hand")
            else:
                self.heard.put_nowait(line)

    def say(self, *lines: str) -> None:
        self.line.write("".join(f"{line}\n" for line in lines).encode())

    async def hears(self, line: str) -> None:
        """Take the next line of the driver, which has to be this one."""
        assert line == await asyncio.wait_for(self.heard.get(), 10)

    async def set_up(self) -> None:
        """Answer all that the driver says at its start."""
        await self.hears("H")
        self.say("h,1.0,hand")
        await self.hears("C,0")
        self.say("c,STATUS,OFFLINE", "c,0")
        for setting in ("mdb-addr=0x10", "mdb-currency-code=0x1156", "mdb-always-idle=1"):
            await self.hears(f"C,SETCONF,{setting}")
            self.say("c,SET,OK")
        await self.hears("C,1")
        self.say("c,STATUS,INACTIVE", "c,1", "c,STATUS,DISABLED", "c,STATUS,ENABLED")


@dataclass
class HandBench:
    """A driver and a bridge by hand."""

    bridge: HandBridge
    dispenser: MdbDispenser

    async def begin_vend(self, item: int = 5, amount: str = "1.00") -> asyncio.Task[VendResult]:
        """The customer chooses, the driver says yes; what becomes of it is the test's to say."""
        self.bridge.say(f"c,STATUS,VEND,{amount},{item}")
        await wait_until(lambda: self.dispenser.choice is not None, "the driver knows of the choice")
        self.dispenser.prepare(item)
        vend = asyncio.ensure_future(self.dispenser.vend(item))
        await self.bridge.hears(f"C,VEND,{amount}")
        return vend


@asynccontextmanager
async def hand_bench(**options: Any) -> AsyncIterator[HandBench]:
    """A driver that is ready, in front of a bridge by hand."""
    bridge = HandBridge()
    dispenser = MdbDispenser(
        **{"port": bridge.line.path, "vend_timeout_seconds": 5, "timing": QUICK, "link_timing": QUICK_LINK} | options
    )
    await dispenser.start()
    try:
        await bridge.set_up()
        await wait_until(lambda: dispenser.status.ready, "the driver is ready")
        yield HandBench(bridge, dispenser)
    finally:
        await dispenser.stop()
        bridge.line.unplug()
