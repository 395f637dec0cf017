"""Questions and answers over a serial line on which this host is the master and a board only ever answers.

One question at a time; an answer belongs to the question before it, because no protocol of this kind numbers them.
Hence the two rules here: what comes in unasked is thrown away before a question is written, and after a question
that was not answered the line is left alone for a while, so that an answer that comes too late is not taken for the
next one's. Half-duplex adapters (RS-485) may return our own bytes before the answer: that is seen at questions whose
answer cannot look like them, and exactly those bytes are skipped.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hardware.dispenser import Fact
from hardware.serial_link import LinkTiming, SerialLink, lost

logger = logging.getLogger(__name__)

MOST_BYTES = 1024  # kept of what comes in; the longest answer of any protocol here has 260
ANSWERS_REMEMBERED = 512  # for the median that the technician sees

# Finds the first answer in what has come in: where it begins and ends, None while there is none.
Finder = Callable[[bytes], tuple[int, int] | None]


@dataclass(frozen=True)
class MasterTiming:
    """The waits of a line and of the driver that asks on it."""

    # Boards answer within tens of milliseconds and USB adapters add 16; the rest is room for a busy host.
    answer_seconds: float = 1.0
    # An answer later than this after its time was over has never been seen; see the module.
    quiet_seconds: float = 0.5
    # The idle board is asked how it is this often: an adapter or board that is gone shows within three of them.
    poll_seconds: float = 1.0
    # While goods move. A drop sensor's signal has to last a quarter of a second: a shorter one may fall between two
    # looks, and where two looks were further apart than that, "nothing fell" is not certain.
    watch_seconds: float = 0.05
    blind_seconds: float = 0.25
    # How long `recall` waits for what a board may still tell.
    recall_seconds: float = 10.0


class Unanswered(Exception):
    """A question got no answer. `sent`: False only if certainly not one byte of it was written."""

    def __init__(self, sentence: str, *, sent: bool) -> None:
        super().__init__(sentence)
        self.sent = sent


@dataclass(eq=False)
class _Question:
    wire: bytes  # empty: nothing was asked, someone only listens
    find: Finder
    answer: asyncio.Future[bytes]


class MasterLine:
    """One line. `on_change()` is called on the event loop when the port was opened or lost; see `reason`.

    `kind` is what the board is called in sentences: "a TCN board".
    """

    def __init__(
        self,
        *,
        port: str,
        baudrate: int,
        kind: str,
        timing: MasterTiming,
        link_timing: LinkTiming | None,
        on_change: Callable[[], None],
    ) -> None:
        self.echoes: bool | None = None  # whether our own bytes come back; None: not known since the port was opened
        self._kind = kind
        self._timing = timing
        self._on_change = on_change
        self._link = SerialLink(
            port=port,
            baudrate=baudrate,
            on_bytes=self._bytes_came,
            on_up=self._link_up,
            on_down=self._link_down,
            timing=link_timing,
        )
        self._link_reason = f"the serial port {port} has not been opened yet"
        self._buffer = bytearray()
        self._question: _Question | None = None
        self._noise_before_answer = False
        self._quiet_until = 0.0
        self._polls = 0
        self._unanswered = 0
        self._damaged = 0
        self._noise_bytes = 0
        self._answer_ms: deque[float] = deque(maxlen=ANSWERS_REMEMBERED)
        self._slowest_answer_ms = 0.0
        self._last_in = b""
        self._last_out = b""

    @property
    def port(self) -> str:
        """Its name, for sentences."""
        return self._link.port

    @property
    def alive(self) -> bool:
        """Whether the port is still looked after."""
        return self._link.is_kept

    @property
    def reason(self) -> str:
        """Why nothing can be asked; empty while the port is open."""
        return "" if self._link.is_up else self._link_reason

    @property
    def disturbed(self) -> bool:
        """Whether more came in than the last answer: before it, or behind it until now."""
        return self._noise_before_answer or bool(self._buffer)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What is known of the line."""
        answers = self._answer_ms
        return (
            Fact("port", self._link.port),
            Fact("polls", self._polls),
            Fact("unanswered", self._unanswered),
            Fact("answer_median", round(statistics.median(answers), 2) if answers else 0.0, "ms"),
            Fact("answer_max", round(self._slowest_answer_ms, 2), "ms"),
            Fact("checksum_errors", self._damaged),
            Fact("noise_bytes", self._noise_bytes),
            Fact("echo", bool(self.echoes)),
            Fact("reconnects", self._link.losses),
            Fact("last_frame_in", self._last_in.hex(" ")),
            Fact("last_frame_out", self._last_out.hex(" ")),
        )

    def start(self) -> None:
        """Begin to keep the port open."""
        self._link.start()

    async def stop(self) -> None:
        """Close the port; a question that is open ends as `Unanswered`."""
        await self._link.stop()
        self._link_down(f"the serial port {self._link.port} has been closed by this machine")

    async def ask(self, wire: bytes, find: Finder, seconds: float) -> bytes:
        """Write `wire` once, and wait for what `find` takes for its answer. Raises `Unanswered`."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._quiet_until - loop.time())
        if not self._link.is_up:
            raise Unanswered(self._link_reason, sent=False)
        self._throw_away(len(self._buffer))
        self._polls += 1
        self._last_out = wire
        question = self._question = _Question(wire, find, loop.create_future())
        asked_at = loop.time()
        try:
            self._link.write(wire)  # fails only with the loss of the port, which ends the question
            answer = await self._wait(question, seconds)
        except Unanswered:
            self._unanswered += 1
            self._quiet_until = loop.time() + self._timing.quiet_seconds
            raise
        finally:
            self._question = None
        answer_ms = (loop.time() - asked_at) * 1000
        self._answer_ms.append(answer_ms)
        self._slowest_answer_ms = max(self._slowest_answer_ms, answer_ms)
        return answer

    async def listen(self, find: Finder, seconds: float) -> bytes:
        """Wait for something that was asked long ago. Raises `Unanswered`."""
        question = self._question = _Question(b"", find, asyncio.get_running_loop().create_future())
        self._search()  # it may have come already
        try:
            return await self._wait(question, seconds)
        finally:
            self._question = None

    async def _wait(self, question: _Question, seconds: float) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                return await question.answer
        except TimeoutError:
            raise Unanswered(self._without_answer(question), sent=True) from None

    def _without_answer(self, question: _Question) -> str:
        """What to say of a question whose time is over."""
        heard = bytes(self._buffer).replace(question.wire, b"") if question.wire else bytes(self._buffer)
        if heard:
            self._damaged += 1
            return (
                f"what comes in on {self.port} is not the language of {self._kind}: "
                "is another kind of board connected, or does it use another baud rate?"
            )
        if self._buffer:
            return f"only this machine's own bytes come back on {self.port}: is {self._kind} behind the adapter?"
        return f"{self._kind} does not answer on {self.port}: is it switched on, and its cable plugged in?"

    # What comes in.

    def _bytes_came(self, data: bytes) -> None:
        self._buffer += data
        self._throw_away(len(self._buffer) - MOST_BYTES)
        self._search()

    def _search(self) -> None:
        """Give the open question its answer if that has come."""
        question = self._question
        if question is None or question.answer.done():
            return
        buffer = bytes(self._buffer)
        skip = 0
        if self.echoes and question.wire in buffer:
            skip = buffer.index(question.wire) + len(question.wire)
        found = question.find(buffer[skip:])
        if found is None:
            return
        start, end = skip + found[0], skip + found[1]
        answer = buffer[start:end]
        if question.wire and answer != question.wire:  # such an answer tells whether there was an echo before it
            if buffer[:start].endswith(question.wire):
                self.echoes = True
                skip = start
            elif start == 0:
                self.echoes = False
        self._noise_before_answer = start > skip
        self._throw_away(max(0, start - skip))
        self._last_in = answer
        del self._buffer[: end - max(0, start - skip)]
        question.answer.set_result(answer)

    def _throw_away(self, count: int) -> None:
        if count > 0:
            self._noise_bytes += count
            del self._buffer[:count]

    def _link_up(self) -> None:
        self._link_reason = lost(self.port)
        self.echoes = None
        self._buffer.clear()
        self._on_change()

    def _link_down(self, reason: str) -> None:
        self._link_reason = reason
        if self._question is not None and not self._question.answer.done():
            self._question.answer.set_exception(Unanswered(reason, sent=True))
        self._on_change()
