"""Who may use the technician's page: one password, sessions in memory, a bearer token for scripts."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kiosk.web import password

SESSION_BYTES = 32
IDLE_SECONDS = 30 * 60  # a phone put aside in front of an open machine
TOTAL_SECONDS = 12 * 3600  # a working day
PROOF_SECONDS = 5 * 60  # a phone left on top of the machine refunds nobody
MAX_SESSIONS = 64  # more technicians than ever stood before one machine; the oldest gives way
FREE_TRIES = 3  # wrong passwords that cost nothing: a slip of the thumb
LONGEST_WAIT_SECONDS = 30.0  # never a lock-out: whoever has mistyped gets the next try after half a minute
# An address without a slip of its own waits no longer than this for others' guessing: the technician gets in, and
# somebody with a thousand addresses still gets one guess a second.
NEWCOMER_SECONDS = 1.0
FORGET_SECONDS = 15 * 60  # a wrong password counts for so long
EVERYBODY = ""  # under this key all addresses are counted together
MAX_ADDRESSES = 256  # remembered; beyond it the oldest are forgotten, the count of all tries is kept


class NoPassword(Exception):
    """No password has been set, or its file cannot be read: the sentence says what to do."""


class TooSoon(Exception):
    """Too many wrong passwords; `seconds` until the next try."""

    def __init__(self, seconds: float) -> None:
        self.whole_seconds = math.ceil(seconds)
        super().__init__(f"too many wrong passwords: wait {self.whole_seconds} s")


@dataclass
class Session:
    """One login. `proven`: when the password was last given."""

    begun: float
    used: float
    proven: float


class Sessions:
    """Logins, by the hash of their token: what leaks from memory opens nothing. `now` is a monotonic clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self) -> str:
        """Make a session; return its token for the cookie."""
        token, now = secrets.token_urlsafe(SESSION_BYTES), self._now()
        self._sessions[_digest(token)] = Session(begun=now, used=now, proven=now)
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def proven(self, session: Session) -> bool:
        """Whether the password was given a short while ago."""
        return self._now() - session.proven <= PROOF_SECONDS

    def prove(self, session: Session) -> None:
        """The password was given."""
        session.proven = self._now()

    def find(self, token: str, *, used: bool = True) -> Session | None:
        """The session of a token, if it is still good; `used` keeps it alive."""
        key = _digest(token)
        session = self._sessions.get(key)
        if session is None:
            return None
        now = self._now()
        if now - session.used > IDLE_SECONDS or now - session.begun > TOTAL_SECONDS:
            del self._sessions[key]
            return None
        if used:
            session.used = now
        return session

    def end(self, token: str) -> None:
        """Log out."""
        self._sessions.pop(_digest(token), None)


class Throttle:
    """Slows wrong passwords down, for each address and for all together."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise `TooSoon` while a try from this address has to wait."""
        longest = LONGEST_WAIT_SECONDS if self._count(address) else NEWCOMER_SECONDS
        wait = max(
            self._left(address, FREE_TRIES, LONGEST_WAIT_SECONDS), self._left(EVERYBODY, FREE_TRIES * 10, longest)
        )
        if wait > 0:
            raise TooSoon(wait)

    def failed(self, address: str) -> None:
        """Count a wrong password."""
        for key in (address, EVERYBODY):
            count = self._count(key)
            self._failures.pop(key, None)  # put in anew at the end: what is dropped is the oldest
            self._failures[key] = (count + 1, self._now())
        while len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget the slips of whoever has shown the right one."""
        self._failures.pop(address, None)

    def _count(self, key: str) -> int:
        count, at = self._failures.get(key, (0, 0.0))
        return 0 if self._now() - at > FORGET_SECONDS else count

    def _left(self, key: str, free: int, longest: float) -> float:
        if self._count(key) < free:
            return 0.0
        count, at = self._failures[key]
        wait = min(longest, 2.0 ** min(count - free, 10))  # the exponent is bounded: 2.0 ** 1024 is too large
        return max(0.0, at + wait - self._now())


class Doorkeeper:
    """Lets people and scripts in."""

    def __init__(self, password_file: Path, api_token: str | None, now: Callable[[], float]) -> None:
        self._password_file = password_file
        self._api_token = api_token
        self.sessions = Sessions(now)
        self._throttle = Throttle(now)
        self._hashing = asyncio.Lock()  # one argon2 at a time: it takes 19 MiB and a core

    async def log_in(self, address: str, given: str) -> str | None:
        """Return the token of a new session, or None for a wrong password. Raises `TooSoon` and `NoPassword`."""
        return self.sessions.begin() if await self._is_right(address, given) else None

    async def prove(self, address: str, session: Session, given: str) -> bool:
        """Take the password again; whether it was right. Raises `TooSoon` and `NoPassword`."""
        right = await self._is_right(address, given)
        if right:
            self.sessions.prove(session)
        return right

    async def _is_right(self, address: str, given: str) -> bool:
        async with self._hashing:
            self._throttle.check(address)
            right = await asyncio.to_thread(self._verify, given)
        if right:
            self._throttle.succeeded(address)
        else:
            self._throttle.failed(address)
        return right

    def check_password_is_set(self) -> None:
        """Raise `NoPassword` if there is none."""
        self._load()

    def is_token(self, header: str) -> bool:
        """Whether an Authorization header carries the configured bearer token."""
        if self._api_token is None:
            return False
        return hmac.compare_digest(header.encode(), f"Bearer {self._api_token}".encode())

    def _verify(self, given: str) -> bool:
        return password.verify(self._load(), given)

    def _load(self) -> str:
        try:
            found = password.load_hash(self._password_file)
        except password.PasswordFileError as error:
            raise NoPassword(str(error)) from error
        if found is None:
            raise NoPassword("no password is set for this page: run `kiosk set-password` on the machine")
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
