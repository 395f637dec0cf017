"""The contract between the cashier and whoever moves the money.

Every answer is one of a closed set of frozen values; "I do not know" (`Unclear`) is always among them and
is never rounded to yes or no. No method raises for anything that the network or the other side can do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class PrepayRequest:
    """An order to be announced, so that a customer can pay it. Repeating it unchanged is harmless."""

    out_trade_no: str
    product_id: str
    description: str  # what the customer reads on the phone
    amount_fen: int
    created_at: datetime  # aware
    expires_at: datetime  # aware; the gateway moves it further away where the other side demands it
    openid: str | None = None  # set: pay inside the mini-program (JSAPI); None: pay by a code (NATIVE)
    client_ip: str = "127.0.0.1"


@dataclass(frozen=True)
class Prepared:
    """The order can be paid now."""

    prepay_id: str
    code_url: str | None  # NATIVE only: the text for the QR code


@dataclass(frozen=True)
class Refused:
    """A certain no. `code` is the other side's word, `message` a sentence; `permanent`: asking again is no use."""

    code: str
    message: str
    permanent: bool


@dataclass(frozen=True)
class Unclear:
    """No answer, or none that can be believed: the thing may or may not have happened."""

    reason: str


@dataclass(frozen=True)
class Payment:
    """A payment that the other side has confirmed (signature, merchant and sign type are already checked)."""

    out_trade_no: str
    transaction_id: str
    app_id: str
    total_fen: int
    currency: str  # "CNY" when absent
    openid: str
    paid_at: datetime  # aware


@dataclass(frozen=True)
class Paid:
    """The order was paid. `refunded`: and at least one refund was made for it."""

    payment: Payment
    refunded: bool = False


@dataclass(frozen=True)
class NotPaid:
    """The order exists, is not paid, and can still be paid."""


@dataclass(frozen=True)
class Closed:
    """The order can no longer be paid, and was not."""


@dataclass(frozen=True)
class Missing:
    """The other side knows no such order (or refund): ours never arrived, or not yet."""


@dataclass(frozen=True)
class RefundRequest:
    """Money to go back. The same `out_refund_no` refunds once, however often it is sent."""

    out_trade_no: str
    transaction_id: str
    out_refund_no: str
    app_id: str  # that of the order
    total_fen: int
    refund_fen: int
    reason: str  # shown to the customer


@dataclass(frozen=True)
class RefundAccepted:
    """The refund is on its way; not yet done."""


@dataclass(frozen=True)
class Refunded:
    """The money is back with the customer."""

    refund_id: str


@dataclass(frozen=True)
class RefundPending:
    """The refund is known and under way."""


@dataclass(frozen=True)
class RefundFailed:
    """The refund failed for good. `fresh_number`: a new try needs a new out_refund_no; else a person must act."""

    reason: str
    fresh_number: bool


@dataclass(frozen=True)
class RefundSum:
    """What has gone back to the payer of an order, whoever sent it: `done_fen` is there, `pending_fen` on its way."""

    done_fen: int
    pending_fen: int


@dataclass(frozen=True)
class RefundNotice:
    """A refund's end as told by the other side, decrypted; the numbers are still to be compared with ours."""

    out_trade_no: str
    out_refund_no: str
    refund_fen: int
    result: Refunded | RefundFailed


@dataclass(frozen=True)
class Exchange:
    """One call and what came of it, for the technician's page."""

    at: datetime
    call: str
    number: str  # of the order
    result: str  # "ok", an error code, or why there was no answer
    seconds: float


@dataclass(frozen=True)
class Reachability:
    """How the line to the other side is doing."""

    consecutive_failures: int = 0  # calls without a believable answer since the last one with one
    last_error: str = ""  # a sentence; of the last failure
    last_answer_at: datetime | None = None
    clock_doubted: bool = False  # the last failure: its certificate is not valid at the time that our clock says
    host: str = ""  # the one in use
    exchanges: tuple[Exchange, ...] = ()  # the last ones, oldest first


class PaymentGateway(Protocol):
    """Whoever moves the money. Every call ends within the gateway's own time limits."""

    @property
    def can_refund(self) -> bool:
        """Whether refunds can be asked for by program (a client certificate is configured)."""

    @property
    def reachability(self) -> Reachability:
        """How the line is doing now."""

    @property
    def clock_offset_seconds(self) -> float | None:
        """The other side's clock minus ours, from its last answer; None before the first."""

    async def prepay(self, request: PrepayRequest, *, urgent: bool) -> Prepared | Refused | Unclear:
        """Announce an order. `urgent`: a customer waits; such calls never queue behind background ones."""

    async def query(self, out_trade_no: str, app_id: str) -> Paid | NotPaid | Closed | Missing | Unclear:
        """Ask what became of an order that was made under that app id."""

    async def close(self, out_trade_no: str, app_id: str) -> Closed | Paid | Missing | Unclear:
        """Ask that an order can no longer be paid. Closed is a hint: `query` confirms it."""

    async def refund(self, request: RefundRequest) -> RefundAccepted | Refused | Unclear:
        """Ask for money to go back."""

    async def query_refund(
        self, out_refund_no: str, app_id: str
    ) -> Refunded | RefundPending | RefundFailed | Missing | Unclear:
        """Ask what became of a refund."""

    async def query_refunds(self, out_trade_no: str, app_id: str) -> RefundSum | Unclear:
        """Ask what has gone back to the payer of an order in all, also at other hands than this machine's."""

    async def aclose(self) -> None:
        """Let calls under way end, then free threads and connections."""
