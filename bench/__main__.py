"""`python -m bench [ROW …]`: measure, and print the table."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time

from bench.table import FULL, Row, text

ROWS = ("notifications", "screen", "codes", "hostile")


def main() -> None:
    """Measure the rows that are named, or all."""
    rows: list[Row] = []
    for name in sys.argv[1:] or ROWS:
        began = time.perf_counter()
        measured = asyncio.run(importlib.import_module(f"bench.{name}").measure(FULL))
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
        rows += measured
    print(text(rows))


if __name__ == "__main__":
    main()
