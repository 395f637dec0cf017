"""Payment notifications, many at once and one at a time, beside a bare handler and wechatpy."""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

from bench.processes import PEER_PYTHON, PEERS, peers_installed, ports, running
from bench.table import Line, Row, Scale, in_turn, milliseconds, ratio
from bench.values import notification, numbers
from kiosk.clock import CHINA_STANDARD_TIME

AT_ONCE = 32
# A connection for each: WeChat's own servers, and nginx in front of the machine unless it is told otherwise, do so.
HEAD = (
    b"POST /wxpay/notify HTTP/1.1\r\nHost: pay.example.com\r\nConnection: close\r\n"
    b"Content-Type: text/xml\r\nContent-Length: %d\r\n\r\n"
)
BARE, PRODUCT = "bare Tornado handler, constant answer (reference)", "this project"
KEPT = {
    "commit": "wechatpy on Tornado, a commit each",
    "memory": "wechatpy on Tornado, nothing kept",
    "connect": "wechatpy on Tornado, a connection for each",
}


class _Exchange:
    """One notification on a connection of its own: sent, answered, closed."""

    def __init__(self, port: int, body: bytes) -> None:
        self.began = time.perf_counter()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))
        self._request: bytes | None = HEAD % len(body) + body
        self._heard = b""

    @property
    def waits_for(self) -> int:
        """What the selector is to look for."""
        return selectors.EVENT_READ if self._request is None else selectors.EVENT_WRITE

    def go_on(self) -> bool:
        """Send, or read; whether the answer is whole."""
        if self._request is not None:
            self.socket.sendall(self._request)  # some 900 bytes: a fresh connection takes them at once
            self._request = None
            return False
        data = self.socket.recv(65536)
        self._heard += data
        if data and not self._heard.endswith(b"</xml>"):
            return False
        self.socket.close()
        if b"SUCCESS" not in self._heard:
            raise RuntimeError(f"a notification was refused: {self._heard.decode()}")
        return True


def send(port: int, bodies: Sequence[bytes], at_once: int) -> tuple[float, list[float]]:
    """Post all of them; how long it took, and each of them. Blocks, and needs less time than what it measures."""
    left = iter(bodies)
    each: list[float] = []
    began = time.perf_counter()
    with selectors.DefaultSelector() as selector:

        def begin() -> None:
            for body in itertools.islice(left, 1):
                exchange = _Exchange(port, body)
                selector.register(exchange.socket, exchange.waits_for, exchange)

        for _ in range(at_once):
            begin()
        while selector.get_map():
            for key, _ in selector.select():
                exchange = key.data
                if exchange.waits_for == selectors.EVENT_WRITE:
                    exchange.go_on()
                    selector.modify(exchange.socket, exchange.waits_for, exchange)
                    continue
                selector.unregister(exchange.socket)
                if exchange.go_on():
                    each.append(time.perf_counter() - exchange.began)
                    begin()
                else:
                    selector.register(exchange.socket, exchange.waits_for, exchange)
    return time.perf_counter() - began, each


class _Contestant:
    """A server, and the notifications that it has not had yet."""

    def __init__(self, port: int, bodies: Sequence[bytes]) -> None:
        self._port = port
        self._bodies = list(bodies)

    def _next(self, count: int) -> list[bytes]:
        bodies, self._bodies = self._bodies[:count], self._bodies[count:]
        return bodies

    async def rate(self, count: int) -> float:
        """Notifications a second, `AT_ONCE` at once."""
        seconds, _ = send(self._port, self._next(count), AT_ONCE)
        return count / seconds

    async def latency(self, count: int) -> float:
        """The median of one at a time, in seconds."""
        _, each = send(self._port, self._next(count), 1)
        return statistics.median(each)


async def measure(scale: Scale) -> list[Row]:
    """Two rows: many at once, one at a time."""
    count = (scale.rounds + 1) * (scale.notifications + scale.latencies)
    paid_at = datetime.now(CHINA_STANDARD_TIME).strftime("%Y%m%d%H%M%S")
    bodies = [notification(number, paid_at) for number in numbers(count)]
    own_ports = iter(ports(2 + len(KEPT)))
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contestants: dict[str, _Contestant] = {}

        async def start(name: str, *arguments: str, python: Path | None = None) -> None:
            port = next(own_ports)
            place = [argument.format(port=port) for argument in arguments]
            await stack.enter_async_context(running(*place) if python is None else running(*place, python=python))
            contestants[name] = _Contestant(port, bodies)

        await start(BARE, str(PEERS / "bare_tornado.py"), "{port}")
        await start(PRODUCT, "-m", "bench.payments_server", "{port}", str(folder / "product"), str(count))
        if peers_installed():
            peer = str(PEERS / "wechatpy_tornado.py")
            for kept, name in KEPT.items():
                await start(name, peer, "{port}", str(folder), str(count), kept, python=PEER_PYTHON)

        def turns(ask: Callable[[_Contestant], Awaitable[float]]) -> dict[str, Callable[[], Awaitable[float]]]:
            return {name: lambda one=one: ask(one) for name, one in contestants.items()}  # type: ignore[misc]

        for one in contestants.values():  # warm
            await one.rate(scale.notifications)
            await one.latency(scale.latencies)
        rates = await in_turn(turns(lambda one: one.rate(scale.notifications)), scale.rounds)
        latencies = await in_turn(turns(lambda one: one.latency(scale.latencies)), scale.rounds)
    many, single = [], []
    for name in contestants:
        share, times = ratio(rates, name, BARE), ratio(latencies, name, BARE)
        rate, latency = f"{statistics.median(rates[name]):.0f}/s", milliseconds(statistics.median(latencies[name]))
        if name == PRODUCT:
            many.append(Line(name, rate, share, "0.55 or more", share >= 0.55))
            single.append(Line(name, latency, times, "4 or less", times <= 4))
        else:
            many.append(Line(name, rate, share))
            single.append(Line(name, latency, times))
    return [
        Row(f"payment notifications, {AT_ONCE} at once, each durable", many),
        Row("the same, one at a time: median latency", single),
    ]
