"""The technician's API for the machine as it stands: status, slots, screen, switches. Every change is booked."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PIL import Image

from hardware.dispenser import VendResult
from kiosk.database import DatabaseError
from kiosk.dispatcher import NotNow
from kiosk.logs import recent
from kiosk.metrics import Metrics
from kiosk.records import SlotRecord
from kiosk.settings import Slot
from kiosk.web.details import machine_view
from kiosk.web.handlers import JOURNAL_SECONDS, Guarded
from kiosk.web.refusals import Refused
from kiosk.web.views import slot_view, status_view
from kiosk.words import WORDS

MAX_NOTICE_CHARACTERS = 60  # what fits on a customer's screen in two lines
MAX_LOG_LINES = 500  # one look; the support file has all that are kept
MIN_WIDTH, MAX_WIDTH = 16, 4096
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class StatusHandler(Guarded):
    """GET /api/status."""

    async def get(self) -> None:
        """The machine in one glance; whoever has just changed something sees it."""
        with contextlib.suppress(DatabaseError, TimeoutError):  # a journal that is stuck is among the problems
            async with asyncio.timeout(JOURNAL_SECONDS):
                await self.site.shelf.refresh()
        self.finish(status_view(self.site))


class SlotHandler(Guarded):
    """POST /api/slots/ID/restock {"stock", "seen"}, enable, disable, test-vend. `seen`: what the form showed."""

    async def post(self, slot_id: str, act: str) -> None:
        """Do it, and answer with the slot as it is then."""
        slot = self.site.settings.slot(slot_id)
        if slot is None:
            raise Refused("unknown_slot", slot=slot_id)
        if act == "test-vend":
            self.check_proof()
            vended = await self._test_vend(slot_id)
            record = (await self.site.journal.slots())[slot_id]
            told = {"outcome": vended.outcome.value, "detail": vended.detail}
            self.finish({"slot": slot_view(slot, record), **told})
            return
        [record] = await self.site.journal.change_slots([slot_id], act, self.who, self._change(slot, act))
        self.finish({"slot": slot_view(slot, record)})

    async def _test_vend(self, slot_id: str) -> VendResult:
        under_way, status = self.site.dispatcher.vend, self.site.dispenser.status
        if under_way is not None:
            raise Refused("board_busy", slot=under_way.slot.id)
        if not status.ready:
            raise Refused("board_away", why=status.reason)
        try:
            return await self.site.dispatcher.test_vend(slot_id, self.who)
        except NotNow as error:
            raise Refused("conflict", why=str(error)) from error

    def _change(self, slot: Slot, act: str) -> Callable[[SlotRecord], SlotRecord]:
        match act:
            case "restock":
                return self._restock(slot)
            case "enable":  # a technician has looked: that frees a jam as well
                return lambda record: replace(record, disabled=False, fault=None)
            case _:
                return lambda record: replace(record, disabled=True)

    def _restock(self, slot: Slot) -> Callable[[SlotRecord], SlotRecord]:
        stock, seen = self.body().get("stock"), self.body().get("seen")
        if type(stock) is not int or not 0 <= stock <= slot.capacity:
            raise Refused("bad_stock", slot=slot.id, capacity=slot.capacity)

        def change(record: SlotRecord) -> SlotRecord:
            if seen is not None and seen != record.stock:
                raise Refused("stale", slot=slot.id, seen=seen, stock=record.stock)
            return replace(record, stock=stock)

        return change


class FillHandler(Guarded):
    """POST /api/slots/fill {"seen": {ID: stock}}: every slot of the machine holds what fits. All of them or none."""

    async def post(self) -> None:
        """Book it, and answer with the slots as they are then."""
        seen, slots = self.body().get("seen", {}), {slot.id: slot for slot in self.site.settings.slots}
        if not isinstance(seen, dict):
            raise Refused("bad_seen")

        def change(record: SlotRecord) -> SlotRecord:
            shown = seen.get(record.id, record.stock)
            if shown != record.stock:
                raise Refused("stale", slot=record.id, seen=shown, stock=record.stock)
            return replace(record, stock=slots[record.id].capacity)

        records = await self.site.journal.change_slots(list(slots), "restock", self.who, change)
        self.finish({"slots": [slot_view(slots[record.id], record) for record in records]})


class ServiceHandler(Guarded):
    """POST /api/out-of-service {"text"}: "" takes the machine back into service."""

    async def post(self) -> None:
        """Switch."""
        text = self.body().get("text")
        if not isinstance(text, str) or len(text) > MAX_NOTICE_CHARACTERS:
            raise Refused("bad_notice", most=MAX_NOTICE_CHARACTERS)
        await self.site.readiness.switch_out_of_service(text.strip(), self.who)
        self.finish(status_view(self.site))


class LanguageHandler(Guarded):
    """POST /api/language {"language"}: what customers read on the screen."""

    async def post(self) -> None:
        """Switch."""
        language = self.body().get("language")
        if not isinstance(language, str) or language not in WORDS:
            raise Refused("bad_language", known=", ".join(WORDS))
        await self.site.storefront.switch_language(language, self.who)
        self.finish(status_view(self.site))


class ScreenTestHandler(Guarded):
    """POST /api/screen-test: a test pattern on the customer's screen for some seconds."""

    async def post(self) -> None:
        """Show it."""
        await self.site.journal.note("screen_test", {"who": self.who})
        self.site.storefront.show_test_pattern()
        self.set_status(202)
        self.finish({})


class ScreenHandler(Guarded):
    """GET /screen.png?width=: what the customer sees; `width` asks for a smaller picture, in pixels."""

    keeps_alive = False  # the page asks for it by itself

    async def get(self) -> None:
        """Look."""
        width = self.number("width", MAX_WIDTH, MIN_WIDTH, MAX_WIDTH)
        picture = await self.site.storefront.picture()
        if picture is None:
            raise Refused("no_picture")
        self.set_header("Content-Type", "image/png")
        self.finish(await asyncio.to_thread(_png, picture, width))


class MachineHandler(Guarded):
    """GET /api/machine: disk, memory, uptime, versions, the line to WeChat Pay."""

    keeps_alive = False

    async def get(self) -> None:
        """Look."""
        self.finish(await asyncio.to_thread(machine_view, self.site))


class LogHandler(Guarded):
    """GET /api/log?level=&search=: the last lines, oldest first."""

    keeps_alive = False  # the page follows it by itself

    def get(self) -> None:
        """Look."""
        level = self.get_query_argument("level", "info")
        if level not in LEVELS:
            raise Refused("bad_level", level=level, known=", ".join(LEVELS))
        lines = recent.lines(LEVELS[level], self.get_query_argument("search", ""))
        self.finish({"lines": lines[-MAX_LOG_LINES:]})


class MetricsHandler(Guarded):
    """GET /metrics."""

    def initialize(self, metrics: Metrics, **parts: Any) -> None:  # type: ignore[override] # one more part
        """Take the parts."""
        super().initialize(**parts)
        self.metrics = metrics

    async def get(self) -> None:
        """The Prometheus text format."""
        text, content_type = await self.metrics.text()
        self.set_header("Content-Type", content_type)
        self.finish(text)


def _png(picture: Image.Image, width: int) -> bytes:
    if width < picture.width:
        picture = picture.resize((width, max(1, picture.height * width // picture.width)), reducing_gap=1.0)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
