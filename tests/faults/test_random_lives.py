"""Random lives of a machine in virtual time: whatever happens, in whatever order, the promises hold at every step."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from soak_life import Life

SOAKING = "SOAK_LIVES" in os.environ  # `make soak`: thousands of lives, other ones every time
LIVES = int(os.environ.get("SOAK_LIVES", "100"))
STEPS = 50


@pytest.mark.timeout(0 if SOAKING else 300)
def test_random_lives() -> None:
    """No item twice, none unpaid, no money lost, in any order of sales, faults, restarts and days."""
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=LIVES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not SOAKING,  # everybody's `make test` lives the same lives
            phases=[Phase.generate],  # a life in which a promise broke is short enough to be read as it is
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            database=None,
        ),
    )
