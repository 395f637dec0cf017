"""docs/security.md promises a test for each requirement."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def names_in(file: Path) -> set[str]:
    """The names of a file's tests as pytest has them."""
    found = set[str]()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            inside = [each.name for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))]
            found |= {f"{node.name}::{name}" for name in inside}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(node.name)
    return found


def test_every_requirement_names_tests_that_exist() -> None:
    """Each row of the table has at least one, and each is a test of this project."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| \d+\.\d+\.\d+", line)]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", row)

        assert named, row
        for file, test in named:
            assert test in names_in(ROOT / file), f"{file}::{test}"
