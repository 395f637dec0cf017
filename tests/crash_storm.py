"""Kill machines at random moments of whole sales, thousands of times, and compare the three books after each.

    python tests/crash_storm.py [--trials 1000] [--seed N]

Prints the seed and every violation; the exit status is 1 if there was one. `make crash` runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from crash_kit import SCENARIOS, Zygote, attempt, zygote

SIDE_BY_SIDE = 4
LONGEST_SECONDS = 1.2  # a sale takes less from the scan to its last commit
EXPIRY_SECONDS = 5.5  # the order's life and its closing


async def storm(trials: int, seed: int) -> int:
    """Run the trials; return how many broke a promise."""
    dice = random.Random(seed)
    tally: collections.Counter[str] = collections.Counter()
    room = asyncio.Semaphore(SIDE_BY_SIDE)
    print(f"{trials} trials, seed {seed}", flush=True)

    async def one(machines: Zygote, folder: Path, number: int) -> None:
        scenario = dice.choice(SCENARIOS)
        longest = EXPIRY_SECONDS if scenario.name == "expiry" else LONGEST_SECONDS
        after_seconds = dice.uniform(0, longest)
        async with room:
            try:
                trial = await attempt(folder / str(number), machines, scenario, kill_after_seconds=after_seconds)
            except Exception as error:  # noqa: BLE001 - one trial that goes wrong is counted, the others go on
                tally["broken"] += 1
                print(f"trial {number}, {scenario.name} killed after {after_seconds:.3f} s: {error!r}", flush=True)
                return
            tally[scenario.name] += 1
            if trial.violations:
                tally["broken"] += 1
                print(
                    f"trial {number}, {scenario.name} killed after {after_seconds:.3f} s: {trial.violations}",
                    flush=True,
                )
            await asyncio.to_thread(shutil.rmtree, folder / str(number))

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kiosk-crash-") as folder:
        async with zygote() as machines:
            await asyncio.gather(*(one(machines, Path(folder), number) for number in range(trials)))
    names = ", ".join(f"{tally[scenario.name]} {scenario.name}" for scenario in SCENARIOS)
    print(f"{tally['broken']} of {trials} broke a promise, in {time.monotonic() - began:.0f} s: {names}", flush=True)
    return tally["broken"]


def main() -> int:
    """Read the arguments, run, return the exit status."""
    parser = argparse.ArgumentParser(description="Kill machines at random moments of whole sales.")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    return 1 if asyncio.run(storm(arguments.trials, arguments.seed)) else 0


if __name__ == "__main__":
    sys.exit(main())
