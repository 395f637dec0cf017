"""`make audit` never takes an unanswered question for a clean bill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CLEAN = {"name": "tornado", "version": "6.6.1", "vulns": []}
BAD = {"name": "pillow", "version": "1.0", "vulns": [{"id": "PYSEC-2099-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "qrcode", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ([CLEAN], 0, "audit: 1 packages, 0 of them with advisories\n"),
        ([CLEAN, UNKNOWN], 0, "audit: NOT DONE for 1 of 2 packages: the registry in use knows no advisories\n"),
        ([BAD, UNKNOWN], 1, "audit: pillow 1.0: PYSEC-2099-1, mended in 1.1\n"),
        (None, 0, "audit: NOT DONE, the database of advisories cannot be asked: no route to host\n"),
    ],
)
def test_what_the_audit_says(tmp_path: Path, packages: list[object] | None, status: int, said: str) -> None:
    """Advisories fail it; a database that is out of reach, or knows nothing of a package, is told in capitals."""
    tool = tmp_path / "pip-audit"
    answer = "echo no route to host >&2" if packages is None else f"echo '{json.dumps({'dependencies': packages})}'"
    tool.write_text(f"#!/bin/sh\n{answer}\n")
    tool.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "packaging/audit.py", tool, "requirements.lock"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status
    assert done.stdout.startswith(said)
