"""A machine's whole core in virtual time: days pass in milliseconds, and nothing happens that a seed does not decide.

Real are journal, cashier, refunds, dispatcher, codes, readiness and shelf, the gateway with its signatures and XML,
and the simulated WeChat's desk and books. Sockets, threads and the disk's patience are not here: they have tests of
their own. A crash is the end of every task of a machine in the middle of whatever it waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import random
import selectors
import sqlite3
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from core_values import make_settings

from hardware.dispenser import Cause, Keypad, Outcome, Status, VendResult
from kiosk import database
from kiosk.audit import audit
from kiosk.cashier import Cashier
from kiosk.codes import OrderCodes
from kiosk.database import DatabaseError
from kiosk.dispatcher import Dispatcher
from kiosk.errors import NotBelieved, NotForSale
from kiosk.journal import JOURNAL_FILE, Journal, read_orders, read_story
from kiosk.keypad import KeypadSales
from kiosk.line import Line
from kiosk.orders import UNPAID, Channel, Order, OrderState
from kiosk.payments.gateway import Payment, Reachability, Refunded, RefundNotice
from kiosk.payments.wechat import xml
from kiosk.payments.wechat.client import Answer, Denied, Failed, NoAnswer, Succeeded
from kiosk.payments.wechat.gateway import WeChatGateway
from kiosk.payments.wechat.signature import sign
from kiosk.readiness import Readiness
from kiosk.settings import MiniProgramSettings
from kiosk.shelf import Shelf
from kiosk.simulation.calls import PATHS, Desk
from kiosk.simulation.ledger import Ledger, Refusal
from kiosk.simulation.wechat import merchant_of
from kiosk.words import Speaker

T = TypeVar("T")
BEGINNING = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
DROP_SECONDS = 1.5
VEND_SECONDS = 60.0
NOTIFIED_AFTER = (0, 15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
SETTLING = timedelta(hours=4)  # the slowest refund takes one hour, an unpaid code's life is two
CLOSING = timedelta(minutes=2)  # an answer of WeChat may be lost, and then the next try is half a minute later
# What only looks around does it less often here: it would be most of the work of a day in which nothing happens.
UNHURRIED = {
    "kiosk.readiness.CHECK_SECONDS": 60.0,
    "kiosk.readiness.KNOCK_SECONDS": 60.0,
    "kiosk.followers.SWEEP_SECONDS": 60.0,
    "kiosk.dispatcher.RETRY_SECONDS": 15.0,
    "kiosk.unpaid.QUERY_CODE_SECONDS": 300.0,
    "kiosk.unpaid.QUERY_CUSTOMER_SECONDS": 20.0,
}
IN_A_MACHINE: contextvars.ContextVar[Machine | None] = contextvars.ContextVar("machine", default=None)


class _Selector(selectors.SelectSelector):
    """Waiting is not waited for: the clock is put forward instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again: a deadlock")
        self.loop.passed_seconds += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody waits."""

    def __init__(self) -> None:
        self.passed_seconds = 1000.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self.set_task_factory(_tagged)

    def time(self) -> float:
        return self.passed_seconds

    def run_in_executor(self, _: Any, function: Any, *args: Any) -> Any:  # type: ignore[override] # as asyncio calls it
        future = self.create_future()
        try:
            future.set_result(function(*args))
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            future.set_exception(error)
        return future


def _tagged(loop: asyncio.AbstractEventLoop, work: Any, **context: Any) -> asyncio.Task[Any]:
    """A task that its machine knows, so that the machine can die."""
    task = asyncio.Task(work, loop=loop, **context)
    given = context.get("context")
    machine = IN_A_MACHINE.get() if given is None else given.get(IN_A_MACHINE)
    if machine is not None:
        machine.tasks.add(task)
    return task


class InlineDatabase(database.Database):
    """The journal's own transactions without threads and syncs; each is a place where the power may fail."""

    world: World

    def __init__(self, path: Path) -> None:
        self.path = path
        self.error = None
        self.committed = lambda _: None
        self._connection = database._connect(path)
        self._connection.execute("PRAGMA synchronous = OFF")
        self._at_commit = threading.Event()
        self._machine = IN_A_MACHINE.get()

    async def write_together(self, work: Any, item: Any, after: Callable[[T], None] | None = None) -> T:
        await self.world.crash_point(self._machine)
        job = database._Job(work, item, after, asyncio.get_running_loop().create_future())
        (outcome,) = self._run([job])
        await self.world.crash_point(self._machine)
        job.settle(outcome)
        result: T = await job.done
        return result

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        await self.world.crash_point(self._machine, only_if_dead=True)
        return work(self._connection)

    async def check_integrity(self) -> str | None:
        return None

    async def close(self) -> None:
        self._connection.close()

    def abandon(self) -> None:
        """The process is gone: what was in a transaction never was."""
        self._connection.close()


