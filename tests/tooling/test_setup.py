"""What `make` sets up: locks that agree with pyproject.toml, and a script that says clearly what it lacks."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
LIMIT_SECONDS = 30


def pinned(lock: str) -> dict[str, str]:
    """Name → version of everything in a lock file."""
    found = re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", (PROJECT / lock).read_text(), re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_locks_hold_what_the_project_asks_for(lock: str) -> None:
    """Every requirement of pyproject.toml, build tools included, is pinned to a version that fulfils it."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    wanted = project["build-system"]["requires"] + project["project"]["dependencies"]
    wanted += project["project"]["optional-dependencies"]["window"]
    if lock == "requirements-dev.lock":
        wanted += project["dependency-groups"]["dev"]
    versions = pinned(lock)
    for line in wanted:
        requirement = Requirement(line)
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), (
            f"{line}: run `make lock`"
        )


def test_both_locks_name_the_same_versions() -> None:
    """What is tested is what runs."""
    assert pinned("requirements.lock").items() <= pinned("requirements-dev.lock").items()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_locks_name_hashes_and_no_host(lock: str) -> None:
    """Each pin has hashes, and where packages come from is the installer's setting."""
    text = (PROJECT / lock).read_text()
    pins = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in text


class TestSetupScript:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A place with the script and nothing to install."""
        (tmp_path / ".ci").mkdir()
        shutil.copy(PROJECT / ".ci" / "setup.sh", tmp_path / ".ci")
        return tmp_path

    @staticmethod
    def run(folder: Path, python: Path | str, profile: str = "run") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", ".ci/setup.sh", profile],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "PYTHON": str(python)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    def test_an_old_python_is_told(self, folder: Path) -> None:
        """Python 3.9 gives one clear line."""
        old = folder / "python3.9"
        old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
        old.chmod(0o755)
        done = self.run(folder, old)
        assert done.returncode == 1
        assert done.stderr.startswith("setup: Python 3.9.2 is too old: Python 3.11 or newer is needed")
        assert len(done.stderr.splitlines()) == 1

    def test_no_python_is_told(self, folder: Path) -> None:
        """A missing interpreter gives one clear line."""
        done = self.run(folder, "python3-that-is-not-there")
        assert done.returncode == 1
        assert done.stderr == "setup: there is no python3-that-is-not-there; install Python 3.11 or newer\n"

    def test_a_wrong_profile_is_told(self, folder: Path) -> None:
        """There are two."""
        done = self.run(folder, "python3", "test")
        assert (done.returncode, done.stderr) == (2, "setup: run or dev, not test\n")
