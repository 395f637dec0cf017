"""`kiosk check` finds what would stop the machine from selling, before the first customer does."""

from __future__ import annotations

import datetime as dt
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from config_files import API_KEY, in_section, write_ini
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from PIL import Image

from hardware.serial_link import close_port, open_port
from kiosk.checks import check
from kiosk.config import load
from kiosk.web.password import set_password

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)


class FixedClock:
    def now(self) -> dt.datetime:
        return NOW


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    set_password(tmp_path / "web_password", "correct horse")
    return tmp_path


def findings(folder: Path, *changes: tuple[str, str]) -> list[str]:
    return check(load(write_ini(folder, *changes)), FixedClock())


def only_finding(folder: Path, *changes: tuple[str, str]) -> str:
    found = findings(folder, *changes)
    assert len(found) == 1, found
    return found[0]


def test_a_good_machine_has_no_findings(folder: Path) -> None:
    """Nothing is found where nothing is wrong, and nothing is made or changed by looking."""
    before = sorted(folder.iterdir())
    assert findings(folder) == []
    assert sorted(folder.iterdir()) == [*sorted([*before, folder / "kiosk.ini"])]


def test_a_missing_password_is_found(tmp_path: Path) -> None:
    """Without a password the page serves nothing: the command that sets one is named."""
    assert "no password is set; run: kiosk set-password -c" in only_finding(tmp_path)


def test_secrets_that_others_can_read_are_found(folder: Path) -> None:
    """Every secret file with a mode that lets others in is named, the ini too if a secret stands in it."""
    (folder / "key").write_text(API_KEY)
    (folder / "key").chmod(0o640)
    finding = only_finding(folder, (f"api_key = {API_KEY}", "api_key_file = key"))
    assert finding == f"{folder}/key: other users can read it (mode 0640); run: chmod 600 {folder}/key"
    path = write_ini(folder)
    path.chmod(0o644)
    assert "other users can read the secret in it" in check(load(path), FixedClock())[0]


def test_weak_numbers_are_found(folder: Path) -> None:
    """An app id of the wrong length is a typing mistake; a short token is an open door."""
    (folder / "token").write_text("letmein")
    (folder / "token").chmod(0o600)
    first, second = findings(folder, ("wx8888888888888888", "wx888"), in_section("web", "api_token_file = token"))
    assert first == "[wechatpay] app_id = wx888: has 5 characters; WeChat's have 18"
    assert second.startswith("[web] api_token_file: the token can be guessed")


def test_a_product_without_a_slot_is_found(folder: Path) -> None:
    """A product that can never be sold is no error, but worth a word."""
    change = ("[slot:11]", "[product:tea]\nname = 茶\nprice = 2\n[slot:11]")
    assert only_finding(folder, change) == "[product:tea]: no slot holds it, so it is never for sale"


class TestCertificate:
    @staticmethod
    def write(
        folder: Path, *, days: int = 365, pair: bool = True, passphrase: bytes | None = None
    ) -> tuple[str, str]:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        other = key if pair else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "1900000109")])
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(NOW - dt.timedelta(days=400))
            .not_valid_after(NOW + dt.timedelta(days=days))
            .sign(key, hashes.SHA256())
        )
        (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        sealed = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        (folder / "key.pem").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))
        (folder / "key.pem").chmod(0o600)
        return in_section("wechatpay", "client_cert_file = cert.pem\nclient_key_file = key.pem")

    def test_a_good_one_is_fine(self, folder: Path) -> None:
        """A valid certificate with its key gives no finding."""
        assert findings(folder, self.write(folder)) == []

    @pytest.mark.parametrize(
        ("days", "words"), [(-1, "expired on 2026-11-22"), (29, "expires on 2026-12-22"), (-500, "not valid yet")]
    )
    def test_its_time_is_checked(self, folder: Path, days: int, words: str) -> None:
        """Expired, about to expire, or not valid yet."""
        if words == "not valid yet":
            change = self.write(folder)
            settings = load(write_ini(folder, change))

            class EarlyClock:
                def now(self) -> dt.datetime:
                    return NOW + dt.timedelta(days=days)

            assert words in check(settings, EarlyClock())[0]
        else:
            assert words in only_finding(folder, self.write(folder, days=days))

    def test_a_foreign_key_is_found(self, folder: Path) -> None:
        """Key and certificate that are no pair cannot refund."""
        assert "does not belong to the certificate" in only_finding(folder, self.write(folder, pair=False))

    def test_a_key_with_a_passphrase_is_found(self, folder: Path) -> None:
        """Nobody is there to type it."""
        assert "is no PEM key without a passphrase" in only_finding(folder, self.write(folder, passphrase=b"secret"))

    def test_files_that_are_something_else_are_found(self, folder: Path) -> None:
        """Both files are named when both are wrong."""
        change = self.write(folder)
        for name in ("cert.pem", "key.pem"):
            (folder / name).write_text("hello")
        first, second = findings(folder, change)
        assert "client_cert_file" in first
        assert "client_key_file" in second


