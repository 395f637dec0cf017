"""What the internet reaches: WeChat's scans and notifications, the mini-program. Nothing of the technician's page."""

from __future__ import annotations

import logging

from tornado import web

from kiosk.cashier import Cashier
from kiosk.database import DatabaseError
from kiosk.errors import NotForSale
from kiosk.payments.wechat.notifications import SUCCESS_REPLY, Inbound, NotBelieved, failure_reply
from kiosk.web import SERVER_NAME
from kiosk.web.miniprogram import Counter, miniprogram_routes

MAX_BODY_BYTES = 64 * 1024  # the contract's limit; WeChat's own messages are below 4 KiB

_log = logging.getLogger(__name__)


class _XmlHandler(web.RequestHandler):
    """A WeChat endpoint: one POST, XML both ways, never a redirect, no XSRF (their servers hold no cookie)."""

    def initialize(self, cashier: Cashier, inbound: Inbound) -> None:
        """Take the parts."""
        self.cashier = cashier
        self.inbound = inbound

    def set_default_headers(self) -> None:
        """Name nothing but the content."""
        self.set_header("Content-Type", "text/xml; charset=utf-8")
        self.set_header("Server", SERVER_NAME)

    def check_xsrf_cookie(self) -> None:
        """WeChat signs its messages instead."""


class ScanHandler(_XmlHandler):
    """Native mode one: somebody scanned a product's code, and waits for the cashier to open on the phone."""

    async def post(self) -> None:
        """Answer with a prepay_id, or with the words that the customer reads."""
        try:
            scan = self.inbound.read_scan(self.request.body)
        except NotBelieved as error:
            _log.warning("a scan was not believed: %s", error)
            self.finish(failure_reply(str(error)))
            return
        try:
            order = await self.cashier.order_by_scan(scan.product_id, scan.openid, scan.nonce)
        except NotForSale as error:
            self.finish(self.inbound.scan_refused(scan, str(error)))
            return
        self.finish(self.inbound.scan_prepaid(scan, order.prepay_id or ""))


class PaymentHandler(_XmlHandler):
    """A payment notification. SUCCESS goes out only once the payment is durable."""

    async def post(self) -> None:
        """Take it, or say why not: then WeChat repeats it."""
        try:
            await self.cashier.payment_notified(self.inbound.read_payment(self.request.body))
        except NotBelieved as error:
            _log.warning("a payment notification was not believed: %s", error)
            self.finish(failure_reply(str(error)))
        except DatabaseError as error:
            _log.error("a payment could not be made durable: %s", error)
            self.finish(failure_reply("not stored, please repeat"))
        else:
            self.finish(SUCCESS_REPLY)


class RefundHandler(_XmlHandler):
    """A refund notification."""

    async def post(self) -> None:
        """Take it, or say why not: then WeChat repeats it."""
        try:
            await self.cashier.refund_notified(self.inbound.read_refund(self.request.body))
        except NotBelieved as error:
            _log.warning("a refund notification was not believed: %s", error)
            self.finish(failure_reply(str(error)))
        except DatabaseError as error:
            _log.error("a refund could not be made durable: %s", error)
            self.finish(failure_reply("not stored, please repeat"))
        else:
            self.finish(SUCCESS_REPLY)


class _PlainHandler(web.RequestHandler):
    """Says as little as can be."""

    def set_default_headers(self) -> None:
        """Name nothing but the content."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Server", SERVER_NAME)

    def check_xsrf_cookie(self) -> None:
        """Nothing here changes anything."""

    def write_error(self, status_code: int, **_: object) -> None:  # noqa: ARG002 - the signature is Tornado's
        """The reason alone."""
        self.finish(self._reason)


class HealthHandler(_PlainHandler):
    """Whether anybody is there."""

    def get(self) -> None:
        """Say ok."""
        self.finish("ok")

    head = get


class _NothingHandler(_PlainHandler):
    """Every other address."""

    def prepare(self) -> None:
        """There is nothing here."""
        raise web.HTTPError(404)


def public_application(cashier: Cashier, inbound: Inbound, counter: Counter | None) -> web.Application:
    """Everything that is meant for the internet; `counter`: the mini-program's, where there is one."""
    parts = {"cashier": cashier, "inbound": inbound}
    return web.Application(
        [
            (r"/wxpay/scan", ScanHandler, parts),
            (r"/wxpay/notify", PaymentHandler, parts),
            (r"/wxpay/refund-notify", RefundHandler, parts),
            (r"/healthz", HealthHandler),
            *([] if counter is None else miniprogram_routes(counter)),
        ],
        default_handler_class=_NothingHandler,
    )
