"""One order between its payment and its closing, with everything that may come in between."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from core_values import make_settings
from keypad_kit import Keypad, at_keypad
from mdb_kit import QUICK
from phone_kit import Phone
from scenario_kit import Bench, bench

from kiosk.audit import audit
from kiosk.machine import Machine
from kiosk.orders import OrderState
from kiosk.payments.wechat.client import CallLimits, Limits
from kiosk.settings import NativeMode, Settings
from kiosk.simulation.wechat import Cashier, Event, Payment, Told

CUSTOMER = "o-customer"
PRICE_FEN = 350
OK = 200  # of HTTP
MANY = 1000  # calls that a fault strikes: all of a row's
# Mode one: an order expires after so long; with the scan, and where a row pays before that, the payment in it.
ORDER_TTL_SECONDS = 1
ORDER_TTL_TO_PAY_SECONDS = 2
# The real limits are those of people and networks; here both are in the same process.
SHORT = Limits(background=CallLimits(connect_seconds=1.0, read_seconds=0.25, total_seconds=2.0))


class When(enum.Enum):
    """When the customer pays."""

    BEFORE = "before_close"
    DURING = "during_close"  # the machine has sent closeorder, WeChat has not acted on it
    AFTER = "after_close"  # WeChat has closed the order


class Query(enum.Enum):
    """What becomes of the machine's questions until the race is over."""

    ANSWERS = "query_answers"
    ERRS = "query_errs"
    TIMES_OUT = "query_times_out"


class End(enum.Enum):
    """The three ways in which an order may end."""

    VENDED = "vended"
    REFUNDED = "refunded"
    CLOSED = "closed unpaid"


STATES = {
    End.VENDED: OrderState.DISPENSED,
    End.REFUNDED: OrderState.REFUNDED,
    End.CLOSED: OrderState.CLOSED,
}


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    when: When
    notified: bool
    query: Query
    restarted: bool
    keypad: bool = False  # ordered by a choice at the machine, whose end is the closing

    @property
    def name(self) -> str:
        """The row in words, as pytest shows it."""
        notice = "notified" if self.notified else "not_notified"
        life = "restarted" if self.restarted else "running_on"
        return f"{self.when.value}-{notice}-{self.query.value}-{life}"

    @property
    def end(self) -> End:
        """How it has to end.

        Whoever pays before WeChat has closed gets the goods. After it, a phone is told so and no money moves. Should
        WeChat take money for an order that it had called closed, and tell of it: a machine that had heard it say
        `CLOSED` gives the money back, one that had not yet heard (its questions failed) still holds the order open.

        Goods that were chosen at the machine are given only while the choice stands, and it ends with the process.
        """
        if self.keypad:
            if self.when is When.BEFORE:
                return End.REFUNDED if self.restarted else End.VENDED
            return End.CLOSED if self.when is When.AFTER and not self.notified else End.REFUNDED
        if self.when is not When.AFTER:
            return End.VENDED
        if not self.notified:
            return End.CLOSED
        return End.REFUNDED if self.query is Query.ANSWERS else End.VENDED


ROWS = [
    Row(when, notified, query, restarted)
    for when in When
    for notified in (True, False)
    for query in Query
    for restarted in (False, True)
]


def shorten_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything as in the street, only sooner."""
    monkeypatch.setattr("kiosk.unpaid.QUERY_CODE_SECONDS", 0.3)
    monkeypatch.setattr("kiosk.unpaid.QUERY_CUSTOMER_SECONDS", 0.3)
    monkeypatch.setattr("kiosk.unpaid.CLOSE_RETRY_SECONDS", (0.05, 0.2))
    monkeypatch.setattr("kiosk.codes.HIDDEN_SECONDS", 0)
    monkeypatch.setattr("kiosk.readiness.KNOCK_SECONDS", 0.2)
    monkeypatch.setattr("kiosk.refunds.REFUND_RETRY_SECONDS", (0.05, 0.2))
    monkeypatch.setattr("kiosk.payments.wechat.gateway.Limits", lambda: SHORT)
    monkeypatch.setattr("hardware.mdb.driver.MdbTiming", lambda: QUICK)


def sell_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cola only: a fault of a call then strikes the order of the race, and no other."""

    def only_cola(folder: Path, **kiosk: object) -> Settings:
        settings = make_settings(folder, **kiosk)
        cola = tuple(slot for slot in settings.slots if slot.product_id == "cola")
        return replace(settings, products=settings.products[:1], slots=cola)

    monkeypatch.setattr("scenario_kit.make_settings", only_cola)


