"""What of a changed kiosk.ini a running machine takes at once: products and slots. Pure.

Everything else (merchant, listeners, devices) is built into parts that hold connections, threads and ports: it is
taken at the next restart, and `merge` names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from kiosk.settings import Settings

# Where the ini calls a value otherwise than the settings do; `_seconds` at the end of a name never stands in the ini.
_KEYS = {
    "bridge_settings": "settings",
    "api_token": "api_token_file",
    "app_secret": "app_secret_file",
    "width": "size",
    "height": "size",
}
_OF_DRIVERS = {"xy", "mdb"}
_SECTIONS = ("kiosk", "wechatpay", "miniprogram", "callbacks", "web", "display", "dispenser")


def merge(running: Settings, read: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings to go on with, and what else has changed in the ini: `[section] key` each, without values."""
    waiting = tuple(
        dict.fromkeys(
            name
            for section in _SECTIONS
            for name in _differences(section, getattr(running, section), getattr(read, section))
        )
    )
    if running.proxy != read.proxy:
        waiting += ("[callbacks] proxy",)
    return replace(running, products=read.products, slots=read.slots), waiting


def _differences(section: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    if before is None or after is None:
        yield f"[{section}]"
        return
    for field in fields(before):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old == new:
            continue
        if field.name in _OF_DRIVERS:  # a section of its own
            yield from _differences(field.name, old, new)
        elif field.name == "listen" or section == "callbacks":  # one key made of several values
            yield f"[{section}] listen"
        else:
            yield f"[{section}] {_KEYS.get(field.name, field.name.removesuffix('_seconds'))}"
