"""A process of its own that sends raw requests to a port, many at once, and tells what became of them.

    python storm_sender.py PORT COUNT AT_ONCE < requests.json > outcomes.json

In: a list of {"name", "raw" (base64)}; they are sent in turn, each on a connection of its own, COUNT in all.
Out: for each name {"answers": {"200 SUCCESS": 12, "closed": 3, …}}, and the seconds of the slowest and the 99th
percentile. A request is over when the whole answer is there, or the connection is closed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
import time
from collections import Counter, defaultdict

PATIENCE_SECONDS = 10.0
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


async def one(port: int, raw: bytes) -> str:
    """Send, read, and say in a word or two what came back."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(raw)
                await writer.drain()
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
            finally:
                writer.close()
    except TimeoutError:
        return "no answer"
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return "closed"
    code = head.split(b" ", 2)[1].decode(errors="replace")
    word = next((word for word in ("FAIL", "SUCCESS") if word.encode() in body), "")
    return f"{code} {word}".strip()


async def storm(port: int, requests: list[tuple[str, bytes]], count: int, at_once: int) -> dict[str, object]:
    """Send all of them; the outcomes."""
    numbers = iter(range(count))
    answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    seconds: list[float] = []

    async def sender() -> None:
        for number in numbers:
            name, raw = requests[number % len(requests)]
            started = time.perf_counter()
            answers[name][await one(port, raw)] += 1
            seconds.append(time.perf_counter() - started)

    await asyncio.gather(*(sender() for _ in range(at_once)))
    seconds.sort()
    return {"answers": answers, "slowest_seconds": seconds[-1], "p99_seconds": seconds[len(seconds) * 99 // 100]}


if __name__ == "__main__":
    samples = [(sample["name"], base64.b64decode(sample["raw"])) for sample in json.load(sys.stdin)]
    json.dump(asyncio.run(storm(int(sys.argv[1]), samples, int(sys.argv[2]), int(sys.argv[3]))), sys.stdout)
