"""What an order is and how it may change: pure values, no I/O.

The life of an order::

    created ──► awaiting_payment ──► paid ──► dispensing ──► dispensed
       │               │              │        │   ▲  │          │ (by a technician only)
       │               ▼              │        └───┘  └► in_doubt│
       └───────────► closed ──────────┴────────────► refunding ◄─┘
                               (late payment)         │      ▲
                                                      ▼      │
                                                 refunded  refund_failed

`dispensing` follows itself when one slot failed for certain and the next one is tried.
"""

from __future__ import annotations

import enum
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

# No 0/O, 1/I/L, or vowels: the last six characters are read aloud at the machine, and must form no word.
_CLAIM_ALPHABET = "23456789BCDFGHJKMNPQRSTVWXYZ"
CLAIM_CODE_LENGTH = 6


class OrderState(enum.Enum):
    """Where an order stands; the values are those of the JSON interfaces."""

    CREATED = "created"
    AWAITING_PAYMENT = "awaiting_payment"
    PAID = "paid"
    DISPENSING = "dispensing"
    DISPENSED = "dispensed"
    IN_DOUBT = "in_doubt"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"
    CLOSED = "closed"


_S = OrderState

TRANSITIONS: Mapping[OrderState, frozenset[OrderState]] = {
    _S.CREATED: frozenset({_S.AWAITING_PAYMENT, _S.PAID, _S.CLOSED, _S.REFUNDING}),
    _S.AWAITING_PAYMENT: frozenset({_S.PAID, _S.CLOSED, _S.REFUNDING}),
    _S.PAID: frozenset({_S.DISPENSING, _S.REFUNDING}),
    _S.DISPENSING: frozenset({_S.DISPENSING, _S.DISPENSED, _S.IN_DOUBT, _S.REFUNDING}),
    _S.DISPENSED: frozenset({_S.REFUNDING}),
    _S.IN_DOUBT: frozenset({_S.REFUNDING, _S.DISPENSED}),
    _S.REFUNDING: frozenset({_S.REFUNDED, _S.REFUND_FAILED}),
    _S.REFUND_FAILED: frozenset({_S.REFUNDING, _S.REFUNDED}),
    _S.REFUNDED: frozenset(),
    _S.CLOSED: frozenset({_S.REFUNDING}),
}

UNPAID = frozenset({_S.CREATED, _S.AWAITING_PAYMENT})
FINAL = frozenset({_S.DISPENSED, _S.REFUNDED, _S.CLOSED})
REFUNDABLE = frozenset({_S.PAID, _S.DISPENSED, _S.IN_DOUBT, _S.REFUND_FAILED})


class Channel(enum.Enum):
    """How the customer came to the order."""

    NATIVE_ONE = "native_one"
    NATIVE_TWO = "native_two"
    MINIPROGRAM = "miniprogram"
    KEYPAD = "keypad"  # chosen at the machine's own keypad

    @property
    def reserves(self) -> bool:
        """Whether an unpaid order holds a unit back. A code on the screen does not; its payment takes the unit.

        Nor does an order of the keypad: it is the only one that can be given while its choice stands, and none after.
        """
        return self not in {Channel.NATIVE_TWO, Channel.KEYPAD}


class Order(NamedTuple):
    """One order as the journal holds it. Times are aware, in UTC; money is in fen.

    A tuple, as each payment makes several of them while others wait: a frozen dataclass takes four times as long.
    """

    out_trade_no: str
    channel: Channel
    product_id: str
    product_name: str  # as it was when the order was made
    amount_fen: int
    app_id: str
    state: OrderState
    created_at: datetime
    expires_at: datetime
    updated_at: datetime
    openid: str | None = None
    scan_nonce: str | None = None  # of the scan that made it (native mode one)
    prepay_id: str | None = None
    code_url: str | None = None
    transaction_id: str | None = None
    paid_fen: int | None = None  # what WeChat says was paid; equals amount_fen unless the order is refunded for it
    paid_at: datetime | None = None  # WeChat's time of the payment
    confirmed_at: datetime | None = None  # when this machine learned of it
    slot: str | None = None  # of the last attempt; KEYPAD: what was chosen, from the beginning
    attempts: int = 0
    evidence: str | None = None  # the driver's, of the last attempt
    refund_serial: int = 0  # 0: none asked for; a new number only after the old one failed for good
    reason: str | None = None  # one sentence: why it is refunding, refund_failed, in_doubt, closed, or to be reviewed
    finished_at: datetime | None = None
    client_ip: str | None = None  # of the customer's phone (mini-program): WeChat wants it again in every repeat

    @property
    def claim_code(self) -> str:
        """The characters that customer and technician compare."""
        return self.out_trade_no[-CLAIM_CODE_LENGTH:]

    @property
    def out_refund_no(self) -> str:
        """The number of the refund under way: the same for every repeat of the same refund."""
        return f"{self.out_trade_no}-R{self.refund_serial}"


class TransitionRefused(Exception):
    """The order is not in a state that allows the change; nothing was changed. `order` is as it stands."""

    def __init__(self, order: Order, wanted: OrderState) -> None:
        self.order = order
        super().__init__(f"order {order.out_trade_no} is {order.state.value} and cannot become {wanted.value}")


def check_transition(order: Order, wanted: OrderState) -> None:
    """Raise `TransitionRefused` unless the table allows the change."""
    if wanted not in TRANSITIONS[order.state]:
        raise TransitionRefused(order, wanted)


def new_out_trade_no(machine_id: str, now: datetime) -> str:
    """Make a number that is unique within the merchant: at most 12 + 1 + 12 + 1 + 6 = 32 characters.

    WeChat allows 6 to 32 characters of A-Z a-z 0-9 _ - | * (unifiedorder, out_trade_no). The machine's id keeps
    machines apart, the time keeps days apart, the random end keeps apart what a lost journal would repeat.
    """
    claim_code = "".join(secrets.choice(_CLAIM_ALPHABET) for _ in range(CLAIM_CODE_LENGTH))
    return f"{machine_id}-{now:%y%m%d%H%M%S}-{claim_code}"


def is_of_machine(machine_id: str, out_trade_no: str) -> bool:
    """Whether `new_out_trade_no` made the number for that machine; other machines of the merchant have other ids."""
    return re.fullmatch(rf"{re.escape(machine_id)}-[0-9]{{12}}-[{_CLAIM_ALPHABET}]{{6}}", out_trade_no) is not None
