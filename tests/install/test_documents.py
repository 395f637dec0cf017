"""The documents: every command in them runs, every key, trouble and target of the program is told in them."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from certificates_kit import write_certificate
from config_files import GOOD
from package_kit import PROJECT, Computer, build_package, computer

from kiosk.config import ConfigError, load
from kiosk.settings import DispenserDriver
from kiosk.troubles import TROUBLES

LIMIT_SECONDS = 100.0
MACHINES = ("install.md", "configure.md", "operate.md")  # in the order in which a stranger comes by
REPOSITORY = ("README.md", "README.zh-CN.md", "docs/develop.md", "docs/install.md")
IN_THE_REPOSITORY = "# in the repository"  # the first line of a block
ON_A_REAL_MACHINE = "# on a real machine only"  # likewise: boards, proxies, what does not end
IN_CHINESE = {"# 在源码目录中": IN_THE_REPOSITORY, "# 仅限真机": ON_A_REAL_MACHINE}
TOKEN = "token-of-the-tests"
NAME = "pay.example.com"


@dataclass(frozen=True)
class Block:
    """A block of shell commands in a document."""

    place: str  # document and line
    text: str

    @property
    def kind(self) -> str:
        """IN_THE_REPOSITORY, ON_A_REAL_MACHINE, or "" for one on the machine."""
        first = self.text.partition("\n")[0]
        first = next((english for chinese, english in IN_CHINESE.items() if first.startswith(chinese)), first)
        return next((kind for kind in (IN_THE_REPOSITORY, ON_A_REAL_MACHINE) if first.startswith(kind)), "")


def blocks(document: str) -> list[Block]:
    text = (PROJECT / document).read_text()
    return [
        Block(f"{document}:{text.count(chr(10), 0, found.start()) + 1}", found[1])
        for found in re.finditer(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


ALL = [block for document in (*REPOSITORY, "docs/configure.md", "docs/operate.md") for block in blocks(document)]


class Stranger:
    """Somebody who does what stands in the documents, line by line, on a computer with nothing but the package."""

    def __init__(self, debian: Computer) -> None:
        self._debian = debian
        self._environment = {"TOKEN": TOKEN}

    def follow(self, block: Block) -> None:
        """Do what the block says, and what an editor or a customer does before it."""
        if "set-password" in block.text:
            self._debian.write("/etc/kiosk/api_token", f"{TOKEN}\n", 0o600)
            self._debian.fill_in("api_token_file = api_token")
            self._debian.start_wechat()
        if "nginx" in block.text:
            self._get_certificate()
        if "$NO" in block.text:
            self._environment["NO"] = self._debian.buy()
        done = self._debian.run(
            f"set -e\n{block.text}", check=False, given="a password\n", environment=self._environment
        )
        assert done.returncode == 0, f"{block.place}:\n{block.text}\n{done.stdout}{done.stderr}"

    def _get_certificate(self) -> None:
        folder = self._debian.path(f"/etc/letsencrypt/live/{NAME}")
        folder.mkdir(parents=True)
        write_certificate(folder, NAME)
        (folder / "cert.pem").rename(folder / "fullchain.pem")
        (folder / "key.pem").rename(folder / "privkey.pem")
        self._debian.run("systemctl start nginx")


def test_a_stranger_comes_through(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """From the package to a machine that sells, is looked after, upgraded and removed: every command works."""
    package = build_package(tmp_path_factory)
    ways = {name: [block for block in blocks(f"docs/{name}") if not block.kind] for name in MACHINES}
    at_the_end = [block for block in ways["install.md"] if re.search("apt-get (remove|purge)", block.text)]
    todo = [block for name in MACHINES for block in ways[name] if block not in at_the_end]
    with computer(tmp_path / "computer") as debian:
        debian.copy(package, f"/root/{package.name}")
        stranger = Stranger(debian)
        for block in todo:
            stranger.follow(block)
        certificate = f"/etc/letsencrypt/live/{NAME}/fullchain.pem"
        seen = f"curl -sS --cacert {certificate} --resolve {NAME}:443:127.0.0.1 https://{NAME}/healthz"
        assert debian.run(seen).stdout == "ok"
        for block in at_the_end:
            stranger.follow(block)
        assert not debian.path("/var/lib/kiosk").exists()


@pytest.mark.parametrize("document", REPOSITORY)
def test_the_commands_for_the_repository_work(document: str) -> None:
    """They run as they stand; of `make` only the target is looked for: what it does is what other tests are about."""
    dry = 'make() { command make --dry-run "$@" >/dev/null; }'
    for block in blocks(document):
        if block.kind == IN_THE_REPOSITORY:
            done = subprocess.run(
                ["sh", "-c", f"set -e\n{dry}\n{block.text}"],
                cwd=PROJECT,
                env={name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTEST"))},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"{block.place}:\n{block.text}\n{done.stdout}{done.stderr}"


def test_what_is_not_run_is_little_and_at_least_shell() -> None:
    """Blocks for a real machine only are the smaller part, and have no slip that a shell would stumble over."""
    real = [block for block in ALL if block.kind == ON_A_REAL_MACHINE]
    assert len(real) * 2 < len(ALL)
    for block in real:
        done = subprocess.run(["sh", "-n"], input=block.text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), block.place


def test_every_block_with_a_command_is_among_them() -> None:
    """No command hides in a block of another kind: those hold ini files, tables of file systems, diagrams."""
    for document in {block.place.partition(":")[0] for block in ALL}:
        text = (PROJECT / document).read_text()
        for kind, content in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            if kind != "sh":
                assert not re.search(r"^(\$ |sudo |kiosk |make |\.venv/|apt)", content, re.MULTILINE), document


def keys_of_the_program(tmp_path: Path) -> set[tuple[str, str]]:
    """Section and key of all that kiosk.ini may hold, as the program names it to whoever writes a wrong one."""
    found: set[tuple[str, str]] = set()
    for driver in DispenserDriver:
        own = "" if driver is DispenserDriver.FAKE else f"[{driver.value}]\n"
        text = GOOD.replace("driver = fake", f"driver = {driver.value}") + f"{own}[miniprogram]\n"
        text = re.sub(r"^(\[.*\])$", r"\1\nqqqqqq = 1", text, flags=re.MULTILINE)
        (tmp_path / "kiosk.ini").write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(tmp_path / "kiosk.ini")
        for finding in caught.value.findings:
            told = re.search(r"\[(\w+)(?::\w+)?\] qqqqqq: there is no such key; known are (.*)", finding)
            if told is not None:
                found |= {(told[1], key) for key in told[2].split(", ")}
    return found


def test_every_key_of_the_ini_is_told(tmp_path: Path) -> None:
    """configure.md has a row for each key that the program reads, and none for another."""
    text = (PROJECT / "docs/configure.md").read_text()
    told = set()
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading = re.match(r"\[(\w+)(:ID)?\]", section)
        if heading is not None:
            told |= {(heading[1], key) for key in re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)}
    known = keys_of_the_program(tmp_path)
    assert ("wechatpay", "public_url") in known
    assert told == known


def test_every_trouble_is_told() -> None:
    """operate.md has a row for each problem that the page can show, and none for another; it says which block."""
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \|", (PROJECT / "docs/operate.md").read_text(), re.MULTILINE)
    assert [code for code, _ in rows] == list(dict.fromkeys(code for code, _ in rows))
    assert {code for code, _ in rows} == set(TROUBLES)


def test_every_target_of_make_is_told() -> None:
    """develop.md names each target that `make help` does."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE)) - {"help"}
    told = set(re.findall(r"`make ([a-z-]+)`", (PROJECT / "docs/develop.md").read_text()))
    assert told >= targets


def test_the_chinese_readme_has_the_same_commands() -> None:
    """What is for the shell stands in both, in the same order; comments are translated."""
    bare = [
        [re.sub(r" *#.*", "", block.text).strip() for block in blocks(document)]
        for document in ("README.md", "README.zh-CN.md")
    ]
    assert bare[0]
    assert bare[0] == bare[1]


def test_every_link_between_the_documents_leads_somewhere() -> None:
    """A file that a document points to is there."""
    for document in [PROJECT / "README.md", PROJECT / "README.zh-CN.md", *(PROJECT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} points to {target}"
