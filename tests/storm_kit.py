"""Requests that nobody honest sends, and what a listener's process does under them."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import random
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from scenario_kit import Bench

from kiosk.clock import CHINA_STANDARD_TIME
from kiosk.payments.wechat import xml
from kiosk.payments.wechat.signature import nonce, sign
from kiosk.settings import SignType

SENDER = Path(__file__).with_name("storm_sender.py")
TICK_SECONDS = 0.005
PAGE_BYTES = resource.getpagesize()


@dataclass(frozen=True)
class Hostile:
    """One raw request. `replay`: the copy of a true message, which is answered SUCCESS again."""

    name: str
    raw: bytes
    replay: bool = False


def post(path: str, body: bytes, *headers: str) -> bytes:
    """An ordinary POST with a body of whatever kind."""
    lines = [f"POST {path} HTTP/1.1", "Host: pay.example.com", "Content-Type: text/xml", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def head(*lines: str) -> bytes:
    """A request's head, line by line."""
    return "\r\n".join([*lines, "", ""]).encode()


class Liar:
    """Knows one paid order, one that can be paid, and (for the worst case) even the key."""

    def __init__(self, here: Bench, true_notice: bytes, open_number: str) -> None:
        self._pay = here.settings.wechatpay
        self._true = true_notice
        self._open = open_number

    def signed(self, signed_as: SignType | None = None, **changes: str) -> bytes:
        """A payment notification for the open order, signed with the true key; `changes` are signed too."""
        fields = {
            "return_code": "SUCCESS",
            "result_code": "SUCCESS",
            "appid": self._pay.app_id,
            "mch_id": self._pay.mch_id,
            "nonce_str": nonce(),
            "openid": "o-liar",
            "trade_type": "NATIVE",
            "total_fee": "350",
            "transaction_id": "4200000000000000000000000666",
            "out_trade_no": self._open,
            "time_end": datetime.now(CHINA_STANDARD_TIME).strftime("%Y%m%d%H%M%S"),
            **changes,
        }
        return xml.build({**fields, "sign": sign(fields, self._pay.api_key, signed_as or self._pay.sign_type)})

    def requests(self) -> list[Hostile]:
        """One of each kind."""
        return [
            *(Hostile(name, post("/wxpay/notify", body)) for name, body in {**self._xml(), **self._lies()}.items()),
            *(Hostile(f"refund {name}", post("/wxpay/refund-notify", body)) for name, body in self._refunds()),
            *(Hostile(f"scan {name}", post("/wxpay/scan", body)) for name, body in self._scans()),
            *(Hostile(name, raw) for name, raw in self._http()),
            Hostile("replay", post("/wxpay/notify", self._true), replay=True),
        ]

    def _xml(self) -> dict[str, bytes]:
        laughs = "".join(f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 10))
        noise = random.Random(20261123)
        return {
            "billion laughs": f"<!DOCTYPE xml [<!ENTITY a0 'ha'>{laughs}]><xml><sign>&a9;</sign></xml>".encode(),
            "quadratic blow-up": b"<!DOCTYPE xml [<!ENTITY a '"
            + b"a" * 30_000
            + b"'>]><xml><sign>"
            + b"&a;" * 9_000
            + b"</sign></xml>",
            "external entity": b"<!DOCTYPE xml [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><xml><sign>&a;</sign></xml>",
            "external DTD": b"<!DOCTYPE xml SYSTEM 'http://127.0.0.1:9/x.dtd'><xml><sign>1</sign></xml>",
            "deep": b"<xml>" + b"<a>" * 20_000,
            "wide": b"<xml>" + b"".join(b"<f%d>1</f%d>" % (i, i) for i in range(4_000)) + b"</xml>",
            "one long field": b"<xml><sign>" + b"&#65;" * 13_000 + b"</sign></xml>",
            "one long name": b"<" + b"x" * 65_000 + b"/>",
            "many attributes": b"<xml " + b" ".join(b"a%d=''" % i for i in range(6_000)) + b"/>",
            "doubled field": b"<xml><total_fee>350</total_fee><total_fee>1</total_fee></xml>",
            "comments": b"<xml>" + b"<!---->" * 9_000 + b"</xml>",
            "instructions": b"<xml>" + b"<?a?>" * 12_000 + b"</xml>",
            "cut off": self._true[:-20],
            "empty": b"",
            "noise": noise.randbytes(4_000),
            "zeros": bytes(60_000),
            "utf-16": self._true.decode().encode("utf-16"),
            "gbk": "<xml><a>成功</a></xml>".encode("gbk"),
            "declared latin-1": b"<?xml version='1.0' encoding='latin-1'?><xml><a>\xe9</a></xml>",
            "json": b'{"return_code": "SUCCESS"}',
        }

    def _lies(self) -> dict[str, bytes]:
        fields = xml.parse(self.signed())
        unsigned = {name: value for name, value in fields.items() if name != "sign"}
        return {
            "wrong signature": xml.build({**fields, "sign": "0" * 64}),
            "altered amount": xml.build({**fields, "total_fee": "1"}),
            "no signature": xml.build(unsigned),
            "empty signature": xml.build({**unsigned, "sign": ""}),
            "weaker signature": self.signed(SignType.MD5, sign_type="MD5"),
            "true of another order": xml.build({**xml.parse(self._true), "out_trade_no": self._open}),
            "signed: other amount": self.signed(total_fee="1"),
            "signed: negative amount": self.signed(total_fee="-350"),
            "signed: huge amount": self.signed(total_fee="9" * 40),
            "signed: other currency": self.signed(fee_type="USD"),
            "signed: other merchant": self.signed(mch_id="1900000110"),
            "signed: other app": self.signed(appid="wx0000000000000000"),
            "signed: no such order": self.signed(out_trade_no="lobby-1-000000000000-XXXXXX"),
            "signed: odd order number": self.signed(out_trade_no="'; DROP TABLE orders; --"),
            "signed: not paid": self.signed(result_code="FAIL"),
            "signed: paid once more": self.signed(out_trade_no=xml.parse(self._true)["out_trade_no"]),
            "signed: no time": self.signed(time_end="yesterday"),
        }

    def _refunds(self) -> Iterator[tuple[str, bytes]]:
        outer = {"return_code": "SUCCESS", "appid": self._pay.app_id, "mch_id": self._pay.mch_id, "nonce_str": "n"}
        noise = random.Random(20261124)
        yield "noise", xml.build({**outer, "req_info": base64.b64encode(noise.randbytes(512)).decode()})
        yield "odd length", xml.build({**outer, "req_info": base64.b64encode(b"abc").decode()})
        yield "no base64", xml.build({**outer, "req_info": "§" * 1_000})
        yield "nothing", xml.build(outer)
        yield "a payment", self._true

    def _scans(self) -> Iterator[tuple[str, bytes]]:
        fields = {"appid": self._pay.app_id, "mch_id": self._pay.mch_id, "nonce_str": "n", "openid": "o-liar"}
        yield "without signature", xml.build({**fields, "product_id": "cola"})
        yield "wrong signature", xml.build({**fields, "product_id": "cola", "sign": "0" * 32})
        signed = {**fields, "product_id": "no-such-thing"}
        yield "unknown product", xml.build({**signed, "sign": sign(signed, self._pay.api_key, SignType.MD5)})

    def _http(self) -> Iterator[tuple[str, bytes]]:
        line, host = "POST /wxpay/notify HTTP/1.1", "Host: pay.example.com"
        true, size = self._true, f"Content-Length: {len(self._true)}"
        yield "body above the limit", post("/wxpay/notify", b"<xml>" + b"a" * 70_000)
        yield "length above the limit", head(line, host, "Content-Length: 99999999999999")
        yield "negative length", head(line, host, "Content-Length: -1")
        yield "two lengths", head(line, host, "Content-Length: 5", size) + true
        yield "transfer-encoding and length", head(line, host, "Transfer-Encoding: chunked", size) + b"0\r\n\r\n"
        yield "unknown transfer-encoding", head(line, host, "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"
        yield "chunk of no size", head(line, host, "Transfer-Encoding: chunked") + b"xyz\r\n\r\n"
        yield "endless chunk", head(line, host, "Transfer-Encoding: chunked") + b"fffffffff\r\n" + b"a" * 9_000
        yield "no host", head(line, size) + true
        yield "huge header", head(line, host, f"X-Long: {'a' * 9_000}", size) + true
        yield "many headers", head(line, host, *(f"X-{i}: {i}" for i in range(2_000)))
        yield "nasty cookie", post("/wxpay/notify", b"", 'Cookie: a="' + "\\1" * 3_000)
        yield (
            "form of many fields",
            head(line, host, "Content-Type: application/x-www-form-urlencoded", "Content-Length: 60000")
            + b"a=1&" * 15_000,
        )
        yield (
            "multipart of many parts",
            head(line, host, "Content-Type: multipart/form-data; boundary=b", "Content-Length: 60000")
            + (b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n" * 1_200)[:60_000],
        )
        yield "compressed", post("/wxpay/notify", b"\x1f\x8b\x08" + bytes(1_000), "Content-Encoding: gzip")
        yield "GET of a callback", head("GET /wxpay/notify HTTP/1.1", host)
        yield "other path", head("GET /api/status HTTP/1.1", host)
        yield "path upwards", head("GET /../../etc/passwd HTTP/1.1", host)
        yield "odd method", head("BREW /wxpay/notify HTTP/1.1", host)
        yield "proxy request", head("GET http://127.0.0.1/api/status HTTP/1.1", host)
        yield "tunnel", head("CONNECT 127.0.0.1:22 HTTP/1.1", host)
        yield "websocket", head("GET /wxpay/notify HTTP/1.1", host, "Upgrade: websocket", "Connection: Upgrade")
        yield "TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + b"\r\n\r\n"
        yield "no HTTP at all", b"\r\n\r\nhello\r\n\r\n"
        yield "folded header", head(line, host, "X-A: a", " b" * 3_000, size) + true[:-1] + b"!"


@dataclass
class Lag:
    """How late a task of the loop is woken, measured while it runs."""

    seconds: list[float] = field(default_factory=list)

    async def measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self.seconds.append(max(0.0, loop.time() - due))

    def quantile(self, share: float) -> float:
        return sorted(self.seconds)[int((len(self.seconds) - 1) * share)]


@dataclass(frozen=True)
class Outcome:
    """What became of a storm."""

    answers: dict[str, dict[str, int]]
    slowest_seconds: float
    p99_seconds: float


async def storm(port: int, requests: list[Hostile], count: int, at_once: int) -> Outcome:
    """Send from another process, so that only the machine's own work delays its loop."""
    sent = [{"name": hostile.name, "raw": base64.b64encode(hostile.raw).decode()} for hostile in requests]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SENDER), str(port), str(count), str(at_once), stdin=-1, stdout=-1
    )
    output, _ = await process.communicate(json.dumps(sent).encode())
    assert process.returncode == 0
    told: dict[str, Any] = json.loads(output)
    return Outcome(**told)


def resident_bytes() -> int:
    """What this process holds of the memory, garbage not counted."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
