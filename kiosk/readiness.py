"""May we take money now? Small checks, each a sentence; asked by the screen, the page and the scan callback."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hardware.dispenser import Dispenser
from kiosk.clock import RELEASED, Clock
from kiosk.database import DatabaseError
from kiosk.journal import Journal
from kiosk.orders import OrderState
from kiosk.payments.gateway import PaymentGateway
from kiosk.settings import Settings
from kiosk.shelf import Shelf, SlotState, slot_state
from kiosk.troubles import TROUBLES
from kiosk.words import Speaker, price_text

CHECK_SECONDS = 1.0  # how old an answer may be where no event tells of a change
START_SECONDS = 10  # a board that has not answered for so long is not just starting
MIN_FREE_BYTES = 20 * 1024 * 1024  # a sale needs some kilobytes; below this the disk is about to fail us
MAX_CLOCK_OFFSET_SECONDS = 300  # WeChat's own limit for a request's age; beyond it every expiry would be wrong
REFUSED_SECONDS = 60  # how long a refusal of WeChat hides the codes before another order is tried
KNOCK_SECONDS = 5  # while WeChat cannot be reached or the clock is wrong, and no order gives a reason to ask it
FAILURES_UNTIL_UNREACHABLE = 2  # one lost packet hides no code
CERTIFICATE_WARNING = timedelta(days=30)  # getting a new one takes a merchant some days
# An order that is paid or refunding for longer than this needs a person's eyes.
UNSETTLED_AFTER = timedelta(minutes=10)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """Something that keeps the machine, or a part of it, from selling. `message` is for the technician."""

    code: str
    texts: Mapping[str, str]  # the sentence, by language
    advice: Mapping[str, str]  # what to do, by language
    blocking: bool  # nothing at all can be sold
    since: datetime
    network: bool = False  # the customer is told of the network, not of a repair

    @property
    def message(self) -> str:
        """The sentence for the log and for programs."""
        return self.texts["en"]


@dataclass(frozen=True)
class _Finding:
    kind: str  # of `TROUBLES`
    values: Mapping[str, Any] = field(default_factory=dict)
    blocking: bool = True
    network: bool = False
    which: str = ""  # tells the slot or the product, where there may be several of a kind

    @property
    def code(self) -> str:
        return f"{self.kind}_{self.which}" if self.which else self.kind


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
        speaker: Speaker,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._dispenser = dispenser
        self._gateway = gateway
        self._shelf = shelf
        self._clock = clock
        self._speaker = speaker
        self._listeners: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._integrity: str | None = None
        self._overdue = 0
        self._to_review = 0
        self._asked_fen: dict[str, int] = {}  # slot → the price that the machine itself asked for it last
        self.certificate_ends: datetime | None = None  # of the client certificate; None without one
        self._free_bytes: int | None = None
        self._started_at = 0.0
        self._no_earlier = RELEASED  # the clock is certainly wrong if it says less
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
        with contextlib.suppress(DatabaseError):  # that the journal cannot be read is told by others
            self._no_earlier = max(RELEASED, await self._journal.newest_time() or RELEASED)
        self._dispenser.on_status(self.check)
        self._shelf.on_change(self.check)
        self.certificate_ends = await asyncio.to_thread(_certificate_end, self._settings.wechatpay.client_cert_file)
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
        """Whether board or WeChat have not answered yet, but may still be about to."""
        blocking = {problem.code for problem in self.problems if problem.blocking}
        awaited = {"wechat_silent"} if self._board_seen else {"wechat_silent", "dispenser"}
        if not blocking or not blocking <= awaited:
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
        return (
            self._speaker.words.no_network
            if all(problem.network for problem in blocking)
            else self._speaker.words.later
        )

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

    def price_asked(self, slot_id: str, price_fen: int) -> None:
        """Take the price that the machine's own price list has for a slot: it is what customers pay."""
        self._asked_fen[slot_id] = price_fen

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
            Problem(
                found.code,
                TROUBLES[found.kind].texts(found.values),
                TROUBLES[found.kind].advice,
                found.blocking,
                since.get(found.code, now),
                found.network,
            )
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
        yield from self._prices()
        yield from self._orders()
        if self.screen_error is not None:
            yield _Finding("screen", {"error": self.screen_error}, blocking=False)

    def _machine(self) -> Iterable[_Finding]:
        if self.out_of_service:
            yield _Finding("switched_off", {"text": self.out_of_service})
        status = self._dispenser.status
        if not status.ready:
            yield _Finding("dispenser", {"reason": status.reason})
        if self._journal.error is not None:
            yield _Finding("journal", {"error": self._journal.error})
        if self._integrity is not None:
            yield _Finding("journal_damaged", {"error": self._integrity})
        if self._free_bytes is not None and self._free_bytes < MIN_FREE_BYTES:
            free, folder = self._free_bytes // 1024**2, self._settings.kiosk.data_dir
            yield _Finding("disk", {"free": free, "folder": folder})

    def _wechat(self) -> Iterable[_Finding]:
        reach = self._gateway.reachability
        offset = self._gateway.clock_offset_seconds
        known_good = offset is not None and abs(offset) <= MAX_CLOCK_OFFSET_SECONDS
        if reach.clock_doubted and not known_good:
            yield _Finding("clock_certificate", {"now": f"{self._clock.now():%Y-%m-%d}"})
        elif reach.consecutive_failures >= FAILURES_UNTIL_UNREACHABLE:
            yield _Finding("wechat_unreachable", {"error": reach.last_error}, network=True)
        elif reach.last_answer_at is None:
            yield _Finding("wechat_silent", network=True)
        elif self._wechat_refusal is not None and asyncio.get_running_loop().time() < self._refused_until:
            yield _Finding("wechat_refuses", {"error": self._wechat_refusal})
        yield from self._time()
        ends = self.certificate_ends
        wechat_now = self._clock.now() + timedelta(seconds=offset or 0)
        if ends is not None and ends - wechat_now < CERTIFICATE_WARNING and not reach.clock_doubted:
            yield _Finding("certificate", {"date": f"{ends:%Y-%m-%d}"}, blocking=False)

    def _time(self) -> Iterable[_Finding]:
        """What WeChat's clock says of ours; before it has said anything, what our own books do."""
        offset, now = self._gateway.clock_offset_seconds, self._clock.now()
        if offset is not None:
            if abs(offset) > MAX_CLOCK_OFFSET_SECONDS:
                yield _Finding("clock", {"seconds": abs(offset)})
        elif now < self._no_earlier - timedelta(seconds=MAX_CLOCK_OFFSET_SECONDS):
            yield _Finding("clock_behind", {"now": f"{now:%Y-%m-%d}", "known": f"{self._no_earlier:%Y-%m-%d}"})

    def _shelves(self) -> Iterable[_Finding]:
        for slot, record in self._shelf.slots():
            if slot_state(record) is SlotState.JAMMED:
                values = {"slot": slot.id, "fault": record.fault}
                yield _Finding("slot", values, blocking=False, which=slot.id)
        for product in self._settings.products:
            slots = [record for slot, record in self._shelf.slots() if slot.product_id == product.id]
            if slots and all(slot_state(record) is SlotState.SOLD_OUT for record in slots):
                values = {"name": product.name, "name_en": product.name_en}
                yield _Finding("sold_out", values, blocking=False, which=product.id)

    def _prices(self) -> Iterable[_Finding]:
        for slot_id, asked_fen in self._asked_fen.items():
            slot = self._settings.slot(slot_id)
            product = None if slot is None else self._settings.product(slot.product_id)
            if product is not None and product.price_fen != asked_fen:
                values = {"slot": slot_id, "asked": price_text(asked_fen), "ini": price_text(product.price_fen)}
                yield _Finding("price", values, blocking=False, which=slot_id)

    def _orders(self) -> Iterable[_Finding]:
        counts = self._shelf.counts
        for kind, count in (
            ("refund_failed", counts.get(OrderState.REFUND_FAILED, 0)),
            ("in_doubt", counts.get(OrderState.IN_DOUBT, 0)),
            ("unsettled", self._overdue),
            ("to_review", self._to_review),
        ):
            if count:
                yield _Finding(kind, {"count": count}, blocking=False)

    async def _keep_checking(self) -> None:
        self._integrity = await self._journal.check_integrity()
        while True:
            try:
                usage = await asyncio.to_thread(shutil.disk_usage, self._settings.kiosk.data_dir)
                self._free_bytes = usage.free
            except OSError:
                self._free_bytes = 0
            await self._try_journal()
            with contextlib.suppress(DatabaseError):
                self._overdue = await self._journal.count_overdue(UNSETTLED_AFTER)
                self._to_review = await self._journal.count_to_review()
            self.check()
            await asyncio.sleep(CHECK_SECONDS)

    async def _try_journal(self) -> None:
        """While the journal cannot be written nothing is sold, so nothing would be written: try whether it can be."""
        error = self._journal.error
        if error is not None:
            with contextlib.suppress(DatabaseError):
                await self._journal.note("journal_writable_again", {"error": error})

    async def _keep_knocking(self) -> None:
        """While it is not known whether WeChat is there, ask it for an order that cannot be: any answer will do.

        Likewise while the clock is wrong: the answer brings WeChat's time.
        """
        while True:
            reach = self._gateway.reachability
            if reach.last_answer_at is None or reach.consecutive_failures or any(self._time()):
                await self._gateway.query(f"{self._settings.kiosk.id}-knock", self._settings.wechatpay.app_id)
                self.check()
            await asyncio.sleep(KNOCK_SECONDS)


def _certificate_end(file: Path | None) -> datetime | None:
    """When the certificate in `file` ends; None if there is none that could be read (`kiosk check` says why)."""
    if file is None:
        return None
    from cryptography import x509  # noqa: PLC0415 - large, and loaded after the first picture is on the screen

    try:
        return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None
