"""A board at a serial server on the network: socket:// and rfc2217:// against servers on loopback.

The RFC 2217 server is pyserial's own half of that protocol (`serial.rfc2217.PortManager`), in threads as its example.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial
from boards_kit import QUICK_LINK, QUICK_MASTER, wait_until
from serial import rfc2217

from hardware.dispenser import Cause, Outcome
from hardware.serial_link import SerialLink
from hardware.tcn.driver import TcnDispenser
from hardware.tcn.simulator import TcnBoard

# pyserial 3.5 starts the thread of an RFC 2217 port in an old way.
pytestmark = [
    pytest.mark.filterwarnings("ignore:setDaemon:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:setName:DeprecationWarning"),
]


class PtyPort(serial.Serial):
    """A pseudo-terminal as a serial server sees a real port: it has no modem lines, which are set in vain."""

    def _update_dtr_state(self) -> None: ...

    def _update_rts_state(self) -> None: ...

    cts = dsr = ri = cd = property(lambda _: True)


class SerialServer:
    """Serves one pseudo-terminal on a TCP port, to one client at a time."""

    def __init__(self, device: Callable[[], str], *, telnet: bool) -> None:
        self._device = device
        self._telnet = telnet
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._accept, name="serial server")
        self._thread.start()

    def url(self) -> str:
        return f"{'rfc2217' if self._telnet else 'socket'}://127.0.0.1:{self.port}"

    def hang_up(self) -> None:
        """Lose the connection, and go on serving."""
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.hang_up()
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._client = client
                with client, PtyPort(self._device(), timeout=0.05) as port:
                    self._serve(client, port)

    def _serve(self, client: socket.socket, port: serial.Serial) -> None:
        ended = threading.Event()
        manager = None
        if self._telnet:
            # The manager writes its own answers through `write`; `sendall` is that of the client.
            manager = rfc2217.PortManager(port, type("Connection", (), {"write": staticmethod(client.sendall)})())

        def upwards() -> None:
            while not ended.is_set():
                data = port.read(port.in_waiting or 1)
                if data:
                    with contextlib.suppress(OSError):
                        client.sendall(b"".join(manager.escape(data)) if manager else data)

        reader = threading.Thread(target=upwards, name="serial server, upwards")
        reader.start()
        with contextlib.suppress(OSError):
            while data := client.recv(1024):
                port.write(b"".join(manager.filter(data)) if manager else data)
        ended.set()
        reader.join()


@pytest.fixture(params=["socket", "rfc2217"])
def serve(request: pytest.FixtureRequest) -> Iterator[Callable[[Callable[[], str]], SerialServer]]:
    served: list[SerialServer] = []

    def make(device: Callable[[], str]) -> SerialServer:
        served.append(SerialServer(device, telnet=request.param == "rfc2217"))
        return served[-1]

    yield make
    for server in served:
        server.close()


async def test_a_board_behind_a_serial_server(
    serve: Callable[[Callable[[], str]], SerialServer], tmp_path: Path
) -> None:
    """It is driven as over a cable; a lost connection in mid-vend is UNKNOWN, found again, and sells on."""
    board = TcnBoard(link=tmp_path / "board", motor_seconds=0.05)
    await board.start()
    server = serve(lambda: board.path)
    dispenser = TcnDispenser(port=server.url(), vend_timeout_seconds=2, timing=QUICK_MASTER, link_timing=QUICK_LINK)
    await dispenser.start()
    await wait_until(lambda: dispenser.status.ready, "the driver is ready", limit_seconds=20)
    assert (await dispenser.vend(1)).outcome is Outcome.DELIVERED

    board.motor_seconds = 0.5
    board._on_event = lambda event: server.hang_up() if event.kind == "vend" else None
    assert (await dispenser.vend(2)).outcome is Outcome.UNKNOWN
    board._on_event = None
    assert f"the connection to {server.url()} was lost" in dispenser.status.reason
    assert (await dispenser.vend(3)).cause is Cause.NOT_TAKEN
    await wait_until(lambda: dispenser.status.ready, "it is connected again", limit_seconds=20)
    assert (await dispenser.vend(3)).outcome is Outcome.DELIVERED
    assert [drop.selection for drop in board.drops] == [1, 2, 3]
    await dispenser.stop()
    await board.stop()


async def test_every_byte_passes(serve: Callable[[Callable[[], str]], SerialServer], tmp_path: Path) -> None:
    """All 256 values both ways, the escapes of the network's protocol included."""
    board = TcnBoard(link=tmp_path / "board", echo=True)
    await board.start()
    came = bytearray()
    link = SerialLink(
        port=serve(lambda: board.path).url(),
        baudrate=9600,
        on_bytes=came.extend,
        on_up=lambda: None,
        on_down=lambda _: None,
        timing=QUICK_LINK,
    )
    link.start()
    await wait_until(lambda: link.is_up, "the port is open", limit_seconds=20)
    every = bytes(range(256))
    assert link.write(every)
    await wait_until(lambda: bytes(came) == every, "the echo came")
    await link.stop()
    await board.stop()