class Race:
    """Runs one row. An order is closed in mode two as its code leaves the screen, else when it expires."""

    def __init__(self, here: Bench, row: Row, mode: NativeMode) -> None:
        self._here = here
        self._row = row
        self._mode = mode
        self._faults = here.wechat.faults
        self.number = ""

    async def run(self) -> None:
        """Scan, pay at the row's moment, and let things settle."""
        self.number = await self._open()
        if not self._row.notified:
            self._faults.set("notify", "never", times=None)
            self._faults.set("refund_notify", "never", times=None)
        match self._row.query:
            case Query.ANSWERS:
                pass
            case Query.ERRS:
                self._faults.set("orderquery", "SYSTEMERROR", times=None)
            case Query.TIMES_OUT:
                self._faults.set("orderquery", "no_answer", times=None)
        match self._row.when:
            case When.BEFORE:
                await self._before()
            case When.DURING:
                await self._during()
            case When.AFTER:
                await self._after()
        await self._here.settled(self.number, STATES[self._row.end])

    async def _open(self) -> str:
        """An order that can be paid."""
        if self._row.keypad:
            keypad = Keypad(self._here)
            await keypad.choose(11)
            cashier = await self._here.wechat.scan(await keypad.code(), CUSTOMER)
            assert isinstance(cashier, Cashier), cashier
            return cashier.out_trade_no
        if self._here.settings.miniprogram is None:
            return (await self._here.scan("cola", CUSTOMER)).out_trade_no
        phone = await Phone(self._here, CUSTOMER).log_in()
        number = await phone.order("cola")
        assert (await phone.ask("POST", f"orders/{number}/pay")).status == OK
        return number

    async def _before(self) -> None:
        """Paid, perhaps while the machine is away; then the machine wants to close."""
        if self._row.restarted:
            # A machine with a keypad withdraws its code as it stops, and that may or may not still arrive.
            self._faults.set("closeorder", "no_answer", times=MANY)
            await self._here.machine.stop()
        await self._pay()
        if self._row.restarted:
            self._faults.clear("closeorder")
            await self._start()
        if self._row.keypad:  # known and vended in time, or never
            await self._here.settled(self.number, STATES[self._row.end])
        await self._begin_to_close()
        if not self._row.notified and self._row.query is not Query.ANSWERS:
            await self._closes_again()
            assert (await self._here.order(self.number)).state is OrderState.AWAITING_PAYMENT
            self._faults.clear("orderquery")

    async def _during(self) -> None:
        """Closeorder is on its way, and does not arrive before the payment."""
        self._faults.set("closeorder", "no_answer", times=MANY)
        (on_its_way,) = (fault for fault in self._faults if fault.place == "closeorder")
        await self._begin_to_close()
        await self._here.until(lambda: on_its_way.times != MANY, "the machine has sent closeorder")
        await self._pay()
        if self._row.restarted:
            await self._here.machine.stop()
        self._faults.clear("closeorder")
        if self._row.restarted:
            await self._start()
        if not self._row.notified and self._row.query is not Query.ANSWERS:
            await self._closes_again()
        self._faults.clear("orderquery")

    async def _after(self) -> None:
        """WeChat has closed; then somebody pays all the same, or tries to."""
        order = self._here.wechat.ledger.orders[self.number]
        await self._begin_to_close()
        await self._here.until(lambda: order.closed_at, "WeChat has closed the order")
        if self._row.query is Query.ANSWERS:
            await self._here.settled(self.number, OrderState.CLOSED)
        else:
            await self._closes_again()
        if self._row.restarted:
            await self._here.machine.stop()
        if self._row.notified:
            order.closed_at = None  # what WeChat's documents exclude: it takes money for what it has called closed
            await self._pay()
        else:
            assert isinstance(await self._here.wechat.pay(self.number, CUSTOMER), Told)
        if self._row.restarted:
            await self._start()
        if self._row.notified:
            await self._here.settled(self.number, OrderState.DISPENSED, OrderState.REFUNDED)
        self._faults.clear("orderquery")

    async def _pay(self) -> None:
        paid = await self._here.wechat.pay(self.number, CUSTOMER)
        assert isinstance(paid, Payment), paid

    async def _begin_to_close(self) -> None:
        if self._row.keypad:
            Keypad(self._here).vmc.cancel()
        elif self._mode is NativeMode.TWO:
            await self._here.machine.readiness.switch_out_of_service("closed for the test", "test")

    async def _start(self) -> None:
        """A new machine on the same journal; it need not sell to settle what is open."""
        self._here.machine = Machine(self._here.settings, self._here.clock)
        await self._here.machine.start()

    async def _closes_again(self) -> None:
        """From now on WeChat has heard two more closeorders for the order: the machine takes nothing for granted."""
        heard: list[str] = []

        def hear(event: Event) -> None:
            if event.out_trade_no == self.number and event.what == "closeorder":
                heard.append(event.kind)

        self._here.wechat._on_event = hear  # the bench offers no listener; nobody else listens here
        await self._here.until(lambda: len(heard) >= 2, "the machine does not take silence for an answer")


@dataclass(frozen=True)
class Books:
    """What the three books say of one order after the machine has stopped."""

    drops: int
    paid_fen: int
    refunded_fen: int
    state: OrderState
    findings: tuple[str, ...]
    unsettled: tuple[str, ...]

    @property
    def end(self) -> End | None:
        """The one end that money and goods tell of; None for anything else, such as both or neither."""
        ends = {(1, PRICE_FEN, 0): End.VENDED, (0, PRICE_FEN, PRICE_FEN): End.REFUNDED, (0, 0, 0): End.CLOSED}
        return ends.get((self.drops, self.paid_fen, self.refunded_fen))


async def run(row: Row, mode: NativeMode, folder: Path, *, miniprogram: bool = False) -> Books:
    """One row with a machine of its own; ordered by a code, or in the mini-program."""
    ttl_seconds = ORDER_TTL_TO_PAY_SECONDS if row.when is When.BEFORE else ORDER_TTL_SECONDS
    pay = {"order_ttl_seconds": ttl_seconds}
    keypad = at_keypad() if row.keypad else {}
    async with bench(folder, native_mode=mode, miniprogram=miniprogram, wechatpay=pay, **keypad) as here:
        race = Race(here, row, mode)
        await race.run()
        state = (await here.order(race.number)).state
    paid_fen, refunded_fen = here.money(race.number)
    found = audit(here.journal_file)
    return Books(len(here.board.drops), paid_fen, refunded_fen, state, found.findings, found.unsettled)
