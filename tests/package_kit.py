"""The Debian package, and computers to throw away: this one's files below a layer that takes the writes.

A computer lives in a mount namespace of its own: what is installed, written or removed there is gone with it. It
shares the network with the test, or has one of its own with nothing but loopback. It has no systemd running: what
systemd would do for a unit is done by `Computer`.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
KEY = "192006250b4c09247ec02edce69f6a2d"
SCREEN = "/var/lib/kiosk/screen.png"
LIMIT_SECONDS = 100.0  # for dpkg and a machine's start, on a busy computer

# mount's arguments stand in the order: upper folder, work folder, where the computer's root is.
_SET_UP = """
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
echo ready
exec cat
"""

# ifconfig lo up, without the package that has the tool
_LOOPBACK_UP = "import fcntl,socket,struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 1))"

# Who asks for another user's rights in the docs is root here already.
_SUDO = """#!/bin/sh
user=root
[ "$1" != -u ] || { user=$2; shift 2; }
exec setpriv --reuid "$user" --regid "$user" --init-groups "$@"
"""


def may_make_computers() -> str:
    """Why no computer can be made here; "" if one can."""
    if not Path("/usr/bin/python3").exists() or shutil.which("dpkg") is None:
        return "this is no Debian: the package is for one"
    done = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "mount namespaces need root"


def build_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`make deb`, once for all processes of this test run."""
    ours = tmp_path_factory.getbasetemp()
    shared = ours.parent if os.environ.get("PYTEST_XDIST_WORKER") else ours
    folder = shared / "package"
    with (shared / "package.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not any(folder.glob("*.deb")):
            # `make deb` sets up .venv first, which this very process runs in and which is there.
            subprocess.run(["sh", "packaging/deb.sh", folder], cwd=PROJECT, check=True, timeout=LIMIT_SECONDS)
    return next(folder.glob("*.deb"))


class Computer:
    """A Debian computer to throw away."""

    def __init__(self, folder: Path, *, own_network: bool) -> None:
        self._namespaces = ["-m", "-n"] if own_network else ["-m"]
        self._holder = subprocess.Popen(
            ["unshare", *self._namespaces, "sh", "-c", _SET_UP, "sh", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            pytest.skip(f"the kernel allows no overlay here: {self._holder.communicate()[1].strip()}")
        self._root = folder / "root"
        self._started: list[subprocess.Popen[str]] = []
        self.write("/usr/local/bin/sudo", _SUDO, 0o755)
        if own_network:
            self.run(f'/usr/bin/python3 -c "{_LOOPBACK_UP}"')

    def path(self, path: str) -> Path:
        """A file of the computer, as the test reaches it."""
        return Path(f"/proc/{self._holder.pid}/root{self._root}{path}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file onto the computer."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def copy(self, source: Path, path: str) -> None:
        """Copy a file of the project onto the computer."""
        shutil.copy(source, self.path(path))

    def run(
        self, command: str, *, check: bool = True, given: str = "", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command there as root, with `given` as standard input; its output is kept."""
        done = subprocess.run(
            self._inside(command),
            env=self._environment(environment),
            input=given,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def install(self, package: Path) -> str:
        """`dpkg -i`; what it printed."""
        self.copy(package, f"/root/{package.name}")
        return self.run(f"dpkg -i /root/{package.name}").stdout

    def make_read_only(self, writable: str) -> None:
        """Nothing on the computer can be written any more but one folder, which keeps its owner and is emptied."""
        folder = self.path(writable)
        status = folder.stat()
        inside = f"{self._root}{writable}"
        options = f"mode={status.st_mode & 0o7777:o},uid={status.st_uid},gid={status.st_gid}"
        script = f"mount -t tmpfs -o {options} tmpfs {inside} && mount -o remount,ro {self._root}"
        subprocess.run(["nsenter", "-t", str(self._holder.pid), "-m", "sh", "-c", script], check=True)

    def hand_over_credentials(self, unit: str = "kiosk.service") -> None:
        """Do what LoadCredential does."""
        folder = f"/run/credentials/{unit}"
        self.run(f"install -d -o kiosk -g kiosk -m 0700 {folder}")
        for name, source in (value.split(":") for value in self._values(unit, "LoadCredential")):
            self.run(f"install -o kiosk -g kiosk -m 0400 {source} {folder}/{name}")

    def start_unit(self, unit: str = "kiosk.service") -> subprocess.Popen[str]:
        """Run what the unit runs, as its user and with its groups, variables and credentials."""
        (command,) = self._values(unit, "ExecStart")
        for folder in " ".join(self._values(unit, "StateDirectory")).split():
            self.run(f"install -d -o kiosk -g kiosk -m 0700 /var/lib/{folder}")
        groups = " ".join(self._values(unit, "SupplementaryGroups")).replace(" ", ",")
        groups = f"--groups {groups}" if groups else "--clear-groups"
        shell = f"umask 0077; exec setpriv --reuid kiosk --regid kiosk {groups} -- {_unescaped(command)}"
        return self.start(shell, {"CREDENTIALS_DIRECTORY": f"/run/credentials/{unit}"})

    def start(self, command: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Run a shell command there as root, beside the test."""
        process = subprocess.Popen(
            self._inside(command),
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def stop_units(self) -> None:
        """End in order what still runs, as systemd does when a package asks for it."""
        while self._started:
            stop(self._started.pop())

    def close(self) -> None:
        """Throw the computer away."""
        self.stop_units()
        self._holder.communicate()

    def _values(self, unit: str, key: str) -> list[str]:
        lines = self.path(f"/usr/lib/systemd/system/{unit}").read_text().splitlines()
        return [line.removeprefix(f"{key}=") for line in lines if line.startswith(f"{key}=")]

    def _inside(self, command: str) -> list[str]:
        place = ["nsenter", "-t", str(self._holder.pid), *self._namespaces, "chroot", str(self._root)]
        return [*place, "/bin/sh", "-c", f"cd /root\n{command}"]

    @staticmethod
    def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
        base = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        return {**base, **(more or {})}


def stop(process: subprocess.Popen[str]) -> str:
    """Let a machine end in order; what it printed."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=LIMIT_SECONDS)[0]


@contextmanager
def computer(folder: Path, *, own_network: bool = False) -> Iterator[Computer]:
    """A computer for as long as the block lasts."""
    reason = may_make_computers()
    if reason:
        pytest.skip(reason)
    folder.mkdir(exist_ok=True)
    made = Computer(folder, own_network=own_network)
    try:
        yield made
    finally:
        made.close()


def fill_in(
    debian: Computer, wechat: str, *, callbacks_port: int = 8000, web_port: int = 8080, web: str = ""
) -> None:
    """What an operator does after the installation: key and ini, here of a simulated WeChat Pay and no board.

    `web`: more lines for [web].
    """
    debian.write("/etc/kiosk/api_key", f"{KEY}\n", 0o600)
    ini = debian.path("/etc/kiosk/kiosk.ini")
    text = re.sub(r" +#.*", "", ini.read_text())
    for old, new in (
        ("native_mode = two", f"native_mode = two\napi_base = {wechat}"),
        ("127.0.0.1:8000", f"127.0.0.1:{callbacks_port}"),
        ("0.0.0.0:8080", f"127.0.0.1:{web_port}\n{web}"),
        ("driver = framebuffer", f"driver = file\ndevice = {SCREEN}"),
        ("driver = xy\n", "driver = fake\n"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    ini.write_text(re.sub(r"^port = .*\n", "", text, flags=re.MULTILINE))


def _unescaped(command: str) -> str:
    """An ExecStart as a shell would be given it: systemd's own $$ and %% stand for one."""
    words = shlex.split(command.replace("%%", "%"))
    return shlex.join(word.replace("$$", "$") for word in words)
