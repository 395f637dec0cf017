"""From the start of the process to the first picture with codes on it, and the memory that it holds then."""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import zxingcpp
from PIL import Image

from bench.machine_ini import furnish
from bench.panel import BYTES
from bench.processes import ENVIRONMENT, MEMORY, ROOT, line_of, ports, running
from bench.table import Line, Row, Scale, in_turn, milliseconds, ratio
from bench.values import HEIGHT, PRODUCTS, WIDTH

START_MS, RSS_MB, PRIVATE_MB = 500, 75, 55
IMPORTS, PRODUCT, NAIVE = (
    "imports of tornado, sqlite3, pillow, serial (reference)",
    "this project, native mode one",
    "an afternoon's script",
)
# Not for the first picture: each of these costs 10 ms or more to import.
LATER = {
    "cryptography",
    "xmltodict",
    "prometheus_client",
    "argon2",
    "zxingcpp",
    "pymodbus",
    "pygame",
    "kiosk.simulation",
}


class _Starter:
    """Starts processes, and keeps what they weighed."""

    def __init__(self, folder: Path, settle_seconds: float) -> None:
        self._settle_seconds = settle_seconds
        self._folder = folder
        self._panel = folder / "panel"
        (port,) = ports(1)
        self._place = furnish(
            folder, display=f"driver = framebuffer\ndevice = {self._panel}", wechat=f"http://127.0.0.1:{port}"
        )
        self._wechat = ("simulate-wechat", "--listen", f"127.0.0.1:{port}", "-c", str(self._place.ini))
        self.weights: dict[str, list[tuple[float, float]]] = {PRODUCT: [], NAIVE: []}

    def wechat(self) -> AbstractAsyncContextManager[Process]:
        """WeChat Pay, without whose first answer nothing is shown for sale."""
        return running("-m", "kiosk", *self._wechat)

    async def imports(self) -> float:
        """An interpreter that does nothing with them."""
        began = time.monotonic()
        async with running("-c", "import tornado.web, sqlite3, PIL.Image, serial; print('ready', flush=True)"):
            return time.monotonic() - began

    async def product(self) -> float:
        """`kiosk run`."""
        return await self._until_readable(PRODUCT, "-m", "bench.framed_kiosk", "run", "-c", str(self._place.ini))

    async def naive(self) -> float:
        """What one would write in an afternoon."""
        return await self._until_readable(NAIVE, "-m", "bench.naive_kiosk", str(self._panel))

    async def _until_readable(self, name: str, *arguments: str) -> float:
        self._panel.write_bytes(bytes(BYTES))
        began = time.monotonic_ns()
        async with running(*arguments, ready=False) as process:
            while True:
                shown, at = (await line_of(process)).split()
                assert shown == "shown"
                if self._codes():
                    break
            await asyncio.sleep(self._settle_seconds)  # what is loaded lazily is there by then
            self.weights[name].append(_weight(process))
        return (int(at) - began) / 1e9

    def _codes(self) -> int:
        picture = Image.frombytes("RGB", (WIDTH, HEIGHT), self._panel.read_bytes(), "raw", "BGRX")
        return len(zxingcpp.read_barcodes(picture))

    async def loaded(self) -> set[str]:
        """Which of the libraries that the first picture does not need are imported before it all the same."""
        arguments = ["-X", "importtime", "-m", "bench.framed_kiosk", "run", "-c", str(self._place.ini)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=PIPE, stderr=PIPE, cwd=ROOT, env=ENVIRONMENT
        )
        assert process.stderr is not None
        self._panel.write_bytes(bytes(BYTES))
        while not (await line_of(process) and self._codes()):
            pass
        process.kill()
        modules = re.findall(r"\| +(\S+)$", (await process.stderr.read()).decode(), re.MULTILINE)
        await process.wait()
        return {name for name in LATER for module in modules if module == name or module.startswith(name + ".")}


def _weight(process: Process) -> tuple[float, float]:
    """Resident and private memory, in MB (10^6 bytes)."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    kilobytes = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
    return kilobytes["Rss"] * 1024 / 1e6, (kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]) * 1024 / 1e6


async def measure(scale: Scale) -> list[Row]:
    """Two rows."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        starter = _Starter(Path(folder), scale.settle_seconds)
        async with starter.wechat():
            await starter.product()
            taken = await in_turn(
                {IMPORTS: starter.imports, PRODUCT: starter.product, NAIVE: starter.naive}, scale.starts
            )
            early = sorted(await starter.loaded())
    starts = []
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        reach, reached = (f"{START_MS} ms or less", median * 1000 <= START_MS) if name == PRODUCT else ("", None)
        starts.append(Line(name, milliseconds(median), ratio(taken, name, IMPORTS), reach, reached))
    starts.append(
        Line("imported before, and not needed for it", ", ".join(early) or "nothing", None, "nothing", not early)
    )
    weights = []
    for name, weighed in starter.weights.items():
        resident, private = (statistics.median(each) for each in zip(*weighed, strict=True))
        reach = f"{RSS_MB} MB, private {PRIVATE_MB} MB or less" if name == PRODUCT else ""
        reached = (resident <= RSS_MB and private <= PRIVATE_MB) if name == PRODUCT else None
        weights.append(Line(name, f"{resident:.1f} MB, private {private:.1f} MB", None, reach, reached))
    title = f"process start to the first readable picture of {PRODUCTS} codes"
    return [Row(title, starts), Row("resident memory with the first picture shown", weights)]
