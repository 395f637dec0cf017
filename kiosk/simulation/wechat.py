"""The simulated WeChat Pay: a server that merchants call, and everything that it does by itself.

    simulator = WeChatSimulator(merchant_of(settings.wechatpay))
    await simulator.start()                      # simulator.base_url is the api_base of kiosk.ini
    cashier = await simulator.scan(text_of_the_code)
    await simulator.pay(cashier.out_trade_no)          # takes the money, sends the notification
    simulator.faults.set("refund", "SYSTEMERROR", times=3)
    simulator.ledger.audit()                     # what every order has brought and given back
    await simulator.stop()

The same by HTTP, for other programs (JSON): POST /simulator/scan, /simulator/pay, /simulator/cancel,
/simulator/login, /simulator/request-payment, GET /simulator/books, and GET, POST, DELETE /simulator/faults.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from kiosk.clock import Clock, SystemClock
from kiosk.settings import MiniProgramSettings, Settings, WeChatPaySettings
from kiosk.simulation.calls import MAX_REQUEST_BYTES, PATHS, Backing, CallHandler, Desk
from kiosk.simulation.customer import CUSTOMER, Cashier, Customers, Told
from kiosk.simulation.faults import Faults
from kiosk.simulation.ledger import Account, Coupon, Fact, Ledger, Order, Payment, Refund, Refusal
from kiosk.simulation.messages import Merchant, payment_notice, refund_notice
from kiosk.simulation.miniprogram import CALL, PATH, MiniProgramDesk, SessionHandler
from kiosk.simulation.postman import Postman

__all__ = ["CUSTOMER", "Account", "Cashier", "Coupon", "Event", "Merchant", "Payment", "Told", "WeChatSimulator"]

SCAN_PATH = "/wxpay/scan"  # of the machine; the real WeChat is told it in the merchant platform
REFUND_SECONDS = 1.0  # from accepted to refunded; the real one takes seconds to days


@dataclass(frozen=True)
class Event:
    """Something that happened.

    `kind`: one of a `Fact`'s, or call, scanned, told, cancelled, notified, notification_failed,
    notification_given_up. `what` says more: the call and its fault, the words, the address.
    """

    kind: str
    out_trade_no: str
    what: str


class WeChatSimulator:
    """One simulated WeChat Pay, for one merchant.

    `books`: a file that gets one line for each fact of the ledger, synced to the disk before anybody is told of it;
    what it holds already is taken over (refunds still to be made are made; notifications are not sent again).
    `scale` shortens the timetable of notifications; `refund_seconds` is how long a refund is PROCESSING.
    `names_sign_type`: whether notifications carry a sign_type field. `on_event` hears everything, at once.
    """

    def __init__(
        self,
        merchant: Merchant,
        *,
        clock: Clock | None = None,
        books: Path | None = None,
        scale: float = 1.0,
        refund_seconds: float = REFUND_SECONDS,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.merchant = merchant
        self.names_sign_type = False
        self.refund_seconds = refund_seconds
        self.faults = Faults()
        self._clock = clock or SystemClock()
        self.ledger = Ledger(self._clock, read_facts(books) if books else ())
        self.ledger.listener = self._booked
        self.port = 0
        self._books = books
        self._unwritten: list[Fact] = []
        self._writing = asyncio.Lock()
        self._on_event = on_event
        self._postman = Postman(self.faults, scale=scale, noted=self._note)
        self._customers = Customers(self.ledger, merchant, self._postman, self._note)
        self._members = MiniProgramDesk(self.ledger, merchant, self._clock)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = asyncio.Event()
        self._server = HTTPServer(self._application(), max_body_size=MAX_REQUEST_BYTES)

    # Life --------------------------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """Where merchants reach it."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 is any free one. Raises OSError."""
        sockets = bind_sockets(port, host)
        self.port = sockets[0].getsockname()[1]
        self._server.add_sockets(sockets)
        for order in self.ledger.orders.values():
            for refund in order.refunds.values():
                if refund.status == "PROCESSING":
                    self._spawn(self._make_refund(order, refund))

    async def stop(self) -> None:
        """Stop listening, end what is under way, close everything."""
        self._stopping.set()
        self._server.stop()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.close_all_connections()
        self._postman.close()
        await self.settle()

    async def settle(self) -> None:
        """Return once every fact so far is on the disk."""
        async with self._writing:
            facts, self._unwritten = self._unwritten, []
            if self._books is not None and facts:
                await asyncio.shield(asyncio.to_thread(_append, self._books, facts))

    # The customer ------------------------------------------------------------------------------------------

    async def scan(self, code: str, openid: str = CUSTOMER) -> Cashier | Told:
        """Scan what a QR code says: the cashier opens, or the phone says why not."""
        answer = await self._customers.scan(code, openid)
        await self.settle()
        return answer

    async def pay(self, out_trade_no: str, openid: str = CUSTOMER, coupons: Sequence[Coupon] = ()) -> Payment | Told:
        """Pay an order; the notification is on its way when this returns."""
        answer = self._customers.pay(out_trade_no, openid, coupons)
        await self.settle()
        if isinstance(answer, Payment):
            self._spawn(self._notify_payment(out_trade_no, answer))
        return answer

    def login(self, openid: str = CUSTOMER) -> str:
        """What wx.login gives to the mini-program on that customer's phone: a code, good once."""
        return self._members.new_code(openid)

    async def request_payment(self, arguments: Mapping[str, object], openid: str = CUSTOMER) -> Payment | Told:
        """Let wx.requestPayment open the cashier, and type the password."""
        try:
            order = self._members.order_to_pay(arguments)
        except Refusal as refusal:
            self._note("told", "", refusal.text)
            return Told(refusal.code, refusal.text)
        return await self.pay(order.out_trade_no, openid)

    def cancel(self, out_trade_no: str) -> None:
        """Leave the cashier without paying."""
        self._customers.cancel(out_trade_no)

    def refund_on_platform(self, out_trade_no: str, *, fen: int | None = None, notify_url: str = "") -> None:
        """Refund an order, or `fen` of it, as an operator does on the merchant platform: by a number of its own."""
        order = self.ledger.order(out_trade_no=out_trade_no)
        self.ledger.refund(
            {
                "out_trade_no": out_trade_no,
                "out_refund_no": f"platform-{secrets.token_hex(8)}",
                "total_fee": str(order.total_fen),
                "refund_fee": str(order.total_fen if fen is None else fen),
                "notify_url": notify_url,
            }
        )

    async def finish_refunds(self, status: str = "SUCCESS") -> None:
        """End every refund that is PROCESSING now: SUCCESS, REFUNDCLOSE or CHANGE; the merchant is notified."""
        for order in self.ledger.orders.values():
            for refund in order.refunds.values():
                if refund.status == "PROCESSING":
                    self._end_refund(order, refund, status)
        await self.settle()

    # What it does by itself --------------------------------------------------------------------------------

    async def _notify_payment(self, out_trade_no: str, payment: Payment) -> None:
        order = self.ledger.order(out_trade_no=out_trade_no)
        notice = payment_notice(order, payment, self.merchant, names_sign_type=self.names_sign_type)
        await self._postman.deliver("notify", out_trade_no, order.fields["notify_url"], notice)

    async def _pay_before_answer(self, out_trade_no: str) -> None:
        """A customer who is quicker than the answer to unifiedorder: paid, and the merchant has replied to that."""
        payment = self._customers.pay(out_trade_no)
        await self.settle()
        if isinstance(payment, Payment):
            await self._notify_payment(out_trade_no, payment)

    async def _make_refund(self, order: Order, refund: Refund) -> None:
        fault = self.faults.take("refund_end")
        status, seconds = "SUCCESS", self.refund_seconds
        if fault is not None and fault.name == "processing":
            if fault.seconds is None:
                return  # until `finish_refunds`
            seconds = fault.seconds
        elif fault is not None:
            status = fault.name
        await asyncio.sleep(seconds)
        self._end_refund(order, refund, status)

    def _end_refund(self, order: Order, refund: Refund, status: str) -> None:
        if refund.status != "PROCESSING":
            return
        self.ledger.end_refund(refund.out_refund_no, status)
        if refund.notify_url:
            self._spawn(self._notify_refund(order, refund))

    async def _notify_refund(self, order: Order, refund: Refund) -> None:
        await self.settle()
        notice = refund_notice(order, refund, self.merchant)
        await self._postman.deliver("refund_notify", order.out_trade_no, refund.notify_url, notice)

    def _booked(self, fact: Fact) -> None:
        self._unwritten.append(fact)
        self._note(fact.kind, fact.out_trade_no, "")
        if fact.kind == "refund_accepted":
            self._spawn(self._make_refund(*self.ledger.refund_of(fact.data["out_refund_no"])))

    def _note(self, kind: str, out_trade_no: str, what: str) -> None:
        if self._on_event is not None:
            self._on_event(Event(kind, out_trade_no, what))

    def _called(self, call: str, out_trade_no: str, fault: str) -> None:
        self._note("call", out_trade_no, f"{call} ({fault})" if fault else call)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _application(self) -> web.Application:
        backing = Backing(
            clock=self._clock,
            desk=Desk(self.ledger, self.merchant, self._clock),
            faults=self.faults,
            stopping=self._stopping,
            settle=self.settle,
            pay=self._pay_before_answer,
            noted=self._called,
        )
        calls: list[Any] = [(path, CallHandler, {"call": call, "backing": backing}) for path, call in PATHS.items()]
        mine = {"simulator": self}
        return web.Application(
            [
                *calls,
                (PATH, SessionHandler, {"call": CALL, "backing": backing, "members": self._members}),
                (r"/simulator/faults", _FaultsHandler, mine),
                (r"/simulator/books", _BooksHandler, mine),
                (r"/simulator/(scan|pay|cancel|login|request-payment)", _CustomerHandler, mine),
            ],
            log_function=lambda _: None,  # faults are meant; a 500 is no news
        )


