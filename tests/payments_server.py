"""A WeChat Pay on loopback for the tests: answers correctly, or misbehaves as told."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from payments_values import APP_ID, MCH_ID, NOTICE, ORDER, REFUND, hand_sign, signed

from kiosk.payments.wechat.client import CallLimits, Limits
from kiosk.settings import SignType

SILENCE_LIMIT_SECONDS = 10  # a test that forgets to end a silence ends anyway

FAST = Limits(
    urgent=CallLimits(connect_seconds=0.5, read_seconds=0.4, total_seconds=1.0),
    background=CallLimits(connect_seconds=0.5, read_seconds=0.4, total_seconds=2.0),
    back_to_main_seconds=0.5,
)

Reply = Callable[["Handler"], None]


@dataclass(frozen=True)
class Received:
    """A call that arrived."""

    path: str
    body: bytes
    fields: Mapping[str, str]
    certificate: str | None  # the common name on the client certificate
    port: int  # of the client: the same for calls over one connection


@dataclass
class Seen:
    """What a server received, and how it is to answer."""

    calls: list[Received] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)  # used up in turn; then the right answers
    sign_type: SignType = SignType.HMAC_SHA256
    silence_over: threading.Event = field(default_factory=threading.Event)
    date: str | None = None
    flooded_bytes: int = 0
    arrival: threading.Condition = field(default_factory=threading.Condition)

    def take(self, call: Received) -> None:
        """Note a call."""
        with self.arrival:
            self.calls.append(call)
            self.arrival.notify_all()

    def wait_for(self, count: int) -> None:
        """Block until so many calls have come; not for ever."""
        with self.arrival:
            assert self.arrival.wait_for(lambda: len(self.calls) >= count, timeout=5)

    def paths(self) -> list[str]:
        """The last parts of the paths called."""
        return [call.path.rpartition("/")[2] for call in self.calls]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go in two writes
    server: WeChatServer
    received: Received

    def do_POST(self) -> None:
        """Take a call and answer it."""
        seen = self.server.seen
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fields = {child.tag: child.text or "" for child in ET.fromstring(body)}  # noqa: S314 - our own product wrote it
        assert fields["sign"] == hand_sign(fields, seen.sign_type)
        self.received = Received(self.path, body, fields, _common_name(self.connection), self.client_address[1])
        seen.take(self.received)
        (seen.replies.pop(0) if seen.replies else right)(self)

    def send(self, body: bytes, status: int = 200, length: int | None = None, **headers: str) -> None:
        """An answer with its headers."""
        self.send_response_only(status)
        self.send_header("Date", self.server.seen.date or self.date_time_string())
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""


class WeChatServer(ThreadingHTTPServer):
    """Listens at once, or only when told: until then, connections are refused."""

    def __init__(self, *, listen: bool = True, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.seen = Seen()
        self._tls = tls
        self._thread: threading.Thread | None = None
        self.server_bind()
        if listen:
            self.listen()

    @property
    def base(self) -> str:
        """Its address."""
        return f"http{'s' if self._tls else ''}://localhost:{self.server_address[1]}"

    def listen(self) -> None:
        """Take connections from now on."""
        self.server_activate()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread."""
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        try:
            with self._tls.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except OSError:  # the client or its certificate was not taken
            pass

    def handle_error(self, *_: Any) -> None:
        """A client that went away is what some tests are about."""

    def close(self) -> None:
        """Stop, and free the port."""
        self.seen.silence_over.set()
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()


def _common_name(connection: socket.socket) -> str | None:
    certificate = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    return certificate["subject"][0][0][1] if certificate else None


def right(handler: Handler) -> None:
    """The right answer to each of the five calls, about the one order of these tests."""
    asked = handler.received.fields
    base = {"return_code": "SUCCESS", "return_msg": "OK", "result_code": "SUCCESS", "appid": asked["appid"]}
    base |= {"mch_id": MCH_ID, "nonce_str": "NfsMFbUFpdbEhPXP"}
    call = handler.received.path.rpartition("/")[2]
    if call == "unifiedorder":
        base |= {"trade_type": asked["trade_type"], "prepay_id": "wx201411102639507cbf6ffd8b0779950874"}
        if asked["trade_type"] == "NATIVE":
            base["code_url"] = "weixin://wxpay/bizpayurl?pr=NwY5Mz9&groupid=00"
    elif call == "orderquery":
        base |= NOTICE | {"out_trade_no": asked["out_trade_no"], "trade_state": "SUCCESS", "attach": ""}
    elif call == "refund":
        base |= {name: asked[name] for name in ("transaction_id", "out_refund_no", "refund_fee", "total_fee")}
        base |= {"out_trade_no": ORDER.out_trade_no, "refund_id": "50000408942018111907145868882"}
    elif call == "refundquery":
        base |= {"out_trade_no": ORDER.out_trade_no, "refund_count": "1", "out_refund_no_0": REFUND.out_refund_no}
        base |= {"refund_status_0": "SUCCESS", "refund_id_0": "50000408942018111907145868882", "refund_fee_0": "350"}
    handler.send(signed(base, handler.server.seen.sign_type))


def business(**fields: str) -> Reply:
    """A signed answer of the given fields over the usual ones; an empty value takes a usual field away."""
    usual = {"return_code": "SUCCESS", "result_code": "SUCCESS", "appid": APP_ID, "mch_id": MCH_ID, "nonce_str": "n"}
    answer = {name: value for name, value in (usual | fields).items() if value}
    return lambda handler: handler.send(signed(answer, handler.server.seen.sign_type))


def failure(code: str, text: str = "说明") -> Reply:
    """A signed no."""
    return business(result_code="FAIL", err_code=code, err_code_des=text)


def raw(body: bytes, status: int = 200, **headers: str) -> Reply:
    """Any bytes."""
    return lambda handler: handler.send(body, status, **headers)


def silence(handler: Handler) -> None:
    """No answer until the test ends it, and then none."""
    handler.server.seen.silence_over.wait(SILENCE_LIMIT_SECONDS)
    handler.close_connection = True


def reset(handler: Handler) -> None:
    """Half an answer, then the connection is torn down."""
    handler.send(b"<xml><return_code>SUCC", length=500)
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def flood(handler: Handler) -> None:
    """An answer of a gigabyte, as fast as it is taken."""
    handler.send(b"<xml><a>", length=1 << 30)
    try:
        for _ in range(1 << 14):
            handler.wfile.write(b"x" * (1 << 16))
            handler.server.seen.flooded_bytes += 1 << 16
    finally:
        handler.close_connection = True
        handler.server.seen.silence_over.set()


def drips(handler: Handler) -> None:
    """An answer that never ends, a byte at a time."""
    handler.send(b"<xml>", length=50_000)
    while not handler.server.seen.silence_over.wait(0.05):
        handler.wfile.write(b" ")
    handler.close_connection = True


def drips_headers(handler: Handler) -> None:
    """Headers that never end, a byte at a time: each keeps the reader's clock from running out."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.server.seen.silence_over.wait(0.05):
        handler.wfile.write(b"x")
    handler.close_connection = True
