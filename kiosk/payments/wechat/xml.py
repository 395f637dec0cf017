"""The flat XML of WeChat Pay v2: read with suspicion, written on one line.

A message is one root element with one level of fields, each of text only. Everything that this form has no use for
is refused at its first sight, before it can be expanded, so that no reader behind can be confused or exhausted: the
official advice after the external-entity hole of 2018 (best security practice, chapter 23_5), and more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn
from xml.parsers import expat

MAX_BODY_BYTES = 64 * 1024  # the longest legal message (detail of 6 KiB, 20 coupons) is well below a third of it
MAX_FIELDS = 200  # a payment with 50 coupons, far more than a customer can use at once, has about 170

_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # but tab, LF and CR are text


class XmlRefused(ValueError):
    """The body is not a message of this protocol. The text is a sentence that may be sent back."""


def parse(body: bytes, root: str = "xml") -> dict[str, str]:
    """The fields of a message, in the order in which they came.

    Values are kept as they stand, blanks around them included, and empty elements as "": the signature counts them.
    Raises XmlRefused.
    """
    if len(body) > MAX_BODY_BYTES:
        raise XmlRefused(f"The message is longer than {MAX_BODY_BYTES} bytes.")
    if b"\x00" in body:  # expat would take it for UTF-16, whatever encoding it is told
        raise XmlRefused("The message is not UTF-8.")
    try:
        body.decode()
        fields = _Reader(root).read(body)
    except UnicodeDecodeError:
        raise XmlRefused("The message is not UTF-8.") from None
    except expat.ExpatError as error:
        raise XmlRefused(f"The message is not well-formed XML: {error}.") from None
    for name, value in fields.items():
        if _ILLEGAL.search(value):
            raise XmlRefused(f"The field {name} has control characters in it.")
    return fields


def build(fields: Mapping[str, str], root: str = "xml") -> bytes:
    """A message on one line, without white space between its tags: WeChat takes no other as an acknowledgement.

    Raises ValueError for a field name that could inject an element and for text that XML cannot carry.
    """
    parts = [f"<{root}>"]
    for name, value in fields.items():
        if not _FIELD_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a field of a WeChat Pay message.")
        if _ILLEGAL.search(value):
            raise ValueError(f"The field {name} has control characters in it, which XML cannot carry.")
        # CDATA cannot hold its own end, and a bare CR is read as LF; both go through a gap between two sections.
        text = value.replace("]]>", "]]]]><![CDATA[>").replace("\r", "]]>&#13;<![CDATA[")
        parts.append(f"<{name}><![CDATA[{text}]]></{name}>" if value else f"<{name}></{name}>")
    parts.append(f"</{root}>")
    return "".join(parts).encode()


class _Reader:
    """Reads one body, once; raises at the first thing that has no place in a message."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._depth = 0
        self._fields: dict[str, str] = {}
        self._text: list[str] = []  # of the field that is open

    def read(self, body: bytes) -> dict[str, str]:
        parser = expat.ParserCreate("utf-8")
        parser.ordered_attributes = True  # a list: no table is built for thousands of them
        parser.buffer_text = True  # else every line break is a call of its own
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.ProcessingInstructionHandler = self._refuse_instruction
        parser.CommentHandler = self._refuse_comment
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.Parse(body, True)
        return self._fields

    def _declaration(self, version: str, encoding: str | None, _standalone: int) -> None:
        if version != "1.0" or (encoding or "UTF-8").upper() != "UTF-8":
            raise XmlRefused("The message is not XML 1.0 in UTF-8.")

    def _refuse_doctype(self, *_: Any) -> NoReturn:
        raise XmlRefused("The message has a DOCTYPE.")

    def _refuse_instruction(self, *_: Any) -> NoReturn:
        raise XmlRefused("The message has a processing instruction.")

    def _refuse_comment(self, *_: Any) -> NoReturn:
        raise XmlRefused("The message has a comment.")

    def _start(self, name: str, attributes: list[str]) -> None:
        if attributes:  # xmlns is one of them
            raise XmlRefused("The message has attributes.")
        if self._depth == 0:
            if name != self._root:
                raise XmlRefused(f"The message's root is not <{self._root}>.")
        elif self._depth > 1:
            raise XmlRefused("The message has elements inside its fields.")
        elif not _FIELD_NAME.fullmatch(name):
            raise XmlRefused("The message has a field whose name no message has.")
        elif name in self._fields:  # one reader would see the first value, another the last
            raise XmlRefused(f"The message has the field {name} twice.")
        elif len(self._fields) == MAX_FIELDS:
            raise XmlRefused(f"The message has more than {MAX_FIELDS} fields.")
        self._text.clear()
        self._depth += 1

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 1:
            self._fields[name] = "".join(self._text)

    def _characters(self, text: str) -> None:
        if self._depth == 2:
            self._text.append(text)
        elif text.strip(" \t\r\n"):
            raise XmlRefused("The message has text between its fields.")
