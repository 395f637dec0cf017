"""The Debian package, and computers to throw away: this one's files below a layer that takes the writes.

A computer is a container made of namespaces: systemd as its first process, a network of its own with nothing but
loopback, no hardware. What is installed, written or removed there is gone with it. It gets what systemd asks of
whoever makes containers (systemd.io/CONTAINER_INTERFACE): /proc/sys and /sys are read-only, /dev is its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kiosk.simulation.camera import read_codes

PROJECT = Path(__file__).parents[1]
KEY = "192006250b4c09247ec02edce69f6a2d"
SCREEN = "/var/lib/kiosk/screen.png"
INI = "/etc/kiosk/kiosk.ini"
LIMIT_SECONDS = 100.0  # for dpkg and a machine's start, on a busy computer

_SET_UP = """
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root" "$1/groups"
mount -t cgroup2 cgroup2 "$1/groups"
group=$1/groups$(sed -n 's/^0:://p' /proc/self/cgroup)/$2
mkdir "$group"
echo 0 >"$group/cgroup.procs"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    : >dev/$device
    mount --bind /dev/$device dev/$device
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
: >etc/fstab
mkdir -p etc/systemd/journald.conf.d
printf '[Journal]\\nStorage=volatile\\n' >etc/systemd/journald.conf.d/test.conf
mkdir outside
pivot_root . outside
umount -l /outside
rmdir /outside
mount --make-rshared /
exec unshare -C sh -ec '
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -o remount,bind,ro /sys
echo ready
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=basic.target
'
"""
# The control groups of a computer that has gone, below the one that this process is in.
_TIDY_UP = """
mkdir -p "$1" && mount -t cgroup2 cgroup2 "$1"
find "$1$(sed -n 's/^0:://p' /proc/self/cgroup)/$2" -depth -type d -exec rmdir {} +
"""
_NAMESPACES = ["-m", "-p", "-n", "-u", "-i"]

# ifconfig lo up, without the package that has the tool
_LOOPBACK_UP = "import fcntl,socket,struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 1))"

# Who asks for another user's rights in the docs is root here already.
_SUDO = """#!/bin/sh
user=root
[ "$1" != -u ] || { user=$2; shift 2; }
exec setpriv --reuid "$user" --regid "$user" --init-groups "$@"
"""


def build_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`make deb`, once for all processes of this test run."""
    if not Path("/usr/bin/python3").exists() or shutil.which("dpkg") is None:
        pytest.skip("this is no Debian: the package is for one")
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

    def __init__(self, folder: Path) -> None:
        self._arguments = ["sh", str(folder), f"computer-{os.getpid()}-{folder.parent.name}"]
        self._maker = subprocess.Popen(
            ["unshare", "-f", *_NAMESPACES, "sh", "-c", _SET_UP, *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._maker.stdout is not None
        if self._maker.stdout.readline() != "ready\n":
            pytest.skip(f"no container can be made here: {self._maker.communicate()[1].strip()}")
        self._first = Path(f"/proc/{self._maker.pid}/task/{self._maker.pid}/children").read_text().strip()
        self.write("/usr/local/bin/sudo", _SUDO, 0o755)
        self.until(self._is_up, "systemd is up")
        self.run(f'/usr/bin/python3 -c "{_LOOPBACK_UP}"')

    def path(self, path: str) -> Path:
        """A file of the computer, as the test reaches it."""
        return Path(f"/proc/{self._first}/root{path}")

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
        place = ["nsenter", "-t", self._first, "-r", "-w", *_NAMESPACES]
        base = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        done = subprocess.run(
            [*place, "/bin/sh", "-c", f"cd /root\n{command}"],
            env={**base, **(environment or {})},
            input=given,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until `condition` holds; looks again every fifth of a second, as looking is work."""
        end = time.monotonic() + LIMIT_SECONDS
        while not condition():
            assert time.monotonic() < end, f"waited {LIMIT_SECONDS:g} s in vain until {what}\n{self.log()}"
            time.sleep(0.2)

    def install(self, package: Path) -> str:
        """`dpkg -i`; what it printed."""
        self.copy(package, f"/root/{package.name}")
        return self.run(f"dpkg -i /root/{package.name}").stdout

    def fill_in(self, *more_of_web: str) -> None:
        """What an operator does after the installation: key and ini, here of a simulated WeChat Pay and no board."""
        self.write("/etc/kiosk/api_key", f"{KEY}\n", 0o600)
        text = re.sub(r" +#.*", "", self.path(INI).read_text())
        for old, new in (
            ("native_mode = two", "native_mode = two\napi_base = http://127.0.0.1:9000"),
            ("0.0.0.0:8080", "\n".join(("127.0.0.1:8080", *more_of_web))),
            ("driver = framebuffer", f"driver = file\ndevice = {SCREEN}"),
            ("driver = xy\n", "driver = fake\n"),
        ):
            assert old in text, old
            text = text.replace(old, new)
        self.path(INI).write_text(re.sub(r"^port = .*\n", "", text, flags=re.MULTILINE))

    def start_wechat(self) -> None:
        """A simulated WeChat Pay at 127.0.0.1:9000."""
        self.run(f"systemd-run --quiet --unit wechat kiosk simulate-wechat --listen 127.0.0.1:9000 -c {INI}")

    def code(self, *others: str) -> str:
        """The code on the machine's screen, once there is one that is none of `others`."""
        screen, seen = self.path(SCREEN), list[str]()

        def look() -> bool:
            seen[:] = [code.text for code in read_codes(screen.read_bytes())] if screen.exists() else []
            return bool(seen) and seen[0] not in others

        self.until(look, "a code is on the screen")
        return seen[0]

    def buy(self) -> str:
        """Scan the code on the screen, pay, and wait for the goods; the order's number."""
        cashier = self._customer("scan", {"code": self.code()})["cashier"]
        number = str(cashier["out_trade_no"])
        assert "payment" in self._customer("pay", {"out_trade_no": number})
        self.until(lambda: number in self.orders("dispensed"), "the goods have dropped")
        return number

    def orders(self, state: str) -> str:
        """What `kiosk orders` lists."""
        return self.run(f"kiosk orders --state {state} -c {INI}").stdout

    def log(self) -> str:
        """What the machine has logged, and systemd about it."""
        return self.run("journalctl --no-pager -u 'kiosk*'", check=False).stdout

    def close(self) -> None:
        """Throw the computer away: with its first process all others end."""
        os.kill(int(self._first), signal.SIGKILL)
        self._maker.communicate()
        subprocess.run(["unshare", "-m", "sh", "-c", _TIDY_UP, *self._arguments], check=True)

    def _is_up(self) -> bool:
        # "degraded": a unit of this computer's own, which has nothing to do with a vending machine, does not start.
        return self.run("systemctl is-system-running", check=False).stdout.strip() in {"running", "degraded"}

    def _customer(self, what: str, values: dict[str, str]) -> dict[str, Any]:
        ask = f"curl -sS -H 'Content-Type: application/json' -d @- http://127.0.0.1:9000/simulator/{what}"
        answer: dict[str, Any] = json.loads(self.run(ask, given=json.dumps(values)).stdout)
        return answer


@contextmanager
def computer(folder: Path) -> Iterator[Computer]:
    """A computer for as long as the block lasts."""
    folder.mkdir()
    made = Computer(folder)
    try:
        yield made
    finally:
        made.close()
