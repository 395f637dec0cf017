"""May we take money now? Small checks, each a sentence; asked by the screen, the page and the scan callback."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hardware.dispenser import Dispenser
from kiosk.clock import Clock
from kiosk.database import DatabaseError
from kiosk.journal import Journal
from kiosk.orders import OrderState
from kiosk.payments.gateway import PaymentGateway
from kiosk.settings import Settings
from kiosk.shelf import Shelf, SlotState, slot_state
from kiosk.words import Words

CHECK_SECONDS = 1.0  # how old an answer may be where no event tells of a change
START_SECONDS = 10  # a board that has not answered for so long is not just starting
MIN_FREE_BYTES = 20 * 1024 * 1024  # a sale needs some kilobytes; below this the disk is about to fail us
MAX_CLOCK_OFFSET_SECONDS = 300  # WeChat's own limit for a request's age; beyond it every expiry would be wrong
REFUSED_SECONDS = 60  # how long a refusal of WeChat hides the codes before another order is tried
KNOCK_SECONDS = 5  # while WeChat cannot be reached, and no order gives a reason to ask it
FAILURES_UNTIL_UNREACHABLE = 2  # one lost packet hides no code
# An order that is paid or refunding for longer than this needs a person's eyes.
UNSETTLED_AFTER = timedelta(minutes=10)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """Something that keeps the machine, or a part of it, from selling. `message` is for the technician."""

    code: str
    message: str
    blocking: bool  # nothing at all can be sold
    since: datetime
    network: bool = False  # the customer is told of the network, not of a repair


@dataclass(frozen=True)
class _Finding:
    code: str
    message: str
    blocking: bool = True
    network: bool = False


class Readiness:
    """Keeps the list of problems up to date. `out_of_service` is the technician's switch: "" or a reason."""

    def __init__(
        self,
        *,
        settings: Settings,
        journal: Journal,
        dispenser: Dispenser,
        gateway: PaymentGateway,
        shelf: Shelf,
        clock: Clock,
        words: Words,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._dispenser = dispenser
        self._gateway = gateway
        self._shelf = shelf
        self._clock = clock
        self._words = words
        self._listeners: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._integrity: str | None = None
        self._free_bytes: int | None = None
        self._started_at = 0.0
        self._board_seen = False
        self.out_of_service = ""
        self._wechat_refusal: str | None = None
        self._refused_until = 0.0
        self.screen_error: str | None = None
        self.problems: tuple[Problem, ...] = ()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the list of problems has changed."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Check once, then whenever something changes and every second."""
        self._started_at = asyncio.get_running_loop().time()
        self.out_of_service = await self._journal.switch("out_of_service")
        self._dispenser.on_status(self.check)
        self._shelf.on_change(self.check)
        self.check()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep_checking()), loop.create_task(self._keep_knocking())]

    async def stop(self) -> None:
        """Stop checking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def take(self, settings: Settings) -> None:
        """Look at the products and slots of these settings from now on."""
        self._settings = settings
        self.check()

    @property
    def blocked(self) -> bool:
        """Whether nothing at all can be sold."""
        return any(problem.blocking for problem in self.problems)

    @property
    def starting(self) -> bool:
        """Whether the board has not answered yet, but may still be about to."""
        blocking = {problem.code for problem in self.problems if problem.blocking}
        if self._board_seen or blocking != {"dispenser"}:
            return False
        return asyncio.get_running_loop().time() - self._started_at < START_SECONDS

    @property
    def health(self) -> str:
        """The word of the status interface: ok, degraded or out_of_service."""
        if self.blocked:
            return "out_of_service"
        return "degraded" if self.problems else "ok"

    @property
    def explanation(self) -> str:
        """Why nothing can be bought, in a customer's words; "" if something can."""
        if self.out_of_service:
            return self.out_of_service
        blocking = [problem for problem in self.problems if problem.blocking]
        if not blocking:
            return ""
        return self._words.no_network if all(problem.network for problem in blocking) else self._words.later

    def closed(self) -> str | None:
        """Why nothing can be bought now, in a customer's words; None while something can."""
        self.check()
        return self.explanation if self.blocked else None

    def sells(self, product_id: str) -> bool:
        """Whether a product can be bought now."""
        return not self.blocked and self._shelf.available.get(product_id, 0) > 0

    def wechat_answered(self, refusal: str | None) -> None:
        """Take what WeChat said to an order: None, or why no order of ours is wanted (a matter of the merchant)."""
        self._wechat_refusal = refusal
        self._refused_until = asyncio.get_running_loop().time() + REFUSED_SECONDS
        self.check()

    async def switch_out_of_service(self, text: str, who: str) -> None:
        """Take the machine out of service with a text for the customers, or ("") back into it."""
        await self._journal.set_switch("out_of_service", text, who)
        self.out_of_service = text
        self.check()

    def check(self) -> None:
        """Look at everything that can be looked at without waiting."""
        since = {problem.code: problem.since for problem in self.problems}
        now = self._clock.now()
        problems = tuple(
            Problem(found.code, found.message, found.blocking, since.get(found.code, now), found.network)
            for found in self._find()
        )
        self._board_seen = self._board_seen or self._dispenser.status.ready
        if problems == self.problems:
            return
        for problem in problems:
            if problem.code not in since:
                _log.warning("problem %s: %s", problem.code, problem.message)
        for code in since.keys() - {problem.code for problem in problems}:
            _log.info("problem %s is over", code)
        self.problems = problems
        for listener in self._listeners:
            listener()

    def _find(self) -> Iterable[_Finding]:
        yield from self._machine()
        yield from self._wechat()
        yield from self._shelves()
        if self.screen_error is not None:
            yield _Finding("screen", self.screen_error, blocking=False)

    def _machine(self) -> Iterable[_Finding]:
        if self.out_of_service:
            yield _Finding(
                "switched_off", f"A technician has taken the machine out of service: {self.out_of_service}"
            )
        status = self._dispenser.status
        if not status.ready:
            yield _Finding("dispenser", status.reason)
        if self._journal.error is not None:
            yield _Finding("journal", self._journal.error)
        if self._integrity is not None:
            yield _Finding("journal_damaged", f"the journal is damaged: {self._integrity}; restore a backup")
        if self._free_bytes is not None and self._free_bytes < MIN_FREE_BYTES:
            yield _Finding(
                "disk",
                f"only {self._free_bytes // 1024**2} MiB are free in {self._settings.kiosk.data_dir}: make room",
            )

    def _wechat(self) -> Iterable[_Finding]:
        reach = self._gateway.reachability
        if reach.consecutive_failures >= FAILURES_UNTIL_UNREACHABLE:
            yield _Finding("wechat_unreachable", f"WeChat Pay cannot be reached: {reach.last_error}", network=True)
        elif self._wechat_refusal is not None and asyncio.get_running_loop().time() < self._refused_until:
            yield _Finding("wechat_refuses", f"WeChat Pay refuses our orders: {self._wechat_refusal}")
        offset = self._gateway.clock_offset_seconds
        if offset is not None and abs(offset) > MAX_CLOCK_OFFSET_SECONDS:
            yield _Finding("clock", f"the clock is {abs(offset):.0f} s off WeChat's: check NTP")

    def _shelves(self) -> Iterable[_Finding]:
        for slot, record in self._shelf.slots():
            if slot_state(record) is SlotState.JAMMED:
                yield _Finding(f"slot_{slot.id}", f"Slot {slot.id} is off sale: {record.fault}", blocking=False)
        for product in self._settings.products:
            slots = [record for slot, record in self._shelf.slots() if slot.product_id == product.id]
            if slots and all(slot_state(record) is SlotState.SOLD_OUT for record in slots):
                yield _Finding(f"sold_out_{product.id}", f"{product.name} is sold out", blocking=False)
        failed = self._shelf.counts.get(OrderState.REFUND_FAILED, 0)
        doubtful = self._shelf.counts.get(OrderState.IN_DOUBT, 0)
        if failed:
            yield _Finding("refund_failed", f"{failed} refund(s) need a person", blocking=False)
        if doubtful:
            yield _Finding("in_doubt", f"{doubtful} order(s) are in doubt", blocking=False)

    async def _keep_checking(self) -> None:
        self._integrity = await self._journal.check_integrity()
        while True:
            try:
                usage = await asyncio.to_thread(shutil.disk_usage, self._settings.kiosk.data_dir)
                self._free_bytes = usage.free
            except OSError:
                self._free_bytes = 0
            await self._try_journal()
            self.check()
            await asyncio.sleep(CHECK_SECONDS)

    async def _try_journal(self) -> None:
        """While the journal cannot be written nothing is sold, so nothing would be written: try whether it can be."""
        error = self._journal.error
        if error is not None:
            with contextlib.suppress(DatabaseError):
                await self._journal.note("journal_writable_again", {"error": error})

    async def _keep_knocking(self) -> None:
        """While it is not known whether WeChat is there, ask it for an order that cannot be: any answer will do."""
        while True:
            reach = self._gateway.reachability
            if reach.last_answer_at is None or reach.consecutive_failures:
                await self._gateway.query(f"{self._settings.kiosk.id}-knock")
                self.check()
            await asyncio.sleep(KNOCK_SECONDS)
