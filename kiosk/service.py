"""What the machine tells systemd: that it sells, that it is alive, that it stops (sd_notify(3), over its datagrams).

Without NOTIFY_SOCKET in the environment, as on a developer's desk, nobody is told and everything else is the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping

FEEDS_A_PERIOD = 3  # two may be late or lost before systemd takes the machine for dead
SEND_SECONDS = 0.1  # the event loop waits for it: longer only if the service manager is in trouble itself

_log = logging.getLogger(__name__)


class Service:
    """The line to the service manager that started this process; mute if there is none."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read NOTIFY_SOCKET (a path, or @name for the abstract namespace), WATCHDOG_USEC and WATCHDOG_PID."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        micros = environment.get("WATCHDOG_USEC", "")
        self._watchdog_seconds = int(micros) / 1e6 if mine and micros.isdigit() else 0.0

    def ready(self, status: str) -> None:
        """The machine is up, or has taken a new ini. `status`: a line for `systemctl status`."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The ini is being read again; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The machine is on its way down, in order."""
        self._send("STOPPING=1\nSTATUS=stopping: a vend under way is finished first")

    async def feed(self, stuck: Callable[[], Awaitable[str | None]]) -> None:
        """Feed the watchdog as long as the event loop turns and `stuck()` finds nothing; for ever.

        `stuck()` returns why only a new process could sell again. Then no food goes out until it returns None.
        """
        if not self._watchdog_seconds:
            return
        told = ""
        while True:
            try:
                reason = await stuck()
            except Exception as error:  # noqa: BLE001 - a part that cannot even be looked at is not alive
                _log.exception("the machine could not be looked at")
                reason = f"the machine could not be looked at: {error}"
            if reason is None:
                self._send("WATCHDOG=1")
            elif reason != told:
                _log.critical("the watchdog is not fed any more: %s", reason)
            told = reason or ""
            await asyncio.sleep(self._watchdog_seconds / FEEDS_A_PERIOD)

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.settimeout(SEND_SECONDS)
                line.sendto(message.encode(), self._address)
        except OSError as error:  # a machine that sells is not stopped for it; without food systemd restarts it
            _log.error("systemd could not be told %s: %s", message.partition("\n")[0], error)
