"""Whole sales by machines killed on the way: the machine is a real process, what surrounds it outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient

from hardware.mdb.simulator import MdbMachine
from hardware.simulated_board import read_ledger
from hardware.xy.simulator import XyBoard
from kiosk.audit import audit
from kiosk.config import load
from kiosk.journal import JOURNAL_FILE, read_orders, read_story
from kiosk.orders import UNPAID, Order, OrderState
from kiosk.payments.wechat.native import native_link
from kiosk.simulation.member import Member
from kiosk.simulation.messages import Merchant
from kiosk.simulation.scratch import free_ports
from kiosk.simulation.wechat import SCAN_PATH, Cashier, WeChatSimulator

SETTLED_SECONDS = 60.0  # the promise: every order in doubt is settled within a minute of a restart
READY_SECONDS = 60.0  # a machine is ready in a second; this is for a busy computer
LOOK_SECONDS = 0.05
TOKEN = "a-token-for-the-tests-of-crashes"
SETTLED = {OrderState.DISPENSED, OrderState.REFUNDED}

INI = """\
[kiosk]
id = crash-1
name = 大堂饮料机
data_dir = var
dispense_within = 60
[wechatpay]
app_id = {merchant.app_ids[0]}
mch_id = {merchant.mch_id}
api_key = {merchant.api_key}
native_mode = {native_mode}
api_base = {wechat}
backup_api_base = {wechat}
public_url = http://127.0.0.1:{public}
client_cert_file = certificate.pem
client_key_file = certificate.pem
order_ttl = {order_ttl}
{members}[callbacks]
listen = 127.0.0.1:{public}
[web]
listen = 127.0.0.1:{local}
password_file = web_password
api_token_file = api_token
[display]
driver = none
size = 480x320
[dispenser]
driver = {driver}
port = board
vend_timeout = 5
[product:cola]
name = 可口可乐
price = 3.50
[slot:11]
product = cola
capacity = 3
[slot:12]
product = cola
capacity = 3
"""
MEMBERS = """\
[miniprogram]
app_id = {merchant.miniprogram_app_id}
app_secret_file = app_secret
api_base = {wechat}
"""


class Zygote:
    """The process that machines are forked from."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._starting: asyncio.Queue[asyncio.Future[int]] = asyncio.Queue()
        self._ended: dict[int, asyncio.Event] = {}
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def start(self, ini: Path, crash_at: str) -> Running:
        """A machine of that ini, killed at that point (a name of a point; empty: never)."""
        points = ini.with_name("points")
        points.unlink(missing_ok=True)
        order = {"ini": str(ini), "log": str(ini.with_name("log")), "points": str(points), "crash_at": crash_at}
        started = asyncio.get_running_loop().create_future()
        self._starting.put_nowait(started)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        pid = await started
        return Running(pid, self._ended[pid], points)

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if "started" in told:
                self._ended[told["started"]] = asyncio.Event()
                self._starting.get_nowait().set_result(told["started"])
            else:
                self._ended[told["ended"]].set()


@asynccontextmanager
async def zygote() -> AsyncIterator[Zygote]:
    """A zygote for as long as a test needs one."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("crash_machine.py"))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
    )
    made = Zygote(process)
    try:
        yield made
    finally:
        await made.stop()


@dataclass
class Running:
    """One machine process."""

    pid: int
    ended: asyncio.Event
    points: Path

    def count(self) -> None:
        """Points count from here on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    async def stop(self) -> None:
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            await self.ended.wait()


