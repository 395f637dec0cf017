"""The mini-program itself: its pages rendered, against running machines; and what WeChat would look at first."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest
from phone_doors import phone_doors

from kiosk.miniprogram.refusals import REFUSALS

MINIPROGRAM = Path(__file__).parents[2] / "miniprogram"
PAGES: list[str] = json.loads((MINIPROGRAM / "app.json").read_text())["pages"]
SOURCES = sorted(
    file for file in MINIPROGRAM.rglob("*.js") if "node_modules" not in file.relative_to(MINIPROGRAM).parts
)
PACKAGE_LIMIT_BYTES = 2 * 1024**2  # WeChat takes no larger main package
JEST_LIMIT_SECONDS = 240


async def run(*command: str, **environment: str) -> tuple[int, str]:
    """Run a program in the mini-program's folder; its end and its output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=MINIPROGRAM,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(JEST_LIMIT_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode()


@pytest.mark.timeout(JEST_LIMIT_SECONDS + 30)
@pytest.mark.parametrize("file", sorted(path.name for path in (MINIPROGRAM / "test").glob("*.test.js")))
async def test_what_the_customer_sees(file: str, tmp_path: Path) -> None:
    """Every test of the mini-program holds, each page test against a machine of its own."""
    async with phone_doors(tmp_path) as doors:
        code, output = await run(
            "node", "node_modules/jest/bin/jest.js", "--ci", file, PHONE_DOORS=doors, REFUSALS=" ".join(REFUSALS)
        )
    assert code == 0, output


async def test_the_scripts_can_be_read() -> None:
    """No file has a mistake of syntax."""
    results = await asyncio.gather(*(run("node", "--check", str(file)) for file in SOURCES))
    assert [] == [output for code, output in results if code]


def test_the_parts_of_the_mini_program_are_there() -> None:
    """Each page has its files; no account is named; what is sent to the phone fits a package."""
    for page in PAGES:
        assert all((MINIPROGRAM / f"{page}{end}").is_file() for end in (".js", ".json", ".wxml"))
        assert "usingComponents" in json.loads((MINIPROGRAM / f"{page}.json").read_text())
    assert "touristappid" == json.loads((MINIPROGRAM / "project.config.json").read_text())["appid"]
    assert sum(file.stat().st_size for file in SOURCES) < PACKAGE_LIMIT_BYTES


def test_the_lock_names_hashes_and_no_host() -> None:
    """What the tests install is pinned, and where it comes from is the installer's setting."""
    text = (MINIPROGRAM / "package-lock.json").read_text()
    packages = [values for name, values in json.loads(text)["packages"].items() if name]
    assert all("integrity" in values for values in packages)
    assert not any("resolved" in values for values in packages)
