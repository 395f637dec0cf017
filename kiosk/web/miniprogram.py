"""What the mini-program reaches: log-in, products, orders. JSON both ways, described in docs/miniprogram.md.

A customer is whoever shows a token of `POST /miniprogram/login`, and sees and touches nothing but own orders: an
order of somebody else is answered like one that does not exist.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import mimetypes
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tornado import httputil, web

from kiosk.cashier import Cashier
from kiosk.customers import SESSION_LIFE
from kiosk.database import DatabaseError
from kiosk.errors import NotForSale
from kiosk.journal import Journal
from kiosk.miniprogram.limits import Limiter, Rate
from kiosk.miniprogram.login import Login, LoginRefused
from kiosk.miniprogram.refusals import REFUSALS
from kiosk.orders import UNPAID, Channel, Order, OrderState
from kiosk.payments.wechat.jsapi import request_payment_fields
from kiosk.payments.wechat.signature import nonce
from kiosk.readiness import Readiness
from kiosk.records import Event
from kiosk.settings import MiniProgramSettings, Product, Settings
from kiosk.shelf import Shelf
from kiosk.web import SERVER_NAME
from kiosk.web.views import time_text

# Many phones may share one address (a carrier's, a company's); one person at one machine needs far less.
EACH_ADDRESS = Rate(burst=200, each_minute=1200)
LOGINS_EACH_ADDRESS = Rate(burst=20, each_minute=30)
EACH_CUSTOMER = Rate(burst=60, each_minute=240)  # the order page looks every second or two
ORDERS_EACH_CUSTOMER = Rate(burst=10, each_minute=10)  # each of them holds a unit back
MAX_UNPAID_ORDERS = 5  # of one customer: nobody keeps the whole machine from others
DEFAULT_ORDERS, MAX_ORDERS = 20, 100
MAX_TOKEN_CHARACTERS = 128  # ours have 43; what is longer is not even looked for

_log = logging.getLogger(__name__)


@dataclass
class Counter:
    """The parts that serve a customer, and how often each may be asked. `settings` change with a new ini."""

    settings: Settings
    miniprogram: MiniProgramSettings
    journal: Journal
    cashier: Cashier
    shelf: Shelf
    readiness: Readiness
    login: Login
    addresses: Limiter = field(default_factory=lambda: Limiter(EACH_ADDRESS))
    logins: Limiter = field(default_factory=lambda: Limiter(LOGINS_EACH_ADDRESS))
    customers: Limiter = field(default_factory=lambda: Limiter(EACH_CUSTOMER))
    orders: Limiter = field(default_factory=lambda: Limiter(ORDERS_EACH_CUSTOMER))


class Refused(web.HTTPError):
    """A no from `REFUSALS`; `words`: better ones than those of the table. `seconds`: when to come again."""

    def __init__(self, code: str, *, words: str = "", seconds: int = 0) -> None:
        super().__init__(REFUSALS[code].status)
        self.code = code
        self.words = words
        self.seconds = seconds


def client_address(request: httputil.HTTPServerRequest, proxy: str) -> str:
    """Who asks. The configured reverse proxy is believed when it tells whom it asks for; nobody else is.

    A loopback address stands for any on this board. Of X-Forwarded-For the last entry counts, which is the proxy's
    own: what stands before it, anybody may have sent.
    """
    address = request.remote_ip or ""
    try:
        asker, believed = ipaddress.ip_address(address), ipaddress.ip_address(proxy)
        if asker == believed or (asker.is_loopback and believed.is_loopback):
            told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            return str(ipaddress.ip_address(told))
    except ValueError:
        pass  # a Unix socket has no address, and a header may hold anything
    return address


class _Handler(web.RequestHandler):
    """What all answers have in common."""

    def initialize(self, counter: Counter) -> None:
        """Take the parts."""
        self.counter = counter

    def set_default_headers(self) -> None:
        """JSON, for nobody's cache."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Server", SERVER_NAME)

    def check_xsrf_cookie(self) -> None:
        """There are no cookies here: a token is shown by whoever has it."""

    def prepare(self) -> None:
        """Slow down an address that asks too often."""
        self.address = client_address(self.request, self.counter.settings.proxy)
        self.limit(self.counter.addresses, self.address)

    def limit(self, limiter: Limiter, key: str) -> None:
        """Refuse what comes too often."""
        seconds = limiter.take(key)
        if seconds:
            raise Refused("too_often", seconds=seconds)

    def text(self, name: str) -> str:
        """A text in the JSON object of the body; 400 for anything else."""
        try:
            value = json.loads(self.request.body)[name]
        except (ValueError, KeyError, TypeError, RecursionError):
            value = None
        if not isinstance(value, str) or not value:
            raise Refused("bad_request", words=f'the body must be a JSON object with a text "{name}"')
        return value

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """{"error": {"code", "message"}}; never a trace."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        words = ""
        match error:
            case Refused():
                code, words = error.code, error.words
                if error.seconds:
                    self.set_header("Retry-After", str(error.seconds))
            case NotForSale():
                code = error.code
                words = str(error) if code == "out_of_service" else ""
            case LoginRefused():
                code = error.code
            case DatabaseError():
                code = "try_again"
            case _:
                known = {400: "bad_request", 404: "not_found", 405: "not_allowed"}
                code = known.get(status_code, "error")
        refusal = REFUSALS[code]
        self.set_status(refusal.status)
        message = words or (refusal.en if self._language() == "en" else refusal.zh_CN)
        self.finish({"error": {"code": code, "message": message}})

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """A no is no mistake of this program."""
        if isinstance(value, (LoginRefused, DatabaseError)):
            _log.warning("%s %s: %s", self.request.method, self.request.path, value)
        elif not isinstance(value, (Refused, NotForSale)):
            super().log_exception(typ, value, tb)

    def _language(self) -> str:
        spoken = self.request.headers.get("Accept-Language", "")[:2].lower()
        return {"zh": "zh_CN", "en": "en"}.get(spoken, self.counter.settings.kiosk.language)


class _CustomerHandler(_Handler):
    """Only for whoever has logged in."""

    async def prepare(self) -> None:  # type: ignore[override] # Tornado awaits what prepare returns
        """Find out who asks."""
        super().prepare()
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        openid = None
        if scheme.lower() == "bearer" and 0 < len(token) <= MAX_TOKEN_CHARACTERS:
            openid = await self.counter.journal.customers.openid_of(token)
        if openid is None:
            self.set_header("WWW-Authenticate", "Bearer")
            raise Refused("unauthorized")
        self.openid, self.token = openid, token
        self.limit(self.counter.customers, openid)

    async def own(self, number: str) -> Order:
        """The customer's order of that number."""
        order = await self.counter.journal.order(number)
        if order is None or order.channel is not Channel.MINIPROGRAM or order.openid != self.openid:
            raise Refused("unknown_order")
        return order

    def view(self, order: Order) -> dict[str, Any]:
        """An order as its customer may see it. The English name is today's: orders keep that of the machine only."""
        product = self.counter.settings.product(order.product_id)
        return {
            "out_trade_no": order.out_trade_no,
            "product_id": order.product_id,
            "product_name": order.product_name,
            "product_name_en": order.product_name if product is None else product.name_en,
            "amount": order.amount_fen,
            "state": order.state.value,
            "created_at": time_text(order.created_at),
            "expires_at": time_text(order.expires_at),
            "paid_at": time_text(order.paid_at),
            "finished_at": time_text(order.finished_at),
            "slot": order.slot,
            "claim_code": order.claim_code,
        }


