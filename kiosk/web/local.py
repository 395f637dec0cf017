"""What the technician reaches on the local network: login, page, API, live feed."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from tornado import web, websocket

from kiosk.database import DatabaseError
from kiosk.dispatcher import NotNow
from kiosk.errors import RefundRefused
from kiosk.journal import MAX_ORDERS_A_PAGE, UnknownOrder, UnknownSlot
from kiosk.metrics import Metrics
from kiosk.orders import OrderState
from kiosk.records import SlotRecord
from kiosk.settings import Slot
from kiosk.web import SERVER_NAME
from kiosk.web.auth import Doorkeeper, NoPassword, TooSoon
from kiosk.web.live import Live
from kiosk.web.views import Site, event_view, order_view, slot_view, status_view

HERE = Path(__file__).parent
JOURNAL_SECONDS = 2.0  # a journal that cannot even be read within this is stuck
MAX_NOTICE_CHARACTERS = 60  # what fits on a customer's screen in two lines
DEFAULT_ORDERS = 50
SECURITY_HEADERS = {
    "Server": SERVER_NAME,
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
COOKIE = "kiosk_session"

_log = logging.getLogger(__name__)


class _Handler(web.RequestHandler):
    """What all answers of this listener have in common."""

    site: Site
    door: Doorkeeper

    def initialize(self, site: Site, door: Doorkeeper) -> None:
        """Take the parts."""
        self.site = site
        self.door = door

    def set_default_headers(self) -> None:
        """Nothing inline, nothing from elsewhere, in nobody's frame."""
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """A code and a sentence, as JSON; never a trace."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = getattr(error, "log_message", None) or self._reason
        codes = {400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "not_allowed"}
        codes |= {409: "conflict", 429: "too_many", 503: "unavailable"}
        self.finish({"error": {"code": codes.get(status_code, "error"), "message": message}})

    def check_same_site(self) -> None:
        """Refuse a change that another site's page asks this browser for."""
        origin = self.request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.request.host:
            raise web.HTTPError(403, "this change was asked for by a page of another site")
        if self.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise web.HTTPError(403, "this change was asked for by a page of another site")
        self.check_xsrf_cookie()


class _Guarded(_Handler):
    """Only for whoever has logged in or shows the token; `who` is booked with every change."""

    who = ""
    is_page = False

    def prepare(self) -> None:
        """Let in, or send away."""
        address = self.request.remote_ip
        header = self.request.headers.get("Authorization")
        if header is not None:
            if not self.door.is_token(header):
                raise web.HTTPError(401, "this token opens nothing here")
            self.who = f"token {address}"
            return
        if self.door.sessions.find(self.get_cookie(COOKIE, "") or "") is None:
            if self.is_page:
                self.redirect("/login")
                return
            raise web.HTTPError(401, "log in first, or send Authorization: Bearer with the token of api_token_file")
        self.who = f"technician {address}"
        if self.request.method not in ("GET", "HEAD"):
            self.check_same_site()

    def body(self) -> dict[str, Any]:
        """The JSON object in the body; an empty body is an empty object."""
        try:
            values = json.loads(self.request.body or b"{}")
        except ValueError:
            raise web.HTTPError(400, "the body must be a JSON object") from None
        if not isinstance(values, dict):
            raise web.HTTPError(400, "the body must be a JSON object")
        return values


class LoginHandler(_Handler):
    """The password; wrong ones are slowed down."""

    def get(self) -> None:
        """Ask for it, or say how to set one."""
        try:
            self.door.check_password_is_set()
        except NoPassword as error:
            self.set_status(503)
            self._show(str(error), can_log_in=False)
            return
        self._show("", can_log_in=True)

    async def post(self) -> None:
        """Check it."""
        self.check_same_site()
        try:
            token = await self.door.log_in(self.request.remote_ip or "", self.get_body_argument("password", ""))
        except NoPassword as error:
            self.set_status(503)
            self._show(str(error), can_log_in=False)
        except TooSoon as error:
            self.set_status(429)
            self.set_header("Retry-After", str(max(1, round(error.seconds))))
            self._show(f"密码错误次数过多，请等待 {error.seconds:.0f} 秒 · {error}", can_log_in=True)
        else:
            if token is None:
                _log.warning("a wrong password from %s", self.request.remote_ip)
                self.set_status(403)
                self._show("密码错误 · That is not the password", can_log_in=True)
                return
            secure = self.request.protocol == "https"
            self.set_cookie(COOKIE, token, httponly=True, samesite="Strict", secure=secure, path="/")
            _log.info("a technician has logged in from %s", self.request.remote_ip)
            self.redirect("/", status=303)

    def _show(self, message: str, *, can_log_in: bool) -> None:
        self.render("login.html", message=message, can_log_in=can_log_in, name=self.site.settings.kiosk.name)


