"""What a customer has tapped on the screen, and for how long nobody has tapped or paid."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from display.scene import Tile, TileState

CHOSEN_SECONDS = 60  # long enough to take out a phone, scan and pay; then all products are there again


@dataclass(frozen=True)
class Chosen:
    """A product that was tapped, shown alone until `until` (the loop's clock)."""

    product_id: str
    until: float

    @property
    def seconds(self) -> int:
        """What the countdown says now."""
        return math.ceil(self.until - asyncio.get_running_loop().time())

    @property
    def next_second(self) -> float:
        """When the countdown says something else (the loop's clock)."""
        return self.until - self.seconds + 1


class Touch:
    """The customer's hand. A tap on a product chooses it, or keeps it chosen; a tap elsewhere lets go."""

    def __init__(self, idle_after_seconds: float) -> None:
        self._idle_after_seconds = idle_after_seconds
        self._chosen: Chosen | None = None
        self._busy_at = -math.inf  # when somebody last tapped or paid (the loop's clock)

    @property
    def chosen(self) -> Chosen | None:
        """The product that is to be shown alone now."""
        return self._chosen if self._chosen is not None and self._chosen.seconds > 0 else None

    @property
    def idle_at(self) -> float:
        """From when on pictures may be shown, if nobody comes (the loop's clock)."""
        return self._busy_at + self._idle_after_seconds

    def tapped(self, tile: Tile | None) -> None:
        """Take a tap on a tile, or on nothing."""
        self.busy()
        if tile is None or tile.state is TileState.SOLD_OUT:
            self._chosen = None
        else:
            self._chosen = Chosen(tile.product_id, self._busy_at + CHOSEN_SECONDS)

    def paid(self, product_id: str) -> None:
        """Somebody has paid for a product: whoever chose it has it."""
        self.busy()
        if self._chosen is not None and self._chosen.product_id == product_id:
            self._chosen = None

    def busy(self) -> None:
        """Somebody is there."""
        self._busy_at = asyncio.get_running_loop().time()
