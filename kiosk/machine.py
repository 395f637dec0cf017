"""Puts the parts together: settings → parts → running machine → orderly stop. The only file that knows them all."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from display.framebuffer import Framebuffer
from display.png_file import PngFile
from display.screen import NullScreen, Screen
from hardware.dispenser import Dispenser
from kiosk.cashier import Cashier
from kiosk.clock import Clock, SystemClock
from kiosk.codes import Codes, OrderCodes, StaticCodes
from kiosk.database import DatabaseError
from kiosk.dispatcher import Dispatcher
from kiosk.journal import Journal
from kiosk.metrics import Metrics
from kiosk.miniprogram.login import Login
from kiosk.payments.wechat.gateway import WeChatGateway
from kiosk.payments.wechat.native import native_link
from kiosk.payments.wechat.notifications import Inbound
from kiosk.readiness import Readiness
from kiosk.settings import DispenserDriver, DisplayDriver, ListenAddress, NativeMode, Settings
from kiosk.shelf import Shelf
from kiosk.storefront import Storefront
from kiosk.web.local import local_application
from kiosk.web.miniprogram import Counter
from kiosk.web.public import MAX_BODY_BYTES, public_application
from kiosk.web.views import Site
from kiosk.words import Speaker

BODY_SECONDS = 5  # a sender that needs longer for one message is not WeChat
IDLE_CONNECTION_SECONDS = 75  # keeps a reverse proxy's connections, not a stranger's
MAX_HEADER_BYTES = 8 * 1024
DEFAULT_FRAMEBUFFER = Path("/dev/fb0")
FAKE_DROPS = "drops.jsonl"  # what the fake dispenser dropped, in the data folder

_log = logging.getLogger(__name__)


class Machine:
    """One vending machine. Raises `DatabaseError` or `OSError` with a sentence when it cannot be one."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        speaker = Speaker(settings.kiosk.language)
        miniprogram_app_id = None if settings.miniprogram is None else settings.miniprogram.app_id
        self.settings = settings
        self.journal = Journal(settings.kiosk.data_dir, clock)
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
        self.dispatcher = Dispatcher(settings=settings, journal=self.journal, dispenser=self.dispenser, clock=clock)
        self._order_codes: OrderCodes | None = None
        codes: Codes
        if settings.wechatpay.native_mode is NativeMode.TWO:
            codes = self._order_codes = OrderCodes(
                settings=settings,
                journal=self.journal,
                cashier=self.cashier,
                readiness=self.readiness,
                shelf=self.shelf,
                clock=clock,
            )
        else:
            codes = _static_codes(settings)
        self.storefront = Storefront(
            settings=settings,
            journal=self.journal,
            shelf=self.shelf,
            readiness=self.readiness,
            codes=codes,
            dispatcher=self.dispatcher,
            gateway=self.gateway,
            speaker=speaker,
            open_screen=screen_opener(settings),
        )
        if self._order_codes is not None:
            self._order_codes.on_change(self.storefront.repaint)
        self._login = None if settings.miniprogram is None else Login(settings.miniprogram)
        inbound = Inbound(settings.wechatpay, miniprogram_app_id=miniprogram_app_id)
        self._public = HTTPServer(
            public_application(self.cashier, inbound, self._counter()),
            xheaders=False,
            max_body_size=MAX_BODY_BYTES,
            max_header_size=MAX_HEADER_BYTES,
            body_timeout=BODY_SECONDS,
            idle_connection_timeout=IDLE_CONNECTION_SECONDS,
        )
        site = Site(
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
        self._metrics = Metrics(site)
        self._local = HTTPServer(
            local_application(site, self._metrics),
            max_body_size=MAX_BODY_BYTES,
            max_header_size=MAX_HEADER_BYTES,
            body_timeout=BODY_SECONDS,
            idle_connection_timeout=IDLE_CONNECTION_SECONDS,
        )

    def _counter(self) -> Counter | None:
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
        self.storefront.open()

    async def stop(self) -> None:
        """Finish a vend under way; everything else is taken up at the next start."""
        self._public.stop()
        self._local.stop()
        if self._order_codes is not None:
            await self._order_codes.stop()
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


def run_machine(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; return the exit status."""
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        machine = Machine(settings)
    except DatabaseError as error:
        _log.critical("%s", error)
        return 1
    try:
        await machine.start()
    except OSError as error:
        _log.critical("%s", error)
        await machine.stop()
        return 1
    _log.info("machine %s is open for business", settings.kiosk.id)
    await stop.wait()
    _log.info("stopping: a vend under way is finished first")
    await machine.stop()
    return 0


def make_dispenser(settings: Settings) -> Dispenser:
    """The driver that the ini names. Drivers are imported here so that only the one in use is loaded."""
    chosen = settings.dispenser
    match chosen.driver:
        case DispenserDriver.FAKE:
            from hardware.fake import FakeDispenser  # noqa: PLC0415

            return FakeDispenser(ledger=settings.kiosk.data_dir / FAKE_DROPS)
        case DispenserDriver.XY:
            from hardware.xy.driver import XyDispenser  # noqa: PLC0415

            return XyDispenser(
                port=chosen.port or "",
                baudrate=chosen.baudrate or 57600,
                vend_timeout_seconds=chosen.vend_timeout_seconds,
                drop_sensor=chosen.xy.drop_sensor,
                lift=chosen.xy.lift,
                repeat=chosen.xy.repeat,
                poll_interval_ms=chosen.xy.poll_interval_ms,
                sales_counter=chosen.xy.sales_counter,
            )
        case DispenserDriver.MODBUS | DispenserDriver.TCN | DispenserDriver.MDB:
            raise ValueError(f"dispenser driver {chosen.driver.value} is not part of this version")


def screen_opener(settings: Settings) -> Callable[[], Screen]:
    """What opens the screen that the ini names; each call opens it anew, and raises `ScreenError`."""
    display = settings.display
    match display.driver:
        case DisplayDriver.FRAMEBUFFER:
            return lambda: Framebuffer(display.device or DEFAULT_FRAMEBUFFER, display.rotate)
        case DisplayDriver.FILE:
            return lambda: PngFile(display.device or Path("screen.png"), display.width, display.height)
        case DisplayDriver.NONE:
            return lambda: NullScreen(display.width, display.height)
        case DisplayDriver.WINDOW:
            raise ValueError("display driver window is not part of this version")


def _static_codes(settings: Settings) -> StaticCodes:
    now = int(time.time())
    return StaticCodes(
        {
            product.id: native_link(settings.wechatpay, product.id, time_stamp=now, nonce=secrets.token_hex(16))
            for product in settings.products
        }
    )


def _listen(server: HTTPServer, address: ListenAddress, section: str) -> None:
    try:
        server.add_sockets(bind_sockets(address.port, address.host))
    except OSError as error:
        raise OSError(
            f"[{section}] listen = {address.host}:{address.port} cannot be used: {error.strerror}; "
            "is another machine process running?"
        ) from error
