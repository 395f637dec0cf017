"""The one source of wall-clock time; tests and simulated days bring their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Protocol

CHINA_STANDARD_TIME = timezone(timedelta(hours=8), "CST")  # WeChat Pay's times, whatever the board's zone

# No release of this program is older: a clock that says less is certainly wrong (a board without a battery starts in
# 1970, or where it was switched off). Only when WeChat has not told the time yet; what it tells wins.
RELEASED = datetime(2026, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Wall-clock time. Waiting is the event loop's business, not the clock's."""

    def now(self) -> datetime:
        """The time now, aware, in UTC."""


class SystemClock:
    """The board's clock."""

    def now(self) -> datetime:
        """The time now, aware, in UTC."""
        return datetime.now(UTC)
