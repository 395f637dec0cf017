"""What all answers of the technician's listener have in common: who may come in, what is said of errors, log-in."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any
from urllib.parse import urlsplit

from tornado import web
from tornado.netutil import is_valid_ip

from kiosk.database import DatabaseError
from kiosk.web import SERVER_NAME
from kiosk.web.auth import Doorkeeper, NoPassword, Session, TooSoon
from kiosk.web.refusals import Refused, error_view
from kiosk.web.views import Site

SECURITY_HEADERS = {
    "Server": SERVER_NAME,
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
COOKIE = "kiosk_session"
LOOPBACK = ("127.0.0.1", "::1")
BY_ITSELF = "X-By-Itself"  # on what the page asks for without a person: it keeps no session alive
MAX_BODY_BYTES = 64 * 1024  # a hundred times what the page sends
JOURNAL_SECONDS = 2.0  # a journal that cannot even be read within this is stuck

_log = logging.getLogger(__name__)


def session_cookie(*, secure: bool) -> str:
    """The name of the session's cookie."""
    return f"__Host-{COOKIE}" if secure else COOKIE


class Handler(web.RequestHandler):
    """What all answers of this listener have in common."""

    site: Site
    door: Doorkeeper

    def initialize(self, site: Site, door: Doorkeeper) -> None:
        """Take the parts."""
        self.site = site
        self.door = door

    def set_default_headers(self) -> None:
        """Nothing inline, nothing from elsewhere, in nobody's frame."""
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Refuse what is larger than anything that this page sends."""
        if len(self.request.body) > MAX_BODY_BYTES:
            raise Refused("too_large", most=MAX_BODY_BYTES // 1024)

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002 - set already
        """A code and a sentence, as JSON; never a trace."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, DatabaseError):  # whoever asked for the change is told that it was not made
            error = Refused("journal_stuck", why=str(error))
            self.set_status(error.status_code)
        self.finish({"error": error_view(self.get_status(), error)})

    @property
    def is_secure(self) -> bool:
        """Whether the browser came by TLS: to us, or to a proxy on this board."""
        forwarded = self.request.headers.get("X-Forwarded-Proto") if self.request.remote_ip in LOOPBACK else None
        return "https" in (self.request.protocol, forwarded)

    @property
    def address(self) -> str:
        """Where the request came from; what a proxy on this board tells of it is believed."""
        told = self.request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        behind_proxy = self.request.remote_ip in LOOPBACK and is_valid_ip(told)
        return told if behind_proxy else self.request.remote_ip or ""

    @property
    def cookie_name(self) -> str:
        """Of the session. A browser takes `__Host-` from this very host only, but not over plain http."""
        return session_cookie(secure=self.is_secure)

    @property
    def session_token(self) -> str:
        """What the browser shows of its session; "" for nothing."""
        return self.get_cookie(self.cookie_name, "") or ""

    def set_cookie(self, name: str, value: str | bytes, **more: Any) -> None:  # type: ignore[override] # same for all
        """Only for this site, never for scripts; only by TLS where there is TLS."""
        super().set_cookie(name, value, **{**more, "httponly": True, "samesite": "Strict", "secure": self.is_secure})

    def check_same_site(self) -> None:
        """Refuse a change that another site's page asks this browser for."""
        origin = self.request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.request.host:
            raise Refused("foreign_page")
        if self.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refused("foreign_page")
        try:
            self.check_xsrf_cookie()
        except web.HTTPError as error:
            raise Refused("bad_form") from error


class Guarded(Handler):
    """Only for whoever has logged in or shows the token; `who` is booked with every change."""

    who = ""
    is_page = False
    keeps_alive = True  # whether asking for it is a person's use of the session
    session: Session | None = None

    def prepare(self) -> None:
        """Let in, or send away."""
        super().prepare()
        header = self.request.headers.get("Authorization")
        if header is not None:
            if not self.door.is_token(header):
                raise Refused("bad_token")
            self.who = f"token {self.address}"
            return
        used = self.keeps_alive and BY_ITSELF not in self.request.headers
        self.session = self.door.sessions.find(self.session_token, used=used)
        if self.session is None:
            if self.is_page:
                self.redirect("/login")
                return
            raise Refused("unauthorized")
        self.who = f"technician {self.address}"
        if self.request.method not in ("GET", "HEAD"):
            self.check_same_site()

    def check_proof(self) -> None:
        """For what costs money or turns a motor: the password must have been given a short while ago (ASVS 7.5.1)."""
        if self.session is not None and not self.door.sessions.proven(self.session):
            raise Refused("prove_it")

    def number(self, name: str, otherwise: int, least: int, most: int) -> int:
        """A whole number of the query; refuses with 400 what is none or out of range."""
        text = self.get_query_argument(name, str(otherwise))
        if re.fullmatch("[0-9]{1,6}", text) is None or not least <= int(text) <= most:
            raise Refused("bad_number", name=name, least=least, most=most)
        return int(text)

    def body(self) -> dict[str, Any]:
        """The JSON object in the body; an empty body is an empty object."""
        try:
            values = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError):
            raise Refused("bad_body") from None
        if not isinstance(values, dict):
            raise Refused("bad_body")
        return values


