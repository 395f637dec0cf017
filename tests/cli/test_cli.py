"""The command `kiosk`, as people and scripts use it: its words, its exit statuses."""

from __future__ import annotations

import os
import pty
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import zxingcpp
from config_files import API_KEY, in_section, write_ini
from PIL import Image

import kiosk
from kiosk.cli import SIMULATED_PROTOCOLS
from kiosk.web.password import load_hash, verify

LIMIT_SECONDS = 30  # far above what a slow board needs to start Python


def run(
    *arguments: str | Path, stdin: str | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kiosk", *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
        cwd=cwd,
        env=os.environ | {"PYTHONWARNINGS": "error"},
    )


class TestHelp:
    def test_it_lists_the_commands(self) -> None:
        """Every command of the contract stands in the help."""
        done = run("--help")
        assert done.returncode == 0
        commands = "run check demo qr orders refund set-password ports simulate-board simulate-wechat"
        for command in commands.split():
            assert f"\n  {command} " in done.stdout

    def test_the_version_is_the_package_s(self) -> None:
        """`kiosk --version` tells what is installed."""
        assert run("--version").stdout == f"kiosk, version {kiosk.__version__}\n"

    def test_it_loads_nothing_that_it_does_not_need(self) -> None:
        """Help and a bad ini are answered without loading web server, pictures or cryptography."""
        code = "import sys, kiosk.cli, kiosk.config; print(*sys.modules)"
        loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
        assert not {"tornado", "PIL", "cryptography", "requests", "serial", "qrcode", "argon2"} & set(loaded)


class TestCheck:
    def test_all_well(self, tmp_path: Path) -> None:
        """Nothing found: exit 0."""
        path = write_ini(tmp_path)
        run("set-password", "-c", path, stdin="correct horse\n")
        done = run("check", "-c", path)
        assert (done.returncode, done.stdout) == (0, f"{path}: all well\n")

    def test_findings(self, tmp_path: Path) -> None:
        """Each finding stands on a line of its own: exit 1."""
        done = run("check", "-c", write_ini(tmp_path, ("lobby-1", "lobby 1"), ("3.50", "free")))
        assert done.returncode == 1
        first, second = done.stdout.splitlines()
        assert "[kiosk] id" in first
        assert "[product:cola] price" in second

    def test_what_the_ini_names_is_checked_too(self, tmp_path: Path) -> None:
        """A right ini whose password is missing: exit 1."""
        done = run("check", "-c", write_ini(tmp_path))
        assert done.returncode == 1
        assert "no password is set" in done.stdout

    def test_no_ini(self, tmp_path: Path) -> None:
        """kiosk.ini in the current folder is the default; where there is none: exit 2."""
        done = run("check", cwd=tmp_path)
        assert done.returncode == 2
        assert done.stdout.startswith("kiosk.ini: cannot be read: No such file or directory")


class TestRun:
    def test_a_bad_ini_is_told_whole(self, tmp_path: Path) -> None:
        """All findings on standard error, nothing on standard output, exit 2, no secret."""
        done = run("run", "-c", write_ini(tmp_path, ("lobby-1", "lobby 1"), ("3.50", "free")))
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 2
        assert API_KEY not in done.stderr

    def test_no_ini(self, tmp_path: Path) -> None:
        """A missing ini is a bad ini."""
        assert run("run", "-c", tmp_path / "none.ini").returncode == 2


