"""The Debian package, from its installation on a fresh computer to its purge."""

from __future__ import annotations

import asyncio
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from package_kit import KEY, PROJECT, SCREEN, Computer, build_package, computer, fill_in, stop
from scenario_kit import LIMIT_SECONDS, free_port

from kiosk.settings import WeChatPaySettings
from kiosk.simulation.camera import read_codes
from kiosk.simulation.wechat import Cashier, Payment, WeChatSimulator, merchant_of

# Instead of a running systemd: writes down what it is asked.
SYSTEMCTL = """#!/bin/sh
echo "$*" >>/root/asked
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_package(tmp_path_factory)


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Computer]:
    with computer(tmp_path / "computer") as made:
        yield made


@asynccontextmanager
async def simulated_wechat() -> AsyncIterator[WeChatSimulator]:
    merchant = WeChatPaySettings("wx8888888888888888", "1900000109", KEY)
    wechat = WeChatSimulator(merchant_of(merchant), scale=0.01)
    await wechat.start()
    try:
        yield wechat
    finally:
        await wechat.stop()


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


async def until(condition: object, what: str, machine: subprocess.Popen[str]) -> None:
    assert callable(condition)
    async with asyncio.timeout(LIMIT_SECONDS):
        while not await asyncio.to_thread(condition):
            assert machine.poll() is None, f"the machine ended before {what}: {machine.communicate()[0]}"
            await asyncio.sleep(0.05)


async def buy(debian: Computer, wechat: WeChatSimulator, machine: subprocess.Popen[str]) -> str:
    """Read the code off the machine's screen, and pay; the order's number."""
    screen = debian.path(SCREEN)
    await until(lambda: screen.exists() and read_codes(screen.read_bytes()), "a code is shown", machine)
    cashier = await wechat.scan(read_codes(screen.read_bytes())[0].text)
    assert isinstance(cashier, Cashier), cashier
    assert isinstance(await wechat.pay(cashier.out_trade_no), Payment)
    return cashier.out_trade_no


def test_the_package_holds_what_a_machine_needs_and_nothing_of_its_birthplace(package: Path, tmp_path: Path) -> None:
    """Units, user, folders, rules, documents, a program that finds its interpreter; dependencies of this release."""
    root = tmp_path / "x"
    subprocess.run(["dpkg-deb", "-R", package, root], check=True)
    units = {path.name for path in (PROJECT / "systemd").iterdir() if path.suffix in {".service", ".timer"}}
    assert {path.name for path in (root / "usr/lib/systemd/system").iterdir()} == units
    rules = {path.name for path in (PROJECT / "systemd").glob("*.rules")}
    assert {path.name for path in (root / "usr/lib/udev/rules.d").iterdir()} == rules
    assert (root / "usr/lib/sysusers.d/kiosk.conf").exists()
    assert (root / "usr/lib/tmpfiles.d/kiosk.conf").exists()
    documents = set(re.findall(r"/usr/share/doc/kiosk/\S+\.md", everything_said(root)))
    assert documents
    assert [document for document in documents if not (root / document.lstrip("/")).is_file()] == []
    control = (root / "DEBIAN/control").read_text()
    assert "fonts-wqy-microhei" in control
    assert re.search(r"python3 \(>= 3\.(\d+)\), python3 \(<< 3\.\d+\)", control)
    assert (root / "opt/kiosk/bin/kiosk").read_text().startswith("#!/opt/kiosk/bin/python3\n")
    told = subprocess.run(
        ["grep", "-rlE", str(PROJECT) + "|/tmp/tmp", root], capture_output=True, text=True, check=False
    )
    assert told.stdout == ""


def everything_said(root: Path) -> str:
    """The texts in which documents are named."""
    files = [*(root / "usr/lib/systemd/system").iterdir(), root / "usr/share/kiosk/kiosk.ini"]
    return "\n".join(file.read_text().replace("file:/", "/") for file in files)


async def test_an_installed_machine_sells_from_a_read_only_root(package: Path, debian: Computer) -> None:
    """Installed, filled in and checked as the guide says, it sells though only data_dir can be written."""
    said = debian.install(package)
    assert "fill in /etc/kiosk/kiosk.ini" in said
    port = free_port()
    async with simulated_wechat() as wechat:
        fill_in(debian, wechat.base_url, callbacks_port=free_port(), web_port=port)
        debian.hand_over_credentials()
        debian.make_read_only("/var/lib/kiosk")
        debian.run("printf 'a password\n' | sudo -u kiosk kiosk set-password -c /etc/kiosk/kiosk.ini")
        checked = debian.run("kiosk check -c /etc/kiosk/kiosk.ini", check=False)
        machine = debian.start_unit()
        number = await buy(debian, wechat, machine)
        await until(
            lambda: "dispensed" in debian.run("kiosk orders -c /etc/kiosk/kiosk.ini").stdout, "goods", machine
        )
        listed = debian.run("sudo -u kiosk kiosk orders --state dispensed -c /etc/kiosk/kiosk.ini").stdout
        backup = debian.start_unit("kiosk-backup.service")
        copied = await asyncio.to_thread(stop_when_done, backup)
        log = await asyncio.to_thread(stop, machine)
    assert "/etc/kiosk/kiosk.ini: all well" in checked.stdout, checked.stdout
    assert number in listed
    assert "the journal is copied to /var/lib/kiosk/backups/journal-" in copied
    assert machine.returncode == 0, log
    assert "Read-only" not in log
    assert KEY not in log


def stop_when_done(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=LIMIT_SECONDS)[0]


def newer_than(package: Path, folder: Path) -> Path:
    """The same package as version 99, with another example of an ini."""
    subprocess.run(["dpkg-deb", "-R", package, folder], check=True)
    control = folder / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*", "Version: 99", control.read_text(), flags=re.MULTILINE))
    example = folder / "usr/share/kiosk/kiosk.ini"
    example.write_text(f"# another example\n{example.read_text()}")
    newer = folder.parent / "kiosk_99.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "-b", folder, newer], check=True)
    return newer


def test_systemd_is_asked_to_stop_and_start_the_machine(package: Path, debian: Computer, tmp_path: Path) -> None:
    """The files of a machine that runs are never exchanged: it is stopped before, and started after an upgrade."""
    debian.write("/usr/local/bin/systemctl", SYSTEMCTL, 0o755)
    debian.run("mkdir -p /run/systemd/system")
    asked = debian.path("/root/asked")
    log = []
    for step in (
        lambda: debian.install(package),
        lambda: debian.install(newer_than(package, tmp_path / "newer")),
        lambda: debian.run("dpkg -r kiosk"),
    ):
        asked.write_text("")
        step()
        log.append(asked.read_text().splitlines())
    up = ["daemon-reload", "--quiet is-enabled kiosk.service", "start kiosk.service"]
    down = "stop kiosk.service"
    assert log[0] == up
    assert log[1] == [down, "daemon-reload", *up]
    assert log[2] == [
        down,
        "--quiet disable --now kiosk.service kiosk-backup.timer kiosk-day.timer",
        "daemon-reload",
    ]


async def test_an_upgrade_keeps_what_the_operator_and_the_customers_wrote(
    package: Path, debian: Computer, tmp_path: Path
) -> None:
    """Ini, secrets and journal survive upgrade and removal; a purge takes ini and secrets, and says what stays."""
    debian.install(package)
    port = free_port()
    async with simulated_wechat() as wechat:
        fill_in(debian, wechat.base_url, callbacks_port=free_port(), web_port=port)
        debian.hand_over_credentials()
        machine = debian.start_unit()
        number = await buy(debian, wechat, machine)
        await until(
            lambda: "dispensed" in debian.run("kiosk orders -c /etc/kiosk/kiosk.ini").stdout, "goods", machine
        )
        await asyncio.to_thread(stop, machine)
        before = debian.path("/etc/kiosk/kiosk.ini").read_text()

        said = debian.install(newer_than(package, tmp_path / "newer"))
        assert "fill in" not in said
        assert debian.path("/etc/kiosk/kiosk.ini").read_text() == before
        machine = debian.start_unit()
        await until(lambda: healthy(port), "it sells again", machine)
        assert number in debian.run("kiosk orders -c /etc/kiosk/kiosk.ini").stdout
        await asyncio.to_thread(stop, machine)

    said = debian.run("dpkg -r kiosk").stdout
    assert "are kept" in said
    assert debian.path("/etc/kiosk/kiosk.ini").read_text() == before
    assert debian.path("/etc/kiosk/api_key").read_text().strip() == KEY
    assert debian.path("/var/lib/kiosk/journal.sqlite").stat().st_size > 0
    assert not debian.path("/opt/kiosk").exists()

    said = debian.run("dpkg -P kiosk").stdout
    assert "the journal is kept" in said
    assert not debian.path("/etc/kiosk").exists()
    assert debian.path("/var/lib/kiosk/journal.sqlite").stat().st_size > 0
