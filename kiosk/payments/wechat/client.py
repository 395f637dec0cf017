"""Calls to WeChat Pay v2: signed XML over HTTPS, in threads, never longer than their time limit.

Two pools of threads: urgent calls (a customer waits with a phone in the hand) never queue behind background ones. A
call that gets no answer is sent once more, the same bytes, to the other host: every call that is made here is
harmless when repeated unchanged. What comes back is believed only if it is signed as configured and is for this
merchant.

`requests` honours the environment (proxies, REQUESTS_CA_BUNDLE): a machine may stand behind a company's proxy.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kiosk.clock import Clock
from kiosk.payments.gateway import Exchange, Reachability
from kiosk.payments.wechat import signature, xml
from kiosk.payments.wechat.fields import one_line
from kiosk.settings import WeChatPaySettings

if TYPE_CHECKING:
    import requests

URGENT_THREADS = 4  # people who scan within the same second at one machine
BACKGROUND_THREADS = 4  # 60 codes asked for every 3 s at 0.1 s a call keep two busy; the others bear slow answers
CONNECT_FAILURES_UNTIL_BACKUP = 2  # more than so many since its last answer (the official SDK's rule)
KEPT_EXCHANGES = 20  # what a technician reads to see how the line is doing
STEP_SECONDS = 5.0  # a wall clock that moved so much more or less than time passed was stepped; less is its drift
LEAST_TRY_SECONDS = 0.3  # with less left, a TLS handshake and an answer do not fit in: nothing is sent

_AGAIN = frozenset({"SYSTEMERROR", "BIZERR_NEED_RETRY"})  # their own fault: repeat unchanged, say the error tables
_NOT_NOW = frozenset({9, 10})  # OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED
_HEADERS = {
    "Content-Type": "text/xml; charset=utf-8",
    "Accept-Encoding": "identity",  # a compressed answer could be a bomb; what comes is never unpacked
    "User-Agent": "kiosk",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CallLimits:
    """How long one call may take, in seconds."""

    connect_seconds: float  # each of the two tries, name look-up not included
    read_seconds: float  # each wait for bytes of the answer
    total_seconds: float  # all of it: waiting for a thread, both tries


@dataclass(frozen=True)
class Limits:
    """Every limit of the line."""

    # A scan callback is answered within 3 s; half a second of that is for the journal and the way to the phone.
    # One try ends early enough for the other host to answer.
    urgent: CallLimits = CallLimits(connect_seconds=1.0, read_seconds=1.4, total_seconds=2.4)
    # Nobody waits: WeChat's own SDK gives reading 8 s.
    background: CallLimits = CallLimits(connect_seconds=3.0, read_seconds=8.0, total_seconds=20.0)
    back_to_main_seconds: float = 180.0  # the official SDK tries its first host again after 3 minutes


@dataclass(frozen=True)
class Succeeded:
    """The call did what it was to do."""

    fields: Mapping[str, str]


@dataclass(frozen=True)
class Failed:
    """WeChat Pay understood the call and says no (result_code FAIL, signed)."""

    code: str
    message: str


@dataclass(frozen=True)
class Denied:
    """WeChat Pay did not take the call (return_code FAIL). Unsigned; it never says anything about an order."""

    code: str
    message: str


@dataclass(frozen=True)
class NoAnswer:
    """Nothing came back, or nothing that can be believed. The call may have had its effect."""

    reason: str


Answer = Succeeded | Failed | Denied | NoAnswer


class Client:
    """The line to WeChat Pay. Made and used on the event loop; the blocking part is in threads."""

    def __init__(self, settings: WeChatPaySettings, *, app_ids: frozenset[str], clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._hosts = _Hosts(settings.api_base, settings.backup_api_base, limits.back_to_main_seconds)
        self._line = _Line(settings, app_ids, self._hosts)
        self._urgent = ThreadPoolExecutor(URGENT_THREADS, "wechat-urgent")
        self._background = ThreadPoolExecutor(BACKGROUND_THREADS, "wechat")
        self._under_way: set[asyncio.Future[_Outcome]] = set()
        self._closed = False
        self._reachability = Reachability()
        self._exchanges: deque[Exchange] = deque(maxlen=KEPT_EXCHANGES)
        self._told: _TimeTold | None = None  # by WeChat, in the last believed answer

    @property
    def reachability(self) -> Reachability:
        """How the line is doing now."""
        return replace(self._reachability, host=_name(self._hosts.first()), exchanges=tuple(self._exchanges))

    @property
    def clock_offset_seconds(self) -> float | None:
        """WeChat's clock minus ours, as the last believed answer told it; None before that.

        A step of our clock since then is seen at once: the offset is another one without a further answer.
        """
        if self._told is None:
            return None
        passed = time.monotonic() - self._told.monotonic
        stepped = (self._clock.now() - self._told.ours).total_seconds() - passed
        return self._told.offset_seconds - (stepped if abs(stepped) >= STEP_SECONDS else 0.0)

    async def call(self, path: str, fields: Mapping[str, str], *, number: str, urgent: bool = False) -> Answer:
        """Sign and send `fields`; empty ones are left out. `number` names the order in the log. Raises nothing."""
        if self._closed:
            return NoAnswer("the line to WeChat Pay is closed")
        limits = self._limits.urgent if urgent else self._limits.background
        started = time.monotonic()
        work = asyncio.get_running_loop().run_in_executor(
            self._urgent if urgent else self._background,
            self._line.call,
            path,
            fields,
            limits,
            started + limits.total_seconds,
        )
        self._under_way.add(work)
        work.add_done_callback(self._under_way.discard)
        try:
            # The thread keeps to the limit as well, but a name look-up or an answer that drips cannot be hurried.
            async with asyncio.timeout(limits.total_seconds):  # wait_for can lose a cancellation (before Python 3.12)
                outcome = await work
        except TimeoutError:
            outcome = _Outcome(NoAnswer(f"no answer within {limits.total_seconds:g} s"), "", None)
        seconds = time.monotonic() - started
        self._note(outcome)
        level, result = _result(outcome.answer)
        _log.log(level, "%s %s: %s (%s, %.0f ms)", path, number, result, outcome.host, seconds * 1000)
        self._exchanges.append(Exchange(self._clock.now(), path, number, result, seconds))
        return outcome.answer

    async def aclose(self) -> None:
        """Let calls under way end (within their limits), then free threads and connections."""
        self._closed = True
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self._limits.background.total_seconds)
        for pool in (self._urgent, self._background):
            pool.shutdown(wait=False, cancel_futures=True)
        self._line.close()

    def _note(self, outcome: _Outcome) -> None:
        if isinstance(outcome.answer, NoAnswer):
            failures = self._reachability.consecutive_failures + 1
            self._reachability = replace(
                self._reachability,
                consecutive_failures=failures,
                last_error=outcome.answer.reason,
                clock_doubted=outcome.clock_doubted,
            )
            return
        now = self._clock.now()
        self._reachability = replace(
            self._reachability, consecutive_failures=0, last_answer_at=now, clock_doubted=False
        )
        if outcome.server_date is not None:
            try:
                server = parsedate_to_datetime(outcome.server_date)
            except ValueError:
                return
            aware = server if server.tzinfo is not None else server.replace(tzinfo=UTC)
            self._told = _TimeTold((aware - now).total_seconds(), now, time.monotonic())


@dataclass(frozen=True)
class _TimeTold:
    """What WeChat's clock said, and when that was by our two clocks."""

    offset_seconds: float
    ours: datetime
    monotonic: float


