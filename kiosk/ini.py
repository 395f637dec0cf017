"""An ini file read through typed getters that remember what was asked for and everything that is wrong.

A getter never raises: it notes a finding (a sentence naming file, section, key, value, and what would be right) and
returns its default or an empty value of its type. Whoever has read all of it asks for `IniFile.findings`.
"""

from __future__ import annotations

import configparser
import difflib
import enum
import ipaddress
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeVar, overload
from urllib.parse import urlsplit

E = TypeVar("E", bound=enum.Enum)

MAX_INI_BYTES = 256 * 1024  # the largest machine needs some 20 KB; more is some other file
MAX_SHOWN_CHARACTERS = 60  # of a bad value, so that a finding stays a line
BOOLEANS = configparser.RawConfigParser.BOOLEAN_STATES
DUPLICATE_SECTION = "\0"  # starts the name that a repeated section is read under; cannot stand in a file


class IniUnreadable(Exception):
    """The file cannot be read at all; the sentence says why."""


class IniFile:
    """One ini file: UTF-8, no interpolation, `#` and `;` comments."""

    def __init__(self, path: Path) -> None:
        """Read and parse; raises `IniUnreadable`. Lines that do not parse are findings."""
        self.path = path
        self.folder = path.absolute().parent
        self.findings: list[str] = []
        self._parser = self._parse(_read(path))
        self._sections: dict[str, Section] = {}

    def note(self, sentence: str) -> None:
        """Note something that is wrong, once; file and colon are put before it."""
        finding = f"{self.path}: {sentence}"
        if finding not in self.findings:
            self.findings.append(finding)

    def section(self, name: str) -> Section:
        """The section of that name; an empty one if the file does not have it."""
        if name not in self._sections:
            values = dict(self._parser.items(name)) if self._parser.has_section(name) else {}
            self._sections[name] = Section(self, name, values)
        return self._sections[name]

    def names(self) -> list[str]:
        """The names of all sections, in the order of the file."""
        return [name for name in self._parser.sections() if not name.startswith(DUPLICATE_SECTION)]

    def __contains__(self, name: str) -> bool:
        return self._parser.has_section(name)

    def note_unknown(self, known_sections: Sequence[str]) -> None:
        """Note every section that nobody asked for, and every key that nobody asked for in the others."""
        for name in self.names():
            if name in self._sections:
                self._sections[name].note_unknown_keys()
            else:
                self.note(f"[{name}]: there is no such section; {_suggestion(name, known_sections)}")

    def _parse(self, text: str) -> configparser.RawConfigParser:
        """Parse as much as can be parsed: a line that is wrong is noted, taken out, and the rest tried again."""
        lines = text.replace("\r\n", "\n").split("\n")
        while True:
            parser = configparser.RawConfigParser(
                comment_prefixes=("#", ";"),
                inline_comment_prefixes=("#", ";"),
                default_section="",  # no section is special
            )
            try:
                parser.read_string("\n".join(lines))
            except configparser.DuplicateOptionError as error:
                self.note(f"[{error.section}] {error.option}: stands twice, again in line {error.lineno}; keep one")
                lines[(error.lineno or 1) - 1] = ""
            except configparser.DuplicateSectionError as error:
                self.note(f"[{error.section}]: stands twice, again in line {error.lineno}; keep one")
                lines[(error.lineno or 1) - 1] = f"[{DUPLICATE_SECTION}{error.lineno}]"
            except configparser.MissingSectionHeaderError as error:
                self.note(f"line {error.lineno}: stands before the first [section]; put it into one")
                first = next((at for at, line in enumerate(lines) if line.startswith("[")), len(lines))
                lines[: max(first, error.lineno)] = [""] * max(first, error.lineno)
            except configparser.ParsingError as error:
                for number, _ in error.errors:  # the line itself may hold a secret: not shown
                    self.note(f"line {number}: is neither [section] nor key = value; put it right or put # before it")
                    lines[number - 1] = ""
            else:
                return parser


