"""The Debian package under a real systemd, from its installation on a fresh computer to its purge."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_kit import INI, KEY, PROJECT, Computer, build_package, computer

WATCHDOG = "[Service]\nWatchdogSec=6\n"  # instead of a minute; no busy computer is so late


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_package(tmp_path_factory)


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Computer]:
    with computer(tmp_path / "computer") as made:
        yield made


def set_up(debian: Computer, package: Path) -> None:
    """Install, fill in, and have WeChat Pay there: all but the start."""
    assert f"fill in {INI}" in debian.install(package)
    debian.fill_in()
    debian.start_wechat()


def property_of(debian: Computer, name: str, unit: str = "kiosk.service") -> str:
    return debian.run(f"systemctl show --value -p {name} {unit}").stdout.strip()


def everything_said(root: Path) -> str:
    """The texts in which documents are named."""
    files = [*(root / "usr/lib/systemd/system").iterdir(), root / "usr/share/kiosk/kiosk.ini"]
    return "\n".join(file.read_text().replace("file:/", "/") for file in files)


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
    told = subprocess.run(["grep", "-rlE", f"{PROJECT}|/tmp/tmp", root], capture_output=True, text=True, check=False)
    assert told.stdout == ""


def test_the_units_work_in_their_cages(package: Path, debian: Computer) -> None:
    """With all that the units forbid: credentials, a sale, a reload, the copy of the journal, the day's end."""
    set_up(debian, package)
    debian.run("systemctl enable --now kiosk")
    bought = debian.code()
    number = debian.buy()
    shown = debian.code(bought)
    assert property_of(debian, "StatusText") == "machine lobby-1 is open for business"
    for timer in ("kiosk-backup.timer", "kiosk-day.timer"):
        assert debian.run(f"systemctl is-enabled {timer}").stdout == "enabled\n"
    debian.run("systemctl start kiosk-backup kiosk-day")
    (copy,) = debian.path("/var/lib/kiosk/backups").iterdir()
    assert "0 findings" in debian.run(f"kiosk journal verify /var/lib/kiosk/backups/{copy.name} -c {INI}").stdout
    assert "closed as number 1" in debian.log()

    debian.path(INI).write_text(debian.path(INI).read_text().replace("price = 3.50", "price = 4.20"))
    debian.run("systemctl reload kiosk")
    assert property_of(debian, "StatusText") == f"{INI} is taken: 1 products, 1 slots"
    debian.code(bought, shown)
    again = debian.buy()
    assert number in debian.orders("dispensed")
    assert "4.20" in next(line for line in debian.orders("dispensed").splitlines() if again in line)
    debian.run("systemctl stop kiosk")
    assert property_of(debian, "Result") == "success"
    assert KEY not in debian.log()


def test_a_machine_that_hangs_is_started_anew(package: Path, debian: Computer) -> None:
    """A process that stands still feeds no watchdog: systemd ends it and starts another one, which sells."""
    set_up(debian, package)
    debian.write("/etc/systemd/system/kiosk.service.d/test.conf", WATCHDOG)
    debian.run("systemctl daemon-reload && systemctl start kiosk")
    debian.buy()
    debian.run("systemctl kill --signal=STOP --kill-whom=main kiosk")
    debian.until(lambda: property_of(debian, "NRestarts") != "0", "systemd starts it anew")
    assert "Watchdog timeout" in debian.log()
    debian.buy()


def test_it_sells_from_a_read_only_root(package: Path, debian: Computer) -> None:
    """Only data_dir can be written: it is set up, checked, and sells."""
    set_up(debian, package)
    data = debian.path("/var/lib/kiosk").stat()
    options = f"mode=0700,uid={data.st_uid},gid={data.st_gid}"
    debian.run(f"mount -t tmpfs -o {options} tmpfs /var/lib/kiosk && mount -o remount,bind,ro /")
    assert debian.run("touch /etc/x /opt/x /var/x /root/x", check=False).returncode != 0
    debian.run(f"sudo -u kiosk kiosk set-password -c {INI}", given="a password\n")
    assert "all well" in debian.run(f"sudo kiosk check -c {INI}").stdout
    debian.run("systemctl start kiosk")
    debian.buy()
    debian.run("mount -t tmpfs tmpfs /tmp")  # systemd itself wants it for PrivateDevices
    debian.run("systemctl start kiosk-backup && systemctl stop kiosk")
    assert "Read-only" not in debian.log()


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


def test_an_upgrade_keeps_what_the_operator_and_the_customers_wrote(
    package: Path, debian: Computer, tmp_path: Path
) -> None:
    """Ini, secrets and journal survive upgrade and removal; a purge takes ini and secrets, and says what stays."""
    set_up(debian, package)
    debian.run("systemctl enable --now kiosk")
    number = debian.buy()
    before, process = debian.path(INI).read_text(), property_of(debian, "MainPID")

    assert "fill in" not in debian.install(newer_than(package, tmp_path / "newer"))
    assert debian.path(INI).read_text() == before
    assert property_of(debian, "MainPID") not in {"0", process}
    debian.buy()
    assert number in debian.orders("dispensed")
    assert "finished first" in debian.log()

    assert "are kept" in debian.run("dpkg -r kiosk").stdout
    assert debian.run("systemctl is-active kiosk", check=False).stdout == "inactive\n"
    assert debian.path(INI).read_text() == before
    assert debian.path("/etc/kiosk/api_key").read_text().strip() == KEY
    assert debian.path("/var/lib/kiosk/journal.sqlite").stat().st_size > 0
    assert not debian.path("/opt/kiosk").exists()

    assert "the journal is kept" in debian.run("dpkg -P kiosk").stdout
    assert not debian.path("/etc/kiosk").exists()
    assert debian.path("/var/lib/kiosk/journal.sqlite").stat().st_size > 0