class Street:
    """One machine's surroundings: WeChat and its books, the board and its drops, the customer, the technician."""

    def __init__(
        self, folder: Path, machines: Zygote, *, native_mode: str, order_ttl: int, keypad: bool = False
    ) -> None:
        folder.mkdir()
        self.folder = folder
        self._machines = machines
        self._held = contextlib.ExitStack()
        self._public, self._local = self._held.enter_context(free_ports(2))
        scan_url = f"http://127.0.0.1:{self._public}{SCAN_PATH}"
        self.merchant = Merchant(
            "1900000109",
            ("wx8888888888888888", "wx7777777777777777"),
            "k" * 32,
            scan_url,
            "wx7777777777777777",
            "s" * 32,
        )
        self.wechat = WeChatSimulator(self.merchant, scale=0.02, refund_seconds=0.05)
        self.wechat.ledger.closes_young_orders = True
        link, ledger = folder / "board", folder / "drops.jsonl"
        self.board: XyBoard | MdbMachine
        if keypad:
            self.board = MdbMachine(link=link, ledger=ledger, items=(11, 12), motor_seconds=0.05)
        else:
            self.board = XyBoard(
                link=link,
                ledger=ledger,
                selections=(11, 12),
                motor_seconds=0.05,
                poll_seconds=0.05,
                answer_window_seconds=1.0,  # trials run side by side on one loop
            )
        self.ini = folder / "kiosk.ini"
        self._values = {"native_mode": native_mode, "order_ttl": order_ttl, "driver": "mdb" if keypad else "xy"}
        self.customer_was_told: list[str] = []
        self.acknowledged_stock: int | None = None
        self.machine: Running | None = None

    async def open(self) -> None:
        await self.wechat.start()
        await self.board.start()
        values = {"public": self._public, "local": self._local, "wechat": self.wechat.base_url} | self._values
        for name, text in (("certificate.pem", ""), ("app_secret", "s" * 32), ("api_token", TOKEN)):
            (self.folder / name).write_text(text)
        values["merchant"] = self.merchant
        values["members"] = MEMBERS.format(**values) if isinstance(self.board, XyBoard) else ""
        self.ini.write_text(INI.format(**values))
        self.member = Member(f"http://127.0.0.1:{self._public}", self.wechat)

    async def close(self) -> None:
        if self.machine is not None:
            await self.machine.stop()
        await self.board.stop()
        await self.wechat.stop()
        self._held.close()

    async def start(self, crash_at: str = "") -> Running:
        """Start the machine; it sells when this returns, or is dead."""
        self.machine = machine = await self._machines.start(self.ini, crash_at)
        async with asyncio.timeout(READY_SECONDS):
            while not machine.ended.is_set():
                status = await self.technician("GET", "status")
                if status is not None and status["health"] != "out_of_service" and self._has_code():
                    break
                await asyncio.sleep(LOOK_SECONDS)
        return machine

    def _has_code(self) -> bool:
        if isinstance(self.board, MdbMachine):
            return self.board.can_choose
        return self._values["native_mode"] == "one" or self.open_code() is not None

    def open_code(self) -> str | None:
        """A mode-two code that can be paid now."""
        ledger = self.wechat.ledger
        codes = [order.code_url for order in ledger.orders.values() if ledger.trade_state(order) == "NOTPAY"]
        return next((code for code in reversed(codes) if code), None)

    async def technician(self, method: str, path: str, body: object = None) -> dict[str, Any] | None:
        """Ask the local listener; None if nobody answers."""
        try:
            answer = await AsyncHTTPClient().fetch(
                f"http://127.0.0.1:{self._local}/api/{path}",
                method=method,
                headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
                body=None if body is None else json.dumps(body),
                request_timeout=20,
            )
        except Exception:  # noqa: BLE001 - the machine may be dead, dying, or not yet born
            return None
        found: dict[str, Any] = json.loads(answer.body)
        return found

    def orders(self) -> list[Order]:
        return read_orders(self.folder / "var", [], None)

    def unsettled(self) -> list[str]:
        """What is still to happen: paid orders without goods or money back."""
        states = {order.out_trade_no: order.state for order in self.orders()}
        return [
            number
            for number, account in self.wechat.ledger.audit().items()
            if states.get(number) not in SETTLED or account.refunding_fen
        ]

    async def settle(self) -> None:
        """Wait until nothing is left to be done."""
        async with asyncio.timeout(SETTLED_SECONDS):
            while await asyncio.to_thread(self.unsettled):  # noqa: ASYNC110 - another process has no event for it
                await asyncio.sleep(LOOK_SECONDS)

    def violations(self) -> list[str]:
        """Compare the three books, once the machine has stopped: what they say against the promises."""
        found = [f"audit: {finding}" for finding in audit(self.folder / "var" / JOURNAL_FILE).findings]
        orders = {order.out_trade_no: order for order in self.orders()}
        accounts = self.wechat.ledger.audit()
        drops = len(read_ledger(self.folder / "drops.jsonl"))
        entitled = 0
        for number, account in accounts.items():
            order = orders.get(number)
            if order is None:
                found.append(f"{number} was paid and is unknown")
            elif order.state is OrderState.DISPENSED:
                entitled += 1
                if account.refunded_fen:
                    found.append(f"{number} was dispensed and refunded")
            elif order.state is OrderState.REFUNDED:
                if account.refunded_fen != account.paid_fen:
                    found.append(
                        f"{number} is called refunded, {account.refunded_fen} of {account.paid_fen} fen are back"
                    )
                kinds = [event.kind for event in read_story(self.folder / "var" / JOURNAL_FILE, number)[0]]
                entitled += "in_doubt" in kinds  # nobody could tell: the customer may have both
            else:
                found.append(f"{number} was paid and is {order.state.value}")
        certain = sum(order.state is OrderState.DISPENSED for order in orders.values())
        if not certain <= drops <= entitled:
            found.append(f"{drops} items dropped, {certain} sold for certain, {entitled} paid for")
        found += [
            f"{no} was not paid and is {o.state.value}"
            for no, o in orders.items()
            if no not in accounts and o.paid_fen
        ]
        return found


# What customers and technicians do. Each ends by itself, whatever becomes of the machine.