class MachineHandler(_Handler):
    """GET: {"id", "name", "language", "open", "notice"}: where the customer stands, and why nothing can be bought."""

    def get(self) -> None:
        """Look."""
        kiosk, notice = self.counter.settings.kiosk, self.counter.readiness.closed()
        machine = {"id": kiosk.id, "name": kiosk.name, "language": kiosk.language}
        self.finish({**machine, "open": notice is None, "notice": notice or ""})


class ProductsHandler(_Handler):
    """GET: {"products": [{"id", "name", "name_en", "price" (fen), "available"}]} in the order of kiosk.ini."""

    def get(self) -> None:
        """Look."""
        self.counter.readiness.check()
        self.finish({"products": [self._view(product) for product in self.counter.settings.products]})

    def _view(self, product: Product) -> dict[str, Any]:
        return {
            "id": product.id,
            "name": product.name,
            "name_en": product.name_en,
            "price": product.price_fen,
            "available": self.counter.readiness.sells(product.id),
        }


class ProductImageHandler(_Handler):
    """GET: the product's picture, 404 if it has none."""

    async def get(self, product_id: str) -> None:
        """The file that kiosk.ini names."""
        product = self.counter.settings.product(product_id)
        if product is None or product.image is None:
            raise Refused("not_found")
        try:
            picture = await asyncio.to_thread(product.image.read_bytes)
        except OSError:
            raise Refused("not_found") from None
        self.set_header("Content-Type", mimetypes.guess_type(product.image.name)[0] or "application/octet-stream")
        self.set_header("Cache-Control", "public, max-age=3600")
        self.finish(picture)


class LoginHandler(_Handler):
    """POST {"code"} of wx.login: {"token", "expires_in" (seconds)}. The session_key stays here."""

    async def post(self) -> None:
        """Ask WeChat whose code it is."""
        code = self.text("code")
        self.limit(self.counter.logins, self.address)
        openid = await self.counter.login.openid(code)
        token = await self.counter.journal.customers.begin_session(openid)
        self.finish({"token": token, "expires_in": int(SESSION_LIFE.total_seconds())})