class TestPictures:
    change = ("price = 3.50", "price = 3.50\nimage = cola.png")

    def test_png_and_jpeg_are_fine(self, folder: Path) -> None:
        """The two formats that the screen paints."""
        for kind in ("PNG", "JPEG"):
            Image.new("RGB", (64, 64)).save(folder / "cola.png", kind)
            assert findings(folder, self.change) == []

    def test_what_cannot_be_painted_is_found(self, folder: Path) -> None:
        """Missing, foreign, cut short, damaged and huge pictures are named, each with its reason."""
        picture = folder / "cola.png"
        assert f"image = {picture}: cannot be read: No such file" in only_finding(folder, self.change)
        Image.new("RGB", (64, 64)).save(picture, "GIF")
        assert "is neither PNG nor JPEG" in only_finding(folder, self.change)
        Image.effect_noise((200, 200), 90).save(picture, "PNG")
        whole = picture.read_bytes()
        picture.write_bytes(whole[: len(whole) // 2])
        assert "[product:cola] image" in only_finding(folder, self.change)
        picture.write_bytes(whole[:5000] + bytes(1000) + whole[6000:])
        assert "[product:cola] image" in only_finding(folder, self.change)
        header = bytearray(whole)
        header[16:24] = (60_000).to_bytes(4) * 2  # width and height
        picture.write_bytes(header)
        assert "[product:cola] image" in only_finding(folder, self.change)
        Image.new("1", (5000, 4000)).save(picture, "PNG")
        assert "has more than 16 million pixels" in only_finding(folder, self.change)


class TestDisk:
    def test_a_data_folder_below_a_file_is_found(self, folder: Path) -> None:
        """The journal needs a folder that can be made."""
        (folder / "file").write_text("")
        change = in_section("kiosk", "data_dir = file/var")
        assert f"cannot be made: {folder}/file is not a folder" in only_finding(folder, change)

    def test_a_journal_of_a_newer_program_is_found(self, folder: Path) -> None:
        """A journal that the program would refuse at its start is refused here too."""
        (folder / "var").mkdir()
        with closing(sqlite3.connect(folder / "var" / "journal.sqlite")) as connection:
            connection.execute("PRAGMA user_version = 9999")
        assert "is of version 9999" in only_finding(folder)

    def test_the_folder_of_the_screen_file_is_checked(self, folder: Path) -> None:
        """Driver = file needs a folder to write into."""
        (folder / "file").write_text("")
        found = only_finding(folder, ("driver = none", "driver = file\ndevice = file/screen.png"))
        assert found.startswith(f"[display] device = {folder}/file/screen.png: its folder cannot be made")


class TestWhatARunningMachineHolds:
    @pytest.fixture
    def port(self) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield server.getsockname()[1]

    def test_a_busy_port_is_found(self, folder: Path, port: int) -> None:
        """Another program on a listener's port is named with section and address."""
        change = ("[callbacks]\nlisten = 127.0.0.1:0", f"[callbacks]\nlisten = 127.0.0.1:{port}")
        found = only_finding(folder, change)
        assert found.startswith(f"[callbacks] listen = 127.0.0.1:{port}: another program listens there already")

    def test_an_address_of_another_computer_is_found(self, folder: Path) -> None:
        """192.0.2.1 is nobody's (RFC 5737)."""
        change = ("[callbacks]\nlisten = 127.0.0.1:0", "[callbacks]\nlisten = 192.0.2.1:8000")
        assert "this computer does not have that address" in only_finding(folder, change)


class TestFonts:
    def test_a_name_that_cannot_be_painted_is_found(self, folder: Path) -> None:
        """A character without a glyph is named with its key, before a customer sees a box."""
        found = only_finding(folder, ("name = 可口可乐", "name = 𰻝𰻝面"))
        assert "[product:cola] name" in found
        assert "boxes" in found


class TestSerialPort:
    def test_one_that_is_not_there_is_found(self, folder: Path) -> None:
        """The sentence asks whether the adapter is plugged in."""
        found = only_finding(folder, ("driver = fake", "driver = xy\nport = /dev/ttyNOPE"))
        assert found.startswith("[dispenser] port = /dev/ttyNOPE: the serial port /dev/ttyNOPE is not there")

    def test_one_that_another_program_holds_is_found(self, folder: Path) -> None:
        """The sentence says so, and what to do."""
        board_end, host_end = os.openpty()
        try:
            port = os.ttyname(host_end)
            opened = open_port(port, 57600, 1.0)
            change = ("driver = fake", f"driver = xy\nport = {port}")
            assert "is held by another program" in only_finding(folder, change)
            close_port(opened)
        finally:
            os.close(board_end)
            os.close(host_end)

    @pytest.mark.parametrize(
        ("simulated", "driver", "expected"),
        [
            ("tcn", "tcn", ""),
            ("modbus-relay", "modbus", ""),
            ("modbus-relay", "modbus\n[modbus]\nprofile = zdm8", "does not answer as a zdm8 board does"),
            ("xy", "xy", ""),
            (
                "xy",
                "xy\n#70",
                "[slot:11] address = 70: the board says that it has no such slot; it has 60, from 1 to 60",
            ),
            ("xy", "tcn", "not the language of a TCN board: is another kind of board connected"),
        ],
    )
    def test_the_board_is_asked_what_it_is(self, folder: Path, simulated: str, driver: str, expected: str) -> None:
        """A board of the right kind gives no finding; another kind is told apart, and no motor turns."""
        link = folder / "board"
        command = [sys.executable, "-m", "kiosk", "simulate-board", "--protocol", simulated, "--link", str(link)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()  # it listens
            kind, _, section = driver.partition("\n")
            change = ("driver = fake", f"driver = {kind}\nport = {link}\n{section}")
            address = section.removeprefix("#") if section.startswith("#") else "11"
            found = findings(folder, change, in_section("slot:11", f"address = {address}"))
            process.terminate()
            heard = process.communicate()[0]
        assert [expected in finding for finding in found] == [True] * bool(expected)
        assert "vend" not in heard


class TestScreen:
    def test_a_window_without_its_package(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What to install is said."""
        monkeypatch.setitem(sys.modules, "pygame", None)
        found = only_finding(folder, ("driver = none", "driver = window"))

        assert found.startswith("[display] driver = window: the package pygame-ce")
        assert "pip install pygame-ce" in found

    def test_a_window_without_a_display(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither a desktop nor a screen of the board."""
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
            monkeypatch.delenv(name, raising=False)

        assert "[display] driver = window: no screen for a window was found" in only_finding(
            folder, ("driver = none", "driver = window")
        )

    def test_a_framebuffer_that_is_not_there(self, folder: Path) -> None:
        """Its name, and where to look."""
        found = only_finding(folder, ("driver = none", "driver = framebuffer\ndevice = fb7"))

        assert found.startswith(
            f"[display] device = {folder / 'fb7'}: the framebuffer {folder / 'fb7'} cannot be opened"
        )

    def test_idle_pictures(self, folder: Path) -> None:
        """A folder that is missing, one without pictures, and each file that is none."""
        change = ("driver = none", "driver = none\nidle_folder = idle")
        idle = folder / "idle"

        assert only_finding(folder, change) == (
            f"[display] idle_folder = {idle}: cannot be read: No such file or directory"
        )
        idle.mkdir()
        assert "there is no picture in it; put PNG or JPEG files into it" in only_finding(folder, change)
        Image.new("RGB", (10, 10)).save(idle / "a.png")
        assert findings(folder, change) == []
        (idle / "b.gif").write_bytes(b"GIF89a")
        assert only_finding(folder, change) == (
            f"[display] idle_folder: the picture {idle / 'b.gif'} is neither PNG nor JPEG; it is skipped"
        )