@dataclass
class Clock:
    """A wall clock over the loop's time; `offset` is how wrong it is."""

    loop: VirtualLoop
    offset: timedelta = timedelta()

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.loop.time()) + self.offset


class Wire:
    """Takes the place of `wechat.client.Client`: the same requests, answered by the simulated WeChat's desk."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world = world
        self._machine = machine
        self.reachability = Reachability()
        self.clock_offset_seconds: float | None = None

    async def call(self, path: str, fields: Mapping[str, str], *, urgent: bool = False, **_: str) -> Answer:
        answer = await self._call(path, fields, limit_seconds=2.4 if urgent else 20.0)
        if isinstance(answer, NoAnswer):
            failures = self.reachability.consecutive_failures + 1
            self.reachability = replace(self.reachability, consecutive_failures=failures, last_error=answer.reason)
        else:
            self.reachability = Reachability(0, "", self._world.clock.now(), "simulated")
            self.clock_offset_seconds = -self._world.machine_clock.offset.total_seconds()
        return answer

    async def _call(self, path: str, fields: Mapping[str, str], *, limit_seconds: float) -> Answer:
        world, dice = self._world, self._world.dice
        await world.crash_point(self._machine)
        seconds = dice.choice((0.05, 0.1, 0.2, 1.0, 3.0))
        fate = dice.random()
        if world.line_is_down or fate < 0.03:
            await asyncio.sleep(min(seconds, limit_seconds))
            return NoAnswer("the line is down")
        if fate < 0.06:
            return Failed("SYSTEMERROR", "系统繁忙") if dice.random() < 0.5 else NoAnswer("half an answer")
        await asyncio.sleep(seconds / 2)
        pay = world.settings.wechatpay
        sent = {name: value for name, value in fields.items() if value}
        sent |= {"mch_id": pay.mch_id, "nonce_str": "n" * 32, "sign_type": pay.sign_type.value}
        body = xml.build(sent | {"sign": sign(sent, pay.api_key, pay.sign_type)})
        answer, _ = world.desk.answer(PATHS[path], body)
        if path.endswith("/refund"):
            world.see_to_refunds()
        await world.crash_point(self._machine)
        await asyncio.sleep(min(seconds / 2, limit_seconds))
        if fate < 0.10 or seconds > limit_seconds:
            return NoAnswer("the answer was lost")
        found = xml.parse(answer)
        if found["return_code"] != "SUCCESS":
            return Denied("DENIED", found["return_msg"])
        if found["result_code"] != "SUCCESS":
            return Failed(found["err_code"], found["err_code_des"])
        return Succeeded(found)

    async def aclose(self) -> None:
        """Nothing is open."""


class Driver:
    """A Dispenser in front of the world's board."""

    def __init__(self, world: World, machine: Machine) -> None:
        self._world = world
        self._machine = machine
        self._callbacks: list[Callable[[], None]] = []

    @property
    def status(self) -> Status:
        return Status(self._world.board_is_up, "" if self._world.board_is_up else "the board is silent")

    def on_status(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def changed(self) -> None:
        for callback in self._callbacks:
            callback()

    async def start(self) -> None:
        """It is there at once."""

    async def stop(self) -> None:
        """It stays where it is."""

    def prepare(self, address: int) -> str:
        self._world.evidence += 1
        return json.dumps({"vend": self._world.evidence, "address": address})

    async def vend(self, address: int) -> VendResult:
        world = self._world
        await world.crash_point(self._machine)
        if not world.board_is_up:
            await asyncio.sleep(5)
            return VendResult(Outcome.NOT_DELIVERED, "the board is silent", Cause.NOT_TAKEN)
        fate = world.board_turns(address)
        await world.crash_point(self._machine)
        if fate in {"dropped, unheard", "nothing, unheard"}:
            await asyncio.sleep(VEND_SECONDS)
            return VendResult(Outcome.UNKNOWN, "no result came")
        await asyncio.sleep(DROP_SECONDS + 0.5)
        causes = {"jam": Cause.SLOT, "empty": Cause.EMPTY, "lift": Cause.MACHINE}
        if fate in causes:
            return VendResult(Outcome.NOT_DELIVERED, fate, causes[fate])
        return VendResult(Outcome.DELIVERED, fate, proven=True)

    async def recall(self, address: int, evidence: str) -> VendResult:
        await asyncio.sleep(2)
        fate = self._world.fates.get(json.loads(evidence)["vend"], "never sent")
        if not self._world.board_can_tell or fate == "never sent":
            return VendResult(Outcome.UNKNOWN, "the board cannot tell")
        if fate.startswith("dropped"):
            return VendResult(Outcome.DELIVERED, "the board's counter has moved")
        return VendResult(Outcome.UNKNOWN, f"the counter of {address} has not moved")


class Machine:
    """One process: the parts that `kiosk.machine` puts together, without screen and listeners."""

    def __init__(self, world: World) -> None:
        self.tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self.dead = False
        self._world = world
        IN_A_MACHINE.set(self)
        settings, clock, speaker = world.settings, world.machine_clock, Speaker("zh_CN")
        wire = Wire(world, self)
        with ExitStack() as stack:
            stack.enter_context(patch("kiosk.journal.Database", InlineDatabase))
            stack.enter_context(patch("kiosk.payments.wechat.gateway.Client", lambda *_, **__: wire))
            self.journal = Journal(settings.kiosk.data_dir, clock)
            self.gateway = WeChatGateway(
                settings.wechatpay,
                shop_name=settings.kiosk.name,
                machine_id=settings.kiosk.id,
                miniprogram_app_id=settings.miniprogram.app_id if settings.miniprogram else None,
                clock=clock,
            )
        self.driver = world.make_driver(self)
        self.shelf = Shelf(settings, self.journal)
        self.readiness = Readiness(
            settings=settings,
            journal=self.journal,
            dispenser=self.driver,
            gateway=self.gateway,
            shelf=self.shelf,
            clock=clock,
            speaker=speaker,
        )
        self.cashier = Cashier(
            settings=settings,
            journal=self.journal,
            gateway=self.gateway,
            clock=clock,
            speaker=speaker,
            closed=self.readiness.closed,
            answered=self.readiness.wechat_answered,
        )
        self.codes: OrderCodes | KeypadSales
        if isinstance(self.driver, Keypad):
            self.codes = KeypadSales(
                settings=settings,
                keypad=self.driver,
                journal=self.journal,
                cashier=self.cashier,
                readiness=self.readiness,
                shelf=self.shelf,
                speaker=speaker,
            )
        else:
            self.codes = OrderCodes(
                settings=settings,
                journal=self.journal,
                cashier=self.cashier,
                readiness=self.readiness,
                shelf=self.shelf,
                clock=clock,
            )
        self.dispatcher = Dispatcher(
            settings=settings,
            journal=self.journal,
            line=Line(self.journal),
            dispenser=self.driver,
            clock=clock,
            wants=self.codes.wants if isinstance(self.codes, KeypadSales) else None,
        )

    async def start(self) -> None:
        for part in (self.shelf, self.readiness, self.dispatcher, self.cashier, self.codes):
            await part.start()

    async def stop(self) -> None:
        """In order, as on SIGTERM."""
        for part in (self.codes, self.dispatcher, self.cashier, self.readiness, self.shelf, self.journal):
            await (part.close() if isinstance(part, Journal) else part.stop())
        self.dead = True

    def die(self) -> None:
        """Not one more instruction."""
        self.dead = True
        for task in tuple(self.tasks):
            task.cancel()
        self.journal._database.abandon()  # type: ignore[attr-defined] # it is an InlineDatabase


class World:
    """One machine's life, from one seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.loop = VirtualLoop()
        asyncio.set_event_loop(self.loop)
        self.dice = random.Random(seed)
        self.clock, self.machine_clock = Clock(self.loop), Clock(self.loop)
        settings = make_settings(folder)
        self.settings = replace(settings, miniprogram=MiniProgramSettings("wx7777777777777777", "s" * 32))
        self.settings = replace(
            self.settings,
            wechatpay=replace(settings.wechatpay, client_cert_file=folder / "c", client_key_file=folder / "c"),
        )
        self.merchant = merchant_of(self.settings.wechatpay, miniprogram=self.settings.miniprogram)
        self.ledger = Ledger(self.clock)
        self.desk = Desk(self.ledger, self.merchant, self.clock)
        InlineDatabase.world = self
        self._patches = ExitStack()
        for name, value in UNHURRIED.items():
            self._patches.enter_context(patch(name, value))
        self.board_is_up = True
        self.board_can_tell = self.dice.random() < 0.5
        self.line_is_down = False
        self.crash_in: int | None = None  # points to pass until the power fails
        self.evidence = 0
        self.fates: dict[int, str] = {}
        self.drops: Counter[str] = Counter()
        self.machine: Machine | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._outside = contextvars.copy_context()
        self._refunding: set[str] = set()
        self._problems: list[str] = []

    # What happens to the machine ----------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something now; what it started goes on when time passes."""
        return self.loop.run_until_complete(work)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let something happen that no machine's end can stop."""
        task = self.loop.create_task(work, context=self._outside.copy())
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._problems.append(f"{task.exception()!r}")

    async def boot(self) -> None:
        """Switch the machine on; does nothing while it runs."""
        if self.machine is not None and not self.machine.dead:
            return
        with contextlib.suppress(asyncio.CancelledError):  # the power may fail before it is open for business
            await self._inside(self._born())

    async def _born(self) -> None:
        self.machine = Machine(self)
        born = asyncio.current_task()
        assert born is not None
        self.machine.tasks.add(born)
        await self.machine.start()

    async def _inside(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in a task of its own, whose context may become a machine's."""
        return await self.loop.create_task(work, context=contextvars.copy_context())

    async def shut_down(self) -> None:
        """Stop in order, unless the power fails first."""
        machine = self._up()
        if machine is not None:
            stopping = self.loop.create_task(machine.stop())
            machine.tasks.add(stopping)
            await asyncio.wait({stopping})

    async def crash_point(self, machine: Machine | None, *, only_if_dead: bool = False) -> None:
        """A place where the power may fail. Ends every task of a machine that is dead, late ones too."""
        if machine is not None and not machine.dead and self.crash_in is not None and not only_if_dead:
            self.crash_in -= 1
            if self.crash_in < 0:
                self.crash_in = None
                machine.die()
        if machine is not None and machine.dead:
            raise asyncio.CancelledError  # whatever it was in the middle of, it goes no further

    def make_driver(self, machine: Machine) -> Driver:
        """What the machine drives its board with."""
        return Driver(self, machine)

    def switch_board(self, *, up: bool) -> None:
        self.board_is_up = up
        if self.machine is not None and not self.machine.dead:
            self.machine.driver.changed()

    async def board_away(self, seconds: float) -> None:
        """The board is silent for so long."""
        self.switch_board(up=False)
        self.spawn(self._later(seconds, lambda: self.switch_board(up=True)))

    async def line_away(self, seconds: float) -> None:
        """Machine and WeChat hear nothing of each other for so long."""
        self.line_is_down = True
        self.spawn(self._later(seconds, lambda: setattr(self, "line_is_down", False)))

    async def clock_wrong(self, offset_seconds: float, seconds: float) -> None:
        """The board's clock is wrong for so long, until NTP sets it."""
        self.machine_clock.offset = timedelta(seconds=offset_seconds)
        self.spawn(self._later(seconds, lambda: setattr(self.machine_clock, "offset", timedelta())))

    async def _later(self, seconds: float, change: Callable[[], None]) -> None:
        await asyncio.sleep(seconds)
        change()

    def board_turns(self, address: int, number: str | None = None) -> str:
        """A motor turns: exactly one order's intent has to be on the disk, paid, and never vended before.

        `number`: the order that it has to be, where the board knows.
        """
        fate = self.dice.choice(
            (
                "dropped",
                "dropped",
                "dropped",
                "dropped",
                "dropped, unheard",
                "nothing, unheard",
                "jam",
                "empty",
                "lift",
            )
        )
        self.fates[self.evidence] = fate
        slots = {slot.address: slot.id for slot in self.settings.slots}
        intents = [order for order in self._orders() if order.state is OrderState.DISPENSING]
        if len(intents) != 1 or intents[0].slot != slots[address]:
            self._problems.append(f"slot {slots[address]} turns with {len(intents)} intents on the disk")
            return fate
        if number not in {None, intents[0].out_trade_no}:
            self._problems.append(f"{number} was chosen, {intents[0].out_trade_no} is vended")
        number = intents[0].out_trade_no
        account = self.ledger.audit().get(number)
        if account is None or account.refunded_fen or account.refunding_fen:
            self._problems.append(f"{number} is vended, WeChat's books say {account}")
        if fate.startswith("dropped"):
            self.spawn(self._drop(number))
        return fate

    async def _drop(self, number: str) -> None:
        await asyncio.sleep(DROP_SECONDS)
        self.drops[number] += 1

    # What people do -----------------------------------------------------------------------------------------

    def _up(self) -> Machine | None:
        return self.machine if self.machine is not None and not self.machine.dead else None

    async def _ask(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Ask the machine something; None if it dies meanwhile, or says no."""
        machine = self._up()
        if machine is None:
            work.close()
            return None

        async def inside() -> T | None:
            IN_A_MACHINE.set(machine)
            return await self.loop.create_task(work)

        try:
            return await self._inside(inside())
        except (asyncio.CancelledError, NotForSale, NotBelieved, DatabaseError):
            return None

    async def scan_screen(self, product: str, openid: str, pays_after_seconds: float | None) -> None:
        """Mode two: scan the product's code, pay after a while, or walk away (None)."""
        machine = self._up()
        code = machine.codes.code(product) if machine is not None else None  # at a keypad: none
        if code is None:
            return
        with contextlib.suppress(Refusal):
            order = self.ledger.order_of_code(code)
            self.ledger.enter(order, openid)
            self._pay_later(order.out_trade_no, openid, pays_after_seconds)

    async def scan_sticker(self, product: str, openid: str, pays_after_seconds: float | None) -> None:
        """Mode one: WeChat asks the machine for an order."""
        machine = self._up()
        if machine is not None:
            order = await self._ask(machine.cashier.order_by_scan(product, openid, f"{self.dice.random()}"))
            if order is not None:
                self._pay_later(order.out_trade_no, openid, pays_after_seconds)

    async def order_in_miniprogram(self, product: str, openid: str, pays_after_seconds: float | None) -> None:
        """Order, prepay, pay."""
        machine = self._up()
        if machine is None:
            return
        order = await self._ask(machine.cashier.order_in_miniprogram(product, openid, "203.0.113.5"))
        if order is not None and self._up() is machine:
            order = await self._ask(machine.cashier.prepay(order))
            if order is not None:
                self._pay_later(order.out_trade_no, openid, pays_after_seconds)

    def _pay_later(self, number: str, openid: str, seconds: float | None) -> None:
        if seconds is not None:
            self.spawn(self._pay(number, openid, seconds))

    async def _pay(self, number: str, openid: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order = self.ledger.order(out_trade_no=number)
        try:
            paid = self.ledger.pay(order, openid)
        except Refusal:
            return
        notice = Payment(
            number, paid.transaction_id, order.fields["appid"], order.total_fen, "CNY", openid, paid.paid_at
        )
        fate = self.dice.choice(("first", "first", "doubled", "late", "never"))
        if fate == "never":
            return
        for wait_seconds in NOTIFIED_AFTER:
            await asyncio.sleep(wait_seconds + (self.dice.uniform(0, 400) if fate == "late" else 0.1))
            machine = self._up()
            if machine is None or self.line_is_down or self.dice.random() < 0.2:
                continue
            copies = 2 if fate == "doubled" else 1
            told = await asyncio.gather(*(self._ask(self._notify(machine, notice)) for _ in range(copies)))
            if any(told):
                return

    async def _notify(self, machine: Machine, notice: Payment) -> bool:
        await machine.cashier.payment_notified(notice)
        stored = [order for order in self._orders() if order.transaction_id == notice.transaction_id]
        if not stored:
            self._problems.append(f"SUCCESS for {notice.out_trade_no}, which is not on the disk")
        return True

    def see_to_refunds(self) -> None:
        """WeChat makes the refunds that it has accepted, in its own time."""
        for order in self.ledger.orders.values():
            for number, refund in order.refunds.items():
                if refund.status == "PROCESSING" and number not in self._refunding:
                    self._refunding.add(number)
                    self.spawn(self._make_refund(number))

    async def _make_refund(self, number: str) -> None:
        await asyncio.sleep(self.dice.choice((1, 5, 60, 3600)))
        self.ledger.end_refund(number)
        machine = self._up()
        order, refund = self.ledger.refund_of(number)
        if machine is not None and self.dice.random() < 0.7:
            notice = RefundNotice(order.out_trade_no, number, refund.refund_fen, Refunded(refund.refund_id))
            await self._ask(machine.cashier.refund_notified(notice))

    async def technician(self) -> None:
        """Fill every slot, free every jam, give back what is in doubt."""
        machine = self._up()
        if machine is None:
            return
        for slot in self.settings.slots:
            full = slot.capacity
            await self._ask(
                machine.journal.change_slot(
                    slot.id, "restock", "soak", lambda record, full=full: replace(record, stock=full, fault=None)
                )
            )

    # What must hold -----------------------------------------------------------------------------------------

    def _orders(self) -> list[Order]:
        return read_orders(self.settings.kiosk.data_dir, [], None)

    def check(self) -> None:
        """What holds at every moment, whatever is under way."""
        problems, self._problems = self._problems, []
        problems += [f"{number} dropped {count} times" for number, count in self.drops.items() if count > 1]
        accounts = self.ledger.audit()
        problems += [f"{number} dropped and was never paid" for number in self.drops if number not in accounts]
        for number, account in accounts.items():
            if account.refunded_fen + account.refunding_fen > account.paid_fen:
                problems.append(f"{number}: more went back than came")
        for order in self._orders():
            account = accounts.get(order.out_trade_no)
            match order.state:
                case OrderState.DISPENSED:
                    # Where a rule says that it is sold (`reason`), a person is to look whether it was.
                    told = self.drops[order.out_trade_no] or order.reason
                    if account is None or account.refunded_fen or not told:
                        problems.append(
                            f"{order.out_trade_no} is dispensed: {account}, {self.drops[order.out_trade_no]}"
                        )
                case OrderState.REFUNDED:
                    if account is None or account.refunded_fen != account.paid_fen:
                        problems.append(f"{order.out_trade_no} is refunded: {account}")
                case OrderState.CLOSED if account is not None and order.transaction_id:
                    problems.append(f"{order.out_trade_no} is closed with a payment")
                case _:
                    pass
        assert problems == []

    async def settle(self) -> None:
        """Mend everything, switch on, and let a day pass."""
        self.crash_in = None
        self.line_is_down = False
        self.machine_clock.offset = timedelta()
        self.switch_board(up=True)
        await self.boot()
        await asyncio.sleep(SETTLING.total_seconds())

    async def end(self) -> None:
        """Nothing is left to do: every paid order has goods or money, no unpaid one is left, all books are sound."""
        await self.settle()
        self.check()
        accounts = self.ledger.audit()
        now = self.machine_clock.now()
        for order in self._orders():
            paid = order.out_trade_no in accounts
            if paid:
                settled = order.state in {OrderState.DISPENSED, OrderState.REFUNDED}
                story, _ = read_story(self.settings.kiosk.data_dir / JOURNAL_FILE, order.out_trade_no)
                assert settled, (order, accounts[order.out_trade_no], [(event.kind, event.detail) for event in story])
            if order.state in UNPAID:
                assert order.channel is Channel.NATIVE_TWO, f"{order.out_trade_no} is still open"
                assert order.expires_at + CLOSING > now, f"{order.out_trade_no} is still open"
        known = {order.out_trade_no for order in self._orders()}
        assert accounts.keys() <= known, accounts.keys() - known
        await self.shut_down()
        assert audit(self.settings.kiosk.data_dir / JOURNAL_FILE).findings == ()

    def close(self) -> None:
        if self.machine is not None and not self.machine.dead:
            self.machine.die()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        asyncio.set_event_loop(None)
        self._patches.close()
