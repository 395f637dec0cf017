"""Selling where the customer chooses at the machine's own keypad: one choice, one order, one code, one answer.

The vending machine waits for a yes or a no to what was chosen. The order that is opened for it can be given for that
very choice only: when the choice is over (given up, cancelled, too late), the code is withdrawn, and whoever paid it
all the same gets the money back, even if somebody has chosen the same goods again meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from hardware.dispenser import Choice, Keypad
from kiosk.cashier import Cashier, Code
from kiosk.database import DatabaseError
from kiosk.journal import Journal
from kiosk.orders import Order, OrderState
from kiosk.readiness import Readiness
from kiosk.records import Change
from kiosk.settings import Product, Settings, Slot
from kiosk.shelf import Shelf
from kiosk.waiting import happens
from kiosk.words import Speaker

# Between the code's end and the no to the machine: a payment in the code's last second is learned of by the question
# that closing it asks, and still gets its goods.
LAST_LOOK_SECONDS = 8.0
REFUSAL_SECONDS = 8.0  # long enough to read one sentence

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Offer:
    """What was chosen, and the code for it."""

    choice: Choice
    slot: Slot
    product: Product
    price_fen: int
    until: float  # the loop's clock: when the code leaves the screen
    code: Code | None = None
    paid: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def code_url(self) -> str | None:
        """The code to be shown now; None while there is none."""
        shown = self.code is not None and not self.paid and asyncio.get_running_loop().time() < self.until
        return self.code.code_url if self.code is not None and shown else None


class KeypadSales:
    """Answers the choices that customers make at the machine; knows the one that stands now."""

    def __init__(
        self,
        *,
        settings: Settings,
        keypad: Keypad,
        journal: Journal,
        cashier: Cashier,
        readiness: Readiness,
        shelf: Shelf,
        speaker: Speaker,
    ) -> None:
        self._settings = settings
        self._keypad = keypad
        self._cashier = cashier
        self._readiness = readiness
        self._shelf = shelf
        self._speaker = speaker
        self._answer_within_seconds = settings.dispenser.mdb.answer_within_seconds
        self._listeners: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusal = ("", 0.0)  # the sentence, and until when it is shown (the loop's clock)
        self._open = False
        self.offer: Offer | None = None
        journal.subscribe(self._on_change)
        keypad.on_choice(self._choice_changed)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever there is something else to be seen."""
        self._listeners.append(listener)

    @property
    def refusal(self) -> str:
        """Why the last choice was refused, in the customer's words; "" when that was long ago."""
        text, until = self._refusal
        return text if asyncio.get_running_loop().time() < until else ""

    async def start(self) -> None:
        """Withdraw what an earlier run left open: its choices are over. Then answer. Raises `DatabaseError`."""
        await self._cashier.withdraw_left_over()
        self._open = True
        self._choice_changed()

    async def stop(self) -> None:
        """Withdraw the code; a choice that waits gets its no."""
        self._open = False
        self._end_offer()
        if self._keypad.choice is not None:
            self._keypad.decline(self._keypad.choice.serial)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What others ask.

    def code(self, _: str) -> str | None:
        """See `Codes`: no product has a code of its own, only what is chosen has one."""
        return None

    def take(self, settings: Settings) -> None:
        """Sell what these settings name from the next choice on; the one that stands keeps its order."""
        self._settings = settings

    def wants(self, order: Order) -> bool:
        """Whether the choice that the order was made for still waits for its answer, at this moment."""
        offer = self.offer
        if offer is None or offer.code is None or offer.code.out_trade_no != order.out_trade_no:
            return False
        return self._keypad.choice == offer.choice

    # The choice.

    def _choice_changed(self) -> None:
        self._end_offer()
        if not self._open:
            return
        choice = self._keypad.choice
        if choice is not None:
            self._begin(choice)
        self._tell()

    def _begin(self, choice: Choice) -> None:
        words = self._speaker.words
        slot = next((slot for slot in self._settings.slots if slot.address == choice.address), None)
        product = None if slot is None else self._settings.product(slot.product_id)
        if slot is None or product is None:
            self._refuse(choice, words.keypad_unknown, f"no [slot:…] of the ini has the address {choice.address}")
            return
        price_fen = _fen(choice.price)
        if price_fen is None:
            self._refuse(choice, words.not_now, f"the machine asks {choice.price} for slot {slot.id}")
            return
        self._readiness.price_asked(slot.id, price_fen)
        closed = self._readiness.closed()
        if closed is not None:
            self._refuse(choice, closed, "nothing is sold now")
            return
        record = self._shelf.records.get(slot.id)
        if record is None or not record.sellable:
            idle = record is not None and record.stock > 0
            self._refuse(
                choice, words.not_now if idle else words.sold_out, f"slot {slot.id} does not sell by the books"
            )
            return
        self._refusal = ("", 0.0)
        until = asyncio.get_running_loop().time() + self._answer_within_seconds - LAST_LOOK_SECONDS
        self.offer = Offer(choice, slot, product, price_fen, until)
        task = asyncio.get_running_loop().create_task(self._serve(self.offer), name=f"choice {choice.serial}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, offer: Offer) -> None:
        """See one choice through: its code, the code's end, the machine's no."""
        loop = asyncio.get_running_loop()
        words = self._speaker.words
        try:
            answer = await self._cashier.order_at_keypad(
                offer.product, offer.slot, offer.price_fen, self._answer_within_seconds
            )
        except DatabaseError as error:
            self._give_up(offer, words.out_of_service, str(error))
            return
        except Exception:  # noqa: BLE001 - a mistake of ours with one choice must not leave the customer waiting
            _log.exception("the choice of item %d could not be served", offer.choice.address)
            self._give_up(offer, words.try_again, "a mistake of this program")
            return
        if not isinstance(answer, Code):
            self._give_up(offer, words.try_again, f"there is no code for it: {answer}")
            return
        if self.offer is not offer:  # over before the code came
            self._cashier.withdraw(answer.out_trade_no)
            return
        offer.code = answer
        self._tell()
        if not await happens(offer.over, offer.until - loop.time()):
            self._cashier.withdraw(answer.out_trade_no)
            self._tell()
            await happens(offer.over, LAST_LOOK_SECONDS)
        if not offer.paid:
            self._give_up(offer, words.keypad_too_late, "it was not paid in time")

    def _refuse(self, choice: Choice, text: str, why: str) -> None:
        """Say no to the machine, and why to the customer."""
        _log.warning("the choice of item %d was refused: %s", choice.address, why)
        self._keypad.decline(choice.serial)
        self._refusal = (text, asyncio.get_running_loop().time() + REFUSAL_SECONDS)
        self._tell()

    def _give_up(self, offer: Offer, text: str, why: str) -> None:
        if self.offer is offer:
            self._end_offer()
            self._refuse(offer.choice, text, why)

    def _end_offer(self) -> None:
        offer, self.offer = self.offer, None
        if offer is not None:
            offer.over.set()
            if offer.code is not None and not offer.paid:
                self._cashier.withdraw(offer.code.out_trade_no)

    def _on_change(self, change: Change) -> None:
        offer, order = self.offer, change.order
        if offer is None or offer.code is None or order is None or order.out_trade_no != offer.code.out_trade_no:
            return
        match order.state:
            case OrderState.AWAITING_PAYMENT | OrderState.CREATED | OrderState.DISPENSING:
                return
            case OrderState.PAID:
                offer.paid = True
                offer.over.set()
            case OrderState.CLOSED:
                self._give_up(offer, self._speaker.words.keypad_too_late, "its order was closed")
            case _:  # vended, or never to be
                self.offer = None
                self._keypad.decline(offer.choice.serial)
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _fen(price: Decimal) -> int | None:
    """The price in fen; None for one that cannot be paid: free, or with a fraction of a fen."""
    fen = price * 100
    return int(fen) if fen == int(fen) and fen > 0 else None
