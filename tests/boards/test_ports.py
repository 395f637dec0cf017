"""`kiosk ports`: stable names, holders and the guess, from a stand-in of /dev/serial; and the udev rules."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

from hardware.ports import find_ports, report

RULES = Path(__file__).parents[2] / "systemd" / "70-kiosk-serial.rules"


def port(device: str, **usb: object) -> ListPortInfo:
    made = ListPortInfo(device)
    for name, value in usb.items():
        setattr(made, name, value)
    return made


FTDI = {"vid": 0x0403, "pid": 0x6001, "manufacturer": "FTDI", "product": "FT232R USB UART"}
CH340 = {"vid": 0x1A86, "pid": 0x7523, "product": "USB Serial"}
MODEM = {"vid": 0x12D1, "pid": 0x1506, "manufacturer": "HUAWEI", "product": "HUAWEI Mobile"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A /dev/serial in which by-id and by-path lead to three adapters."""
    for number, name in enumerate(("usb-FTDI_A1-if00-port0", "usb-1a86_USB_Serial-if00-port0", "usb-HUAWEI-if00")):
        (tmp_path / f"ttyUSB{number}").touch()
        for kind, link in (("by-id", name), ("by-path", f"pci-usb-0:{number}:1.0-port0")):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / link).symlink_to(tmp_path / f"ttyUSB{number}")
    return tmp_path


class TestTheList:
    def test_names_that_stay(self, folder: Path) -> None:
        """By-id where the adapter has a serial number, else by-path: two equal adapters share their by-id."""
        found = [
            port(str(folder / "ttyUSB0"), **FTDI, serial_number="A1"),
            port(str(folder / "ttyUSB1"), **CH340),
        ]
        ftdi, ch340 = find_ports(found, folder)
        assert ftdi.name == str(folder / "by-id" / "usb-FTDI_A1-if00-port0")
        assert ch340.name == str(folder / "by-path" / "pci-usb-0:1:1.0-port0")
        assert ftdi.usb == "0403:6001 FTDI FT232R USB UART, serial number A1"
        assert ch340.kind == "WCH CH34x adapter"

    def test_one_adapter_is_probably_the_board(self, folder: Path) -> None:
        """A modem and a built-in port are none; the line for the ini is printed."""
        found = [port("/dev/ttyS0"), port(str(folder / "ttyUSB1"), **CH340), port(str(folder / "ttyUSB2"), **MODEM)]
        lines = report(find_ports(found, folder))
        assert lines[-1] == f"Probably the board: port = {folder}/by-path/pci-usb-0:1:1.0-port0"
        assert "/dev/ttyS0: built-in port" in lines
        assert f"{folder}/ttyUSB2: modem or receiver" in lines

    def test_of_several_none_is_guessed(self, folder: Path) -> None:
        """All that it may be are named, and how to find out."""
        found = [port(str(folder / "ttyUSB0"), **FTDI), port(str(folder / "ttyUSB1"), **CH340)]
        last = report(find_ports(found, folder))[-1]
        assert last.startswith("One of these may be the board; unplug it")
        assert "0:0:1.0" in last
        assert "0:1:1.0" in last

    def test_who_holds_it(self) -> None:
        """A port that a process has open is told with that process, and is not guessed."""
        board_end, host_end = os.openpty()
        held = find_ports([port(os.ttyname(host_end), **FTDI)])
        assert held[0].holder.endswith(f"(process {os.getpid()})")
        lines = report(held)
        assert f"held by {held[0].holder}" in lines[0]
        assert "held already" in lines[-1]
        os.close(board_end)
        os.close(host_end)

    def test_none_at_all(self) -> None:
        """The sentence says what to do."""
        assert "plug the adapter in" in report([])[0]


class TestUdevRules:
    def test_every_line_is_a_rule(self) -> None:
        """Only keys, operators and quoted values that udev knows (udev(7)); every GOTO has its label."""
        known = r"(ACTION|SUBSYSTEM|(ENV|ATTR)\{\w+\}|SYMLINK|GOTO|LABEL)(==|!=|\+=|=)\"[^\"]*\""
        rules = [line for line in RULES.read_text().splitlines() if line and not line.startswith("#")]
        for rule in rules:
            assert re.fullmatch(rf"{known}(, {known})*", rule), rule
        gone = set(re.findall(r'GOTO="(\w+)"', "\n".join(rules)))
        assert gone == set(re.findall(r'LABEL="(\w+)"', "\n".join(rules)))

    def test_modem_manager_is_kept_off_every_adapter_that_is_guessed(self) -> None:
        """The vendors of `kiosk ports` stand in the rules, each kept from ModemManager and given a stable name."""
        from hardware.ports import ADAPTERS

        vendors = "|".join(f"{vendor:04x}" for vendor in ADAPTERS)
        rules = [line for line in RULES.read_text().splitlines() if f'=="{vendors}"' in line]
        device, mark, name = rules
        assert "ATTR{idVendor}" in device
        assert 'ENV{ID_MM_DEVICE_IGNORE}="1"' in device
        assert 'ENV{ID_MM_PORT_IGNORE}="1"' in mark
        assert 'SYMLINK+="kiosk-board"' in name