@dataclass(frozen=True)
class _Outcome:
    answer: Answer
    host: str
    server_date: str | None
    clock_doubted: bool = False


class _Fault(Exception):
    """One try got no answer that can be read; the same bytes may be sent to the other host."""

    def __init__(self, reason: str, *, connect: bool = False, clock_doubted: bool = False) -> None:
        super().__init__(reason)
        self.connect = connect  # it did not even get as far as being connected
        self.clock_doubted = clock_doubted


class _Hosts:
    """Which host is asked first. Thread-safe."""

    def __init__(self, main: str, backup: str, back_to_main_seconds: float) -> None:
        self._main = main
        self._backup = backup
        self._back_to_main_seconds = back_to_main_seconds
        self._lock = threading.Lock()
        self._failures = 0  # to connect to the main host, since its last answer
        self._backup_until: float | None = None

    def first(self) -> str:
        with self._lock:
            if self._backup_until is not None and time.monotonic() >= self._backup_until:
                self._backup_until, self._failures = None, 0
            return self._main if self._backup_until is None else self._backup

    def other(self, host: str) -> str:
        return self._backup if host == self._main else self._main

    def answered(self, host: str) -> None:
        with self._lock:
            if host == self._main:
                self._backup_until, self._failures = None, 0

    def not_connected(self, host: str) -> None:
        with self._lock:
            if host == self._main:
                self._failures += 1
                if self._failures > CONNECT_FAILURES_UNTIL_BACKUP and self._backup_until is None:
                    self._backup_until = time.monotonic() + self._back_to_main_seconds


