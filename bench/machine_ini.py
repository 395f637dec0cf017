"""A kiosk.ini of twelve products for machines that run in a process of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.processes import ports
from bench.values import APP_ID, HEIGHT, KEY, MCH_ID, PRODUCTS, TOKEN, WIDTH

CAPACITY = 999  # of a slot: nothing is ever sold out


@dataclass(frozen=True)
class Place:
    """Where everything of one machine is."""

    ini: Path
    callbacks_port: int
    web_port: int

    @property
    def web(self) -> str:
        """The technician's listener."""
        return f"http://127.0.0.1:{self.web_port}"


def furnish(
    folder: Path,
    *,
    display: str = "driver = none",
    dispenser: str = "driver = fake",
    native_mode: str = "one",
    wechat: str = "http://127.0.0.1:9",
) -> Place:
    """Write the ini; `display` and `dispenser`: the lines of these sections."""
    folder.mkdir(exist_ok=True)
    callbacks, web = ports(2)
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    lines = [
        *("[kiosk]", "id = bench-1", "name = 大堂饮料机", f"data_dir = {folder / 'var'}"),
        *(
            "[wechatpay]",
            f"app_id = {APP_ID}",
            f"mch_id = {MCH_ID}",
            f"api_key = {KEY}",
            "sign_type = MD5",
            f"native_mode = {native_mode}",
        ),
        *(f"api_base = {wechat}", f"backup_api_base = {wechat}", f"public_url = http://127.0.0.1:{callbacks}"),
        *("[callbacks]", f"listen = 127.0.0.1:{callbacks}"),
        *("[web]", f"listen = 127.0.0.1:{web}", "password_file = password", "api_token_file = token"),
        *("[display]", *display.splitlines(), f"size = {WIDTH}x{HEIGHT}"),
        *("[dispenser]", *dispenser.splitlines()),
    ]
    for number in range(PRODUCTS):
        lines += [f"[product:p{number}]", "name = 可口可乐", "name_en = Coca-Cola", "price = 3.50"]
        lines += [f"[slot:{11 + number}]", f"product = p{number}", f"capacity = {CAPACITY}"]
    ini = folder / "kiosk.ini"
    ini.write_text("\n".join(lines) + "\n")
    return Place(ini, callbacks, web)
