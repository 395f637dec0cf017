"""The contract between a vending machine's mind and the board that turns its motors.

A driver implements `Dispenser`. Every outcome is three-valued: goods came out, goods certainly did not
come out, or nobody knows. "Nobody knows" is a real answer and is never rounded to one of the others.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, runtime_checkable


class Outcome(enum.Enum):
    """What became of a vend."""

    DELIVERED = "delivered"
    NOT_DELIVERED = "not_delivered"
    UNKNOWN = "unknown"


class Cause(enum.Enum):
    """Why nothing was delivered, as far as it decides what may be done next."""

    SLOT = "slot"  # this slot cannot deliver (jam, motor missing), nothing left it; another slot may
    EMPTY = "empty"  # the board says that the slot is empty; another slot may
    NOT_TAKEN = "not_taken"  # the board never took the command; the same slot may be tried again later
    MACHINE = "machine"  # lift, door, sensor, a motor that would not stop: try no other slot for this customer
    CHOICE_GONE = "choice_gone"  # the customer's choice at the machine itself is over; nothing is wrong with the slot


@dataclass(frozen=True)
class VendResult:
    """The end of one vend. `cause` is set exactly when the outcome is NOT_DELIVERED."""

    outcome: Outcome
    detail: str  # one sentence in English for log and technician: what the board said
    cause: Cause | None = None
    proven: bool = False  # a drop sensor saw the goods fall
    presumed: bool = False  # DELIVERED by a rule of the protocol, without a word of the machine: a person is to look


@dataclass(frozen=True)
class Fact:
    """One thing that a driver knows about its board or its link, for the technician's page."""

    name: str  # lower_case, stable: "polls", "door", "temperature"
    value: str | int | float | bool
    unit: str = ""  # "°C", "ms", "" for counts and words


@dataclass(frozen=True)
class Status:
    """What a driver knows at this moment."""

    ready: bool  # a vend asked for now would be sent to the board
    reason: str  # one sentence why not ready; empty when ready
    facts: tuple[Fact, ...] = ()
    alive: bool = True  # False: something inside has ended that only a new process can begin again
    slots: frozenset[int] | None = None  # the addresses that the board says it has; None where it does not tell


class Dispenser(Protocol):
    """A board that can be told to vend. All methods are called on the event loop."""

    @property
    def status(self) -> Status:
        """The state now; cheap, never blocks."""

    def on_status(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever `status.ready` or `status.reason` has changed."""

    async def start(self) -> None:
        """Begin to look for the board and return at once. A port that is not there is a status, not an error."""

    async def stop(self) -> None:
        """Close the port. The caller has let a vend under way finish before."""

    def prepare(self, address: int) -> str:
        """Evidence to be stored durably before `vend(address)`: what a later process needs for `recall`.

        For a protocol with numbered frames this fixes the very bytes that the next `vend` will send.
        Opaque to the caller, printable, at most 500 characters.
        """

    async def vend(self, address: int) -> VendResult:
        """Turn the slot that the board numbers `address` once, and wait for what becomes of it.

        Ends within the driver's own vend_timeout, with UNKNOWN if nothing was heard. Never sends a command
        twice unless the protocol makes the repeat harmless. One vend at a time: a second concurrent call is
        a mistake of the caller (RuntimeError). Is not to be cancelled once begun.
        """

    async def recall(self, address: int, evidence: str) -> VendResult:
        """What became of a vend that an earlier process began (or that UNKNOWN ended); moves nothing.

        Waits for the board only as long as the driver's own limit; UNKNOWN where the board cannot tell.
        """


@dataclass(frozen=True)
class Choice:
    """Goods that a customer has chosen at the machine itself, which now waits for a yes or a no."""

    serial: str  # unlike that of any other choice, in this process or another
    address: int  # as the machine numbers what was chosen
    price: Decimal  # what the machine asks for it, in the currency's unit


@runtime_checkable
class Keypad(Protocol):
    """A `Dispenser` whose goods the customer chooses at the machine: it vends what is chosen, and nothing else.

    `prepare(address)` binds the choice that stands at that moment; `vend(address)` says yes to that very choice,
    once, if it still stands, and to no other. Otherwise it ends with NOT_DELIVERED and `Cause.CHOICE_GONE`.
    """

    @property
    def choice(self) -> Choice | None:
        """The choice that waits for an answer now. A yes ends its waiting as well as a no."""

    def on_choice(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever `choice` has changed, but not for what `vend` and `decline` themselves change."""

    def decline(self, serial: str) -> None:
        """Say no to that choice; nothing happens if it waits no more."""
