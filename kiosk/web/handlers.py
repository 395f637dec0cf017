"""What all answers of the technician's listener have in common: who may come in, what is said of errors, log-in."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import urlsplit

from tornado import web

from kiosk.database import DatabaseError
from kiosk.web import SERVER_NAME
from kiosk.web.auth import Doorkeeper, NoPassword, Session, TooSoon
from kiosk.web.views import Site

SECURITY_HEADERS = {
    "Server": SERVER_NAME,
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
COOKIE = "kiosk_session"
PROVE_IT = "prove_it"  # the page asks for the password when it reads this code
JOURNAL_SECONDS = 2.0  # a journal that cannot even be read within this is stuck

_log = logging.getLogger(__name__)


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

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """A code and a sentence, as JSON; never a trace."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = getattr(error, "log_message", None) or self._reason
        codes = {400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "not_allowed"}
        codes |= {409: "conflict", 413: "too_large", 429: "too_many", 503: "unavailable"}
        code = PROVE_IT if self._reason == PROVE_IT else codes.get(status_code, "error")
        self.finish({"error": {"code": code, "message": message}})

    def check_same_site(self) -> None:
        """Refuse a change that another site's page asks this browser for."""
        origin = self.request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.request.host:
            raise web.HTTPError(403, "this change was asked for by a page of another site")
        if self.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise web.HTTPError(403, "this change was asked for by a page of another site")
        self.check_xsrf_cookie()


class Guarded(Handler):
    """Only for whoever has logged in or shows the token; `who` is booked with every change."""

    who = ""
    is_page = False
    keeps_alive = True  # whether asking for it is a person's use of the session
    session: Session | None = None

    def prepare(self) -> None:
        """Let in, or send away."""
        address = self.request.remote_ip
        header = self.request.headers.get("Authorization")
        if header is not None:
            if not self.door.is_token(header):
                raise web.HTTPError(401, "this token opens nothing here")
            self.who = f"token {address}"
            return
        self.session = self.door.sessions.find(self.get_cookie(COOKIE, "") or "", used=self.keeps_alive)
        if self.session is None:
            if self.is_page:
                self.redirect("/login")
                return
            raise web.HTTPError(401, "log in first, or send Authorization: Bearer with the token of api_token_file")
        self.who = f"technician {address}"
        if self.request.method not in ("GET", "HEAD"):
            self.check_same_site()

    def check_proof(self) -> None:
        """For what costs money or turns a motor: the password must have been given a short while ago (ASVS 7.5.1)."""
        if self.session is not None and not self.door.sessions.proven(self.session):
            raise web.HTTPError(403, "give the password again for this", reason=PROVE_IT)

    def body(self) -> dict[str, Any]:
        """The JSON object in the body; an empty body is an empty object."""
        try:
            values = json.loads(self.request.body or b"{}")
        except ValueError:
            raise web.HTTPError(400, "the body must be a JSON object") from None
        if not isinstance(values, dict):
            raise web.HTTPError(400, "the body must be a JSON object")
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
        self.check_same_site()
        try:
            token = await self.door.log_in(self.request.remote_ip or "", self.get_body_argument("password", ""))
        except NoPassword as error:
            self.set_status(503)
            self._show(str(error), can_log_in=False)
        except TooSoon as error:
            self.set_status(429)
            self.set_header("Retry-After", str(max(1, round(error.seconds))))
            self._show(f"密码错误次数过多，请等待 {error.seconds:.0f} 秒 · {error}", can_log_in=True)
        else:
            if token is None:
                _log.warning("a wrong password from %s", self.request.remote_ip)
                self.set_status(403)
                self._show("密码错误 · That is not the password", can_log_in=True)
                return
            secure = self.request.protocol == "https"
            self.set_cookie(COOKIE, token, httponly=True, samesite="Strict", secure=secure, path="/")
            _log.info("a technician has logged in from %s", self.request.remote_ip)
            self.redirect("/", status=303)

    def _show(self, message: str, *, can_log_in: bool) -> None:
        self.render("login.html", message=message, can_log_in=can_log_in, name=self.site.settings.kiosk.name)


class LogoutHandler(Guarded):
    """The end of a session, on the server too."""

    is_page = True

    def post(self) -> None:
        """Forget it."""
        self.door.sessions.end(self.get_cookie(COOKIE, "") or "")
        self.clear_cookie(COOKIE)
        self.redirect("/login", status=303)


class ProofHandler(Guarded):
    """POST /api/prove {"password"}: whoever holds the phone is the technician still."""

    async def post(self) -> None:
        """Check it, slowed down like a log-in."""
        given = self.body().get("password")
        if self.session is None or not isinstance(given, str):
            raise web.HTTPError(400, 'send {"password"} within a session')
        try:
            proven = await self.door.prove(self.request.remote_ip or "", self.session, given)
        except NoPassword as error:
            raise web.HTTPError(503, str(error)) from error
        except TooSoon as error:
            self.set_header("Retry-After", str(max(1, round(error.seconds))))
            raise web.HTTPError(429, str(error)) from error
        if not proven:
            raise web.HTTPError(403, "that is not the password")
        self.finish({})


class PageHandler(Guarded):
    """The page itself; what it shows comes from the API and the live feed."""

    is_page = True

    def get(self) -> None:
        """Show it."""
        self.render("index.html", name=self.site.settings.kiosk.name, language=self.site.settings.kiosk.language)


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
    """Style, script, words."""

    def set_default_headers(self) -> None:
        """The same rules as for everything else here, errors included."""
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)


class NothingHandler(Handler):
    """Any other path."""

    def prepare(self) -> None:
        """Say that there is nothing."""
        raise web.HTTPError(404, "there is nothing here")
