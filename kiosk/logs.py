"""The log of a running machine: standard error, one line a record, secrets masked by table."""

from __future__ import annotations

import logging
import re
import sys
from collections import deque
from collections.abc import Iterable

MASK = "***"
KEPT_LINES = 2000  # some 300 kB: the last hours of a machine that is well, the last minutes of one that is not
MIN_SECRET_CHARACTERS = 6  # a shorter one would blot out harmless words

# Names that carry a secret or a customer's identity, in whatever form a message has them: XML, JSON, query, header.
_NAMES = (
    "sign|paysign|key|api_key|openid|sub_openid|unionid|session_key|secret|app_secret|appsecret|js_code|"
    "access_token|api_token|token|password|req_info"
)
_REDACTIONS = (
    # <sign><![CDATA[…]]></sign>
    (re.compile(rf"(<({_NAMES})>).*?(</\2>)", re.IGNORECASE | re.DOTALL), rf"\1{MASK}\3"),
    # "session_key": "…"   'sign': '…'
    (re.compile(rf"""((["'])(?:{_NAMES})\2\s*:\s*(["'])).*?(\3)""", re.IGNORECASE | re.DOTALL), rf"\1{MASK}\4"),
    # secret=…&   sign=…
    (re.compile(rf"\b((?:{_NAMES})=)[^\s&,;\"'<>)]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\b(Bearer\s+)\S+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\b((?:Set-)?Cookie:\s*)[^\r\n]+", re.IGNORECASE), rf"\1{MASK}"),
)


class LineFormatter(logging.Formatter):
    """Time with offset, level, logger, message; line ends escaped, so that nobody can forge a record."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        self._secrets = tuple(secret for secret in secrets if len(secret) >= MIN_SECRET_CHARACTERS)

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line without secrets, a stack trace included."""
        text = redact(super().format(record), self._secrets)
        return "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
        )


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with every value of the table, and every one of `secrets`, masked."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    for pattern, masked in _REDACTIONS:
        text = pattern.sub(masked, text)
    return text


class Recent(logging.Handler):
    """Keeps the last lines for the technician's page, each with the number of its level."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[tuple[int, str]] = deque(maxlen=KEPT_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record as the line that it is in the log."""
        self._lines.append((record.levelno, self.format(record)))

    def lines(self, level: int = logging.INFO, search: str = "") -> list[str]:
        """The kept lines of that level and above which contain `search` in any case, oldest first."""
        wanted = search.casefold()
        return [line for number, line in tuple(self._lines) if number >= level and wanted in line.casefold()]


recent = Recent()  # one a process, as the log is


def set_up(secrets: Iterable[str] = ()) -> None:
    """Log to standard error from now on, INFO and above; `secrets` are values to mask wherever they stand."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr), recent]
    for handler in handlers:
        handler.setFormatter(LineFormatter(secrets))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries are told by ours, in our words
    logging.getLogger("tornado.access").setLevel(logging.WARNING)  # a status page that is polled would fill the disk
