"""`make audit`: asks the public database of advisories about every locked version, through pip-audit.

Exit status: 0 nothing is known against them, or the database cannot be reached, which is said and is no "nothing";
1 there are advisories.

    python packaging/audit.py PIP_AUDIT LOCK
"""

from __future__ import annotations

import json
import subprocess
import sys

LIMIT_SECONDS = 120  # fifty questions of a second each; a network that swallows them holds nobody up for longer


def main(pip_audit: str, lock: str) -> int:
    """Ask, and print what came of it."""
    options = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(  # noqa: S603 - the tool that the Makefile installed
            [pip_audit, *options, "--requirement", lock],
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"audit: NOT DONE, the database of advisories has not answered within {LIMIT_SECONDS} s")
        return 0
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        print(f"audit: NOT DONE, the database of advisories cannot be asked: {last}")
        return 0
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    bad = [package for package in packages if package.get("vulns")]
    for package in bad:
        for advisory in package["vulns"]:
            mended = ", ".join(advisory.get("fix_versions", [])) or "no version yet"
            print(f"audit: {package['name']} {package['version']}: {advisory['id']}, mended in {mended}")
    if unknown:
        print(
            f"audit: NOT DONE for {len(unknown)} of {len(packages)} packages: the registry in use knows no advisories"
        )
    else:
        print(f"audit: {len(packages)} packages, {len(bad)} of them with advisories")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
