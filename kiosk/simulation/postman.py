"""Carries the notifications of the simulated WeChat Pay to the merchant, as stubbornly as the real one.

The timetable and the form of an acceptable reply are those of the payment notification, chapter 9_7.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from kiosk.simulation.faults import DEFAULT_SECONDS, Faults

REPLY_SECONDS = 5  # the merchant has so long to answer
# Seconds between one try and the next: fifteen repeats within 24 h 4 min.
REPEATS_SECONDS = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)
MOST_AT_ONCE = 128  # connections: a hundredfold notification arrives as one wave
TURNED_ROUND_SECONDS = 30.0  # longest wait of an out-of-order notification for another one to overtake it

# On one line and without white space, or it counts as no acknowledgement.
_ACCEPTED = re.compile(
    rb"<xml><return_code>(<!\[CDATA\[SUCCESS\]\]>|SUCCESS)</return_code>"
    rb"(<return_msg>(<!\[CDATA\[OK\]\]>|OK)</return_msg>)?</xml>"
)


class Postman:
    """Delivers notifications until the merchant takes them or the timetable ends.

    `scale` shortens the waits of the timetable; the merchant's time to reply stays. `noted(kind, out_trade_no, what)`
    hears how each try went: kind is notified, notification_failed or notification_given_up.
    """

    def __init__(self, faults: Faults, *, scale: float, noted: Callable[[str, str, str], None]) -> None:
        self._faults = faults
        self._scale = scale
        self._noted = noted
        self._client = AsyncHTTPClient(force_instance=True, max_clients=MOST_AT_ONCE)
        self._held: list[asyncio.Event] = []

    def close(self) -> None:
        """Free the connections; deliveries under way must have been cancelled."""
        self._client.close()

    async def post(self, url: str, body: bytes) -> HTTPResponse | None:
        """One POST of XML; None when no answer came in time."""
        if self._faults.line_is_down:
            return None
        request = HTTPRequest(
            url,
            "POST",
            headers={"Content-Type": "text/xml", "User-Agent": "Mozilla/4.0", "Pragma": "no-cache"},
            body=body,
            connect_timeout=REPLY_SECONDS,
            request_timeout=REPLY_SECONDS,
            follow_redirects=False,
        )
        try:
            return await self._client.fetch(request, raise_error=False)
        except (OSError, HTTPClientError):
            return None

    async def deliver(self, place: str, out_trade_no: str, url: str, body: bytes) -> bool:
        """Whether the merchant took it, in the end. `place`: where its faults are: notify or refund_notify."""
        if (urlsplit(url).hostname or "").endswith(".invalid"):  # nobody, by RFC 6761
            self._noted("notification_given_up", out_trade_no, f"{url} can be reached by nobody")
            return False
        for wait in (0, *REPEATS_SECONDS):
            await asyncio.sleep(wait * self._scale)
            fault = self._faults.take(place)
            copies = 1
            match None if fault is None else fault.name:
                case "never":
                    self._noted("notification_given_up", out_trade_no, "it was never sent")
                    return False
                case "lost":
                    self._noted("notification_failed", out_trade_no, "it was lost on the way")
                    continue
                case "late":
                    seconds = fault.seconds if fault is not None and fault.seconds is not None else DEFAULT_SECONDS
                    await asyncio.sleep(seconds)
                case "out_of_order":
                    await self._let_another_pass()
                case "doubled":
                    copies = 2
                case "hundredfold":
                    copies = 100
                case _:
                    pass
            replies = await asyncio.gather(*(self.post(url, body) for _ in range(copies)))
            if any(_accepts(reply) for reply in replies):
                self._noted("notified", out_trade_no, url)
                self._release()
                return True
            self._noted("notification_failed", out_trade_no, _describe(replies[0]))
        self._noted("notification_given_up", out_trade_no, "the merchant never took it")
        return False

    async def _let_another_pass(self) -> None:
        passed = asyncio.Event()
        self._held.append(passed)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(passed.wait(), TURNED_ROUND_SECONDS)

    def _release(self) -> None:
        for held in self._held:
            held.set()
        self._held.clear()


def _accepts(reply: HTTPResponse | None) -> bool:
    return reply is not None and reply.code == 200 and _ACCEPTED.fullmatch(reply.body) is not None


def _describe(reply: HTTPResponse | None) -> str:
    if reply is None or reply.code == 599:  # 599: Tornado's own word for no answer
        return "the merchant did not answer"
    return f"the merchant answered {reply.code}: {reply.body[:200].decode(errors='replace')}"
