"""A technician types `kiosk run` while the service runs."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from config_files import write_ini
from scenario_kit import LIMIT_SECONDS, bench

from kiosk.orders import OrderState


async def test_a_second_process_touches_nothing(tmp_path: Path) -> None:
    """It ends with a sentence; the sale under way gives the goods, and no money back."""
    async with bench(tmp_path, vend_timeout_seconds=60) as running:
        running.board.motor_seconds = 4.0  # longer than the second process lives
        number = await running.buy("cola")
        await running.settled(number, OrderState.DISPENSING)
        ini = write_ini(tmp_path, ("id = lobby-1", f"id = lobby-1\ndata_dir = {tmp_path}"))
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kiosk", "run", "-c", str(ini)), stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(LIMIT_SECONDS):
            _, log = await second.communicate()
        await running.settled(number, OrderState.DISPENSED)
        assert "in_doubt" not in await running.kinds(number)
        assert running.money(number) == (350, 0)
    assert second.returncode == 1
    assert f"another process already runs the machine of the data folder {tmp_path}" in log.decode()