class LogoutHandler(_Guarded):
    """The end of a session, on the server too."""

    is_page = True

    def post(self) -> None:
        """Forget it."""
        self.door.sessions.end(self.get_cookie(COOKIE, "") or "")
        self.clear_cookie(COOKIE)
        self.redirect("/login", status=303)


class PageHandler(_Guarded):
    """The page itself; what it shows comes from the API and the live feed."""

    is_page = True

    def get(self) -> None:
        """Show it."""
        self.render("index.html", name=self.site.settings.kiosk.name, language=self.site.settings.kiosk.language)


class StatusHandler(_Guarded):
    """GET /api/status."""

    async def get(self) -> None:
        """The machine in one glance; whoever has just changed something sees it."""
        with contextlib.suppress(DatabaseError, TimeoutError):  # a journal that is stuck is among the problems
            async with asyncio.timeout(JOURNAL_SECONDS):
                await self.site.shelf.refresh()
        self.finish(status_view(self.site))


class OrdersHandler(_Guarded):
    """GET /api/orders?state=&limit=&before=."""

    async def get(self) -> None:
        """Newest first."""
        state = self.get_query_argument("state", "")
        known = [each.value for each in OrderState]
        if state and state not in known:
            raise web.HTTPError(400, f"there is no state {state}; there are {', '.join(known)}")
        limit = self.get_query_argument("limit", str(DEFAULT_ORDERS))
        if not limit.isdecimal() or not 1 <= int(limit) <= MAX_ORDERS_A_PAGE:
            raise web.HTTPError(400, f"limit must be 1 to {MAX_ORDERS_A_PAGE}")
        before = self.get_query_argument("before", "") or None
        orders = await self.site.journal.page_of_orders(
            states=[OrderState(state)] if state else [], before=before, limit=int(limit)
        )
        self.finish({"orders": [order_view(order) for order in orders]})


class OrderHandler(_Guarded):
    """GET /api/orders/NO."""

    async def get(self, number: str) -> None:
        """One order as a story."""
        order = await self.site.journal.order(number)
        if order is None:
            raise web.HTTPError(404, f"there is no order {number} in this machine's journal")
        events = await self.site.journal.story(number)
        self.finish({"order": order_view(order), "events": [event_view(event) for event in events]})


class RefundHandler(_Guarded):
    """POST /api/orders/NO/refund."""

    async def post(self, number: str) -> None:
        """Ask for it; the machine sees to it."""
        try:
            order = await self.site.cashier.refund(number, self.who)
        except UnknownOrder as error:
            raise web.HTTPError(404, str(error)) from error
        except RefundRefused as error:
            raise web.HTTPError(409, str(error)) from error
        self.set_status(202)
        self.finish({"order": order_view(order)})


class SlotHandler(_Guarded):
    """POST /api/slots/ID/restock, enable, disable, test-vend."""

    async def post(self, slot_id: str, act: str) -> None:
        """Do it, and answer with the slot as it is then."""
        slot = self.site.settings.slot(slot_id)
        if slot is None:
            raise web.HTTPError(404, f"there is no slot {slot_id} in this machine")
        result: dict[str, Any] = {}
        if act == "test-vend":
            try:
                vended = await self.site.dispatcher.test_vend(slot_id, self.who)
            except NotNow as error:
                raise web.HTTPError(409, str(error)) from error
            result = {"outcome": vended.outcome.value, "detail": vended.detail}
            record = (await self.site.journal.slots())[slot_id]
        else:
            change = self._change(slot, act)
            try:
                record = await self.site.journal.change_slot(slot_id, act, self.who, change)
            except UnknownSlot as error:
                raise web.HTTPError(404, str(error)) from error
        self.finish({"slot": slot_view(slot, record), **result})

    def _change(self, slot: Slot, act: str) -> Callable[[SlotRecord], SlotRecord]:
        match act:
            case "restock":
                stock = self.body().get("stock")
                if type(stock) is not int or not 0 <= stock <= slot.capacity:
                    raise web.HTTPError(400, f"stock must be a whole number from 0 to {slot.capacity}")
                return lambda record: replace(record, stock=stock)
            case "enable":  # a technician has looked: that frees a jam as well
                return lambda record: replace(record, disabled=False, fault=None)
            case _:
                return lambda record: replace(record, disabled=True)


