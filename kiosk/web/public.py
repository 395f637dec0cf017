"""What the internet reaches: WeChat's scans and notifications, the mini-program. Nothing of the technician's page."""

from __future__ import annotations

import logging

from tornado import web
from tornado.httpserver import HTTPServer

from kiosk.cashier import Cashier
from kiosk.database import DatabaseError
from kiosk.errors import NotForSale
from kiosk.payments.wechat.fields import NOTIFY_PATH, REFUND_NOTIFY_PATH
from kiosk.payments.wechat.notifications import SUCCESS_REPLY, Inbound, NotBelieved, failure_reply
from kiosk.web import MAX_HEADER_BYTES, SERVER_NAME
from kiosk.web.messages import Answer, PublicDoor
from kiosk.web.miniprogram import Counter, miniprogram_routes

MAX_BODY_BYTES = 64 * 1024  # the contract's limit; WeChat's own messages are below 4 KiB
NOT_STORED = "not stored, please repeat"

_log = logging.getLogger(__name__)


class _Messages:
    """Answers what WeChat posts. Never anything but XML, which says by itself whether the message was taken."""

    def __init__(self, cashier: Cashier, inbound: Inbound) -> None:
        self._cashier = cashier
        self._inbound = inbound

    async def scan(self, body: bytes) -> bytes:
        """Native mode one: somebody scanned a product's code, and waits for the cashier to open on the phone.

        The answer is a prepay_id, or the words that the customer reads.
        """
        try:
            scan = self._inbound.read_scan(body)
        except NotBelieved as error:
            _log.warning("a scan was not believed: %s", error)
            return failure_reply(str(error))
        try:
            order = await self._cashier.order_by_scan(scan.product_id, scan.openid, scan.nonce)
        except NotForSale as error:
            return self._inbound.scan_refused(scan, str(error))
        return self._inbound.scan_prepaid(scan, order.prepay_id or "")

    async def payment(self, body: bytes) -> bytes:
        """SUCCESS goes out only once the payment is durable; after anything else WeChat repeats the message."""
        try:
            await self._cashier.payment_notified(self._inbound.read_payment(body))
        except NotBelieved as error:
            _log.warning("a payment notification was not believed: %s", error)
            return failure_reply(str(error))
        except DatabaseError as error:
            _log.error("a payment could not be made durable: %s", error)
            return failure_reply(NOT_STORED)
        return SUCCESS_REPLY

    async def refund(self, body: bytes) -> bytes:
        """The same for the end of a refund."""
        try:
            await self._cashier.refund_notified(self._inbound.read_refund(body))
        except NotBelieved as error:
            _log.warning("a refund notification was not believed: %s", error)
            return failure_reply(str(error))
        except DatabaseError as error:
            _log.error("a refund could not be made durable: %s", error)
            return failure_reply(NOT_STORED)
        return SUCCESS_REPLY


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


class _MessageHandler(_PlainHandler):
    """The address of a message, asked for by anything but POST: not allowed."""


class _NothingHandler(_PlainHandler):
    """Every other address."""

    def prepare(self) -> None:
        """There is nothing here."""
        raise web.HTTPError(404)


def public_server(cashier: Cashier, inbound: Inbound, counter: Counter | None) -> HTTPServer:
    """Everything that is meant for the internet; `counter`: the mini-program's, where there is one."""
    messages = _Messages(cashier, inbound)
    answers: dict[str, Answer] = {
        "/wxpay/scan": messages.scan,
        NOTIFY_PATH: messages.payment,
        REFUND_NOTIFY_PATH: messages.refund,
    }
    others = web.Application(
        [
            *((path, _MessageHandler) for path in answers),
            (r"/healthz", HealthHandler),
            *([] if counter is None else miniprogram_routes(counter)),
        ],
        default_handler_class=_NothingHandler,
    )
    server = HTTPServer(PublicDoor(answers, others), max_body_size=MAX_BODY_BYTES, max_header_size=MAX_HEADER_BYTES)
    server.conn_params.header_timeout = None  # a second timer for what the door watches over
    return server
