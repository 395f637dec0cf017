"""The life of an order: which changes the table allows."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

import pytest
from core_values import NOON

from kiosk.orders import (
    FINAL,
    TRANSITIONS,
    UNPAID,
    Order,
    OrderState,
    TransitionRefused,
    check_transition,
    new_out_trade_no,
)

PAYMENT_KNOWN = set(OrderState) - UNPAID - {OrderState.CLOSED}


class TestTransitions:
    def test_every_state_has_its_row(self) -> None:
        """No state is forgotten in the table."""
        assert set(OrderState) == set(TRANSITIONS)

    def test_goods_only_against_payment(self) -> None:
        """Dispensing is reached from paid, or from itself for the next slot, and from nowhere else."""
        before = {state for state in OrderState if OrderState.DISPENSING in TRANSITIONS[state]}

        assert {OrderState.PAID, OrderState.DISPENSING} == before

    def test_nothing_is_vended_after_doubt(self) -> None:
        """From in_doubt, refunding, refund_failed, refunded, closed and dispensed no way leads to dispensing."""
        reached = {
            OrderState.IN_DOUBT,
            OrderState.REFUNDING,
            OrderState.REFUND_FAILED,
            OrderState.REFUNDED,
            OrderState.CLOSED,
            OrderState.DISPENSED,
        }
        while True:
            further = reached | {following for state in reached for following in TRANSITIONS[state]}
            if further == reached:
                break
            reached = further

        assert OrderState.DISPENSING not in reached

    def test_a_known_payment_is_never_forgotten(self) -> None:
        """Once a payment is known, no way leads back to an unpaid or a closed order."""
        for state in PAYMENT_KNOWN:
            assert not TRANSITIONS[state] & (UNPAID | {OrderState.CLOSED})

    def test_every_paid_order_can_reach_an_end(self) -> None:
        """From every state some final state can be reached."""
        for start in OrderState:
            reached = {start}
            for _ in OrderState:
                reached |= {following for state in reached for following in TRANSITIONS[state]}

            assert reached & FINAL

    @pytest.mark.parametrize(("state", "wanted"), list(product(OrderState, OrderState)))
    def test_the_check_follows_the_table(
        self, draft: Callable[..., Order], state: OrderState, wanted: OrderState
    ) -> None:
        """A change is refused, with the order as it stands, exactly when the table lacks it."""
        order = draft()._replace(state=state)
        if wanted in TRANSITIONS[state]:
            check_transition(order, wanted)
        else:
            with pytest.raises(TransitionRefused) as refused:
                check_transition(order, wanted)

            assert order == refused.value.order


class TestNumbers:
    def test_the_longest_machine_id_fits(self) -> None:
        """WeChat takes 6 to 32 characters of digits, letters and _-|*; the machine's id stands first."""
        number = new_out_trade_no("abcdefgh-123", NOON)

        assert re.fullmatch(r"abcdefgh-123-[0-9]{12}-[0-9A-Z]{6}", number)
        assert len(number) <= 32

    def test_numbers_of_one_second_differ(self) -> None:
        """A thousand orders in one second get a thousand numbers."""
        assert len({new_out_trade_no("lobby-1", NOON) for _ in range(1000)}) == 1000

    def test_the_claim_code_is_the_end(self, draft: Callable[..., Order]) -> None:
        """Customer and technician compare the last six characters of the order number."""
        order = draft()

        assert order.out_trade_no[-6:] == order.claim_code
