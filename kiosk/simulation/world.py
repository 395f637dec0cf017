"""Everything around the demo's machine: simulated WeChat Pay, board, phone, tray, and a diary of what happens.

The machine itself is a process of its own. What the page shows is one value, `World.state`; `World.revision` grows
whenever it has changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hardware.simulated_board import BoardEvent
from hardware.xy.simulator import JAMMED, XyBoard
from kiosk.settings import NativeMode
from kiosk.simulation import scratch
from kiosk.simulation.camera import SeenCode, code_at, read_codes
from kiosk.simulation.child import MachineProcess
from kiosk.simulation.ledger import Refusal
from kiosk.simulation.member import Member
from kiosk.simulation.scratch import GOODS, Good, free_ports
from kiosk.simulation.wechat import SCAN_PATH, Cashier, Event, Merchant, Payment, Told, WeChatSimulator

REPEATS_SCALE = 1 / 3  # a lost notification comes again after 5 s instead of 15: a visitor's patience
REFUND_SECONDS = 3.0
SLOW_SECONDS = 2.0  # more than the machine gives a customer's call, less than it gives one in the background
DARK_SECONDS = 2.0  # how long the power stays off
# A real board waits 100 ms for an answer. A laptop that also runs a browser is late now and then, and a late command
# is lost: the customer would get the money back, and the slot would wait for a technician.
BOARDS_PATIENCE_SECONDS = 1.0
LOOK_SECONDS = 0.1  # how often the picture's file is looked at
DIARY_LINES = 120
TRAY_ITEMS = 40

_BY_ID = {good.id: good for good in GOODS}
_BY_SLOT = {int(slot): good for good in GOODS for slot in good.slots}
_WORTH_A_LINE = frozenset(
    {
        *("ordered", "closed", "scanned", "told", "cancelled", "paid"),
        *("notified", "notification_failed", "notification_given_up", "refund_accepted", "refund_ended"),
    }
)


@dataclass(frozen=True)
class Line:
    """One line of the diary; the page words it."""

    id: int
    at: float  # seconds since 1970
    kind: str
    data: dict[str, Any] = field(default_factory=dict)


class World:
    """One demo. `start` it, then look at `state` and do things; `stop` it."""

    def __init__(self, *, native_mode: NativeMode, language: str) -> None:
        self.revision = 0
        self.diary: deque[Line] = deque(maxlen=DIARY_LINES)
        self.tray: deque[dict[str, Any]] = deque(maxlen=TRAY_ITEMS)
        self.dropped: list[Good] = []
        self._native_mode = native_mode
        self._language = language
        self._changed = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()  # what is to be ended, in the reverse order of its beginning
        self._count = 0
        self._picture_stamp = 0
        self._codes: tuple[int, list[SeenCode]] = (0, [])
        self._dark = False
        self._unplugged = False
        self._next_jams = False
        self._next_reboots = False
        self._power: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Build it up and switch the machine on; its screen comes a moment later."""
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="kiosk-demo-")))
        ports = self._stack.enter_context(free_ports(2))
        merchant = Merchant(
            scratch.MCH_ID,
            (scratch.APP_ID, scratch.MINIPROGRAM_APP_ID),
            secrets.token_hex(16),
            f"http://127.0.0.1:{ports[0]}{SCAN_PATH}",
            scratch.MINIPROGRAM_APP_ID,
            secrets.token_hex(16),
        )
        self.wechat = WeChatSimulator(
            merchant, scale=REPEATS_SCALE, refund_seconds=REFUND_SECONDS, on_event=self._wechat_event
        )
        await self.wechat.start()
        self._stack.push_async_callback(self.wechat.stop)
        self.scratch = await asyncio.to_thread(
            scratch.furnish,
            folder,
            ports=ports,
            wechat=self.wechat.base_url,
            native_mode=self._native_mode,
            language=self._language,
            merchant=merchant,
        )
        self.member = Member(self.scratch.machine, self.wechat)
        self.board = XyBoard(
            link=self.scratch.board, on_event=self._board_event, answer_window_seconds=BOARDS_PATIENCE_SECONDS
        )
        await self.board.start()
        self._stack.push_async_callback(self.board.stop)
        self.machine = MachineProcess(self.scratch.ini, self.scratch.log, self._machine_changed)
        self._stack.push_async_callback(self.machine.stop)
        await self.machine.start()
        look = asyncio.get_running_loop().create_task(self._look_at_screen())
        self._stack.push_async_callback(_end, look)

    async def stop(self) -> None:
        """Machine first, then what it hangs on, then the folder; also after a `start` that failed."""
        if self._power is not None:
            await self._power
        await self._stack.aclose()

    # Looking -----------------------------------------------------------------------------------------------

    async def change(self, after: int, limit_seconds: float) -> None:
        """Return when `revision` is greater than `after`, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_seconds):
                while self.revision <= after:
                    self._changed.clear()
                    await self._changed.wait()

    @property
    def state(self) -> dict[str, Any]:
        """Everything that the page shows."""
        faults = {(fault.place, fault.name) for fault in self.wechat.faults}
        return {
            "revision": self.revision,
            "picture": self._picture_stamp,
            "power": "off" if self._dark else "on" if self.machine.runs else "crashed",
            "last_words": "" if self.machine.runs or self._dark else self.machine.last_words(),
            "tray": list(self.tray),
            "diary": [asdict(line) for line in self.diary],
            "faults": {
                "jam": self._next_jams,
                "reboot": self._next_reboots,
                "unplug": self._unplugged,
                "silent": self.board.silent,
                "down": self.wechat.faults.line_is_down,
                "slow": ("calls", "late_answer") in faults,
                "lost": ("notify", "lost") in faults,
            },
        }

    @property
    def technician(self) -> str:
        """The address of the technician's page."""
        return f"http://127.0.0.1:{self.scratch.web_port}/"

    async def picture(self) -> bytes | None:
        """The machine's screen as a PNG; None before there is one."""
        try:
            return await asyncio.to_thread(self.scratch.screen.read_bytes)
        except FileNotFoundError:
            return None

    async def codes(self) -> list[SeenCode]:
        """The codes on the screen now, really read off its picture."""
        stamp = self._picture_stamp
        if self._dark:
            return []
        if self._codes[0] != stamp or stamp == 0:
            png = await self.picture()
            self._codes = (stamp, [] if png is None else await asyncio.to_thread(read_codes, png))
        return self._codes[1]

    def good_behind(self, code: str) -> Good | None:
        """What a code sells: a link says so itself, a code for an order is known to WeChat."""
        product = parse_qs(urlsplit(code).query).get("product_id", [""])[0]
        if not product:
            try:
                product = self.wechat.ledger.order_of_code(code).fields["product_id"]
            except Refusal:
                return None
        return _BY_ID.get(product)

    # The customer ------------------------------------------------------------------------------------------

    async def scan_at(self, x: float, y: float) -> Cashier | Told | None:
        """Hold the phone on a place of the screen (parts of width and height); None when no code is there."""
        code = code_at(await self.codes(), x, y)
        return None if code is None else await self.wechat.scan(code.text)

    async def pay(self, out_trade_no: str) -> Payment | Told:
        """Type the password."""
        return await self.wechat.pay(out_trade_no)

    def take_goods(self) -> None:
        """Empty the tray."""
        self.tray.clear()
        self._touch()

    # Faults ------------------------------------------------------------------------------------------------

    def switch_fault(self, name: str, *, on: bool) -> bool:
        """Switch a fault of `state["faults"]`; False if there is none of that name.

        `jam`, `reboot` and `lost` strike once and cannot be taken back.
        """
        faults = self.wechat.faults
        match name, on:
            case "jam", True:
                self.board.answer_next_vend(JAMMED)
                self._next_jams = True
            case "reboot", True:
                self.board.reboot_in_next_vend(after_drop=False)
                self._next_reboots = True
            case "unplug", True:
                self.board.unplug()
                self._unplugged = True
            case "unplug", False:
                self.board.replug()
                self._unplugged = False
            case "silent", _:
                self.board.silent = on
            case "down", True:
                faults.set("line", "down", times=None)
            case "down", False:
                faults.clear("line")
            case "slow", True:
                faults.set("calls", "late_answer", times=None, seconds=SLOW_SECONDS)
            case "slow", False:
                faults.clear("calls", "late_answer")
            case "lost", True:
                faults.set("notify", "lost")
            case _:
                return False
        self._write("fault_on" if on else "fault_off", fault=name)
        return True

    def cut_power(self) -> None:
        """Kill the machine's process and restart the board, this instant; the power comes back after a while."""
        if self._power is None or self._power.done():
            self._power = asyncio.get_running_loop().create_task(self._cut_power())

    async def _cut_power(self) -> None:
        self._dark = True
        await self.machine.cut_power()
        self._write("power_cut")
        self.board.reboot(DARK_SECONDS)
        await asyncio.sleep(DARK_SECONDS)
        # The screen has lost its picture: until the machine paints again there is nothing to see.
        await asyncio.to_thread(self.scratch.screen.unlink, missing_ok=True)
        self._dark = False
        await self.machine.start()
        self._write("power_back")

    # What happens ------------------------------------------------------------------------------------------

    def _touch(self) -> None:
        self.revision += 1
        self._changed.set()

    def _write(self, kind: str, **data: Any) -> None:
        self._count += 1
        last = self.diary[-1] if self.diary else None
        if kind == "codes" and last is not None and last.kind == "codes":  # one line for a screen full of codes
            self.diary[-1] = Line(last.id, time(), kind, {"count": last.data["count"] + 1})
        else:
            self.diary.append(Line(self._count, time(), kind, data))
        self._touch()

    def _machine_changed(self) -> None:
        if not self.machine.runs and not self._dark:
            self._write("machine_stopped", status=self.machine.ended, what=self.machine.last_words())
        self._touch()

    def _wechat_event(self, event: Event) -> None:
        order = self.wechat.ledger.orders.get(event.out_trade_no)
        data: dict[str, Any] = {"what": event.what}
        if order is not None:
            data |= {"order": order.out_trade_no, "product": order.fields.get("product_id", "")}
            data["fen"] = order.total_fen
        has_code = order is not None and order.code_url is not None
        if event.kind in {"ordered", "coded"} and has_code and self._native_mode is NativeMode.TWO:
            self._write("codes", count=1)
        elif event.kind in _WORTH_A_LINE:
            if event.kind == "refund_ended" and order is not None:
                data["status"] = next(reversed(order.refunds.values())).status
            self._write(event.kind, **data)

    def _board_event(self, event: BoardEvent) -> None:
        if event.kind == "vend":
            good = _BY_SLOT.get(int(event.detail))
            self._write("vend", slot=event.detail, product=good.id if good else "", jams=self._next_jams)
            self._next_jams = self._next_reboots = False
        elif event.kind == "drop":
            good = _BY_SLOT[int(event.detail)]
            self.dropped.append(good)
            self._count += 1
            self.tray.append({"id": self._count, "product": good.id})
            self._write("drop", slot=event.detail, product=good.id)
        elif event == BoardEvent("fault", "reboot"):
            self._write("board_reboot")

    async def _look_at_screen(self) -> None:
        """Notice every new picture of the machine."""
        while True:
            try:
                stamp = self.scratch.screen.stat().st_mtime_ns // 1_000_000
            except FileNotFoundError:
                stamp = 0
            if stamp != self._picture_stamp:
                self._picture_stamp = stamp
                self._touch()
            await asyncio.sleep(LOOK_SECONDS)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