class _Line:
    """The blocking part: runs in the threads, one `requests.Session` for each."""

    def __init__(self, settings: WeChatPaySettings, app_ids: frozenset[str], hosts: _Hosts) -> None:
        self._settings = settings
        self._app_ids = app_ids
        self._hosts = hosts
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def call(self, path: str, fields: Mapping[str, str], limits: CallLimits, deadline: float) -> _Outcome:
        body = self._signed(fields)
        host = self._hosts.first()
        reasons: list[str] = []
        clock_doubted = False
        for target in (host, self._hosts.other(host)):
            if deadline - time.monotonic() < LEAST_TRY_SECONDS:
                break
            try:
                raw, server_date = self._exchange(target, path, body, limits, deadline)
                return _Outcome(self._judge(raw), _name(target), server_date)
            except _Fault as fault:
                if fault.connect:
                    self._hosts.not_connected(target)
                reasons.append(f"{_name(target)} {fault}")
                clock_doubted = clock_doubted or fault.clock_doubted
        reason = "; ".join(reasons) or "no thread was free in time"
        return _Outcome(NoAnswer(reason), _name(host), None, clock_doubted)

    def close(self) -> None:
        while self._sessions:
            self._sessions.pop().close()

    def _signed(self, fields: Mapping[str, str]) -> bytes:
        settings = self._settings
        sent = {name: value for name, value in fields.items() if value}
        sent |= {"mch_id": settings.mch_id, "nonce_str": signature.nonce(), "sign_type": settings.sign_type.value}
        sent["sign"] = signature.sign(sent, settings.api_key, settings.sign_type)
        return xml.build(sent)

    def _exchange(
        self, base: str, path: str, body: bytes, limits: CallLimits, deadline: float
    ) -> tuple[bytes, str | None]:
        import requests  # noqa: PLC0415 - takes a tenth of a second, which the first screen shall not wait for
        import urllib3  # noqa: PLC0415 - comes with it

        left = deadline - time.monotonic()
        try:
            with self._session().post(
                base + path,
                data=body,
                headers=_HEADERS,
                timeout=(min(limits.connect_seconds, left), min(limits.read_seconds, left)),
                cert=self._certificate() if path.startswith("/secapi/") else None,
                allow_redirects=False,  # WeChat Pay never does; a portal of the network would
                stream=True,
            ) as response:
                self._hosts.answered(base)
                if response.status_code != 200:
                    raise _Fault(f"answered HTTP {response.status_code}")
                return _bounded(response, deadline), response.headers.get("Date")
        except requests.exceptions.SSLError as error:
            if _out_of_time(error):
                reason = "shows a certificate that is not valid at the time of this machine's clock"
                raise _Fault(f"{reason} ({_cause(error)})", connect=True, clock_doubted=True) from error
            raise _Fault(f"failed the TLS handshake ({_cause(error)})", connect=True) from error
        except requests.ConnectTimeout as error:
            raise _Fault("could not be connected to in time", connect=True) from error
        except requests.ConnectionError as error:
            cause = error.args[0] if error.args else None
            if isinstance(cause, urllib3.exceptions.MaxRetryError):  # raised before anything was sent
                raise _Fault(f"could not be connected to ({_cause(error)})", connect=True) from error
            raise _Fault("broke the connection off") from error
        except requests.Timeout as error:
            raise _Fault(f"did not answer within {limits.read_seconds:g} s") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _Fault(f"gave no proper answer ({type(error).__name__})") from error
        except OSError as error:  # the client certificate cannot be read
            raise _Fault(f"was not asked: {error}") from error

    def _judge(self, raw: bytes) -> Answer:
        try:
            fields = xml.parse(raw)
        except xml.XmlRefused as error:
            raise _Fault(f"sent an answer that is no message: {error}") from None
        code, message = fields.get("err_code", ""), one_line(fields.get("err_code_des", ""))
        match fields.get("return_code"):
            case "SUCCESS":
                pass
            case "FAIL":
                if code in _AGAIN:
                    raise _Fault(f"has a fault of its own ({code})")
                return Denied(one_line(code or "FAIL"), one_line(fields.get("return_msg", "")) or message)
            case _:
                raise _Fault("sent an answer without a return_code")
        if not signature.verify(fields, self._settings.api_key, self._settings.sign_type):
            return NoAnswer("WeChat Pay's answer has a wrong signature: check api_key and sign_type")
        if fields.get("mch_id") != self._settings.mch_id or fields.get("appid") not in self._app_ids:
            return NoAnswer("WeChat Pay's answer is for another merchant or app")
        match fields.get("result_code"):
            case "SUCCESS":
                return Succeeded(fields)
            case "FAIL":
                if code in _AGAIN:
                    raise _Fault(f"has a fault of its own ({code})")
                return Failed(one_line(code), message)
            case _:
                return NoAnswer("WeChat Pay's answer has no result_code")

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            import requests  # noqa: PLC0415 - see _exchange

            session = self._local.session = requests.Session()
            self._sessions.append(session)
        return session

    def _certificate(self) -> tuple[str, str]:
        return str(self._settings.client_cert_file), str(self._settings.client_key_file)


