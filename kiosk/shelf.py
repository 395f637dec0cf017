"""What can be sold now, kept in memory and refreshed after every change of the journal.

Whoever needs stock without waiting (screen, readiness, codes) looks here; whoever decides looks in the journal.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Mapping

from kiosk.database import DatabaseError
from kiosk.journal import Journal
from kiosk.orders import OrderState
from kiosk.records import Change, SlotRecord
from kiosk.settings import Settings, Slot

# Changes come in bursts, as a payment and the vend that it leads to: looked up once, and not in the vend's way.
GATHER_SECONDS = 0.01
RETRY_SECONDS = 2.0  # after a journal that could not be read

_log = logging.getLogger(__name__)


class SlotState(enum.Enum):
    """A slot as the interfaces show it."""

    OK = "ok"
    SOLD_OUT = "sold_out"
    JAMMED = "jammed"
    DISABLED = "disabled"


def slot_state(record: SlotRecord) -> SlotState:
    """The one word for a slot; what a person has to mend comes before what a person has to fill."""
    if record.disabled:
        return SlotState.DISABLED
    if record.fault is not None:
        return SlotState.JAMMED
    return SlotState.OK if record.stock > 0 else SlotState.SOLD_OUT


class Shelf:
    """Stock, what is spoken for, and how many orders stand in each state."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self._journal = journal
        self._slots_by_product = _slots_by_product(settings)
        self._planogram = settings.slots
        self._stale = asyncio.Event()
        self._looking = asyncio.Lock()  # a look that began earlier never overwrites what a later one found
        self._listeners: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self.available: Mapping[str, int] = {}
        self.records: Mapping[str, SlotRecord] = {}
        self.counts: Mapping[OrderState, int] = {}
        journal.subscribe(self._on_change)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after what is on the shelf was looked up anew."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Bring the planogram into the journal, look once, then keep up with it."""
        await self._journal.set_up_slots(self._planogram)
        await self.refresh()
        self._task = asyncio.get_running_loop().create_task(self._keep_up())

    async def stop(self) -> None:
        """Stop keeping up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def take(self, settings: Settings) -> None:
        """Go on with the products and slots of a new ini; listeners hear of it with the next change.

        Raises `DatabaseError`; then nothing has changed.
        """
        slots_by_product = _slots_by_product(settings)
        await self._journal.set_up_slots(settings.slots)
        found = await self._journal.shelf(slots_by_product)
        self._planogram, self._slots_by_product = settings.slots, slots_by_product
        self.available, self.records, self.counts = found
        self._stale.set()

    def slots(self) -> list[tuple[Slot, SlotRecord]]:
        """The planogram in the order of the ini, each slot with its record."""
        return [(slot, self.records[slot.id]) for slot in self._planogram]

    async def refresh(self) -> None:
        """Look at the journal now: what was written before is seen. Raises `DatabaseError`."""
        async with self._looking:
            self.available, self.records, self.counts = await self._journal.shelf(self._slots_by_product)
        for listener in self._listeners:
            listener()

    async def _keep_up(self) -> None:
        while True:
            await self._stale.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._stale.clear()
            try:
                await self.refresh()
            except DatabaseError as error:
                _log.error("the stock on the screen may be old: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                self._stale.set()

    def _on_change(self, _: Change) -> None:
        self._stale.set()


def _slots_by_product(settings: Settings) -> dict[str, list[str]]:
    return {
        product.id: [slot.id for slot in settings.slots if slot.product_id == product.id]
        for product in settings.products
    }
