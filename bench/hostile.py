"""Bodies that are meant to exhaust whoever reads them, beside xmltodict alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import xmltodict

from bench.table import Line, Row, Scale, in_turn, milliseconds, ratio
from bench.values import settings_in
from kiosk.payments.wechat.notifications import Inbound, NotBelieved

LIMIT_MS = 1
_LAUGHS = "".join(f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 10))
BODIES = {
    "140 kB deep": b"<xml>" + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</xml>",
    "337 kB wide": b"<xml>" + b"".join(b"<f%d>1</f%d>" % (n, n) for n in range(20_000)) + b"</xml>",
    "400 kB of one key": b"<xml>" + b"<key>1</key>" * 33_000 + b"</xml>",
    "60 kB deep": b"<xml>" + b"<a>" * 8_500 + b"</a>" * 8_500 + b"</xml>",
    "60 kB wide": b"<xml>" + b"".join(b"<f%d>1</f%d>" % (n, n) for n in range(4_000)) + b"</xml>",
    "60 kB of one key": b"<xml>" + b"<key>1</key>" * 5_000 + b"</xml>",
    "billion laughs": f"<!DOCTYPE xml [<!ENTITY a0 'ha'>{_LAUGHS}]><xml><sign>&a9;</sign></xml>".encode(),
    "quadratic entity": b"<!DOCTYPE xml [<!ENTITY a '"
    + b"a" * 30_000
    + b"'>]><xml><a>"
    + b"&a;" * 9_000
    + b"</a></xml>",
}


async def measure(scale: Scale) -> list[Row]:
    """One row, a line a body."""
    inbound = Inbound(settings_in(Path()).wechatpay, miniprogram_app_id=None)

    def ours(body: bytes) -> bool:
        try:
            inbound.read_payment(body)
        except NotBelieved:
            return False
        return True

    def theirs(body: bytes) -> bool:
        try:
            xmltodict.parse(body)
        except Exception:  # noqa: BLE001 - whatever it is, the body was refused
            return False
        return True

    def timed(read: Callable[[bytes], bool], body: bytes) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            began = time.perf_counter()
            read(body)
            return time.perf_counter() - began

        return run

    lines = []
    for name, body in BODIES.items():
        taken = await in_turn({"ours": timed(ours, body), "theirs": timed(theirs, body)}, scale.rounds)
        seconds, other = statistics.median(taken["ours"]), statistics.median(taken["theirs"])
        verdict = "accepted" if theirs(body) else "refused"
        what = f"{milliseconds(seconds)} (xmltodict alone: {milliseconds(other)}, {verdict})"
        refused = not ours(body)
        reached = refused and seconds * 1000 <= LIMIT_MS
        lines.append(Line(name, what, ratio(taken, "ours", "theirs"), f"refused in {LIMIT_MS} ms", reached))
    return [Row("hostile bodies (reference: xmltodict alone)", lines)]