async def buy_by_code(street: Street) -> None:
    """Mode two: scan the code on the screen, pay."""
    code = street.open_code()
    if code is not None:
        await _pay(street, await street.wechat.scan(code))


async def buy_at_keypad(street: Street) -> None:
    """Choose at the machine, scan the code, pay; give up if the machine does."""
    assert isinstance(street.board, MdbMachine)
    street.board.choose(11)
    while street.board.waits and street.open_code() is None:  # noqa: ASYNC110 - another process makes the code
        await asyncio.sleep(LOOK_SECONDS)
    await buy_by_code(street)


async def buy_by_link(street: Street) -> None:
    """Mode one: scan the product's own code, pay."""
    await _pay(street, await street.wechat.scan(_link(street)))


async def _pay(street: Street, cashier: object) -> None:
    if isinstance(cashier, Cashier):
        await street.wechat.pay(cashier.out_trade_no)


def _link(street: Street) -> str:
    pay = load(street.ini).wechatpay
    return native_link(pay, "cola", time_stamp=1_700_000_000, nonce="n" * 32)


async def buy_in_miniprogram(street: Street) -> None:
    """Log in, order, pay."""
    order = (await street.member.order("cola")).values.get("order")
    if order is not None:
        await street.member.pay(order["out_trade_no"])


async def let_expire(street: Street) -> None:
    """Scan, and walk away; over when the order is closed, by this machine or the next one."""
    await street.wechat.scan(_link(street))
    async with asyncio.timeout(SETTLED_SECONDS):
        while any(order.state in UNPAID for order in street.orders()):  # noqa: ASYNC110 - see `settle`
            await asyncio.sleep(LOOK_SECONDS)


async def restock(street: Street) -> None:
    """Take one unit out by the page, then count again."""
    for stock in (2, 1):
        answer = await street.technician("POST", "slots/11/restock", {"stock": stock})
        if answer is not None:
            street.acknowledged_stock = stock


@dataclass(frozen=True)
class Scenario:
    """One kind of sale, whole."""

    name: str
    act: Callable[[Street], Awaitable[None]]
    native_mode: str = "two"
    order_ttl: int = 300
    jammed: tuple[int, ...] = ()
    keypad: bool = False  # an MDB machine, whose customers choose at its own keypad


SCENARIOS = (
    Scenario("mode_one", buy_by_link, native_mode="one"),
    Scenario("mode_two", buy_by_code),
    Scenario("miniprogram", buy_in_miniprogram, native_mode="one"),
    Scenario("refund", buy_by_link, native_mode="one", jammed=(11, 12)),
    Scenario("next_slot", buy_by_link, native_mode="one", jammed=(11,)),
    Scenario("expiry", let_expire, native_mode="one", order_ttl=5),
    Scenario("restock", restock, native_mode="one"),
    Scenario("keypad", buy_at_keypad, keypad=True),
)


@dataclass(frozen=True)
class Trial:
    """What one trial showed."""

    points: tuple[str, ...]
    crashed: bool
    violations: tuple[str, ...]


async def attempt(
    folder: Path, machines: Zygote, scenario: Scenario, crash_at: str = "", kill_after_seconds: float | None = None
) -> Trial:
    """One sale with a machine that dies at a point, or after a time; then a machine that puts it right."""
    street = Street(
        folder,
        machines,
        native_mode=scenario.native_mode,
        order_ttl=scenario.order_ttl,
        keypad=scenario.keypad,
    )
    await street.open()
    try:
        for selection in scenario.jammed:
            street.board.jam(selection)
        machine = await street.start(crash_at)
        machine.count()
        killing = asyncio.get_running_loop()
        timer = None if kill_after_seconds is None else killing.call_later(kill_after_seconds, machine.kill)
        acting = asyncio.ensure_future(scenario.act(street))
        settled = asyncio.ensure_future(_act_and_settle(acting, street))
        ended = asyncio.ensure_future(machine.ended.wait())
        waiting = {ended} if kill_after_seconds is not None else {ended, settled}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        crashed = machine.ended.is_set()
        settled.cancel()
        ended.cancel()
        if timer is not None:
            timer.cancel()
        if crashed:
            await street.start()
        await acting
        await street.settle()
        points = tuple(machine.points.read_text().splitlines()) if machine.points.exists() else ()
        stock = await street.technician("GET", "status")
        assert street.machine is not None
        await street.machine.stop()
        violations = street.violations()
        if street.acknowledged_stock is not None and stock is not None:
            found = next(slot["stock"] for slot in stock["slots"] if slot["id"] == "11")
            if found > street.acknowledged_stock:
                violations.append(f"stock {street.acknowledged_stock} was acknowledged, {found} is booked")
        return Trial(points, crashed, tuple(violations))
    finally:
        await street.close()


async def _act_and_settle(acting: asyncio.Future[None], street: Street) -> None:
    await asyncio.shield(acting)
    await street.settle()