class Section:
    """One section of an ini file. Every getter takes the key first; without a default the key is required."""

    def __init__(self, file: IniFile, name: str, values: dict[str, str]) -> None:
        self.name = name
        self._file = file
        self._values = values
        self._asked: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def note(self, key: str, sentence: str, value: object = None) -> None:
        """Note what is wrong with a key; `value` is shown unless it is None, so never hand over a secret."""
        self._file.note(f"[{self.name}] {key}{'' if value is None else f' = {_shown(value)}'}: {sentence}")

    def text(self, key: str, default: str | None = None, *, pattern: str = r".{1,64}", right: str) -> str:
        """A text that matches `pattern` as a whole; `right` tells in words what it asks for."""
        value = self._raw(key, default, right)
        if value is None:
            return default or ""
        if not re.fullmatch(pattern, value) or not value.isprintable():
            self.note(key, f"must be {right}", value)
        return value

    @overload
    def integer(self, key: str, default: int | None = None, *, low: int, high: int) -> int: ...
    @overload
    def integer(self, key: str, default: int | None = None, *, choices: Sequence[int]) -> int: ...
    def integer(
        self, key: str, default: int | None = None, *, low: int = 0, high: int = 0, choices: Sequence[int] = ()
    ) -> int:
        """A whole number within bounds (inclusive), or one of some."""
        right = _one_of(choices) if choices else f"a whole number from {low} to {high}"
        value = self._raw(key, default, right)
        if value is None:
            return default or 0
        number = int(value) if re.fullmatch(r"[0-9]{1,9}", value) else -1
        if number not in (choices or range(low, high + 1)):
            self.note(key, f"must be {right}", value)
        return number

    def number(self, key: str, default: float, *, low: float, high: float) -> float:
        """A decimal number within bounds (inclusive)."""
        right = f"a number from {low} to {high}"
        value = self._raw(key, default, right)
        if value is None:
            return default
        number = float(value) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) else -1.0
        if not low <= number <= high:
            self.note(key, f"must be {right}", value)
        return number

    def boolean(self, key: str, *, default: bool) -> bool:
        """Yes or no, in configparser's words."""
        value = self._raw(key, default, "yes or no")
        if value is None:
            return default
        if value.lower() not in BOOLEANS:
            self.note(key, "must be yes or no", value)
        return BOOLEANS.get(value.lower(), default)

    def choice(self, key: str, kind: type[E], default: E | None = None) -> E:
        """One of the values of an enum. The first member stands in for a bad one."""
        words = [str(member.value) for member in kind]
        value = self._raw(key, default, _one_of(words))
        fallback = default or next(iter(kind))
        if value is None:
            return fallback
        if value not in words:
            self.note(key, f"must be {_one_of(words)}", value)
            return fallback
        return kind(value)

    def money_fen(self, key: str, *, low_fen: int, high_fen: int) -> int:
        """Money in yuan with at most two decimals, as whole fen."""
        right = f"yuan from {_yuan(low_fen)} to {_yuan(high_fen)} with at most two decimals, such as 3.50"
        value = self._raw(key, None, right)
        if value is None:
            return 0
        fen = Decimal(value) * 100 if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,2})?", value) else Decimal(-1)
        if not low_fen <= fen <= high_fen:
            self.note(key, f"must be {right}", value)
        return int(fen)

    @overload
    def address(self, key: str, default: str) -> str: ...
    @overload
    def address(self, key: str) -> str | None: ...
    def address(self, key: str, default: str | None = None) -> str | None:
        """A web address without a slash at its end: https, or http for a loopback host. None if it is left out."""
        value = self._raw(key, default or "", "")
        if value is None:
            return default
        wrong = _wrong_with_address(value)
        if wrong:
            self.note(key, wrong, value)
        return value.rstrip("/")

    def listen(self, key: str, default: str) -> tuple[str, int]:
        """Host and port to listen on; port 0 is any free one."""
        value = self._raw(key, default, "") or default
        address = parse_listen(value)
        if address is None:
            self.note(key, "must be host:port, such as 127.0.0.1:8080, or [::1]:8080 for IPv6", value)
        return address or ("", 0)

    @overload
    def path(self, key: str, default: str) -> Path: ...
    @overload
    def path(self, key: str) -> Path | None: ...
    def path(self, key: str, default: str | None = None) -> Path | None:
        """A path, relative to the folder of the ini. None if it is left out and has no default."""
        value = self._raw(key, default or "", "") or default
        return None if value is None else self._file.folder / value

    def raw(self, key: str) -> str | None:
        """The value as it stands; None if it is left out. For secrets: nothing is noted but emptiness."""
        return self._raw(key, "", "")

    def forgive(self) -> None:
        """Take every key as known: the section as a whole has been noted already."""
        self._asked.extend(self._values)

    def note_unknown_keys(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._values:
            if key not in self._asked:
                self.note(key, f"there is no such key; {_suggestion(key, self._asked)}")

    def _raw(self, key: str, default: object, right: str) -> str | None:
        """The value, None after noting why there is none; with a default it may be left out, never empty."""
        self._asked.append(key)
        value = self._values.get(key)
        if value is None:
            if default is None:
                self.note(key, f"is missing; it must be {right}")
        elif not value:
            self.note(key, "is empty; give it a value or take the line out")
        elif "\n" in value:
            self.note(key, "goes on in an indented line; start every key at the left margin")
        else:
            return value
        return None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_INI_BYTES + 1)
    except OSError as error:
        hint = "; name the right file with -c" if isinstance(error, FileNotFoundError) else ""
        raise IniUnreadable(f"{path}: cannot be read: {error.strerror}{hint}") from error
    if len(content) > MAX_INI_BYTES:
        raise IniUnreadable(f"{path}: is larger than {MAX_INI_BYTES} bytes; this is no kiosk.ini")
    try:
        return content.decode("utf-8-sig").replace("\0", "\N{REPLACEMENT CHARACTER}")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise IniUnreadable(f"{path}: line {line} is not UTF-8; save the file as UTF-8") from error


def _wrong_with_address(value: str) -> str:
    """What is wrong with a web address, as the end of a finding; empty if nothing is."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not value.isascii() or not value.isprintable() or " " in value:
        return "must be an address such as https://pay.example.com"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "must be an address without user, ? and #, such as https://pay.example.com"
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        return "must be https:// (http:// only for a loopback host such as 127.0.0.1)"
    return ""


def parse_listen(text: str) -> tuple[str, int] | None:
    """Host and port of `host:port` or `[IPv6]:port`; None if it is neither."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z.-]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        return None
    return match[1] or match[2], int(match[3])


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this computer itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _suggestion(word: str, known: Iterable[str]) -> str:
    known = sorted(set(known))
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"


def _one_of(words: Sequence[object]) -> str:
    *most, last = map(str, words)
    return f"{', '.join(most)} or {last}" if most else last


def _shown(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…")


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02}"
