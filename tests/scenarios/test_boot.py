"""The first minutes of a machine: a clock that is years wrong, a network that comes later, a screen at once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from certificates_kit import DAY, write_certificate
from scenario_kit import Bench, bench
from soak_kit import World
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from display.scene import Phase
from kiosk.machine import Machine
from kiosk.orders import OrderState
from kiosk.settings import DisplayDriver, Settings
from kiosk.simulation.camera import read_codes

ANSWER_SECONDS = 2.0  # many times what a first picture takes
YEARS = timedelta(days=365 * 12)


@asynccontextmanager
async def switched_off(folder: Path) -> AsyncIterator[Bench]:
    """A machine that has sold before, with open codes at WeChat, and is off now."""
    async with bench(folder) as running:
        for product in ("cola", "tea"):
            await running.code(product)
        await running.machine.stop()
        yield running


def switch_on(here: Bench) -> Machine:
    """A new process, whose `start` is still to be called."""
    here.machine = Machine(here.settings, here.clock)
    return here.machine


def with_new_journal(settings: Settings) -> Settings:
    """A machine that knows of no code that it could show again: it has to open orders."""
    return replace(settings, kiosk=replace(settings.kiosk, data_dir=settings.kiosk.data_dir / "new"))


def problems(here: Bench) -> set[str]:
    return {problem.code for problem in here.machine.readiness.problems}


class TestWrongClock:
    @pytest.mark.parametrize("wrong_by", [-YEARS, YEARS], ids=["years behind", "years ahead"])
    async def test_no_order_is_opened_until_the_clock_is_stepped(self, tmp_path: Path, wrong_by: timedelta) -> None:
        """It says whose fault it is, shows no code, opens no order; stepped right, it sells at once."""
        async with switched_off(tmp_path) as here:
            here.settings = with_new_journal(here.settings)
            here.clock.offset = wrong_by
            known = set(here.wechat.ledger.orders)
            here.wechat.faults.set(
                "orderquery", "late_answer", seconds=ANSWER_SECONDS
            )  # after the board's first poll
            await switch_on(here).start()
            await here.until(lambda: "clock" in problems(here), "the clock's fault is told")
            assert here.scene().phase is Phase.OUT_OF_SERVICE
            assert set(here.wechat.ledger.orders) == known

            here.clock.offset = timedelta()
            number = await here.buy("cola")
            await here.settled(number, OrderState.DISPENSED)
        assert here.money(number) == (350, 0)

    async def test_the_journal_knows_better_than_the_clock(self, tmp_path: Path) -> None:
        """Without a network a clock before the last event of the books is known to be wrong, and called so."""
        async with switched_off(tmp_path) as here:
            here.clock.offset = timedelta(days=-3)
            here.wechat.faults.set("line", "down", times=None)
            await switch_on(here).start()
            await here.until(lambda: "clock_behind" in problems(here), "the clock's fault is told")
            here.clock.offset = timedelta()
            await here.until(lambda: "clock_behind" not in problems(here), "the clock is right")

    async def test_what_a_wrong_clock_once_wrote_does_not_stop_the_machine(self, tmp_path: Path) -> None:
        """Events of years ahead in the books: WeChat's time wins, and the machine sells."""
        async with switched_off(tmp_path) as here:
            here.clock.offset = YEARS
            await switch_on(here).start()
            await here.until(lambda: "clock" in problems(here), "the clock's fault is told")
            await here.machine.journal.note("settings_reloaded", {})
            await here.machine.stop()
            here.clock.offset = timedelta()
            await here.start_again()
            number = await here.buy("cola")
            await here.settled(number, OrderState.DISPENSED)

    @pytest.mark.parametrize(("begins", "ends"), [(-2 * DAY, -DAY), (DAY, 2 * DAY)], ids=["ahead", "behind"])
    async def test_a_certificate_out_of_its_time_is_the_clocks_fault(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins: timedelta, ends: timedelta
    ) -> None:
        """A TLS handshake that fails by the dates of WeChat's certificate: the clock is blamed, WeChat is not."""
        write_certificate(tmp_path, "localhost", begins, ends)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        server = HTTPServer(Application(), ssl_options=context)
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        address = f"https://localhost:{sockets[0].getsockname()[1]}"
        async with switched_off(tmp_path) as here:
            pay = replace(here.settings.wechatpay, api_base=address, backup_api_base=address)
            here.settings = replace(here.settings, wechatpay=pay)
            await switch_on(here).start()
            await here.until(lambda: "clock_certificate" in problems(here), "the clock's fault is told")
            assert "wechat_unreachable" not in problems(here)
            assert not here.machine.readiness.sells("cola")
        server.stop()


class TestScreen:
    async def test_starting_is_shown_until_wechat_has_answered(self, tmp_path: Path) -> None:
        """The screen says "starting" from the first moment, without a code; with the first answer it sells."""
        async with switched_off(tmp_path) as here:
            picture = tmp_path / "screen.png"
            display = replace(here.settings.display, driver=DisplayDriver.FILE, device=picture)
            here.settings = replace(here.settings, display=display)
            here.wechat.faults.set("orderquery", "late_answer", times=None, seconds=ANSWER_SECONDS)
            machine = switch_on(here)
            starting = asyncio.create_task(machine.start())
            await here.until(picture.exists, "there is a picture")
            assert read_codes(picture.read_bytes()) == []
            await starting
            await here.until(lambda: machine.dispenser.status.ready, "the board polls")
            assert here.scene().phase is Phase.STARTING
            assert read_codes(picture.read_bytes()) == []
            await here.code("cola")
            await here.until(lambda: read_codes(picture.read_bytes()), "a code is on the screen")


class TestNetworkComesLater:
    def test_an_hour_later(self, tmp_path: Path) -> None:
        """Switched on without a network and in 1970: an hour later both come, and within two minutes codes do."""
        world = World(tmp_path, seed=7)
        try:
            world.line_is_down = True
            world.machine_clock.offset = timedelta(days=-365 * 56)
            world.run(world.boot())
            world.run(asyncio.sleep(3600))
            machine = world.machine
            assert machine is not None
            assert {"clock_behind", "wechat_unreachable"} <= {problem.code for problem in machine.readiness.problems}
            assert world.ledger.orders == {}
            world.line_is_down = False
            world.machine_clock.offset = timedelta()
            world.run(asyncio.sleep(120))
            assert not machine.readiness.blocked
            assert machine.codes.code("cola") is not None
        finally:
            world.close()