class ServiceHandler(_Guarded):
    """POST /api/out-of-service {"text"}: "" takes the machine back into service."""

    async def post(self) -> None:
        """Switch."""
        text = self.body().get("text")
        if not isinstance(text, str) or len(text) > MAX_NOTICE_CHARACTERS:
            raise web.HTTPError(400, f"text must be a text of at most {MAX_NOTICE_CHARACTERS} characters")
        await self.site.readiness.switch_out_of_service(text.strip(), self.who)
        self.finish(status_view(self.site))


class ScreenHandler(_Guarded):
    """GET /screen.png."""

    async def get(self) -> None:
        """What the customer sees now."""
        picture = await self.site.storefront.picture()
        if picture is None:
            raise web.HTTPError(503, "the screen has not been painted yet")
        self.set_header("Content-Type", "image/png")
        self.finish(await asyncio.to_thread(_png, picture))


class LiveHandler(websocket.WebSocketHandler):
    """WS /api/live."""

    def initialize(self, site: Site, door: Doorkeeper, live: Live) -> None:
        """Take the parts."""
        self.site = site
        self.door = door
        self.live = live

    def prepare(self) -> None:
        """Let in, or send away."""
        header = self.request.headers.get("Authorization")
        session = self.door.sessions.find(self.get_cookie(COOKIE, "") or "")
        if not (self.door.is_token(header) if header is not None else session is not None):
            raise web.HTTPError(401)

    def open(self, *_: str, **__: str) -> None:
        """Begin to tell."""
        if not self.live.add(self):
            self.close(1013, "too many watch already")

    def on_message(self, message: str | bytes) -> None:
        """Nobody has anything to say here."""

    def on_close(self) -> None:
        """Stop telling."""
        self.live.remove(self)


class MetricsHandler(_Guarded):
    """GET /metrics."""

    def initialize(self, site: Site, door: Doorkeeper, metrics: Metrics) -> None:  # type: ignore[override] # one more part
        """Take the parts."""
        super().initialize(site, door)
        self.metrics = metrics

    async def get(self) -> None:
        """The Prometheus text format."""
        text, content_type = await self.metrics.text()
        self.set_header("Content-Type", content_type)
        self.finish(text)


class HealthHandler(_Handler):
    """GET /healthz: open to all, says nothing but whether the process can serve."""

    async def get(self) -> None:
        """Whoever reads this answer knows that the loop turns; the journal is asked."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        try:
            async with asyncio.timeout(JOURNAL_SECONDS):
                await self.site.journal.switch("out_of_service")
        except (DatabaseError, TimeoutError):
            self.set_status(503)
            self.finish("the journal is stuck")
            return
        if self.site.journal.error is not None:
            self.set_status(503)
            self.finish("the journal cannot be written")
            return
        self.finish("ok")


class StaticHandler(web.StaticFileHandler):
    """Style, script, words."""

    def set_default_headers(self) -> None:
        """The same rules as for everything else here, errors included."""
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)


class NothingHandler(_Handler):
    """Any other path."""

    def prepare(self) -> None:
        """Say that there is nothing."""
        raise web.HTTPError(404, "there is nothing here")


def local_application(site: Site, metrics: Metrics) -> web.Application:
    """Everything that a technician, or a monitoring system, reaches."""
    door = Doorkeeper(site.settings.web.password_file, site.settings.web.api_token, _monotonic)
    live = Live(site)
    parts: dict[str, Any] = {"site": site, "door": door}
    return web.Application(
        [
            (r"/", PageHandler, parts),
            (r"/login", LoginHandler, parts),
            (r"/logout", LogoutHandler, parts),
            (r"/api/status", StatusHandler, parts),
            (r"/api/orders", OrdersHandler, parts),
            (r"/api/orders/([^/]{1,64})", OrderHandler, parts),
            (r"/api/orders/([^/]{1,64})/refund", RefundHandler, parts),
            (r"/api/slots/([^/]{1,64})/(restock|enable|disable|test-vend)", SlotHandler, parts),
            (r"/api/out-of-service", ServiceHandler, parts),
            (r"/api/live", LiveHandler, {**parts, "live": live}),
            (r"/screen\.png", ScreenHandler, parts),
            (r"/metrics", MetricsHandler, {**parts, "metrics": metrics}),
            (r"/healthz", HealthHandler, parts),
            (r"/static/(.*)", StaticHandler, {"path": str(HERE / "static")}),
        ],
        default_handler_class=NothingHandler,
        default_handler_args=parts,
        template_path=str(HERE / "templates"),
        xsrf_cookie_kwargs={"httponly": True, "samesite": "Strict"},
    )


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
