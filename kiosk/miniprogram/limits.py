"""How often anybody may ask: a bucket of tokens for each key, refilled with time."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

KEYS_KEPT = 10_000  # a stranger with many addresses costs 2 MB, not more


@dataclass(frozen=True)
class Rate:
    """`burst` at once, then `each_minute`."""

    burst: int
    each_minute: float


class Limiter:
    """One kind of request, limited for each key (an address, a customer)."""

    def __init__(self, rate: Rate, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> tokens, when they were counted

    def take(self, key: str) -> int:
        """Take one token; 0 if there was one, else after how many seconds there will be."""
        now = self._now()
        tokens, counted_at = self._buckets.pop(key, (float(self._rate.burst), now))
        each_second = self._rate.each_minute / 60
        tokens = min(self._rate.burst, tokens + (now - counted_at) * each_second)
        allowed = tokens >= 1
        self._buckets[key] = (tokens - 1 if allowed else tokens, now)
        while len(self._buckets) > KEYS_KEPT:
            self._buckets.popitem(last=False)
        return 0 if allowed else math.ceil((1 - tokens) / each_second)
