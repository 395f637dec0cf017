"""Puts the parts together: settings → parts → running machine → orderly stop. The only file that knows them all."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import sys
import time

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from hardware.dispenser import Keypad
from kiosk.cashier import Cashier
from kiosk.clock import Clock, SystemClock
from kiosk.codes import Codes, OrderCodes, StaticCodes
from kiosk.config import ConfigError, load
from kiosk.database import DatabaseError
from kiosk.dispatcher import Dispatcher
from kiosk.drivers import make_dispenser, screen_opener
from kiosk.journal import Journal
from kiosk.keypad import KeypadSales
from kiosk.line import Line
from kiosk.lock import DataFolderLock
from kiosk.metrics import Metrics
from kiosk.miniprogram.login import Login
from kiosk.payments.wechat.gateway import WeChatGateway
from kiosk.payments.wechat.native import native_link
from kiosk.payments.wechat.notifications import Inbound
from kiosk.readiness import Readiness
from kiosk.reload import merge
from kiosk.service import Service
from kiosk.settings import (
    ListenAddress,
    NativeMode,
    Settings,
)
from kiosk.shelf import Shelf
from kiosk.storefront import Storefront
from kiosk.web import MAX_HEADER_BYTES
from kiosk.web.local import MAX_READ_BYTES, local_application
from kiosk.web.messages import BODY_SECONDS, IDLE_CONNECTION_SECONDS
from kiosk.web.miniprogram import Counter
from kiosk.web.public import public_server
from kiosk.web.views import Site
from kiosk.words import Speaker

# Python lets a thread that works go on for 5 ms before another one that waits has its turn, and an answer to a board
# takes several turns: with 5 ms one in a hundred took 31 ms while the screen was painted, with this 5 (make bench).
SWITCH_SECONDS = 0.001
JOURNAL_SECONDS = 15.0  # three times what the journal waits for another process's lock, and a worn-out card's sync

_log = logging.getLogger(__name__)


class Machine:
    """One vending machine. Raises `DatabaseError` or `OSError` with a sentence when it cannot be one."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        speaker = Speaker(settings.kiosk.language)
        miniprogram_app_id = None if settings.miniprogram is None else settings.miniprogram.app_id
        self.settings = settings
        self._lock = DataFolderLock(settings.kiosk.data_dir)
        try:
            self.journal = Journal(settings.kiosk.data_dir, clock)
        except DatabaseError:
            self._lock.release()
            raise
        line = Line(self.journal)  # before all others: who waits for goods hears of a payment first
        self.gateway = WeChatGateway(
            settings.wechatpay,
            shop_name=settings.kiosk.name,
            machine_id=settings.kiosk.id,
            miniprogram_app_id=miniprogram_app_id,
            clock=clock,
        )
        self.dispenser = make_dispenser(settings)
        self.shelf = Shelf(settings, self.journal)
        self.readiness = Readiness(
            settings=settings,
            journal=self.journal,
            dispenser=self.dispenser,
            gateway=self.gateway,
            shelf=self.shelf,
            clock=clock,
            speaker=speaker,
        )
        self.cashier = Cashier(
            settings=settings,
            journal=self.journal,
            gateway=self.gateway,
            clock=clock,
            speaker=speaker,
            closed=self.readiness.closed,
            answered=self.readiness.wechat_answered,
        )
        self.keypad: KeypadSales | None = None
        if isinstance(self.dispenser, Keypad):
            self.keypad = KeypadSales(
                settings=settings,
                keypad=self.dispenser,
                journal=self.journal,
                cashier=self.cashier,
                readiness=self.readiness,
                shelf=self.shelf,
                speaker=speaker,
            )
        self.dispatcher = Dispatcher(
            settings=settings,
            journal=self.journal,
            line=line,
            dispenser=self.dispenser,
            clock=clock,
            wants=None if self.keypad is None else self.keypad.wants,
        )
        self._order_codes: OrderCodes | None = None
        self._codes: Codes
        if self.keypad is not None:
            self._codes = self.keypad
        elif settings.wechatpay.native_mode is NativeMode.TWO:
            self._codes = self._order_codes = OrderCodes(
                settings=settings,
                journal=self.journal,
                cashier=self.cashier,
                readiness=self.readiness,
                shelf=self.shelf,
                clock=clock,
            )
        else:
            self._codes = _static_codes(settings)
        self.storefront = Storefront(
            settings=settings,
            journal=self.journal,
            shelf=self.shelf,
            readiness=self.readiness,
            codes=self._codes,
            dispatcher=self.dispatcher,
            gateway=self.gateway,
            speaker=speaker,
            open_screen=screen_opener(settings),
            keypad=self.keypad,
        )
        if self._order_codes is not None:
            self._order_codes.on_change(self.storefront.repaint)
        self._login = None if settings.miniprogram is None else Login(settings.miniprogram)
        self._counter = self._make_counter()
        inbound = Inbound(settings.wechatpay, miniprogram_app_id=miniprogram_app_id)
        self._public = public_server(self.cashier, inbound, self._counter)
        self._site = Site(
            settings=settings,
            journal=self.journal,
            shelf=self.shelf,
            readiness=self.readiness,
            cashier=self.cashier,
            dispatcher=self.dispatcher,
            dispenser=self.dispenser,
            gateway=self.gateway,
            storefront=self.storefront,
            clock=clock,
        )
        self._metrics = Metrics(self._site)
        self._local = HTTPServer(
            local_application(self._site, self._metrics),
            max_body_size=MAX_READ_BYTES,
            max_header_size=MAX_HEADER_BYTES,
            body_timeout=BODY_SECONDS,
            idle_connection_timeout=IDLE_CONNECTION_SECONDS,
        )

    def _make_counter(self) -> Counter | None:
        """What serves the mini-program's customers, where there is one."""
        if self.settings.miniprogram is None or self._login is None:
            return None
        return Counter(
            settings=self.settings,
            miniprogram=self.settings.miniprogram,
            journal=self.journal,
            cashier=self.cashier,
            shelf=self.shelf,
            readiness=self.readiness,
            login=self._login,
        )

    async def start(self) -> None:
        """Show the screen first, settle what an earlier run left, then open for business."""
        await self.storefront.start()
        await self.dispenser.start()
        await self.shelf.start()
        await self.readiness.start()
        await self.dispatcher.start()
        await self.cashier.start()
        await self._metrics.start()
        _listen(self._public, self.settings.callbacks, "callbacks")
        _listen(self._local, self.settings.web.listen, "web")
        if self._order_codes is not None:
            await self._order_codes.start()
        if self.keypad is not None:
            await self.keypad.start()
        self.storefront.open()

    async def reload(self) -> tuple[str, ...]:
        """Take products and slots from the ini as it stands now, all at once; open orders keep their price.

        Returns what else has changed in it and waits for a restart. Raises `ConfigError` or `DatabaseError`; then the
        machine goes on as it was.
        """
        settings, waiting = merge(self.settings, await asyncio.to_thread(load, self.settings.path))
        await self.shelf.take(settings)
        # Nothing is awaited from here on: nobody sees one half of the new ini beside the other half of the old one.
        self.settings = self._site.settings = settings
        if self._counter is not None:
            self._counter.settings = settings
        self.cashier.take(settings)
        self.dispatcher.take(settings)
        self._codes.take(settings)
        self.storefront.take(settings)
        self.readiness.take(settings)
        await self.journal.note(
            "settings_reloaded",
            {
                "prices_fen": {product.id: product.price_fen for product in settings.products},
                "slots": {slot.id: slot.product_id for slot in settings.slots},
            },
        )
        return waiting

    async def stuck(self) -> str | None:
        """Why only a new process could sell again; None while journal and driver answer. For the watchdog.

        A disk that is full, a board that is off or a network that is down is no reason: a new one finds the same.
        """
        try:
            async with asyncio.timeout(JOURNAL_SECONDS):
                await self.journal.pulse()
        except TimeoutError:
            return f"the journal has not answered within {JOURNAL_SECONDS:g} s"
        except DatabaseError:
            pass  # it answers; what it cannot do is a problem of `Readiness`
        if not self.dispenser.status.alive:
            return "the driver does not look for its board any more"
        return self.dispatcher.stuck

    async def stop(self) -> None:
        """Finish a vend under way; everything else is taken up at the next start."""
        self._public.stop()
        self._local.stop()
        if self._order_codes is not None:
            await self._order_codes.stop()
        if self.keypad is not None:
            await self.keypad.stop()
        await self._metrics.stop()
        await self.dispatcher.stop()
        await self.cashier.stop()
        await self.readiness.stop()
        await self.shelf.stop()
        await self.storefront.stop()
        await self.dispenser.stop()
        await self.gateway.aclose()
        if self._login is not None:
            await self._login.aclose()
        await self._public.close_all_connections()
        await self._local.close_all_connections()
        await self.journal.close()
        self._lock.release()


