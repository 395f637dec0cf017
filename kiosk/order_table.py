"""Orders as rows of a table, the same for the command line, the page's download and the support file."""

from __future__ import annotations

from kiosk.orders import Order

COLUMNS = (
    "out_trade_no",
    "transaction_id",
    "product_id",
    "slot",
    "amount",
    "state",
    "created_at",
    "paid_at",
    "finished_at",
)


def cells(order: Order) -> list[str]:
    """One order; money in fen, times in the machine's zone with their offset."""
    times = (order.created_at, order.paid_at, order.finished_at)
    return [
        order.out_trade_no,
        order.transaction_id or "",
        order.product_id,
        order.slot or "",
        str(order.amount_fen),
        order.state.value,
        *("" if at is None else at.astimezone().isoformat(timespec="seconds") for at in times),
    ]
