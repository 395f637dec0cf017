"""SIGHUP: a running machine takes the products and slots of its ini as they stand now."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from config_files import in_section, write_ini
from PIL import Image
from scenario_kit import LIMIT_SECONDS, Bench, bench

from kiosk.config import ConfigError
from kiosk.orders import OrderState
from kiosk.settings import NativeMode
from kiosk.simulation.wechat import Cashier, Payment

PRODUCTS = """
[product:cola]
name = 可口可乐
price = 3.50
[product:tea]
name = 冰红茶
price = 3.00
[slot:11]
product = cola
capacity = 3
[slot:12]
product = cola
capacity = 2
[slot:21]
product = tea
capacity = 1
"""


def write(folder: Path, *changes: tuple[str, str]) -> None:
    """The ini of the bench's machine as far as a reload looks at it; the rest is the test's own."""
    key = "k" * 32
    head = f"[kiosk]\nid = lobby-1\n[wechatpay]\napp_id = wx8888888888888888\nmch_id = 1900000109\napi_key = {key}"
    text = f"{head}\n[web]\nlisten = 127.0.0.1:8080\n[dispenser]\ndriver = fake\n{PRODUCTS}"
    write_ini(folder, *changes, text=text)


class TestPrices:
    async def test_a_new_price_is_on_the_screen_and_is_what_is_paid(self, tmp_path: Path) -> None:
        """After a reload the tile shows the new price, and a new code asks for it."""
        async with bench(tmp_path) as running:
            old = await running.code("cola")
            write(tmp_path, ("3.50", "4.20"))
            await running.machine.reload()
            await running.code("cola", other_than=old)
            tile = next(tile for tile in running.scene().tiles if tile.product_id == "cola")
            number = await running.buy("cola")
            await running.settled(number, OrderState.DISPENSED)
        assert tile.price == "¥4.20"
        assert running.money(number) == (420, 0)

    async def test_a_customer_at_the_cashier_pays_the_old_price_and_gets_the_goods(self, tmp_path: Path) -> None:
        """An order that was opened before keeps its price: nobody is refunded for a change of the ini."""
        async with bench(tmp_path) as running:
            cashier = await running.scan("cola")
            write(tmp_path, ("3.50", "4.20"))
            await running.machine.reload()
            assert isinstance(await running.wechat.pay(cashier.out_trade_no, "o-customer"), Payment)
            await running.settled(cashier.out_trade_no, OrderState.DISPENSED)
        assert running.money(cashier.out_trade_no) == (350, 0)

    async def test_a_printed_code_asks_for_the_new_price(self, tmp_path: Path) -> None:
        """In mode one the code stays, and whoever scans it is asked for the price of now."""
        async with bench(tmp_path, native_mode=NativeMode.ONE) as running:
            code = await running.code("cola")
            write(tmp_path, ("3.50", "4.20"))
            await running.machine.reload()
            assert running.shown("cola") == code
            cashier = await running.wechat.scan(code, "o-customer")
        assert isinstance(cashier, Cashier)
        assert running.wechat.ledger.order(out_trade_no=cashier.out_trade_no).total_fen == 420

    async def test_the_journal_tells_when_which_price_came(self, tmp_path: Path) -> None:
        """A dispute about a price can be settled from the books."""
        async with bench(tmp_path) as running:
            heard = []
            running.machine.journal.subscribe(lambda change: heard.append(change.event))
            write(tmp_path, ("3.50", "4.20"))
            await running.machine.reload()
        event = next(event for event in heard if event.kind == "settings_reloaded")
        assert event.detail["prices_fen"] == {"cola": 420, "tea": 300}


class TestPlanogram:
    async def test_a_new_product_in_a_new_slot_is_for_sale(self, tmp_path: Path) -> None:
        """It gets a tile and a code, and its goods drop from the new slot."""
        async with bench(tmp_path) as running:
            more = "[product:water]\nname = 农夫山泉\nprice = 2.00\n[slot:22]\nproduct = water\ncapacity = 5\n"
            write(tmp_path, ("[slot:11]", f"{more}[slot:11]"))
            await running.machine.reload()
            order = await running.settled(await running.buy("water"), OrderState.DISPENSED)
        assert order.slot == "22"

    async def test_a_product_that_is_taken_out_is_gone_and_can_come_back(self, tmp_path: Path) -> None:
        """Its tile goes at once; put in again, it is sold again."""
        async with bench(tmp_path) as running:
            await running.code("tea")
            gone = "[product:tea]\nname = 冰红茶\nprice = 3.00\n"
            write(tmp_path, (gone, ""), ("[slot:21]\nproduct = tea", "[slot:21]\nproduct = cola"))
            await running.machine.reload()
            left = [tile.product_id for tile in running.scene().tiles]
            write(tmp_path)
            await running.machine.reload()
            number = await running.buy("tea")
            await running.settled(number, OrderState.DISPENSED)
        assert left == ["cola"]

    async def test_a_picture_that_was_replaced_under_its_name_is_painted(self, tmp_path: Path) -> None:
        """The file is read again, though the ini still calls it the same."""
        picture = tmp_path / "cola.png"
        Image.new("RGB", (200, 200), "red").save(picture)
        async with bench(tmp_path) as running:
            write(tmp_path, ("price = 3.50", f"price = 3.50\nimage = {picture}"))
            await running.machine.reload()
            await until_painted(running, (255, 0, 0))
            Image.new("RGB", (200, 200), "blue").save(picture)
            await running.machine.reload()
            await until_painted(running, (0, 0, 255))


async def until_painted(running: Bench, colour: tuple[int, int, int]) -> None:
    async def seen() -> bool:
        picture = await running.machine.storefront.picture()
        colours = picture.convert("RGB").getcolors(1 << 20) if picture is not None else None
        return colour in {found for _, found in colours or []}

    await running.until_async(seen, f"something on the screen has the colour {colour}")


class TestTheRestOfTheIni:
    async def test_a_bad_ini_changes_nothing_and_every_mistake_is_told(self, tmp_path: Path) -> None:
        """The machine goes on with what it has."""
        async with bench(tmp_path) as running:
            before = running.machine.settings
            write(tmp_path, ("3.50", "free"), ("[slot:21]\nproduct = tea", "[slot:21]\nproduct = beer"))
            with pytest.raises(ConfigError) as raised:
                await running.machine.reload()
            assert running.machine.settings == before
            await running.settled(await running.buy("cola"), OrderState.DISPENSED)
        assert len(raised.value.findings) == 2

    async def test_what_needs_a_restart_is_named(self, tmp_path: Path) -> None:
        """Keys of parts that are built once are listed by section and key, and keep their value."""
        async with bench(tmp_path) as running:
            write(tmp_path, in_section("kiosk", "dispense_within = 300"), ("k" * 32, "x" * 32))
            waiting = await running.machine.reload()
            within = running.machine.settings.kiosk.dispense_within_seconds
        assert {"[kiosk] dispense_within", "[wechatpay] api_key"} <= set(waiting)
        assert within == 120


class TestProcess:
    """`kiosk run` as systemd starts it: its signals, its log, what systemd hears of it."""

    def test_sighup_takes_a_good_ini_and_refuses_a_bad_one(self, tmp_path: Path) -> None:
        """Each reload is told to systemd from begin to end; the log has every mistake of a bad ini, by line."""
        path = write_ini(tmp_path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, Process(path, manager) as process:
            assert process.hears() == "READY=1\nSTATUS=machine lobby-1 is open for business"
            write_ini(tmp_path, ("3.50", "4.20"), ("name = 大堂饮料机", "name = 二楼饮料机"))
            assert process.after_sighup() == f"READY=1\nSTATUS={path} is taken: 1 products, 1 slots"
            write_ini(tmp_path, ("3.50", "free"), ("capacity = 8", "capacity = none"))
            refused = f"READY=1\nSTATUS={path} was not taken: it has 2 mistake(s), the log tells them all"
            assert process.after_sighup() == refused
            process.terminate()
            assert process.hears().startswith("STOPPING=1\n")
            assert process.wait() == 0
        log = process.log
        assert "WARNING kiosk.machine: [kiosk] name in it has changed" in log
        assert "[product:cola] price = 'free'" in log
        assert "[slot:11] capacity = 'none'" in log

    def test_a_living_process_feeds_the_watchdog(self, tmp_path: Path) -> None:
        """With WATCHDOG_USEC set, food comes after READY=1: journal, driver and loop of a whole machine are alive."""
        path = write_ini(tmp_path)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
            Process(path, manager, WATCHDOG_USEC="300000") as process,
        ):
            assert process.hears().startswith("READY=1\n")
            assert [process.hears() for _ in range(3)] == ["WATCHDOG=1"] * 3


class Process:
    """A machine's process, and the service manager's end of its socket."""

    def __init__(self, ini: Path, manager: socket.socket, **environment: str) -> None:
        self._manager = manager
        address = ini.parent / "notify"
        manager.bind(str(address))
        manager.settimeout(LIMIT_SECONDS)
        self._log = (ini.parent / "log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kiosk", "run", "-c", str(ini)],
            env={**os.environ, "NOTIFY_SOCKET": str(address), **environment},
            stderr=self._log,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(LIMIT_SECONDS)
        self._log.seek(0)
        self.log = self._log.read()
        self._log.close()

    def hears(self) -> str:
        """What systemd hears next."""
        return self._manager.recv(4096).decode()

    def after_sighup(self) -> str:
        """Send SIGHUP; what systemd hears when the reload has ended."""
        self._process.send_signal(signal.SIGHUP)
        assert self.hears().startswith("RELOADING=1\nMONOTONIC_USEC=")
        return self.hears()

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> int:
        return self._process.wait(LIMIT_SECONDS)
