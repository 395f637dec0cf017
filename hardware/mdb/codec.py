"""Lines of text ↔ values, as an MDB bridge speaks them on its serial side. Pure: no port, no time.

Capital letters go to the bridge, small ones come from it. A line ends with LF (CR is taken as well); there is no
checksum. Sources: docs.qibixx.com, "API cashless slave", "Accept a vend request in always idle", "Vending sessions
examples"; the meaning of the numbers after VEND: MDB/ICP 4.2, 7.4 (the VEND subcommands).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

# The longest line that a bridge is known to send has 60 characters: a longer one is noise without a line's end.
MOST_LINE_BYTES = 200
UNKNOWN_ITEM = 0xFFFF  # MDB 7.4, VEND REQUEST: the machine does not tell what was chosen

CANCELLED = 1  # the number after "c,ERR,VEND": the VMC took its request back (MDB 7.4, VEND CANCEL)
CASHLESS_IS_OFF = "cashless is off"  # what the bridge says to a command that needs the cashless device
FAILED = 3  # nothing came out (MDB 7.4, VEND FAILURE)


class State(enum.Enum):
    """What the vending machine makes of the cashless device, as the bridge tells it."""

    OFFLINE = "OFFLINE"  # the bridge plays no cashless device
    INACTIVE = "INACTIVE"  # the VMC does not speak to it
    DISABLED = "DISABLED"  # the VMC wants no cashless payment now
    ENABLED = "ENABLED"  # the customer may choose
    IDLE = "IDLE"  # a session is open, nothing is asked for


@dataclass(frozen=True)
class Version:
    """The bridge's firmware and the number of its processor, which tells one bridge from another."""

    firmware: str
    cpu_id: str


@dataclass(frozen=True)
class Hardware:
    """What the bridge is, in its own words."""

    text: str


@dataclass(frozen=True)
class Stands:
    """The bridge's state."""

    state: State


@dataclass(frozen=True)
class Asks:
    """The customer has chosen, the VMC asks for a yes. `amount` is the very text, which the yes has to repeat."""

    amount: str
    item: int

    @property
    def price(self) -> Decimal:
        """The amount as a number."""
        return Decimal(self.amount)


@dataclass(frozen=True)
class Vended:
    """VEND SUCCESS: the machine has given the goods."""


@dataclass(frozen=True)
class VendError:
    """The vend did not come to a good end: `CANCELLED`, `FAILED` or a number that no document explains."""

    number: int


@dataclass(frozen=True)
class Refuses:
    """The bridge refuses what it was told."""

    text: str


@dataclass(frozen=True)
class SettingTaken:
    """The bridge has taken a setting."""


@dataclass(frozen=True)
class Switched:
    """The bridge has switched the cashless device on or off."""

    on: bool


Message = Version | Hardware | Stands | Asks | Vended | VendError | Refuses | SettingTaken | Switched

# Where a line begins. Lines whose end was lost come glued to the next one, noise stands before them.
_BEGINNING = re.compile(r"(?=(?:c,(?:STATUS|VEND|ERR|SET),))")


def read(line: str) -> list[Message]:
    """The messages in one line, which may be several glued together; what is no message is left out.

    A request that is not alone at the line's end may have been cut: its item or price could be another one's.
    """
    *glued, last = [piece for piece in _BEGINNING.split(line) if piece] or [""]
    found = [message for message in map(_read_one, glued) if not isinstance(message, Asks)]
    return [message for message in (*found, _read_one(last)) if message is not None]


def _read_one(line: str) -> Message | None:
    match line.split(","):
        case ["v", firmware, cpu_id] if re.fullmatch("[ -~]{1,40}", firmware) and re.fullmatch("[ -~]{1,40}", cpu_id):
            return Version(firmware, cpu_id)
        case ["h", *words]:
            return Hardware(",".join(words))
        case ["c", "0" | "1" as switch]:
            return Switched(switch == "1")
        case ["c", "SET", "OK"]:
            return SettingTaken()
        case ["c", "STATUS", "VEND", amount, item] if re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,3})?", amount):
            known = re.fullmatch("[0-9]{1,5}", item) and int(item) <= UNKNOWN_ITEM
            return Asks(amount, int(item)) if known else None
        case ["c", "STATUS", word] if word in State.__members__:
            return Stands(State(word))
        case ["c", "VEND", "SUCCESS"]:
            return Vended()
        case ["c", "ERR", text, *rest]:
            number = re.fullmatch("VEND ([0-9]{1,3})", text)
            return Refuses(",".join((text, *rest)).strip('"')) if number is None else VendError(int(number[1]))
        case _:
            return None


class Lines:
    """Takes bytes as they come and gives whole lines; what is too long for a line is given up."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that have become whole, without their ends; empty ones are left out."""
        *lines, self._rest = re.split(rb"[\r\n]", self._rest + data)
        self._rest = self._rest[-MOST_LINE_BYTES:]
        for line in lines:
            if line:
                yield line[-MOST_LINE_BYTES:].decode("ascii", "replace")

    def reset(self) -> None:
        """Forget the beginning of a line."""
        self._rest = b""


def _line(*words: str) -> bytes:
    return (",".join(words) + "\n").encode("ascii")


VERSION = _line("V")
HARDWARE = _line("H")
OFF = _line("C", "0")
ON = _line("C", "1")
DENY = _line("C", "STOP")


def setting(name: str, value: str) -> bytes:
    """Set something in the bridge. It forgets it with its power, and takes it only while off."""
    return _line("C", "SETCONF", f"{name}={value}")


def approve(amount: str) -> bytes:
    """Say yes to a request: with the very text of its amount."""
    return _line("C", "VEND", amount)