def merchant_of(
    settings: WeChatPaySettings, *, miniprogram: MiniProgramSettings | None = None, scan_url: str = ""
) -> Merchant:
    """The merchant that a kiosk.ini names. Without `scan_url`: the scan path under its public_url."""
    if not scan_url and settings.public_url is not None:
        scan_url = settings.public_url + SCAN_PATH
    merchant = Merchant(settings.mch_id, (settings.app_id,), settings.api_key, scan_url)
    if miniprogram is None:
        return merchant
    return replace(
        merchant,
        app_ids=tuple(dict.fromkeys((settings.app_id, miniprogram.app_id))),
        miniprogram_app_id=miniprogram.app_id,
        miniprogram_secret=miniprogram.app_secret,
    )


# The merchant of the commented example, kiosk.ini: everybody may know its key.
DEMO_MERCHANT = Merchant(
    "1900000109",
    ("wx8888888888888888",),
    "192006250b4c09247ec02edce69f6a2d",
    f"http://127.0.0.1:8000{SCAN_PATH}",
)


async def run(host: str, port: int, settings: Settings | None) -> None:
    """Be a WeChat Pay until cancelled, for the merchant of an ini or, without one, for `DEMO_MERCHANT`."""
    merchant = DEMO_MERCHANT
    if settings is not None:
        scan_url = f"http://{settings.callbacks.host}:{settings.callbacks.port}{SCAN_PATH}"
        merchant = merchant_of(settings.wechatpay, miniprogram=settings.miniprogram, scan_url=scan_url)

    def show(event: Event) -> None:
        print(f"{time.strftime('%H:%M:%S')} {event.kind:16} {event.out_trade_no} {event.what}".rstrip(), flush=True)

    simulator = WeChatSimulator(merchant, on_event=show)
    await simulator.start(host, port)
    print(
        f"a simulated WeChat Pay listens on http://{host}:{simulator.port} for the merchant\n"
        f"  mch_id = {merchant.mch_id}\n  app_id = {', '.join(merchant.app_ids)}",
        flush=True,
    )
    if settings is None:
        print(f"  api_key = {merchant.api_key}", flush=True)
    print(
        f"scans of mode-one codes go to {merchant.scan_url}\n"
        f'to be a customer: POST /simulator/scan {{"code": …}}, then /simulator/pay {{"out_trade_no": …}}',
        flush=True,
    )
    try:
        await asyncio.Event().wait()
    finally:
        await simulator.stop()


