"""Composes what the customer sees, out of what is for sale, what is being sold and what was tapped."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from PIL import Image

from display.scene import LargeCode, Notice, NoticeKind, Phase, Scene, SlotMark, Tile, TileState
from display.screen import Screen
from display.slideshow import Slideshow
from kiosk.codes import Codes
from kiosk.database import DatabaseError
from kiosk.dispatcher import Dispatcher
from kiosk.journal import Journal
from kiosk.keypad import KeypadSales, Offer
from kiosk.orders import Order, OrderState
from kiosk.payments.gateway import PaymentGateway
from kiosk.readiness import Readiness
from kiosk.records import Change
from kiosk.settings import Product, Settings
from kiosk.shelf import Shelf
from kiosk.stage import Shot, Stage
from kiosk.touch import Touch
from kiosk.words import WORDS, Speaker, price_text

TAKE_GOODS_SECONDS = 12  # long enough to look up from the flap; the codes are on sale again meanwhile
FAILED_SECONDS = 30  # long enough to write down or photograph the order's last characters
MINIPROGRAM_TILE = ".miniprogram"  # no product can be called so

# The events after which a customer stands there without goods.
_FAILURES = frozenset({"not_delivered", "refunding", "in_doubt", "paid_not_to_be_dispensed", "refund_failed"})


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
        keypad: KeypadSales | None = None,
    ) -> None:
        """`open_screen` is called in a thread, at the start and when the screen was lost; raises `ScreenError`.

        `keypad`: where the customer chooses at the machine itself, what was chosen.
        """
        self._settings = settings
        self._journal = journal
        self._shelf = shelf
        self._readiness = readiness
        self._codes = codes
        self._dispatcher = dispatcher
        self._gateway = gateway
        self._speaker = speaker
        self._keypad = keypad
        idle_folder = settings.display.idle_folder
        self._stage = Stage(
            open_screen=open_screen,
            shot=self._shot,
            tapped=self._tapped,
            report=self._report_screen,
            slideshow=None if idle_folder is None else Slideshow(idle_folder),
        )
        self._touch = Touch(settings.display.idle_after_seconds)
        self._result: _Result | None = None
        self._paid: dict[str, str] = {}  # out_trade_no → product, from the payment until the vend begins
        self._open = False  # whether anything but "starting" may be shown
        journal.subscribe(self._on_change)
        for source in (shelf.on_change, readiness.on_change, dispatcher.on_vend):
            source(self._stage.repaint)
        if keypad is not None:
            keypad.on_change(self._on_keypad)

    def take(self, settings: Settings) -> None:
        """Show the products of these settings, their pictures read anew."""
        self._settings = settings
        self._stage.paint_anew()

    def on_picture(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever customers see something new."""
        self._stage.on_picture(listener)

    def repaint(self) -> None:
        """Look again at what is to be seen."""
        self._stage.repaint()

    async def start(self) -> None:
        """Show "starting" at once, and then whatever there is to show."""
        with contextlib.suppress(DatabaseError):  # that the journal cannot be read is told by others
            ini, _, chosen = (await self._journal.switch("language")).partition(":")
            if chosen in WORDS and ini == self._settings.kiosk.language:  # an ini that was changed since then wins
                self._speaker.language = chosen
        self._touch.busy()
        self._stage.start()

    def open(self) -> None:
        """The other parts are up: show what is for sale."""
        self._open = True
        self._stage.repaint()

    async def stop(self) -> None:
        """Say that the machine is out of service, and let go of the screen."""
        words = self._speaker.words
        await self._stage.stop(self._still(Phase.OUT_OF_SERVICE, words.out_of_service, words.later))

    @property
    def language(self) -> str:
        """What customers read now: zh_CN or en."""
        return self._speaker.language

    async def switch_language(self, language: str, who: str) -> None:
        """Speak another language to customers from now on, also after a restart. Raises `DatabaseError`."""
        await self._journal.set_switch("language", f"{self._settings.kiosk.language}:{language}", who)
        self._speaker.language = language
        self._stage.repaint()

    def show_test_pattern(self) -> None:
        """Show a picture that tells a good screen from a bad one; nobody can scan meanwhile."""
        self._stage.show_test_pattern()

    async def picture(self) -> Image.Image | None:
        """A copy of what the customer sees now; None before the first picture."""
        return await self._stage.picture()

    # Composing ---------------------------------------------------------------------------------------------

    def scene(self) -> Scene:
        """What is to be seen now."""
        words = self._speaker.words
        if not self._open or self._readiness.starting:
            return self._still(Phase.STARTING, words.starting, words.starting_text)
        if self._readiness.blocked and self._dispatcher.vend is None:
            return self._still(Phase.OUT_OF_SERVICE, words.out_of_service, self._readiness.explanation)
        if self._keypad is not None:
            return self._at_keypad(self._keypad)
        tiles = (*map(self._tile, self._settings.products), *self._miniprogram())
        return Scene(
            phase=Phase.FOR_SALE,
            machine_name=self._settings.kiosk.name,
            machine_number=words.machine_number.format(id=self._settings.kiosk.id),
            help_line=words.help_line,
            tiles=tiles,
            large=self._large(tiles),
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

    def _at_keypad(self, keypad: KeypadSales) -> Scene:
        """What can be chosen, or what was chosen with its code."""
        words = self._speaker.words
        return Scene(
            phase=Phase.KEYPAD,
            machine_name=self._settings.kiosk.name,
            machine_number=words.machine_number.format(id=self._settings.kiosk.id),
            help_line=words.keypad_help,
            headline=keypad.refusal or words.keypad,
            tiles=tuple(map(self._keyed_tile, self._settings.products)),
            large=None if keypad.offer is None else self._chosen(keypad.offer),
            notice=self._notice(),
            page_label=words.page,
        )

    def _keyed_tile(self, product: Product) -> Tile:
        """A product with the keys that choose it: the numbers of its slots that sell now."""
        tile = self._tile(product)
        if tile.state is not TileState.PREPARING:
            return tile
        keys = " / ".join(
            slot.id for slot, record in self._shelf.slots() if slot.product_id == product.id and record.sellable
        )
        return replace(tile, state=TileState.FOR_SALE, caption=self._speaker.words.keypad_keys.format(keys=keys))

    def _chosen(self, offer: Offer) -> LargeCode:
        words = self._speaker.words
        code = offer.code_url
        if offer.paid:
            state, caption = TileState.PAID, words.just_paid
        elif code is None:
            state, caption = TileState.PREPARING, words.preparing
        else:
            state, caption = TileState.FOR_SALE, words.scan
        tile = Tile(
            product_id=offer.product.id,
            name=self._name(offer.product),
            price=price_text(offer.price_fen),
            picture=offer.product.image,
            state=state,
            caption=caption,
            code=code,
        )
        left = math.ceil(offer.until - asyncio.get_running_loop().time())
        countdown = words.keypad_left.format(seconds=left) if code is not None else ""
        return LargeCode(tile, countdown=countdown, hint="" if offer.paid else words.keypad_hint)

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

    def _large(self, tiles: tuple[Tile, ...]) -> LargeCode | None:
        """The product that was tapped, with the code that it has now."""
        chosen = self._touch.chosen
        tile = (
            None if chosen is None else next((tile for tile in tiles if tile.product_id == chosen.product_id), None)
        )
        if chosen is None or tile is None:
            return None
        words = self._speaker.words
        return LargeCode(tile, words.countdown.format(seconds=chosen.seconds), words.tap_to_go_back)

    def _shot(self) -> Shot:
        now = asyncio.get_running_loop().time()
        ends = []
        if self._result is not None and self._result.until > now:
            ends.append(self._result.until)
        if self._touch.chosen is not None:
            ends.append(self._touch.chosen.next_second)
        ends += self._next_second()
        idle_at = self._touch.idle_at
        if self._settings.display.idle_folder is not None and now < idle_at:
            ends.append(idle_at)
        return Shot(self.scene(), min(ends) if ends else None, idle=now >= idle_at)

    def _next_second(self) -> list[float]:
        """When a countdown, or a sentence in its place, reads otherwise; the loop's clock."""
        keypad = self._keypad
        if keypad is None:
            return []
        now = asyncio.get_running_loop().time()
        if keypad.offer is not None and keypad.offer.code_url is not None:
            return [keypad.offer.until - math.ceil(keypad.offer.until - now) + 1]
        return [now + 1] if keypad.refusal else []

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
        if self._result is None or self._result.until <= asyncio.get_running_loop().time():
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

    def _tapped(self, tile: Tile | None) -> None:
        self._touch.tapped(tile)
        self._stage.repaint()

    def _on_keypad(self) -> None:
        self._touch.busy()
        self._stage.repaint()

    def _report_screen(self, error: str | None) -> None:
        self._readiness.screen_error = error

    def _on_change(self, change: Change) -> None:
        order = change.order
        if order is None:
            return
        if order.state is OrderState.PAID:
            self._touch.paid(order.product_id)
            self._paid[order.out_trade_no] = order.product_id
        else:
            self._paid.pop(order.out_trade_no, None)
        now = asyncio.get_running_loop().time()
        if order.state is OrderState.DISPENSED and change.event.kind == "dispensed":
            self._result = _Result(order, now + TAKE_GOODS_SECONDS)
        elif order.state is not OrderState.DISPENSING and change.event.kind in _FAILURES:
            self._result = _Result(order, now + FAILED_SECONDS)
        self._stage.repaint()
