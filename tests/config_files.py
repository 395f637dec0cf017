"""kiosk.ini files for tests: a good one, and what to change in it."""

from __future__ import annotations

from pathlib import Path

API_KEY = "0123456789abcdefghijklmnopqrstuv"

GOOD = f"""\
[kiosk]
id = lobby-1
name = 大堂饮料机

[wechatpay]
app_id = wx8888888888888888
mch_id = 1900000109
api_key = {API_KEY}

[callbacks]
listen = 127.0.0.1:0

[web]
listen = 127.0.0.1:0
password_file = web_password

[display]
driver = none

[dispenser]
driver = fake

[product:cola]
name = 可口可乐
price = 3.50

[slot:11]
product = cola
capacity = 8
"""


def write_ini(folder: Path, *changes: tuple[str, str], text: str = GOOD) -> Path:
    """Write kiosk.ini into the folder, each (old, new) replaced; old must be there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "kiosk.ini"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def in_section(section: str, lines: str) -> tuple[str, str]:
    """The change that puts lines at the head of a section."""
    return f"[{section}]\n", f"[{section}]\n{lines}\n"