def read_facts(books: Path) -> list[Fact]:
    """The facts in a file of books, oldest first; none if there is no such file. A line cut short is not one."""
    if not books.exists():
        return []
    return [Fact.from_json(line) for line in books.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _append(books: Path, facts: Sequence[Fact]) -> None:
    descriptor = os.open(books, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, "".join(f"{fact.to_json()}\n" for fact in facts).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _JsonHandler(web.RequestHandler):
    """JSON in, JSON out. Only application/json is read, which a page of another site cannot send."""

    def initialize(self, simulator: WeChatSimulator) -> None:
        """Take the part."""
        self.simulator = simulator

    def read(self) -> dict[str, Any]:
        """The object in the body; 400 for anything else."""
        if not self.request.headers.get("Content-Type", "").startswith("application/json"):
            raise web.HTTPError(415)
        try:
            values = json.loads(self.request.body)
        except ValueError:
            raise web.HTTPError(400) from None
        if not isinstance(values, dict):
            raise web.HTTPError(400)
        return values

    def write_error(self, status_code: int, **_: Any) -> None:
        """A sentence."""
        self.finish({"error": f"{status_code}: an object in JSON (application/json) is wanted"})


class _CustomerHandler(_JsonHandler):
    """POST /simulator/scan {"code"}, /simulator/pay {"out_trade_no", "coupons": [["CASH", 50]]}, /simulator/cancel.

    In the mini-program: /simulator/login {} answers {"code"}, /simulator/request-payment {"arguments"} pays.
    All may name an "openid". The answer has "cashier", "payment" or, when it did not work, "told".
    """

    async def post(self, what: str) -> None:
        """Do what a customer does."""
        values = self.read()
        openid = str(values.get("openid") or CUSTOMER)
        number = str(values.get("out_trade_no", ""))
        answer: Cashier | Payment | Told
        match what:
            case "scan":
                answer = await self.simulator.scan(str(values.get("code", "")), openid)
            case "login":
                self.finish({"code": self.simulator.login(openid)})
                return
            case "request-payment":
                arguments = values.get("arguments")
                answer = await self.simulator.request_payment(
                    arguments if isinstance(arguments, dict) else {}, openid
                )
            case "pay":
                coupons = tuple(Coupon(kind, fen) for kind, fen in values.get("coupons", ()))
                answer = await self.simulator.pay(number, openid, coupons)
            case _:
                self.simulator.cancel(number)
                self.finish({})
                return
        name = {Cashier: "cashier", Payment: "payment", Told: "told"}[type(answer)]
        self.finish(json.dumps({name: asdict(answer)}, default=str))


class _BooksHandler(_JsonHandler):
    """GET: {out_trade_no: {"paid_fen", "refunded_fen", "refunding_fen"}} of every order that was paid."""

    def get(self) -> None:
        """The audit."""
        self.finish({number: asdict(account) for number, account in self.simulator.ledger.audit().items()})


class _FaultsHandler(_JsonHandler):
    """The faults in wait."""

    def get(self) -> None:
        """List them."""
        self.finish({"faults": [asdict(fault) for fault in self.simulator.faults]})

    def post(self) -> None:
        """Set one: {"place", "name", "times" (null: until cleared), "seconds"}."""
        values = self.read()
        times = values.get("times", 1)
        try:
            self.simulator.faults.set(
                str(values.get("place")),
                str(values.get("name")),
                times=None if times is None else int(times),
                seconds=values.get("seconds"),
            )
        except (ValueError, TypeError) as error:
            self.set_status(400)
            self.finish({"error": str(error)})
            return
        self.get()

    def delete(self) -> None:
        """Take back those of ?place= and ?name=, or all."""
        self.simulator.faults.clear(self.get_argument("place", None), self.get_argument("name", None))
        self.get()
