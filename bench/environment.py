"""Whom the machine is compared with, in an environment of their own: .bench-venv, made by the bench."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from bench.processes import PEER_PYTHON, ROOT

FOLDER = ROOT / ".bench-venv"
PEERS = (
    Path(__file__).parent / "peers.txt"
)  # those without a version come in the one that the machine itself is locked to
LIBQRENCODE_PACKAGE = "libqrencode4"  # Debian's; unpacked beside the others, never installed


def prepare() -> str | None:
    """Make the environment where it is not there yet; what could not be had is told, and its lines stay away."""
    mark = FOLDER / ".made-for"
    wanted = hashlib.sha256(PEERS.read_bytes() + (ROOT / "requirements.lock").read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return None
    print("bench: making .bench-venv (a minute, once)", file=sys.stderr)
    venv.create(FOLDER, clear=True, with_pip=True)
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    locked = subprocess.run(
        [sys.executable, *pip, "freeze", "--exclude-editable"], check=True, capture_output=True, cwd=ROOT
    )
    constraints = FOLDER / "constraints.txt"
    constraints.write_bytes(locked.stdout)
    try:
        subprocess.run(
            [PEER_PYTHON, *pip, "install", "--requirement", PEERS, "--constraint", constraints],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    except subprocess.CalledProcessError:
        PEER_PYTHON.unlink()
        return "the peers could not be installed: their lines are missing"
    mark.write_text(wanted)
    return _unpack_libqrencode()


def _unpack_libqrencode() -> str | None:
    try:
        subprocess.run(["apt-get", "download", LIBQRENCODE_PACKAGE], check=True, capture_output=True, cwd=FOLDER)
        (package,) = FOLDER.glob(f"{LIBQRENCODE_PACKAGE}_*.deb")
        subprocess.run(["dpkg-deb", "--extract", package, FOLDER / "debian"], check=True, capture_output=True)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return f"{LIBQRENCODE_PACKAGE} could not be had from apt: the codes' reference is segno"
    return None


def libqrencode() -> Path | None:
    """The library, where it could be had."""
    return next((FOLDER / "debian").glob("usr/lib/*/libqrencode.so.4"), None)
