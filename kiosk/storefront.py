"""Composes what the customer sees, and keeps the screen showing it. Painting and output run in one thread."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from display.painter import Painter
from display.pictures import forget_pictures
from display.scene import Notice, NoticeKind, Phase, Scene, SlotMark, Tile, TileState
from display.screen import Screen, ScreenError
from display.test_pattern import test_pattern
from kiosk.codes import Codes
from kiosk.database import DatabaseError
from kiosk.dispatcher import Dispatcher
from kiosk.journal import Journal
from kiosk.orders import Order, OrderState
from kiosk.payments.gateway import PaymentGateway
from kiosk.readiness import Readiness
from kiosk.records import Change
from kiosk.settings import Product, Settings
from kiosk.shelf import Shelf
from kiosk.waiting import happens
from kiosk.words import WORDS, Speaker, price_text

TAKE_GOODS_SECONDS = 12  # long enough to look up from the flap; the codes are on sale again meanwhile

FAILED_SECONDS = 30  # long enough to write down or photograph the order's last characters
PATTERN_SECONDS = 20  # long enough to step back and look
PAGE_SECONDS = 8  # how long a page of tiles stands when they do not fit on one
# Changes come in bursts: painted once, and after a paid order is on its way to the board, which painting would delay.
MINIPROGRAM_TILE = ".miniprogram"  # no product can be called so
GATHER_SECONDS = 0.04
SCREEN_RETRY_SECONDS = 5  # how often a screen that is lost is looked for

# The events after which a customer stands there without goods.
_FAILURES = frozenset({"not_delivered", "refunding", "in_doubt", "paid_not_to_be_dispensed", "refund_failed"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Result:
    """How the last sale ended, shown until `until` (the loop's clock)."""

    order: Order
    until: float


class Storefront:
    """The machine's face. Knows where to read, tells nobody anything."""

    def __init__(
        self,
        *,
        settings: Settings,
        journal: Journal,
        shelf: Shelf,
        readiness: Readiness,
        codes: Codes,
        dispatcher: Dispatcher,
        gateway: PaymentGateway,
        speaker: Speaker,
        open_screen: Callable[[], Screen],
    ) -> None:
        """`open_screen` is called in a thread, at the start and when the screen was lost; raises `ScreenError`."""
        self._settings = settings
        self._journal = journal
        self._shelf = shelf
        self._readiness = readiness
        self._codes = codes
        self._dispatcher = dispatcher
        self._gateway = gateway
        self._speaker = speaker
        self._open_screen = open_screen
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="painter")
        self._dirty = asyncio.Event()
        self._result: _Result | None = None
        self._paid: dict[str, str] = {}  # out_trade_no → product, from the payment until the vend begins
        self._task: asyncio.Task[None] | None = None
        self._screen: Screen | None = None
        self._painter: Painter | None = None
        self._picture: Image.Image | None = None
        self._open = False  # whether anything but "starting" may be shown
        self._pattern_until = 0.0  # the loop's clock
        self._has_changed = False  # whether the last painting changed the picture
        self._picture_listeners: list[Callable[[], None]] = []
        journal.subscribe(self._on_change)
        for source in (shelf.on_change, readiness.on_change, dispatcher.on_vend):
            source(self._dirty.set)

    def take(self, settings: Settings) -> None:
        """Show the products of these settings, their pictures read anew."""
        self._settings = settings
        self._thread.submit(self._paint_anew)
        self._dirty.set()

    def on_picture(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever customers see something new."""
        self._picture_listeners.append(listener)

    def repaint(self) -> None:
        """Look again at what is to be seen."""
        self._dirty.set()

    async def start(self) -> None:
        """Show "starting" at once, and then whatever there is to show."""
        with contextlib.suppress(DatabaseError):  # that the journal cannot be read is told by others
            ini, _, chosen = (await self._journal.switch("language")).partition(":")
            if chosen in WORDS and ini == self._settings.kiosk.language:  # an ini that was changed since then wins
                self._speaker.language = chosen
        self._dirty.set()
        self._task = asyncio.get_running_loop().create_task(self._show_forever())

    def open(self) -> None:
        """The other parts are up: show what is for sale."""
        self._open = True
        self._dirty.set()

    async def stop(self) -> None:
        """Say that the machine is out of service, and let go of the screen."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        loop = asyncio.get_running_loop()
        farewell = self._still(Phase.OUT_OF_SERVICE, self._speaker.words.out_of_service, self._speaker.words.later)
        try:
            await loop.run_in_executor(self._thread, self._show, farewell, 0)
        except ScreenError as error:
            _log.warning("%s", error)
        if self._screen is not None:
            await loop.run_in_executor(self._thread, self._screen.close)
        self._thread.shutdown()

    @property
    def language(self) -> str:
        """What customers read now: zh_CN or en."""
        return self._speaker.language

    async def switch_language(self, language: str, who: str) -> None:
        """Speak another language to customers from now on, also after a restart. Raises `DatabaseError`."""
        await self._journal.set_switch("language", f"{self._settings.kiosk.language}:{language}", who)
        self._speaker.language = language
        self._dirty.set()

    def show_test_pattern(self) -> None:
        """Show a picture that tells a good screen from a bad one; nobody can scan meanwhile."""
        self._pattern_until = asyncio.get_running_loop().time() + PATTERN_SECONDS
        self._dirty.set()

    async def picture(self) -> Image.Image | None:
        """A copy of what the customer sees now; None before the first picture."""
        copy = asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: None if self._picture is None else self._picture.copy()
        )
        return await copy

    # Composing ---------------------------------------------------------------------------------------------

    def scene(self) -> Scene:
        """What is to be seen now."""
        words = self._speaker.words
        if not self._open or self._readiness.starting:
            return self._still(Phase.STARTING, words.starting, words.starting_text)
        if self._readiness.blocked and self._dispatcher.vend is None:
            return self._still(Phase.OUT_OF_SERVICE, words.out_of_service, self._readiness.explanation)
        return Scene(
            phase=Phase.FOR_SALE,
            machine_name=self._settings.kiosk.name,
            machine_number=words.machine_number.format(id=self._settings.kiosk.id),
            help_line=words.help_line,
            tiles=(*map(self._tile, self._settings.products), *self._miniprogram()),
            notice=self._notice(),
            page_label=words.page,
        )

    def _still(self, phase: Phase, headline: str, explanation: str) -> Scene:
        return Scene(
            phase=phase,
            machine_name=self._settings.kiosk.name,
            machine_number=self._speaker.words.machine_number.format(id=self._settings.kiosk.id),
            help_line=self._speaker.words.help_line,
            headline=headline,
            explanation=explanation,
            notice=self._notice(),
        )

    def _tile(self, product: Product) -> Tile:
        code = None
        if product.id in self._paid.values():
            state, caption = TileState.PAID, self._speaker.words.just_paid
        elif self._shelf.available.get(product.id, 0) < 1:
            state = TileState.SOLD_OUT
            caption = self._speaker.words.not_now if self._stands_idle(product) else self._speaker.words.sold_out
        else:
            code = self._codes.code(product.id)
            state = TileState.FOR_SALE if code else TileState.PREPARING
            caption = self._speaker.words.scan if code else self._speaker.words.preparing
        return Tile(
            product_id=product.id,
            name=self._name(product),
            price=price_text(product.price_fen),
            picture=product.image,
            state=state,
            caption=caption,
            code=code,
        )

    def _miniprogram(self) -> tuple[Tile, ...]:
        """The code that opens the mini-program, where the ini asks for it and something can be bought."""
        miniprogram = self._settings.miniprogram
        if miniprogram is None or miniprogram.screen_link is None:
            return ()
        if not any(self._readiness.sells(product.id) for product in self._settings.products):
            return ()
        return (
            Tile(
                product_id=MINIPROGRAM_TILE,
                name=self._speaker.words.miniprogram,
                price="",
                picture=None,
                state=TileState.FOR_SALE,
                caption=self._speaker.words.scan,
                code=f"{miniprogram.screen_link}?m={self._settings.kiosk.id}",
            ),
        )

    def _notice(self) -> Notice | None:
        words = self._speaker.words
        vend = self._dispatcher.vend
        if vend is not None and vend.order is not None:
            product = self._settings.product(vend.order.product_id)
            if product is not None:
                slots = SlotMark(self._rows(), vend.slot.id)
                return Notice(
                    NoticeKind.VENDING,
                    words.vending,
                    self._name(product),
                    product.image,
                    product.id,
                    slots,
                )
        if self._result is None:
            return None
        order = self._result.order
        if order.state is OrderState.DISPENSED:
            product = self._settings.product(order.product_id)
            name = order.product_name if product is None else self._name(product)
            return Notice(
                NoticeKind.TAKE_GOODS,
                words.take_goods,
                words.take_goods_text.format(product=name),
            )
        by_hand = order.state is not OrderState.REFUNDING or not self._gateway.can_refund
        template = words.failed_by_hand if by_hand else words.failed_text
        text = template.format(amount=price_text(order.paid_fen or order.amount_fen), claim=order.claim_code)
        return Notice(NoticeKind.FAILED, words.failed, text)

    def _rows(self) -> tuple[tuple[str, ...], ...]:
        """The slots as they stand in the machine: all but the last character of a slot's id names its tray."""
        slots = sorted((slot.id for slot in self._settings.slots), key=lambda slot: (len(slot), slot))
        return tuple(tuple(row) for _, row in itertools.groupby(slots, key=lambda slot: slot[:-1]))

    def _name(self, product: Product) -> str:
        return product.name_in(self._speaker.language)

    def _stands_idle(self, product: Product) -> bool:
        """Whether units are there, but in slots that a technician has to look at first."""
        return any(
            slot.product_id == product.id and record.stock > 0 and (record.disabled or record.fault is not None)
            for slot, record in self._shelf.slots()
        )

    def _on_change(self, change: Change) -> None:
        order = change.order
        if order is None:
            return
        if order.state is OrderState.PAID:
            self._paid[order.out_trade_no] = order.product_id
        else:
            self._paid.pop(order.out_trade_no, None)
        now = asyncio.get_running_loop().time()
        if order.state is OrderState.DISPENSED and change.event.kind == "dispensed":
            self._result = _Result(order, now + TAKE_GOODS_SECONDS)
        elif order.state is not OrderState.DISPENSING and change.event.kind in _FAILURES:
            self._result = _Result(order, now + FAILED_SECONDS)
        self._dirty.set()

    # Showing -----------------------------------------------------------------------------------------------

    async def _show_forever(self) -> None:
        loop = asyncio.get_running_loop()
        page, pages, turn_at = 0, 1, loop.time() + PAGE_SECONDS
        while True:
            self._dirty.clear()
            now = loop.time()
            if self._result is not None and now >= self._result.until:
                self._result = None
            if now >= turn_at:
                page, turn_at = page + 1, now + PAGE_SECONDS
            try:
                scene = self.scene() if now >= self._pattern_until else None
                pages = await loop.run_in_executor(self._thread, self._show, scene, page % pages)
            except ScreenError as error:
                self._readiness.screen_error = str(error)
                wait: float | None = SCREEN_RETRY_SECONDS
            else:
                self._readiness.screen_error = None
                ends = [turn_at] if pages > 1 else []
                ends += [self._result.until] if self._result is not None else []
                ends += [self._pattern_until] if scene is None else []
                wait = max(0.0, min(ends) - loop.time()) if ends else None
                if self._has_changed:
                    for listener in self._picture_listeners:
                        listener()
            if await happens(self._dirty, wait):
                await asyncio.sleep(GATHER_SECONDS)

    def _paint_anew(self) -> None:
        """In the painter's thread: the next picture is painted as if it were the first."""
        forget_pictures()
        self._painter = None

    def _show(self, scene: Scene | None, page: int) -> int:
        """Paint and show, in the painter's thread; return how many pages there are. No scene: the test pattern."""
        if self._screen is None:
            self._screen = self._open_screen()
            self._painter = None
        if scene is None:
            self._painter = None  # what comes after it is painted whole
            painted = test_pattern(*self._screen.size)
        else:
            self._painter = self._painter or Painter(*self._screen.size)
            painted = self._painter.paint(scene, page)
        self._picture = painted.image
        self._has_changed = bool(painted.changed)
        try:
            self._screen.show(painted.image, painted.changed)
        except ScreenError:
            self._screen.close()
            self._screen = None
            raise
        return painted.pages