class LogoutHandler(_CustomerHandler):
    """POST: 204; the token opens nothing from here on."""

    async def post(self) -> None:
        """Revoke it."""
        await self.counter.journal.customers.end_session(self.token)
        self.counter.login.session_keys.forget(self.openid)
        self.set_status(204)


class OrdersHandler(_CustomerHandler):
    """POST {"product_id"}: 201 {"order"}. GET ?limit=&before=NO: {"orders"}, the customer's own, newest first."""

    async def post(self) -> None:
        """Make an order that reserves a unit; an unpaid one for the same product is found again."""
        product_id = self.text("product_id")
        self.limit(self.counter.orders, self.openid)
        latest = await self.counter.journal.orders_of_customer(self.openid, before=None, limit=DEFAULT_ORDERS)
        unpaid = {order.product_id for order in latest if order.state in UNPAID}
        if len(unpaid) >= MAX_UNPAID_ORDERS and product_id not in unpaid:
            raise Refused("too_many_unpaid")
        try:
            order = await self.counter.cashier.order_in_miniprogram(product_id, self.openid, self.address)
        except NotForSale as error:
            if error.code == "sold_out":  # the phone asks for the list next: it must not offer what was just refused
                with contextlib.suppress(DatabaseError):
                    await self.counter.shelf.refresh()
            raise
        self.set_status(201)
        self.finish({"order": self.view(order)})

    async def get(self) -> None:
        """List them."""
        before = self.get_query_argument("before", "") or None
        limit = self.get_query_argument("limit", "") or str(DEFAULT_ORDERS)
        if re.fullmatch("[0-9]{1,4}", limit) is None or not 1 <= int(limit) <= MAX_ORDERS:
            raise Refused("bad_request", words=f"limit is a number from 1 to {MAX_ORDERS}")
        orders = await self.counter.journal.orders_of_customer(self.openid, before=before, limit=int(limit))
        self.finish({"orders": [self.view(order) for order in orders]})


class OrderHandler(_CustomerHandler):
    """GET: {"order"} with its "history"; WeChat is asked first while the payment is not confirmed."""

    async def get(self, number: str) -> None:
        """Look, ask, look again."""
        order = await self.own(number)
        if order.state is OrderState.AWAITING_PAYMENT:
            await self.counter.cashier.confirm(number)
            order = await self.own(number)
        story = await self.counter.journal.story(number)
        self.finish({"order": self.view(order) | {"history": history_view(story)}})


class PayHandler(_CustomerHandler):
    """POST: the arguments of wx.requestPayment, freshly signed; asked twice, for the same prepay_id."""

    async def post(self, number: str) -> None:
        """Check what can be checked before money moves, then announce the order."""
        order = await self.own(number)
        if order.state not in UNPAID:
            raise Refused("order_closed" if order.state is OrderState.CLOSED else "order_paid")
        if not self._in_stock(order.product_id):
            raise Refused("sold_out")
        order = await self.counter.cashier.prepay(order)
        pay, app_id = self.counter.settings.wechatpay, self.counter.miniprogram.app_id
        self.finish(
            request_payment_fields(pay, app_id, order.prepay_id or "", time_stamp=int(time.time()), nonce=nonce())
        )

    def _in_stock(self, product_id: str) -> bool:
        """Whether any slot could still give it: one may have jammed since the unit was reserved."""
        return any(record.sellable for slot, record in self.counter.shelf.slots() if slot.product_id == product_id)


class NotFoundHandler(_Handler):
    """Everything else below /miniprogram/."""

    def prepare(self) -> None:
        """Say so."""
        super().prepare()
        raise Refused("not_found")


def history_view(story: Sequence[Event]) -> list[dict[str, Any]]:
    """When the order came into each of its states: [{"state", "at"}], oldest first."""
    history: list[dict[str, Any]] = []
    for event in story:
        state = event.detail.get("state")
        if state is not None and (not history or history[-1]["state"] != state):
            history.append({"state": state, "at": time_text(event.at)})
    return history


def miniprogram_routes(counter: Counter) -> list[Any]:
    """The paths below /miniprogram/, for the public listener."""
    parts = {"counter": counter}
    number = r"([A-Za-z0-9_\-|*]{6,32})"
    return [
        (r"/miniprogram/machine", MachineHandler, parts),
        (r"/miniprogram/products", ProductsHandler, parts),
        (r"/miniprogram/products/([A-Za-z0-9_-]{1,32})/image", ProductImageHandler, parts),
        (r"/miniprogram/login", LoginHandler, parts),
        (r"/miniprogram/logout", LogoutHandler, parts),
        (r"/miniprogram/orders", OrdersHandler, parts),
        (rf"/miniprogram/orders/{number}", OrderHandler, parts),
        (rf"/miniprogram/orders/{number}/pay", PayHandler, parts),
        (r"/miniprogram/.*", NotFoundHandler, parts),
    ]