class TestQr:
    def test_the_printed_code_reads_as_the_link(self, tmp_path: Path) -> None:
        """The PNG holds a signed mode-one link for the product, and any phone can read it."""
        path = write_ini(tmp_path, in_section("wechatpay", "public_url = https://pay.example.com"))
        picture = tmp_path / "cola.png"
        done = run("qr", "cola", "-o", picture, "-c", path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        with Image.open(picture) as image:
            (code,) = zxingcpp.read_barcodes(image)
        assert code.text.startswith("weixin://wxpay/bizpayurl?")
        assert "product_id=cola" in code.text

    def test_without_a_file_the_link_is_printed(self, tmp_path: Path) -> None:
        """One line, for scripts; that nobody would answer the scan is said beside it."""
        done = run("qr", "cola", "-c", write_ini(tmp_path))
        assert done.returncode == 0
        assert done.stdout.startswith("weixin://wxpay/bizpayurl?")
        assert len(done.stdout.splitlines()) == 1
        assert "public_url" in done.stderr

    def test_an_unknown_product_is_told(self, tmp_path: Path) -> None:
        """The products that there are stand in the sentence."""
        done = run("qr", "tea", "-c", write_ini(tmp_path))
        assert done.returncode == 1
        assert "there is no [product:tea]; there are cola" in done.stderr

    def test_a_file_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        """A folder that is missing gives a sentence."""
        done = run("qr", "cola", "-o", tmp_path / "none" / "cola.png", "-c", write_ini(tmp_path))
        assert done.returncode == 1
        assert "cannot be written: No such file or directory" in done.stderr


class TestSetPassword:
    def test_from_standard_input(self, tmp_path: Path) -> None:
        """One line is taken, and only its hash is stored, for the owner's eyes."""
        done = run("set-password", "-c", write_ini(tmp_path), stdin="correct horse\nand more\n")
        file = tmp_path / "web_password"
        assert done.returncode == 0
        assert str(file) in done.stdout
        stored = load_hash(file)
        assert stored is not None
        assert verify(stored, "correct horse")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_a_poor_one_is_refused(self, tmp_path: Path) -> None:
        """Exit 1 with the reason, and no file."""
        done = run("set-password", "-c", write_ini(tmp_path), stdin="12345678\n")
        assert done.returncode == 1
        assert "choose another one" in done.stderr
        assert not (tmp_path / "web_password").exists()

    @pytest.mark.parametrize(("second", "status"), [("correct horse", 0), ("wrong horse", 1)])
    def test_from_a_terminal_twice(self, tmp_path: Path, second: str, status: int) -> None:
        """On a terminal it is asked for twice, unseen; two that differ set nothing."""
        path = write_ini(tmp_path)
        terminal, their_end = pty.openpty()
        command = [sys.executable, "-m", "kiosk", "set-password", "-c", str(path)]
        process = subprocess.Popen(
            command, stdin=their_end, stdout=their_end, stderr=their_end, start_new_session=True
        )
        os.close(their_end)
        seen = b""
        for question, answer in ((b"New password: ", "correct horse"), (b"Once more: ", second)):
            while question not in seen:
                seen += os.read(terminal, 1024)
            os.write(terminal, answer.encode() + b"\n")
        if status:  # click asks again: give up as a person does
            while seen.count(b"New password: ") < 2:
                seen += os.read(terminal, 1024)
            os.write(terminal, b"\x04")
        assert process.wait(LIMIT_SECONDS) == status
        os.close(terminal)
        assert b"horse" not in seen
        assert (tmp_path / "web_password").exists() == (status == 0)


def test_the_serial_ports_are_listed() -> None:
    """`kiosk ports` ends well whatever is plugged in, and always says what to do next."""
    done = run("ports")
    assert (done.returncode, done.stderr) == (0, "")
    assert any(word in done.stdout for word in ("plug the adapter in", "the board", "cable of a board"))


class TestSimulateBoard:
    @pytest.mark.parametrize("protocol", SIMULATED_PROTOCOLS)
    def test_it_runs_until_it_is_told_to_stop(self, tmp_path: Path, protocol: str) -> None:
        """The link leads to a terminal while it runs; SIGTERM ends it with exit 0."""
        link = tmp_path / "board"
        command = [sys.executable, "-m", "kiosk", "simulate-board", "--protocol", protocol, "--link", str(link)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert str(link) in process.stdout.readline()
            assert link.resolve().is_char_device()
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT_SECONDS) == 0

    def test_an_unknown_protocol_is_told(self) -> None:
        """The protocols that there are stand in the sentence."""
        done = run("simulate-board", "--protocol", "abc")
        assert done.returncode == 2
        assert "'xy'" in done.stderr


def test_a_wrong_listen_address_is_told() -> None:
    """`simulate-wechat` names the option and what would be right."""
    done = run("simulate-wechat", "--listen", "9000")
    assert done.returncode == 2
    assert "--listen" in done.stderr
    assert "must be HOST:PORT" in done.stderr
