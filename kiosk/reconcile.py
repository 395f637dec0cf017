"""Compares WeChat's bill of a day with the journal, line by line. Pure.

Payments have their day from WeChat's clock in both books. A refund stands in the bill of the day on which WeChat took
it, which around midnight may be the day before or after the one that the journal has: such a one may be in the bill,
but need not; what is in it must agree.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from kiosk.clock import CHINA_STANDARD_TIME
from kiosk.orders import Order, OrderState
from kiosk.payments.wechat.bill import BillLine
from kiosk.words import price_text

_GONE_BACK = (OrderState.REFUNDING, OrderState.REFUNDED)  # a refund is billed before it is confirmed to us


class Kind(enum.Enum):
    """How the two books differ; the values are those of --json."""

    MISSING = "missing"  # the journal has a payment that the bill has not
    EXTRA = "extra"  # the bill has a payment that the journal has not
    AMOUNT = "amount"
    TRANSACTION = "transaction"  # the same order, but another payment of WeChat's
    REFUND_MISSING = "refund_missing"
    REFUND_EXTRA = "refund_extra"
    REFUND_AMOUNT = "refund_amount"


@dataclass(frozen=True)
class Difference:
    """One line that the books do not agree on. Money in fen; None where a book has no such line."""

    kind: Kind
    out_trade_no: str
    message: str
    wechat_fen: int | None
    journal_fen: int | None
    out_refund_no: str | None = None


@dataclass(frozen=True)
class Sums:
    """What one of the books says of the day, in fen."""

    payments: int
    paid_fen: int
    refunds: int
    refunded_fen: int


@dataclass(frozen=True)
class Report:
    """The day in both books. `journal` counts what must be in the bill, or is in it."""

    day: date
    wechat: Sums
    journal: Sums
    differences: tuple[Difference, ...]


def span(day: date) -> tuple[datetime, datetime]:
    """The day's begin, and the next one's, by WeChat's clock."""
    begin = datetime(day.year, day.month, day.day, tzinfo=CHINA_STANDARD_TIME)
    return begin, begin + timedelta(days=1)


def compare(day: date, bill: Iterable[BillLine], records: Mapping[str, tuple[Order, datetime | None]]) -> Report:
    """Compare. `records`: as `kiosk.journal.read_day` gives them for the day and the bill's numbers."""
    lines = [line for line in bill if not line.refund_failed]
    payments = {line.out_trade_no: line for line in lines if not line.out_refund_no}
    refunds = {line.out_refund_no: line for line in lines if line.out_refund_no}
    paid = {number: order for number, (order, _) in records.items() if _paid_on(day, order)}
    refunded = {
        order.out_refund_no: order
        for order, began in records.values()
        if _refunded_on(day, order, began) or (order.state in _GONE_BACK and order.out_refund_no in refunds)
    }
    due = {order.out_refund_no for order, began in records.values() if _refunded_on(day, order, began)}
    found = [
        *_payments(payments, paid, records),
        *_refunds(refunds, refunded, due, records),
    ]
    return Report(
        day,
        Sums(
            len(payments),
            sum(line.amount_fen for line in payments.values()),
            len(refunds),
            sum(line.amount_fen for line in refunds.values()),
        ),
        Sums(
            len(paid),
            sum(order.paid_fen or 0 for order in paid.values()),
            len(refunded),
            sum(order.paid_fen or 0 for order in refunded.values()),
        ),
        tuple(found),
    )


