"""The codes on the screen: one for each product that can be bought now.

Mode one: a static link, signed once. Mode two: an order at WeChat for each product, made ahead, renewed before it
expires and as soon as it was paid, closed when the product cannot be sold any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from kiosk.cashier import CODE_GRACE_SECONDS, Cashier, Code
from kiosk.clock import Clock
from kiosk.database import DatabaseError
from kiosk.journal import Journal
from kiosk.orders import UNPAID
from kiosk.readiness import Readiness
from kiosk.records import Change
from kiosk.settings import Product, Settings
from kiosk.shelf import Shelf
from kiosk.waiting import happens

RETRY_SECONDS = (1.0, 30.0)  # first and longest wait after a code that could not be made

# The board or the network may be back in a moment: a hidden code is kept open so long before it is closed.
HIDDEN_SECONDS = 30

_log = logging.getLogger(__name__)


class Codes(Protocol):
    """What the storefront needs to know of codes."""

    def code(self, product_id: str) -> str | None:
        """The text of the product's code; None while there is none to show."""

    def take(self, settings: Settings) -> None:
        """Have codes for the products of these settings from now on."""


class StaticCodes:
    """Native mode one: made once, the same as printed ones. `link` signs one for a product's id."""

    def __init__(self, settings: Settings, link: Callable[[str], str]) -> None:
        self._link = link
        self._links: dict[str, str] = {}
        self.take(settings)

    def code(self, product_id: str) -> str | None:
        """The product's link."""
        return self._links.get(product_id)

    def take(self, settings: Settings) -> None:
        """A link names a product, not its price: it stays as long as the product does."""
        ids = [product.id for product in settings.products]
        self._links = {product_id: self._links.get(product_id) or self._link(product_id) for product_id in ids}