class LoginHandler(Handler):
    """The password; wrong ones are slowed down."""

    def get(self) -> None:
        """Ask for it, or say how to set one."""
        try:
            self.door.check_password_is_set()
        except NoPassword as error:
            self.set_status(503)
            self._show(str(error), can_log_in=False)
            return
        self._show("", can_log_in=True)

    async def post(self) -> None:
        """Check it."""
        try:
            self.check_same_site()
        except Refused as error:
            texts = error_view(error.status_code, error)["text"]
            self.set_status(error.status_code)
            self._show(f"{texts['zh_CN']} · {texts['en']}", can_log_in=True)
            return
        try:
            token = await self.door.log_in(self.address, self.get_body_argument("password", ""))
        except NoPassword as error:
            self.set_status(503)
            self._show(str(error), can_log_in=False)
        except TooSoon as error:
            self.set_status(429)
            self.set_header("Retry-After", str(error.whole_seconds))
            self._show(f"密码错误次数过多，请等待 {error.whole_seconds} 秒 · {error}", can_log_in=True)
        else:
            if token is None:
                _log.warning("a wrong password from %s", self.address)
                self.set_status(403)
                self._show("密码错误 · That is not the password", can_log_in=True)
                return
            self.door.sessions.end(self.session_token)  # a session that was begun before is over
            self.set_cookie(self.cookie_name, token, path="/")
            _log.info("a technician has logged in from %s", self.address)
            self.redirect("/", status=303)

    def _show(self, message: str, *, can_log_in: bool) -> None:
        self.render("login.html", message=message, can_log_in=can_log_in, name=self.site.settings.kiosk.name)


class LogoutHandler(Guarded):
    """The end of a session, on the server too."""

    is_page = True

    def post(self) -> None:
        """Forget it."""
        self.door.sessions.end(self.session_token)
        self.clear_cookie(self.cookie_name, path="/")
        _log.info("a technician has logged out at %s", self.address)
        self.redirect("/login", status=303)


class ProofHandler(Guarded):
    """POST /api/prove {"password"}: whoever holds the phone is the technician still."""

    async def post(self) -> None:
        """Check it, slowed down like a log-in."""
        given = self.body().get("password")
        if self.session is None or not isinstance(given, str):
            raise Refused("no_password_sent")
        try:
            proven = await self.door.prove(self.address, self.session, given)
        except NoPassword as error:
            raise Refused("unavailable", why=str(error)) from error
        except TooSoon as error:
            raise Refused("too_many", seconds=error.whole_seconds) from error
        if not proven:
            _log.warning("a wrong password from %s, for a refund or a test vend", self.address)
            raise Refused("wrong_password")
        self.finish({})


class HealthHandler(Handler):
    """GET /healthz: open to all, says nothing but whether the process can serve."""

    async def get(self) -> None:
        """Whoever reads this answer knows that the loop turns; the journal is asked."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        try:
            async with asyncio.timeout(JOURNAL_SECONDS):
                await self.site.journal.switch("out_of_service")
        except (DatabaseError, TimeoutError):
            self.set_status(503)
            self.finish("the journal is stuck")
            return
        if self.site.journal.error is not None:
            self.set_status(503)
            self.finish("the journal cannot be written")
            return
        self.finish("ok")


class StaticHandler(web.StaticFileHandler):
    """Style and script."""

    def set_default_headers(self) -> None:
        """The same rules as for everything else here, errors included; a browser may keep files, and asks again."""
        for name, value in {**SECURITY_HEADERS, "Cache-Control": "no-cache"}.items():
            self.set_header(name, value)

    def write_error(self, status_code: int, **_: Any) -> None:
        """As everywhere else."""
        self.finish({"error": error_view(status_code, None)})


class NothingHandler(Handler):
    """Any other path."""

    def prepare(self) -> None:
        """Say that there is nothing."""
        raise Refused("not_found")
