"""The serial link over real ptys and sockets: opening, losing, finding again, and what it says meanwhile."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import serial
from boards_kit import QUICK_LINK, wait_until

from hardware.pseudo_terminal import PseudoTerminal, Wire
from hardware.serial_link import SerialLink, check_port, explain


class Witness:
    """A link and everything it said."""

    def __init__(self, port: str) -> None:
        self.said: list[str] = []
        self.data = b""
        self.link = SerialLink(
            port=port,
            baudrate=57600,
            on_bytes=self._bytes_came,
            on_up=lambda: self.said.append("up"),
            on_down=self.said.append,
            timing=QUICK_LINK,
        )

    def _bytes_came(self, data: bytes) -> None:
        self.data += data


class Adapter:
    """The far end of a line: what arrives there, and its plug."""

    def __init__(self, link: Path) -> None:
        self.data = b""
        self.name = str(link)
        self.line = PseudoTerminal(link=link, wire=Wire(), on_bytes=self._bytes_came)

    def _bytes_came(self, data: bytes) -> None:
        self.data += data


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[Adapter]:
    made = Adapter(tmp_path / "adapter")
    made.line.plug()
    yield made
    made.line.unplug()


@pytest.fixture
async def witness(adapter: Adapter) -> AsyncIterator[Witness]:
    made = Witness(adapter.name)
    yield made
    await made.link.stop()


class TestBytes:
    async def test_bytes_go_both_ways(self, adapter: Adapter, witness: Witness) -> None:
        """All 256 values pass unchanged, and are counted."""
        every = bytes(range(256))
        witness.link.start()
        await wait_until(lambda: witness.link.is_up, "the port is open")
        adapter.line.write(every)
        assert witness.link.write(every)
        await wait_until(lambda: witness.data == every, "bytes came in")
        await wait_until(lambda: adapter.data == every, "bytes went out")
        assert (witness.link.bytes_in, witness.link.bytes_out) == (256, 256)
        assert witness.said == ["up"]

    async def test_writing_to_a_closed_link_writes_nothing(self, adapter: Adapter, witness: Witness) -> None:
        """False, and nothing is kept for later."""
        assert not witness.link.write(b"early")
        witness.link.start()
        await wait_until(lambda: witness.link.is_up, "the port is open")
        witness.link.write(b"now")
        await wait_until(lambda: adapter.data, "bytes went out")
        assert adapter.data == b"now"

    async def test_a_serial_server_on_the_network(self) -> None:
        """socket://host:port works like a port, and its loss like an adapter pulled out."""
        served: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(writer)
            writer.write(await reader.readexactly(4))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        made = Witness(f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        made.link.start()
        await wait_until(lambda: made.link.is_up, "the connection is open")
        assert made.link.write(b"ping")
        await wait_until(lambda: made.data == b"ping", "the answer came")
        served[0].close()
        await wait_until(lambda: made.link.losses == 1, "the loss was noticed")
        await wait_until(lambda: made.link.is_up, "it is connected again")
        await made.link.stop()
        for writer in served:
            writer.close()
        server.close()
        await server.wait_closed()


class TestLoss:
    async def test_an_adapter_pulled_out_and_put_back(self, adapter: Adapter, witness: Witness) -> None:
        """The loss is told once, in a sentence with the port; the same name is found again under a new device."""
        witness.link.start()
        await wait_until(lambda: witness.link.is_up, "the port is open")
        first = adapter.line.path
        held = os.open(first, os.O_RDWR | os.O_NOCTTY)  # so that its name is not free when the adapter comes back
        adapter.line.unplug()
        await wait_until(lambda: len(witness.said) == 3, "the loss was told")
        assert adapter.name in witness.said[1]
        assert "was lost" in witness.said[1]
        assert witness.said[2] == f"the serial port {adapter.name} is not there: is the adapter plugged in?"
        assert not witness.link.is_up
        adapter.line.plug()
        await wait_until(lambda: witness.link.is_up, "the port is open again")
        assert adapter.line.path != first
        assert witness.link.write(b"again")
        await wait_until(lambda: adapter.data == b"again", "bytes went out")
        assert witness.said[3:] == ["up"]
        os.close(held)

    async def test_a_line_that_takes_nothing_is_lost_at_once(self, adapter: Adapter, witness: Witness) -> None:
        """It is lost with its own sentence, and does not hold up the event loop."""
        witness.link.start()
        await wait_until(lambda: witness.link.is_up, "the port is open")
        adapter.line.stop_taking()
        for _ in range(10_000):
            before = time.perf_counter()
            went_out = witness.link.write(bytes(64))
            last_seconds = time.perf_counter() - before
            if not went_out:
                break
        assert not witness.link.is_up
        assert last_seconds < 0.1
        await wait_until(lambda: len(witness.said) > 1, "the loss was told")
        assert "takes no more bytes" in witness.said[1]
        adapter.line.take_again()
        await wait_until(lambda: witness.link.is_up, "the port is open again")

    async def test_a_port_that_comes_later(self, tmp_path: Path) -> None:
        """Not there at start: one sentence, however often it was looked for; then up."""
        late = Adapter(tmp_path / "late")
        made = Witness(late.name)
        made.link.start()
        await wait_until(lambda: made.said, "the port was looked for")
        await asyncio.sleep(4 * QUICK_LINK.longest_retry_seconds)  # several tries
        assert len(made.said) == 1
        late.line.plug()
        await wait_until(lambda: made.link.is_up, "the port is open")
        await made.link.stop()
        late.line.unplug()


class TestStopping:
    async def test_a_stopped_link_frees_the_port_and_is_silent(self, adapter: Adapter, witness: Witness) -> None:
        """After stop another program may open the port, and no callback comes any more."""
        witness.link.start()
        await wait_until(lambda: witness.link.is_up, "the port is open")
        await witness.link.stop()
        assert await asyncio.to_thread(check_port, adapter.name, 57600) is None
        adapter.line.write(b"late")
        assert witness.said == ["up"]
        assert witness.data == b""

    async def test_stopping_while_opening_leaves_nothing_open(self, adapter: Adapter, witness: Witness) -> None:
        """The opening in its thread cannot be interrupted; what it opened is closed all the same."""
        witness.link.start()
        await asyncio.sleep(0)
        await witness.link.stop()
        assert await asyncio.to_thread(check_port, adapter.name, 57600) is None

    async def test_stopping_twice_or_before_starting_is_nothing(self, witness: Witness) -> None:
        """Stop is idempotent."""
        await witness.link.stop()
        witness.link.start()
        await witness.link.stop()
        await witness.link.stop()


class TestSentences:
    async def test_held_by_another_program(self, adapter: Adapter, witness: Witness) -> None:
        """A port is opened exclusively; the second one is told so."""
        witness.link.start()
        await wait_until(lambda: witness.link.is_up, "the port is open")
        sentence = await asyncio.to_thread(check_port, adapter.name, 57600)
        assert sentence is not None
        assert "held by another program" in sentence
        assert adapter.name in sentence

    @pytest.mark.parametrize(
        ("port", "words"),
        [
            ("/dev/no-such-port", "is not there"),
            ("nonsense://x", "cannot be used"),
            ("rfc2217://127.0.0.1", "must name host and port number"),
            ("socket://127.0.0.1", "must name host and port number"),
            ("/dev/null", "cannot be used"),
            ("socket://127.0.0.1:1", "nobody accepts"),
            ("rfc2217://127.0.0.1:1", "nobody accepts"),
        ],
    )
    async def test_ports_that_cannot_work(self, port: str, words: str) -> None:
        """Each is a sentence that names the port, never an exception."""
        sentence = await asyncio.to_thread(check_port, port, 57600)
        assert sentence is not None
        assert port in sentence
        assert any(word in sentence for word in words.split("|"))

    def test_a_port_that_is_good(self) -> None:
        """A port that can be opened has no complaint, and is free again afterwards."""
        board_end, host_end = os.openpty()
        try:
            assert check_port(os.ttyname(host_end), 57600) is None
            assert check_port(os.ttyname(host_end), 57600) is None
        finally:
            os.close(board_end)
            os.close(host_end)

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (PermissionError(errno.EACCES, "denied"), "group dialout"),
            (serial.SerialException(errno.EBUSY, "busy"), "another program"),
            (serial.SerialTimeoutException("Write timeout"), "takes no more bytes"),
            (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "switched on"),
            (OSError("whatever"), "whatever"),
        ],
    )
    def test_errors_say_what_to_do(self, error: Exception, words: str) -> None:
        """What cannot be brought about by every user who runs the tests."""
        assert words in explain("/dev/ttyUSB0", error)