def _payments(
    bill: Mapping[str, BillLine], paid: Mapping[str, Order], records: Mapping[str, tuple[Order, datetime | None]]
) -> Iterator[Difference]:
    for number, line in bill.items():
        order = paid.get(number)
        if order is None:
            known = records.get(number)
            if known is None:
                why = "the journal has no such order: was it lost, or replaced by an older copy?"
            elif known[0].paid_at is None:
                why = f"the journal has it as {known[0].state.value}, never paid: ask WeChat for it, then refund it"
            else:
                why = f"the journal has it as paid on {known[0].paid_at.astimezone(CHINA_STANDARD_TIME):%Y-%m-%d}"
            yield Difference(Kind.EXTRA, number, f"only in WeChat's bill; {why}", line.amount_fen, None)
        elif order.paid_fen != line.amount_fen:
            message = (
                f"WeChat's bill has {price_text(line.amount_fen)}, the journal {price_text(order.paid_fen or 0)}"
            )
            yield Difference(Kind.AMOUNT, number, message, line.amount_fen, order.paid_fen)
        elif order.transaction_id != line.transaction_id:
            message = f"WeChat's bill has the transaction {line.transaction_id}, the journal {order.transaction_id}"
            yield Difference(Kind.TRANSACTION, number, message, line.amount_fen, order.paid_fen)
    for number, order in paid.items():
        if number not in bill:
            yield Difference(
                Kind.MISSING, number, "only in the journal: WeChat did not bill it", None, order.paid_fen
            )


def _refunds(
    bill: Mapping[str, BillLine],
    refunded: Mapping[str, Order],
    due: set[str],
    records: Mapping[str, tuple[Order, datetime | None]],
) -> Iterator[Difference]:
    for refund_no, line in bill.items():
        order = refunded.get(refund_no)
        if order is None:
            known = records.get(line.out_trade_no)
            state = "does not know it" if known is None else f"has it as {known[0].state.value}"
            message = f"only in WeChat's bill; the journal {state}: was it made by hand in the merchant platform?"
            yield Difference(Kind.REFUND_EXTRA, line.out_trade_no, message, line.amount_fen, None, refund_no)
        elif order.paid_fen != line.amount_fen:
            message = f"WeChat gave back {price_text(line.amount_fen)}, the journal {price_text(order.paid_fen or 0)}"
            yield Difference(
                Kind.REFUND_AMOUNT, line.out_trade_no, message, line.amount_fen, order.paid_fen, refund_no
            )
    for refund_no in sorted(due - bill.keys()):
        order = refunded[refund_no]
        message = "only in the journal: WeChat did not bill this refund"
        yield Difference(Kind.REFUND_MISSING, order.out_trade_no, message, None, order.paid_fen, refund_no)


def _paid_on(day: date, order: Order) -> bool:
    begin, end = span(day)
    return order.paid_at is not None and order.paid_fen is not None and begin <= order.paid_at < end


def _refunded_on(day: date, order: Order, began: datetime | None) -> bool:
    """Whether the refund was asked for and confirmed on that day: then it is in that day's bill for certain."""
    begin, end = span(day)
    return (
        order.state is OrderState.REFUNDED
        and began is not None
        and order.finished_at is not None
        and begin <= began
        and order.finished_at < end
    )


# What people and programs read --------------------------------------------------------------------------------


def as_text(report: Report) -> str:
    """The report for people: sums, then a line for each difference."""
    rows = [f"{report.day}, China time     payments          paid   refunds      refunded"]
    for name, sums in (("WeChat's bill", report.wechat), ("the journal", report.journal)):
        paid, refunded = price_text(sums.paid_fen), price_text(sums.refunded_fen)
        rows.append(f"{name:26}{sums.payments:5}{paid:>14}{sums.refunds:>10}{refunded:>14}")
    for found in report.differences:
        number = found.out_refund_no or found.out_trade_no
        fen = found.wechat_fen if found.wechat_fen is not None else found.journal_fen
        rows.append(f"{found.kind.value:15} {number:35} {price_text(fen or 0):>9}  {found.message}")
    count = len(report.differences)
    rows.append(f"{count} differences" if count else "the books agree")
    return "\n".join(rows)


def as_json(report: Report) -> dict[str, Any]:
    """The report for programs; money in fen."""
    return {
        "date": report.day.isoformat(),
        "equal": not report.differences,
        "wechat": vars(report.wechat),
        "journal": vars(report.journal),
        "differences": [
            {
                "kind": found.kind.value,
                "out_trade_no": found.out_trade_no,
                "out_refund_no": found.out_refund_no,
                "wechat": found.wechat_fen,
                "journal": found.journal_fen,
                "message": found.message,
            }
            for found in report.differences
        ],
    }
