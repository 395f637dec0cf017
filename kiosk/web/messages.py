"""How requests come in from the internet: in time, and WeChat's messages by the shortest way through Tornado.

A storm of payment notifications costs what each of them costs the interpreter. A `RequestHandler` (routes, cookies,
arguments, templates) would be a third of it, and a timer for every head and every body, as Tornado sets them, a tenth
(docs/performance.md). A message needs no handler, and a look once a second at who is late needs no timers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from weakref import WeakKeyDictionary

from tornado import httputil
from tornado.http1connection import HTTP1Connection

from kiosk.web import SERVER_NAME

Answer = Callable[[bytes], Awaitable[bytes]]  # the body of a message → the body of the answer to it

IDLE_CONNECTION_SECONDS = 75  # keeps a reverse proxy's connections, not a stranger's
BODY_SECONDS = 5  # a sender that needs longer for one body is neither WeChat nor a phone
LOOK_SECONDS = 1  # how often those who are late are looked for, and so how late they can be

_log = logging.getLogger(__name__)


class PublicDoor(httputil.HTTPServerConnectionDelegate):
    """What an `HTTPServer` asks who takes a request: POSTs to the paths of `answers` are messages.

    Everything else is for `others`. Whoever sends no head within `IDLE_CONNECTION_SECONDS`, or no body within
    `BODY_SECONDS` after it, loses the connection.
    """

    def __init__(self, answers: Mapping[str, Answer], others: httputil.HTTPServerConnectionDelegate) -> None:
        self.answers = answers
        self.others = others
        self.answering: set[asyncio.Task[None]] = set()  # the event loop itself would let go of them
        # Until when (the loop's clock) a head or a body may be long in coming. Weak: nobody tells that a client has
        # closed its connection before it sent a head.
        self._awaited: WeakKeyDictionary[HTTP1Connection, float] = WeakKeyDictionary()
        self._looking = False

    def start_request(
        self, server_conn: object, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        """A connection is open for a request, which may be long in coming."""
        assert isinstance(request_conn, HTTP1Connection)  # noqa: S101 - an HTTPServer knows no other
        self.wait_for(request_conn, IDLE_CONNECTION_SECONDS)
        return _Request(self, server_conn, request_conn)

    def wait_for(self, request_conn: HTTP1Connection, seconds: float) -> None:
        """Close the connection unless what is waited for `has_come` within so long."""
        loop = asyncio.get_running_loop()
        self._awaited[request_conn] = loop.time() + seconds
        if not self._looking:
            self._looking = True
            loop.call_later(LOOK_SECONDS, self._look, loop)

    def has_come(self, request_conn: HTTP1Connection) -> None:
        """Nothing is waited for on that connection any more."""
        self._awaited.pop(request_conn, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for late in [connection for connection, until in self._awaited.items() if until < now]:
            late.close()
            self.has_come(late)
        self._looking = bool(self._awaited)
        if self._looking:
            loop.call_later(LOOK_SECONDS, self._look, loop)


class _Request(httputil.HTTPMessageDelegate):
    """Finds who takes the request, and tells the door how far it has come."""

    def __init__(self, door: PublicDoor, server_conn: object, connection: HTTP1Connection) -> None:
        self._door = door
        self._server_conn = server_conn
        self._connection = connection

    def headers_received(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
    ) -> Awaitable[None] | None:
        assert isinstance(start_line, httputil.RequestStartLine)  # noqa: S101 - as it is a server
        self._door.wait_for(self._connection, BODY_SECONDS)
        answer = self._door.answers.get(start_line.path.partition("?")[0]) if start_line.method == "POST" else None
        self._taker = (
            self._door.others.start_request(self._server_conn, self._connection)
            if answer is None
            else _Message(answer, self._door.answering, self._connection)
        )
        return self._taker.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._taker.data_received(chunk)

    def finish(self) -> None:
        self._door.has_come(self._connection)
        self._taker.finish()

    def on_connection_close(self) -> None:
        self._taker.on_connection_close()


class _Message(httputil.HTTPMessageDelegate):
    """A message of WeChat: all of its body goes in, all of the answer comes out."""

    def __init__(self, answer: Answer, answering: set[asyncio.Task[None]], connection: HTTP1Connection) -> None:
        self._answer = answer
        self._answering = answering
        self._connection = connection
        self._chunks: list[bytes] = []

    def headers_received(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
    ) -> None:
        # Refused by RFC 9112, 3.2, and by a `RequestHandler`: a proxy in front may have meant another machine.
        if start_line.version != "HTTP/1.0" and len(headers.get_list("Host")) != 1:
            raise httputil.HTTPInputError("a message names the host that it is for, once")

    def data_received(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reply())
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _reply(self) -> None:
        status, message, body = httputil.ResponseStartLine("HTTP/1.1", 200, "OK"), b"".join(self._chunks), b""
        try:
            body = await self._answer(message)
        except Exception:  # noqa: BLE001 - whatever it was: the sender is told, and repeats
            _log.exception("a message of WeChat could not be answered for a mistake of this program")
            status = httputil.ResponseStartLine("HTTP/1.1", 500, "Internal Server Error")
        headers = httputil.HTTPHeaders(
            {
                "Content-Type": "text/xml; charset=utf-8",
                "Content-Length": str(len(body)),
                "Date": _date(int(time.time())),
                "Server": SERVER_NAME,
            }
        )
        _log.debug("%d bytes from %s: answered %d", len(message), self._connection.context, status.code)
        self._connection.write_headers(status, headers, body)
        self._connection.finish()


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return httputil.format_timestamp(second)
