"""Reads and writes a port that the event loop cannot watch: one without a file descriptor, such as rfc2217://.

pyserial negotiates and escapes such a line itself, and may block while it does. So one thread reads and one writes,
and the event loop only hands bytes over. Everything else (opening, losing, finding again) stays with `SerialLink`.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import queue
import threading
from collections.abc import Callable
from typing import cast

import serial

READ_WAIT_SECONDS = 0.2  # how long one read waits; the thread ends so soon after the port was closed
READ_BYTES = 4096
QUEUED_WRITES = 16  # frames that the network has not taken yet; a line that owes more answers is dead


def has_descriptor(port: serial.SerialBase) -> bool:
    """Whether the event loop can watch this port, open or not."""
    return type(port).fileno is not io.RawIOBase.fileno


class PortThreads:
    """The two threads of one open port. `on_bytes` and `on_error` run on the event loop, until `end`."""

    def __init__(
        self, port: serial.SerialBase, *, on_bytes: Callable[[bytes], None], on_error: Callable[[Exception], None]
    ) -> None:
        self._port = cast("serial.Serial", port)  # typed poorer than it is: every port has `in_waiting`
        self._on_bytes = on_bytes
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._to_write: queue.Queue[bytes | None] = queue.Queue(QUEUED_WRITES)
        self._ended = False
        for work in (self._read, self._write):
            threading.Thread(target=work, name=f"{work.__name__[1:]} {port.port}", daemon=True).start()

    def write(self, data: bytes) -> None:
        """Hand bytes over; raises SerialTimeoutException when the line takes none any more."""
        try:
            self._to_write.put_nowait(data)
        except queue.Full:
            raise serial.SerialTimeoutException("write timeout") from None

    def end(self) -> None:
        """Call nobody any more; the threads end by themselves, the port is closed by whoever opened it."""
        self._ended = True
        with contextlib.suppress(queue.Full):  # then the writer is busy, and sees `_ended` next
            self._to_write.put_nowait(None)

    def _read(self) -> None:
        self._until_ended(self._read_some)

    def _read_some(self) -> None:
        data = self._port.read(1)
        if data:
            data += self._port.read(min(self._port.in_waiting, READ_BYTES - 1))
            self._tell(self._on_bytes, data)

    def _write(self) -> None:
        self._until_ended(self._write_some)

    def _write_some(self) -> None:
        data = self._to_write.get()
        if data is not None and not self._ended:
            self._port.write(data)

    def _until_ended(self, work: Callable[[], None]) -> None:
        try:
            while not self._ended:
                work()
        except Exception as error:  # noqa: BLE001 - pyserial lets errors of every kind out of a port that was closed
            self._tell(self._on_error, error)

    def _tell(self, callback: Callable[..., None], value: object) -> None:
        def tell() -> None:
            if not self._ended:
                callback(value)

        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody listens any more
            self._loop.call_soon_threadsafe(tell)
