"""The values that the tests of the core speak about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kiosk.settings import Slot

SLOTS = (
    Slot(id="11", product_id="cola", address=11, capacity=3),
    Slot(id="12", product_id="cola", address=12, capacity=2),
    Slot(id="21", product_id="tea", address=21, capacity=1),
)
COLA = ("11", "12")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class SteppedClock:
    """A wall clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def step(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
