"""The unit files: systemd takes them, and they shut the machine in."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
UNITS = PROJECT / "systemd"
KIOSK = PROJECT / ".venv" / "bin" / "kiosk"
WORST_EXPOSURE = 20  # tenths: what systemd-analyze calls 2.0
LIMIT_SECONDS = 60


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    """`systemd-analyze verify` says nothing of any unit; only the path of the program is this computer's."""
    for unit in UNITS.glob("kiosk*.*"):
        if unit.suffix in {".service", ".timer"}:
            (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/kiosk/bin/kiosk", str(KIOSK)))
    done = analyze("verify", *sorted(tmp_path.iterdir()))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda unit: unit.name)
def test_the_machine_is_shut_in(unit: Path) -> None:
    """`systemd-analyze security` sees an exposure of 2.0 or less, of every service."""
    done = analyze("security", "--offline=true", f"--threshold={WORST_EXPOSURE}", unit)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_a_touch_screen_opens_no_more_than_it_needs(tmp_path: Path) -> None:
    """With the example for a window on a board without a desktop the service is still shut in."""
    unit = tmp_path / "kiosk.service"
    opened = (PROJECT / "docs" / "kiosk-window.conf").read_text().partition("[Service]\n")[2]
    unit.write_text((UNITS / "kiosk.service").read_text().replace("[Service]\n", f"[Service]\n{opened}"))
    unit.write_text(unit.read_text().replace("MemoryDenyWriteExecute=yes\n", ""))
    done = analyze("security", "--offline=true", f"--threshold={WORST_EXPOSURE}", unit)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_every_credential_has_its_file(tmp_path: Path) -> None:
    """A credential without its file would keep the unit from starting: tmpfiles makes each, for root alone."""
    wanted = [
        line.partition(":")[2]
        for line in (UNITS / "kiosk.service").read_text().splitlines()
        if line.startswith("LoadCredential=")
    ]
    made = [
        line.split()[1:3] for line in (UNITS / "kiosk.tmpfiles").read_text().splitlines() if line.startswith("f ")
    ]
    assert wanted
    assert made == [[path, "0600"] for path in wanted]
    (tmp_path / "etc").mkdir()
    for tool, file in (("systemd-sysusers", "kiosk.sysusers"), ("systemd-tmpfiles", "kiosk.tmpfiles")):
        action = ["--create"] if tool == "systemd-tmpfiles" else []
        subprocess.run([tool, f"--root={tmp_path}", *action, UNITS / file], check=True, timeout=LIMIT_SECONDS)
    assert all((tmp_path / path.lstrip("/")).is_file() for path in wanted)
    assert (tmp_path / "var/lib/kiosk/backups").is_dir()


def test_the_unit_waits_as_long_as_the_longest_vend() -> None:
    """No vend is cut off by systemd, however long a vend_timeout the ini allows (600 s)."""
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign] # keys of units have capitals
    unit.read(UNITS / "kiosk.service")
    assert unit.getint("Service", "TimeoutStopSec") > 600
