"""The bench measures what the tests do not: here only that each of its rows still runs."""

from __future__ import annotations

import pytest

from bench.__main__ import ROWS, measure
from bench.table import SMOKE, text


@pytest.mark.parametrize("row", ROWS)
async def test_a_row_runs(row: str) -> None:
    """At its smallest, without the peers that are not installed and whatever the figures: it measures, and tells."""
    rows = await measure(row, SMOKE)

    assert rows
    assert all(line.who in text(rows) for each in rows for line in each.lines)