class OrderCodes:
    """Native mode two: keeps an open order for each product that can be bought."""

    def __init__(
        self,
        *,
        settings: Settings,
        journal: Journal,
        cashier: Cashier,
        readiness: Readiness,
        shelf: Shelf,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._cashier = cashier
        self._readiness = readiness
        self._shelf = shelf
        self._clock = clock
        self._codes: dict[str, Code] = {}
        self._renewed: dict[str, Code] = {}  # the one before, which can still be paid for a while
        self._wakes: dict[str, asyncio.Event] = {}
        self._retired: list[asyncio.TimerHandle] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._listeners: list[Callable[[], None]] = []
        journal.subscribe(self._on_change)
        readiness.on_change(self._wake_all)
        shelf.on_change(self._wake_all)  # after a sale: the stock that is looked at is the one without the unit

    def code(self, product_id: str) -> str | None:
        """The product's newest code; None while it is being made."""
        code = self._codes.get(product_id)
        return None if code is None else code.code_url

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a code has come or gone."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Take over the codes of an earlier run that still hold, withdraw the others, then keep them fresh."""
        for code in await self._cashier.open_codes():
            product = self._settings.product(code.product_id)
            good = product is not None and product.price_fen == code.price_fen and self._seconds_left(code) > 0
            if good and code.product_id not in self._codes:
                self._codes[code.product_id] = code
            else:
                self._cashier.withdraw(code.out_trade_no)
        self._tend_all()

    def take(self, settings: Settings) -> None:
        """Have codes for the products of these settings from now on.

        A code of another price or name leaves the screen at once; whoever scanned it just before can still pay it.
        """
        before, self._settings = self._settings, settings
        for code in tuple(self._codes.values()):
            if _differ(before.product(code.product_id), settings.product(code.product_id)):
                self._retire(code)
        self._tend_all()
        self._wake_all()

    async def stop(self) -> None:
        """Leave the codes as they are: the next start takes them over."""
        for timer in self._retired:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _tend_all(self) -> None:
        for product in self._settings.products:
            if product.id not in self._wakes:
                self._wakes[product.id] = asyncio.Event()
                self._tasks.append(asyncio.get_running_loop().create_task(self._tend(product.id)))

    async def _tend(self, product_id: str) -> None:
        """Keep one product's code right, until the ini does not have it any more."""
        loop = asyncio.get_running_loop()
        wake = self._wakes[product_id]
        first_wait, longest_wait = RETRY_SECONDS
        retry_wait = first_wait
        renew_at = hide_until = 0.0
        while True:
            wake.clear()
            product = self._settings.product(product_id)
            if product is None:
                del self._wakes[product_id]
                return
            code = self._codes.get(product_id)
            sellable = self._readiness.sells(product_id)
            wait: float | None = None
            if sellable:
                hide_until = 0.0
                if code is not None and renew_at == 0.0:
                    renew_at = loop.time() + self._seconds_left(code)
                if code is None or loop.time() >= renew_at:
                    if await self._make(product):
                        renew_at, retry_wait = loop.time() + self._settings.wechatpay.code_ttl_seconds, first_wait
                        continue
                    wait, retry_wait = retry_wait, min(retry_wait * 2, longest_wait)
                else:
                    wait = renew_at - loop.time()
            elif code is not None or product_id in self._renewed:
                hide_until = hide_until or loop.time() + (HIDDEN_SECONDS if self._readiness.blocked else 0)
                if loop.time() >= hide_until:
                    for open_code in (code, self._renewed.pop(product_id, None)):
                        if open_code is not None:
                            self._drop(open_code)
                            self._cashier.withdraw(open_code.out_trade_no)
                    continue
                wait = hide_until - loop.time()
            await happens(wake, wait)

    async def _make(self, product: Product) -> bool:
        """Make a new code in place of the old one, which stays payable until it expires."""
        try:
            await self._shelf.refresh()  # the sale that made room for this code may have been of the last unit
            if not self._readiness.sells(product.id):
                return False
            answer = await self._cashier.open_code(product.id)
        except DatabaseError as error:
            _log.error("no code for %s: %s", product.id, error)
            return False
        if isinstance(answer, Code):
            if _differ(product, self._settings.product(product.id)):  # a new ini was taken meanwhile
                self._cashier.withdraw(answer.out_trade_no)
                return False
            before = self._codes.get(product.id)
            if before is not None:
                self._renewed[product.id] = before
            self._codes[product.id] = answer
            self._tell()
            return True
        old = self._codes.get(product.id)
        if old is not None:
            self._drop(old)
        return False

    def _seconds_left(self, code: Code) -> float:
        """How long a code may still stand on the screen."""
        left = (code.expires_at - self._clock.now()).total_seconds() - CODE_GRACE_SECONDS
        return min(left, float(self._settings.wechatpay.code_ttl_seconds))

    def _retire(self, code: Code) -> None:
        self._drop(code)
        timer = asyncio.get_running_loop().call_later(CODE_GRACE_SECONDS, self._cashier.withdraw, code.out_trade_no)
        self._retired = [*(timer for timer in self._retired if not _is_over(timer)), timer]

    def _drop(self, code: Code) -> None:
        if self._codes.get(code.product_id) == code:
            del self._codes[code.product_id]
            self._tell()

    def _on_change(self, change: Change) -> None:
        order = change.order
        if order is not None:
            code = self._codes.get(order.product_id)
            if code is not None and code.out_trade_no == order.out_trade_no and order.state not in UNPAID:
                self._drop(code)

    def _wake_all(self) -> None:
        for wake in self._wakes.values():
            wake.set()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _is_over(timer: asyncio.TimerHandle) -> bool:
    return timer.when() < asyncio.get_running_loop().time()


def _differ(before: Product | None, after: Product | None) -> bool:
    """Whether an order for the one is not what a customer of the other expects."""
    if before is None or after is None:
        return True
    return (before.price_fen, before.name, before.name_en) != (after.price_fen, after.name, after.name_en)