def _bounded(response: requests.Response, deadline: float) -> bytes:
    """The body, unless it is longer than a message or comes in drops."""
    body = bytearray()
    while piece := response.raw.read1(8192):
        body += piece
        if len(body) > xml.MAX_BODY_BYTES:
            raise _Fault(f"sent an answer longer than {xml.MAX_BODY_BYTES} bytes")
        if time.monotonic() >= deadline:
            raise _Fault("did not finish its answer in time")
    return bytes(body)


def _name(base: str) -> str:
    return urlsplit(base).netloc


def _cause(error: BaseException) -> str:
    """The innermost cause in a few words: the outer ones repeat addresses and objects."""
    inner: object = error.args[0] if error.args else error
    inner = getattr(inner, "reason", inner)  # urllib3's MaxRetryError
    inner = getattr(inner, "__cause__", None) or inner
    return one_line(str(getattr(inner, "strerror", None) or inner))


def _out_of_time(error: BaseException | None) -> bool:
    """Whether a handshake failed because of the dates of a certificate."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_code in _NOT_NOW
        inner = error.args[0] if error.args else None
        reason = getattr(inner, "reason", None)  # urllib3's MaxRetryError
        error = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__
    return False


def _result(answer: Answer) -> tuple[int, str]:
    """How loud to log an answer, and what it was in a word; never a body or a key."""
    match answer:
        case Succeeded():
            return logging.DEBUG, "ok"
        case Failed(code, _) | Denied(code, _):
            return logging.INFO, code
        case NoAnswer(reason):
            return logging.WARNING, reason
