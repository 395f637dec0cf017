"""What systemd hears of the machine, over a real socket of the kind that it gives."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kiosk.service import FEEDS_A_PERIOD, Service

PERIOD_SECONDS = 0.6  # of the watchdog; a busy computer may be late by a third of it
LIMIT_SECONDS = 20


class Manager:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.environment = {
            "NOTIFY_SOCKET": str(path),
            "WATCHDOG_USEC": str(int(PERIOD_SECONDS * 1e6)),
            "WATCHDOG_PID": str(os.getpid()),
        }

    def hears(self, within_seconds: float = LIMIT_SECONDS) -> str | None:
        """The next message; None if there is none in that time."""
        self.socket.settimeout(within_seconds)
        try:
            return self.socket.recv(4096).decode()
        except TimeoutError:
            return None


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.socket.close()


class Loop:
    """An event loop in a thread of its own that feeds the watchdog."""

    def __init__(self, service: Service) -> None:
        self.stuck: str | None = None
        self.hanging = threading.Event()
        self._release = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._feeding = self._loop.create_task(service.feed(self._look))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    async def _look(self) -> str | None:
        return self.stuck

    def _run(self) -> None:
        self._loop.run_until_complete(asyncio.gather(self._feeding, return_exceptions=True))
        self._loop.close()

    def _hang(self) -> None:
        self.hanging.set()
        self._release.wait(LIMIT_SECONDS)

    def hang(self) -> None:
        """Let the loop wait for something that does not come, as a call that blocks does."""
        self._loop.call_soon_threadsafe(self._hang)
        assert self.hanging.wait(LIMIT_SECONDS)

    def stop(self) -> None:
        self._release.set()
        self._loop.call_soon_threadsafe(self._feeding.cancel)
        self._thread.join(LIMIT_SECONDS)


@pytest.fixture
def loop(manager: Manager) -> Iterator[Loop]:
    made = Loop(Service(manager.environment))
    yield made
    made.stop()


def drain(manager: Manager) -> None:
    """Read what was sent before; nothing more than that can be in the socket."""
    while manager.hears(0.001) is not None:
        pass


def test_a_living_loop_feeds(manager: Manager, loop: Loop) -> None:
    """Food comes again and again, each time well within the period."""
    del loop
    assert [manager.hears(PERIOD_SECONDS) for _ in range(2 * FEEDS_A_PERIOD)] == ["WATCHDOG=1"] * 2 * FEEDS_A_PERIOD


def test_a_hung_loop_does_not_feed(manager: Manager, loop: Loop) -> None:
    """While the loop hangs nothing is sent for longer than the period, after which systemd kills."""
    assert manager.hears() == "WATCHDOG=1"
    loop.hang()
    drain(manager)
    assert manager.hears(1.5 * PERIOD_SECONDS) is None


def test_a_stuck_part_stops_the_food(manager: Manager, loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    """A journal or driver that is stuck counts as a hung loop, and the log says which; food comes again with it."""
    assert manager.hears() == "WATCHDOG=1"
    loop.stuck = "the journal has not answered within 15 s"
    while manager.hears(1.5 * PERIOD_SECONDS) is not None:
        pass
    assert caplog.messages == ["the watchdog is not fed any more: the journal has not answered within 15 s"]
    loop.stuck = None
    assert manager.hears() == "WATCHDOG=1"


def test_the_course_of_a_life_is_told(manager: Manager) -> None:
    """Ready, reloading with the time that systemd wants, stopping: each in one datagram."""
    service = Service(manager.environment)
    service.ready("open for business")
    service.reloading()
    service.stopping()
    assert manager.hears() == "READY=1\nSTATUS=open for business"
    reloading = manager.hears()
    assert reloading is not None
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    stopping = manager.hears()
    assert stopping is not None
    assert stopping.startswith("STOPPING=1\n")


async def test_without_systemd_nobody_is_told() -> None:
    """On a desk there is no socket and no watchdog: nothing is sent, nothing waits."""
    service = Service({})
    service.ready("open for business")

    async def never() -> str | None:
        raise AssertionError("nobody asked for it")

    await service.feed(never)


async def test_the_watchdog_of_another_process_is_not_fed(manager: Manager) -> None:
    """WATCHDOG_PID names whom systemd watches: a child that inherited the environment keeps quiet."""
    await Service(manager.environment | {"WATCHDOG_PID": "1"}).feed(lambda: asyncio.sleep(0, None))
    assert manager.hears(0.001) is None
