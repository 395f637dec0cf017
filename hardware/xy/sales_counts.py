"""A board's own sales counters, one a selection: asked for in turn, and each answer taken to its question.

Source: Xing Yuan, "VMC - Upper computer" V3.2.11, commands 70/47 and 71/47.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from hardware.xy import codec
from hardware.xy.codec import Frame
from hardware.xy.session import Session

COUNTER_STEP_SECONDS = 1.0  # a counter that did not answer is asked again this often


class SalesCounts:
    """What the counters said last. `on_count(address, count)` is told of every answer."""

    def __init__(self, session: Session, *, valid_seconds: float, on_count: Callable[[int, int], None]) -> None:
        self._session = session
        self._valid_seconds = valid_seconds
        self._on_count = on_count
        self._selections: set[int] = set()
        self._counts: dict[int, tuple[int, float]] = {}  # address -> count, loop time of reading it
        self._asked: int | None = None  # the address whose answer is awaited
        self._asked_alone = True  # no other address's answer can still be under way
        self._ask_at = 0.0

    def keep(self, address: int) -> None:
        """Keep the selection's count up to date from now on."""
        self._selections.add(address)

    def known(self, address: int) -> int | None:
        """The count, unless it was read too long ago to stand for now."""
        count, read_at = self._counts.get(address, (None, -math.inf))
        return count if asyncio.get_running_loop().time() - read_at <= self._valid_seconds else None

    def forget(self, address: int) -> None:
        """The selection may have turned: what it counted before is no more."""
        self._counts.pop(address, None)

    def forget_all(self) -> None:
        """The board has started anew; no answer is under way any more."""
        self._counts.clear()
        self._asked = None

    def ask(self, address: int) -> None:
        """Ask now."""
        self._asked_alone = self._asked in {None, address}
        self._asked = address
        self._session.ask(codec.sales_query(self._session.next_packno(), address))

    def ask_oldest(self) -> None:
        """Ask for the count that was read longest ago, if it is time."""
        now = asyncio.get_running_loop().time()
        if not self._selections or now < self._ask_at:
            return
        self._ask_at = now + COUNTER_STEP_SECONDS
        ages = {address: now - self._counts.get(address, (0, -math.inf))[1] for address in self._selections}
        oldest = max(ages, key=ages.__getitem__)
        if ages[oldest] > self._valid_seconds / 4:
            self.ask(oldest)

    def answered(self, frame: Frame) -> None:
        """Take an answer. A board that does not say whose count it is means the one asked for, if no other was."""
        sales = codec.read_sales_count(frame)
        asked, self._asked = self._asked, None
        if sales is None or asked is None:
            return
        if sales.selection != asked and (sales.selection is not None or not self._asked_alone):
            return
        self._ask_at = now = asyncio.get_running_loop().time()
        self._counts[asked] = (sales.count, now)
        self._on_count(asked, sales.count)