def run_machine(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; return the exit status."""
    share_interpreter()
    return asyncio.run(_run(settings))


def share_interpreter() -> None:
    """Let the event loop have its turn soon while another thread of this process works, as the painter's does."""
    sys.setswitchinterval(SWITCH_SECONDS)


async def _run(settings: Settings) -> int:
    stop, hangup = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    service = Service()
    try:
        machine = Machine(settings)
    except (DatabaseError, OSError) as error:
        _log.critical("%s", error)
        return 1
    try:
        await machine.start()
    except OSError as error:
        _log.critical("%s", error)
        await machine.stop()
        return 1
    _log.info("machine %s is open for business", settings.kiosk.id)
    service.ready(f"machine {settings.kiosk.id} is open for business")
    tasks = [
        loop.create_task(service.feed(machine.stuck)),
        loop.create_task(_reload_forever(machine, service, hangup)),
    ]
    await stop.wait()
    service.stopping()
    _log.info("stopping: a vend under way is finished first")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await machine.stop()
    return 0


async def _reload_forever(machine: Machine, service: Service, hangup: asyncio.Event) -> None:
    """Take the ini anew at every SIGHUP, and say in the log what became of it."""
    while True:
        await hangup.wait()
        hangup.clear()
        service.reloading()
        path = machine.settings.path
        try:
            waiting = await machine.reload()
        except ConfigError as error:
            for finding in error.findings:
                _log.error("not taken: %s", finding)
            status = f"{path} was not taken: it has {len(error.findings)} mistake(s), the log tells them all"
            _log.error("%s; the machine goes on with the products and prices that it has", status)
        except DatabaseError as error:
            status = f"{path} was not taken: {error}"
            _log.error("%s", status)
        except Exception:  # noqa: BLE001 - a mistake of ours: the next SIGHUP is heard all the same
            status = f"{path} was not taken for a mistake of this program"
            _log.exception("%s", status)
        else:
            products, slots = len(machine.settings.products), len(machine.settings.slots)
            status = f"{path} is taken: {products} products, {slots} slots"
            _log.info("%s", status)
            for name in waiting:
                _log.warning("%s in it has changed, which only a restart takes: systemctl restart kiosk", name)
        service.ready(status)


def _static_codes(settings: Settings) -> StaticCodes:
    now = int(time.time())

    def link(product_id: str) -> str:
        return native_link(settings.wechatpay, product_id, time_stamp=now, nonce=secrets.token_hex(16))

    return StaticCodes(settings, link)


def _listen(server: HTTPServer, address: ListenAddress, section: str) -> None:
    try:
        server.add_sockets(bind_sockets(address.port, address.host))
    except OSError as error:
        raise OSError(
            f"[{section}] listen = {address.host}:{address.port} cannot be used: {error.strerror}; "
            "is another machine process running?"
        ) from error
