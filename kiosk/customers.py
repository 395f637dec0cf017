"""Who the mini-program's customers are, and the tokens by which they are known again.

A token is 256 random bits; the journal keeps its SHA-256, so that a copy of the journal opens nobody's orders.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from datetime import UTC, datetime, timedelta

from kiosk.clock import Clock
from kiosk.database import Database

SESSION_LIFE = timedelta(days=7)  # wx.login is silent: a customer who comes later does not notice a new session
SESSIONS_EACH = 5  # a phone, a tablet, a computer; the oldest one ends when another begins
TOKEN_BYTES = 32

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Customers:
    """The part of the journal that knows people. Every method may raise `DatabaseError`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin_session(self, openid: str) -> str:
        """Note that a customer has logged in; return the token of the new session."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        now = self._micros()
        until = now + SESSION_LIFE // timedelta(microseconds=1)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO customers VALUES (?, ?, ?) ON CONFLICT (openid) DO UPDATE SET last_login_at = ?",
                (openid, now, now, now),
            )
            connection.execute("DELETE FROM customer_sessions WHERE expires_at <= ?", (now,))
            connection.execute(
                "DELETE FROM customer_sessions WHERE token_hash IN (SELECT token_hash FROM customer_sessions"
                " WHERE openid = ? ORDER BY created_at DESC LIMIT -1 OFFSET ?)",
                (openid, SESSIONS_EACH - 1),
            )
            connection.execute(
                "INSERT INTO customer_sessions VALUES (?, ?, ?, ?)", (_hashed(token), openid, now, until)
            )

        await self._database.write(work)
        return token

    async def openid_of(self, token: str) -> str | None:
        """The customer whose session the token opens; None for a token that is unknown, revoked or too old."""
        hashed, now = _hashed(token), self._micros()

        def work(connection: sqlite3.Connection) -> str | None:
            row = connection.execute(
                "SELECT openid FROM customer_sessions WHERE token_hash = ? AND expires_at > ?", (hashed, now)
            ).fetchone()
            return None if row is None else str(row[0])

        return await self._database.read(work)

    async def end_session(self, token: str) -> None:
        """Revoke a token."""
        hashed = _hashed(token)
        await self._database.write(
            lambda connection: connection.execute("DELETE FROM customer_sessions WHERE token_hash = ?", (hashed,))
        )

    def _micros(self) -> int:
        return (self._clock.now() - _EPOCH) // timedelta(microseconds=1)


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
