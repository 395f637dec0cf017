"""The serial ports of this computer: their stable names, what is plugged into them, who holds them; and a guess.

No port is opened: opening sets the lines DTR and RTS, which resets some boards, and would disturb whoever holds it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

SERIAL_FOLDER = Path("/dev/serial")
PROCESSES = Path("/proc")

# What a cable to a board has in it, by USB vendor.
ADAPTERS = {
    0x0403: "FTDI adapter",
    0x10C4: "Silicon Labs CP210x adapter",
    0x1A86: "WCH CH34x adapter",
    0x067B: "Prolific PL2303 adapter",
    0x04E2: "Exar adapter",
}
MODEM_WORDS = ("modem", "lte", "gsm", "gps", "huawei", "quectel", "simcom", "sierra")
BRIDGE_WORDS = ("qibixx", "mdb")


@dataclass(frozen=True)
class Port:
    """One serial port. `usb` is "" for a built-in one; `holder` is "" if nobody is seen to hold it."""

    device: str  # /dev/ttyUSB0: changes with the order of plugging in
    by_id: str  # /dev/serial/by-id/…: goes with the adapter; "" if there is none
    by_path: str  # /dev/serial/by-path/…: goes with the socket; "" if there is none
    usb: str  # "0403:6001 FTDI FT232R USB UART, serial number A1234567"
    has_serial_number: bool
    kind: str  # "FTDI adapter", "modem", "built-in port", …
    likely: bool  # it may be the board
    holder: str  # "kiosk (process 812)"

    @property
    def name(self) -> str:
        """The name for the ini: two adapters without serial numbers share a name in by-id, the socket is sure."""
        return (self.by_id if self.has_serial_number else self.by_path) or self.by_path or self.by_id or self.device


def find_ports(
    found: Iterable[ListPortInfo] | None = None, folder: Path = SERIAL_FOLDER, processes: Path = PROCESSES
) -> list[Port]:
    """All ports that this computer has now, in the order of their devices. Only root sees who else holds them."""
    by_id, by_path = _links(folder / "by-id"), _links(folder / "by-path")
    holders = _holders(processes)
    ports = []
    for info in sorted(list_ports.comports() if found is None else found):
        kind, likely = _guess(info)
        usb = "" if info.vid is None else f"{info.vid:04x}:{info.pid or 0:04x} {_described(info)}"
        real = os.path.realpath(info.device)
        ports.append(
            Port(
                info.device,
                by_id.get(real, ""),
                by_path.get(real, ""),
                usb,
                bool(info.serial_number),
                kind,
                likely,
                holders.get(real, ""),
            )
        )
    return ports


def report(ports: list[Port]) -> list[str]:
    """The ports and the guess, as lines to print."""
    if not ports:
        return ["This computer has no serial port: plug the adapter in, or name a serial server: rfc2217://host:port"]
    lines = []
    for port in ports:
        lines.append(f"{port.device}: {port.kind}{', held by ' + port.holder if port.holder else ''}")
        lines += [f"    {text}" for text in (port.usb, port.by_id, port.by_path) if text]
    likely = [port for port in ports if port.likely]
    free = [port for port in likely if not port.holder]
    if len(free) == 1:
        lines += ["", f"Probably the board: port = {free[0].name}"]
    elif free:
        names = ", ".join(port.name for port in free)
        lines += ["", f"One of these may be the board; unplug it and look which one goes: {names}"]
    elif likely:
        lines += ["", "What may be the board is held already: end that program, or it is the machine itself"]
    else:
        lines += ["", "None of them looks like the cable of a board"]
    return lines


def _links(folder: Path) -> dict[str, str]:
    """Device → the stable name that leads to it."""
    if not folder.is_dir():
        return {}
    return {os.path.realpath(link): str(link) for link in sorted(folder.iterdir())}


def _holders(processes: Path) -> dict[str, str]:
    """Device → the process that has it open."""
    holders = {}
    for folder in processes.glob("[0-9]*"):
        try:
            opened = {os.path.realpath(link) for link in (folder / "fd").iterdir()}
            name = (folder / "comm").read_text().strip()
        except OSError:
            continue  # another user's, or gone meanwhile
        for device in opened:
            if device.startswith("/dev/"):
                holders[device] = f"{name} (process {folder.name})"
    return holders


def _guess(info: ListPortInfo) -> tuple[str, bool]:
    """What is plugged in, and whether it may be the board."""
    words = _described(info).lower()
    if any(word in words for word in MODEM_WORDS):
        return "modem or receiver", False
    if any(word in words for word in BRIDGE_WORDS):
        return "MDB bridge", True
    if info.vid in ADAPTERS:
        return ADAPTERS[info.vid], True
    if info.vid is not None:
        return "USB device", True
    return "built-in port", False


def _described(info: ListPortInfo) -> str:
    words = " ".join(text for text in (info.manufacturer, info.product) if text)
    return f"{words or 'without a name'}{', serial number ' + info.serial_number if info.serial_number else ''}"
