"""What a technician wants to know of the machine itself, and the support file that carries it away."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import shutil
import sqlite3
import time
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tornado

from kiosk import __version__
from kiosk.journal import JOURNAL_FILE
from kiosk.logs import recent, redact
from kiosk.order_table import COLUMNS, cells
from kiosk.orders import Order
from kiosk.settings import Settings
from kiosk.web.views import Site, status_view, time_text

SUPPORT_ORDERS = 500  # some days of sales
_STARTED = time.monotonic()


def machine_view(site: Site) -> dict[str, Any]:
    """Disk, memory, uptime, versions, certificate. Bytes and seconds. Reads files: not for the event loop."""
    data_dir = site.settings.kiosk.data_dir
    disk = shutil.disk_usage(data_dir)
    memory = _kilobytes(Path("/proc/meminfo"))
    process = _kilobytes(Path("/proc/self/status"))
    return {
        "disk": {"free": disk.free, "total": disk.total},
        "memory": {
            "free": memory.get("MemAvailable"),
            "total": memory.get("MemTotal"),
            "process": process.get("VmRSS"),
        },
        "journal": sum(path.stat().st_size for path in data_dir.glob(JOURNAL_FILE + "*")),
        "uptime": {"process": time.monotonic() - _STARTED, "board": time.clock_gettime(time.CLOCK_BOOTTIME)},
        "load": os.getloadavg()[0],
        "certificate_ends": time_text(site.readiness.certificate_ends),
        "language": site.storefront.language,
        "versions": {
            "kiosk": __version__,
            "Python": platform.python_version(),
            "Tornado": tornado.version,
            "SQLite": sqlite3.sqlite_version,
            "Linux": platform.release(),
            "System": _system(),
        },
    }


def support_zip(site: Site, orders: Iterable[Order], stories: Mapping[str, list[dict[str, Any]]]) -> bytes:
    """Everything that helps to find a fault, in one file without secrets. Slow: not for the event loop."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    writer.writerows(cells(order) for order in orders)
    files = {
        "status.json": _json(status_view(site)),
        "machine.json": _json(machine_view(site)),
        "orders.csv": table.getvalue(),
        "stories.json": _json(stories),
        "log.txt": "\n".join(recent.lines()) + "\n",
        "kiosk.ini": _ini(site.settings),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, redact(text, site.settings.secrets))
    return packed.getvalue()


def _ini(settings: Settings) -> str:
    try:
        return settings.path.read_text(encoding="utf-8")
    except OSError as error:
        return f"{settings.path} cannot be read: {error.strerror}\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _kilobytes(file: Path) -> dict[str, int]:
    """The lines of a file of /proc that count in kB, in bytes."""
    found = {}
    for line in file.read_text().splitlines():
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if unit == "kB":
            found[name] = int(number) * 1024
    return found


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""
