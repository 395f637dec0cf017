"""`python -m bench [ROW …]`: measure, and print the table."""

from __future__ import annotations

import asyncio
import importlib
import os
import platform
import sys
import time
from datetime import date
from pathlib import Path

from bench.environment import prepare
from bench.table import FULL, Row, Scale, text

ROWS = ("notifications", "vend", "screen", "codes", "startup", "hostile", "journal", "live", "idle")


async def measure(row: str, scale: Scale) -> list[Row]:
    """What the module of that name measures."""
    measured: list[Row] = await importlib.import_module(f"bench.{row}").measure(scale)
    return measured


def computer() -> str:
    """What it is measured on."""
    found = [line.split(":")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    name = found[0].strip() if found else platform.machine()
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{date.today()}, {name}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load}"  # noqa: DTZ011


def main() -> None:
    """Measure the rows that are named, or all."""
    missing = prepare()
    began, place = time.monotonic(), computer()
    rows: list[Row] = []
    try:
        for name in sys.argv[1:] or ROWS:
            print(f"bench: {name}", file=sys.stderr)
            rows += asyncio.run(measure(name, FULL))
    finally:
        print(text(rows))
    print(f"\n{place}; {time.monotonic() - began:.0f} s")
    if missing is not None:
        print(missing)


if __name__ == "__main__":
    main()
