"""What the technician reaches on the local network: page, API, live feed, each at its path."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tornado import web

from kiosk.metrics import Metrics
from kiosk.web import api, records_api
from kiosk.web.auth import Doorkeeper
from kiosk.web.handlers import (
    SECURITY_HEADERS,
    HealthHandler,
    LoginHandler,
    LogoutHandler,
    NothingHandler,
    ProofHandler,
    StaticHandler,
    session_cookie,
)
from kiosk.web.live import Live, Watcher
from kiosk.web.page import PageHandler
from kiosk.web.refusals import Refused, error_view
from kiosk.web.views import Site

HERE = Path(__file__).parent
# Read before it is refused in words (`handlers.MAX_BODY_BYTES`); whoever sends more has the connection closed.
MAX_READ_BYTES = 1024 * 1024


class LiveHandler(Watcher):
    """WS /api/live."""

    def initialize(self, site: Site, door: Doorkeeper, live: Live) -> None:
        """Take the parts."""
        self.site = site
        self.door = door
        self.live = live

    def set_default_headers(self) -> None:
        """The same rules as for everything else here, errors included."""
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """As everywhere else."""
        self.finish({"error": error_view(status_code, kwargs.get("exc_info", (None, None, None))[1])})

    def prepare(self) -> None:
        """Let in, or send away."""
        if not self.may_watch():
            raise Refused("unauthorized")

    def may_watch(self) -> bool:
        """Whether whoever watches is logged in, still; watching alone does not keep a session alive."""
        header = self.request.headers.get("Authorization")
        if header is not None:
            return self.door.is_token(header)
        shown = [self.get_cookie(session_cookie(secure=secure), "") or "" for secure in (True, False)]
        return any(self.door.sessions.find(token, used=False) is not None for token in shown)

    def open(self, *_: str, **__: str) -> None:
        """Begin to tell."""
        if not self.live.add(self):
            self.close(1013, "too many watch already")

    def on_message(self, message: str | bytes) -> None:
        """Nobody has anything to say here."""

    def on_close(self) -> None:
        """Stop telling."""
        self.live.remove(self)


def local_application(site: Site, metrics: Metrics) -> web.Application:
    """Everything that a technician, or a monitoring system, reaches."""
    door = Doorkeeper(site.settings.web.password_file, site.settings.web.api_token, _monotonic)
    parts: dict[str, Any] = {"site": site, "door": door}
    slot_acts = "restock|enable|disable|test-vend"
    return web.Application(
        [
            (r"/", PageHandler, parts),
            (r"/login", LoginHandler, parts),
            (r"/logout", LogoutHandler, parts),
            (r"/api/prove", ProofHandler, parts),
            (r"/api/status", api.StatusHandler, parts),
            (r"/api/slots/fill", api.FillHandler, parts),
            (rf"/api/slots/([^/]{{1,64}})/({slot_acts})", api.SlotHandler, parts),
            (r"/api/out-of-service", api.ServiceHandler, parts),
            (r"/api/language", api.LanguageHandler, parts),
            (r"/api/screen-test", api.ScreenTestHandler, parts),
            (r"/screen\.png", api.ScreenHandler, parts),
            (r"/api/machine", api.MachineHandler, parts),
            (r"/api/log", api.LogHandler, parts),
            (r"/api/support\.zip", records_api.SupportHandler, parts),
            (r"/api/orders", records_api.OrdersHandler, parts),
            (r"/api/orders\.csv", records_api.CsvHandler, parts),
            (r"/api/orders/([^/]{1,64})", records_api.OrderHandler, parts),
            (r"/api/orders/([^/]{1,64})/refund", records_api.RefundHandler, parts),
            (r"/api/orders/([^/]{1,64})/delivered", records_api.DeliveredHandler, parts),
            (r"/api/changes", records_api.ChangesHandler, parts),
            (r"/api/sales", records_api.SalesHandler, parts),
            (r"/api/days/([^/]{1,64})", records_api.DayHandler, parts),
            (r"/api/days/([^/]{1,64})/close", records_api.CloseDayHandler, parts),
            (r"/api/live", LiveHandler, {**parts, "live": Live(site)}),
            (r"/metrics", api.MetricsHandler, {**parts, "metrics": metrics}),
            (r"/healthz", HealthHandler, parts),
            (r"/static/(.*)", StaticHandler, {"path": str(HERE / "static")}),
        ],
        default_handler_class=NothingHandler,
        default_handler_args=parts,
        template_path=str(HERE / "templates"),
    )


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
