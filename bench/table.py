"""Rounds in turn, their medians, and the lines of the table."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How much is measured: `FULL` for the table, `SMOKE` for a test that every row runs."""

    rounds: int
    notifications: int  # of one contestant in one round, 32 at once
    latencies: int  # of one contestant in one round, one at a time
    sales: int
    pause_seconds: float  # after a sale: what it paints is painted before the next customer pays
    paints: int
    polls: int  # of a board, answered beside a painter; at most what the simulator remembers
    starts: int
    journals: tuple[int, ...]  # orders in each
    lookups: int
    changes: int  # on the machine, watched by the page
    watchers: int
    browser: bool
    idle_seconds: float
    settle_seconds: float  # until what a start costs is over


FULL = Scale(
    rounds=7,
    notifications=1600,
    latencies=150,
    sales=40,
    pause_seconds=0.2,
    paints=15,
    polls=400,
    starts=7,
    journals=(10_000, 100_000, 1_000_000),
    lookups=25,
    changes=30,
    watchers=20,
    browser=True,
    idle_seconds=20.0,
    settle_seconds=3.0,
)
SMOKE = Scale(
    rounds=1,
    notifications=32,
    latencies=3,
    sales=1,
    pause_seconds=0.0,
    paints=1,
    polls=3,
    starts=1,
    journals=(200,),
    lookups=1,
    changes=1,
    watchers=2,
    browser=False,
    idle_seconds=0.2,
    settle_seconds=0.1,
)


@dataclass(frozen=True)
class Line:
    """One line of the table. `ratio` is to the row's reference; `reached`: None where nothing has to be reached."""

    who: str
    value: str
    ratio: float | None = None
    reach: str = ""
    reached: bool | None = None


@dataclass(frozen=True)
class Row:
    """One row of the issue: what was measured, and what came out for everybody in it."""

    title: str
    lines: Sequence[Line]


Rounds = Mapping[str, Sequence[float]]


async def in_turn(contestants: Mapping[str, Callable[[], Awaitable[float]]], rounds: int) -> Rounds:
    """Let everybody have a turn, `rounds` times over: what disturbs the computer disturbs all of them."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in contestants.items():
            taken[name].append(await measure())
    return taken


def ratio(rounds: Rounds, name: str, reference: str) -> float:
    """The median of the ratios of each round."""
    return statistics.median(one / other for one, other in zip(rounds[name], rounds[reference], strict=True))


def milliseconds(seconds: float) -> str:
    """A duration as the table shows it."""
    if seconds < 1e-4:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1000:.{0 if seconds >= 0.1 else 1 if seconds >= 0.01 else 2}f} ms"


def text(rows: Sequence[Row]) -> str:
    """The table, in Markdown that a terminal shows as well."""
    cells = [("", "measured", "x reference", "reach", "reached")]
    for row in rows:
        cells.append((f"**{row.title}**", "", "", "", ""))
        for line in row.lines:
            verdict = "" if line.reached is None else "yes" if line.reached else "NO"
            times = "" if line.ratio is None else f"{line.ratio:.3g}"
            cells.append((line.who, line.value, times, line.reach, verdict))
    widths = [max(len(row[column]) for row in cells) for column in range(5)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)
