"""Bytes over a serial port on the asyncio event loop: open it, lose it, find it again. No protocol inside.

The port is any name that pyserial understands: a device file (best one of /dev/serial/by-id, which stays the same
whatever the adapter is plugged into) or a URL, such as socket://host:port or rfc2217://host:port. Everything that may
wait (opening, closing) happens in a thread; reading is driven by the event loop, or, where it cannot watch the port,
by threads (`hardware.port_threads`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import re
import termios
from collections.abc import Callable
from dataclasses import dataclass

import serial

from hardware.port_threads import READ_WAIT_SECONDS, PortThreads, has_descriptor

logger = logging.getLogger(__name__)

# One read takes at most this much: 0.7 s of a 57600 baud line, more than any host lets pile up.
READ_BYTES = 4096
NETWORK = ("socket://", "rfc2217://")  # URLs that lead to a serial server


@dataclass(frozen=True)
class LinkTiming:
    """The waits of a link."""

    # After a loss the port is looked for at once-and-a-bit, then ever more rarely: an adapter that is plugged in
    # again is found within 10 s, and one that is gone for good costs nothing.
    first_retry_seconds: float = 0.5
    longest_retry_seconds: float = 10.0
    # Frames are tens of bytes and the kernel buffers thousands: a write that waits at all means a dead line. It
    # waits on the event loop, which nothing may hold up for longer than 50 ms.
    write_timeout_seconds: float = 0.04


def explain(port: str, error: Exception) -> str:
    """Say in one sentence why `port` could not be opened or was lost, and what to do about it."""
    code = error.errno if isinstance(error, OSError) else None
    if code in {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO}:
        return f"the serial port {port} is not there: is the adapter plugged in?"
    if code in {errno.EACCES, errno.EPERM}:
        return f"the serial port {port} may not be opened by this user: add the user to the group dialout"
    if code in {errno.EAGAIN, errno.EBUSY}:
        return f"the serial port {port} is held by another program: end it, or give this machine a port of its own"
    if isinstance(error, serial.SerialTimeoutException):
        return f"the serial port {port} takes no more bytes: the line behind it is stuck"
    if code == errno.ECONNREFUSED or "Connection refused" in str(error):  # pyserial's words carry no number
        return f"nobody accepts connections at {port}: is the serial server switched on?"
    return f"the serial port {port} cannot be used: {error}"


def lost(port: str) -> str:
    """Say in one sentence that an open port is gone."""
    if port.startswith(NETWORK):
        return f"the connection to {port} was lost: is the serial server switched on?"
    return f"the serial port {port} was lost: is the adapter plugged in?"


def open_port(port: str, baudrate: int, write_timeout_seconds: float) -> serial.SerialBase:
    """Open a port exclusively, for reads that do not wait. May block for seconds: call it in a thread.

    Raises OSError (pyserial's own errors are OSErrors) or ValueError; `explain` turns either into a sentence.
    """
    if port.startswith(NETWORK) and not re.search(r":[0-9]+(/|\?|$)", port):
        raise ValueError("it must name host and port number, as in rfc2217://10.0.0.5:4001")
    opened = serial.serial_for_url(
        port, baudrate=baudrate, timeout=0, write_timeout=write_timeout_seconds, exclusive=True, do_not_open=True
    )
    if not has_descriptor(opened):
        opened.timeout, opened.write_timeout = READ_WAIT_SECONDS, None  # its threads may wait
    opened.open()
    return opened


def close_port(opened: serial.SerialBase) -> None:
    """Close a port without waiting for bytes that nobody will take. May block: call it in a thread."""
    if isinstance(opened, serial.Serial):
        with contextlib.suppress(OSError, termios.error):  # the device may be gone
            opened.reset_output_buffer()
    with contextlib.suppress(OSError):
        opened.close()


def check_port(port: str, baudrate: int) -> str | None:
    """Open and close a port once: None if that worked, else a sentence that says what is wrong. Blocks."""
    try:
        close_port(open_port(port, baudrate, LinkTiming.write_timeout_seconds))
    except (OSError, ValueError) as error:
        return explain(port, error)
    return None


class SerialLink:
    """One serial port that is kept open as long as it can be.

    `on_up()` is called when the port has been opened, `on_bytes(data)` for what came in (never empty), and
    `on_down(reason)` when the port was lost or could not be opened, with a sentence that names it; again only when
    the sentence changes. All of them run on the event loop. Nothing is buffered here in either direction.
    """

    def __init__(
        self,
        *,
        port: str,
        baudrate: int,
        on_bytes: Callable[[bytes], None],
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        timing: LinkTiming | None = None,
    ) -> None:
        self.port = port
        self.bytes_in = 0
        self.bytes_out = 0
        self.losses = 0  # times that an open port was lost
        self._baudrate = baudrate
        self._on_bytes = on_bytes
        self._on_up = on_up
        self._on_down = on_down
        self._timing = timing or LinkTiming()
        self._opened: serial.SerialBase | None = None
        self._threads: PortThreads | None = None  # of a port that the loop cannot watch
        self._lost: asyncio.Future[Exception] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._reason = ""

    @property
    def is_up(self) -> bool:
        """Whether the port is open, as far as anyone knows."""
        return self._opened is not None

    @property
    def is_kept(self) -> bool:
        """False once nobody looks for the port any more although nobody has stopped it: a mistake of this program."""
        return self._keeper is None or not self._keeper.done()

    def start(self) -> None:
        """Begin to keep the port open. Returns at once; must be called on the event loop."""
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._keep_open(), name=f"serial link {self.port}")

    async def stop(self) -> None:
        """Close the port and look for it no more. No callback is called from here on."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})

    def write(self, data: bytes) -> bool:
        """Hand bytes to the kernel; False if they were not all taken.

        False from a link that is down means that nothing was written; False from a link that was up means that the
        port is lost now and that some of the bytes may have gone out.
        """
        if self._opened is None:
            return False
        try:
            if self._threads is not None:
                self._threads.write(data)
            else:
                self._opened.write(data)
        except (OSError, ValueError) as error:
            self._lose(error)
            return False
        self.bytes_out += len(data)
        return True

    def _readable(self) -> None:
        if self._opened is None:
            return
        try:
            data = self._opened.read(READ_BYTES)
        except (OSError, ValueError) as error:  # ValueError: pyserial's select takes no descriptor above 1023
            self._lose(error)
            return
        if data:
            self._came(data)

    def _came(self, data: bytes) -> None:
        self.bytes_in += len(data)
        self._on_bytes(data)

    def _lose(self, error: Exception) -> None:
        """Detach the port from the loop at once; the keeper does what may wait."""
        if self._opened is None:
            return
        self._detach(self._opened)
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(error)

    def _detach(self, opened: serial.SerialBase) -> None:
        self._opened = None
        if self._threads is not None:
            self._threads.end()
            self._threads = None
            return
        with contextlib.suppress(OSError, ValueError):  # a descriptor that is gone already needs no removal
            asyncio.get_running_loop().remove_reader(opened.fileno())

    def _report_down(self, reason: str) -> None:
        if reason != self._reason:
            self._reason = reason
            logger.warning("%s", reason)
            self._on_down(reason)

    async def _keep_open(self) -> None:
        wait_seconds = self._timing.first_retry_seconds
        while True:
            try:
                opened = await self._open()
            except (OSError, ValueError) as error:
                self._report_down(explain(self.port, error))
                await asyncio.sleep(wait_seconds)
                wait_seconds = min(wait_seconds * 2, self._timing.longest_retry_seconds)
                continue
            wait_seconds = self._timing.first_retry_seconds
            await self._serve(opened)
            await asyncio.sleep(wait_seconds)

    async def _serve(self, opened: serial.SerialBase) -> None:
        """Let bytes flow until the port is lost; close it."""
        loop = asyncio.get_running_loop()
        self._lost = loop.create_future()
        self._opened = opened
        self._reason = ""
        if has_descriptor(opened):
            loop.add_reader(opened.fileno(), self._readable)
        else:
            self._threads = PortThreads(opened, on_bytes=self._came, on_error=self._lose)
        logger.info("the serial port %s is open", self.port)
        try:
            self._on_up()
            error = await self._lost
            self.losses += 1
            if isinstance(error, serial.SerialTimeoutException):
                self._report_down(explain(self.port, error))
            else:
                self._report_down(lost(self.port))
        finally:
            self._detach(opened)
            # Shielded: a port that is not closed stays locked for everyone, so closing is not given up half-way.
            await asyncio.shield(loop.run_in_executor(None, close_port, opened))

    async def _open(self) -> serial.SerialBase:
        opening = asyncio.get_running_loop().run_in_executor(
            None, open_port, self.port, self._baudrate, self._timing.write_timeout_seconds
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread cannot be interrupted; what it opens after all must not stay open.
            with contextlib.suppress(OSError, ValueError):
                close_port(await opening)
            raise
