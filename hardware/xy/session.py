"""The host's side of a conversation with an XY board: polls, answers, repeats, synchronising.

The board is master. It sends POLL; the host answers within 100 ms with ACK or with exactly one command, which the
board acknowledges. It sends data; the host acknowledges. This part knows who may speak when; what is said about goods
is `hardware.xy.driver`'s business.

Source: Xing Yuan, "VMC - Upper computer" V3.0 and V3.2.11, link layer; commands 31 and 16.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hardware.dispenser import Fact
from hardware.serial_link import LinkTiming, SerialLink, lost
from hardware.xy import codec
from hardware.xy.codec import Command, Frame

logger = logging.getLogger(__name__)

ACK_BYTES = codec.encode(codec.ACK)
MOST_WRITES = 5  # the documents: a sender repeats the same frame at most 5 times
QUEUED_ERRANDS = 8  # questions that wait for a poll; more would only be stale when their turn comes
FOREIGN_BYTES = 64  # so many bytes without one frame among them are another language, not noise before a POLL
ANSWERS_REMEMBERED = 512  # for the median that the technician sees: the last 50 s at 100 ms


@dataclass(frozen=True)
class XyTiming:
    """The limits of the conversation and of a vend, each with its reason."""

    # No frame for so long = link down. More than three intervals of a board that keeps its own 200 ms, with room
    # for a loaded host; a longer poll interval stretches it to 3.5 intervals.
    poll_silence_seconds: float = 1.0
    # After so long a repeat of an old data frame can no longer come, and a board may have restarted its numbers.
    forget_frames_seconds: float = 2.0
    # A frame of 10 bytes lasts 1.7 ms, the longest 45 ms: a partial frame this old will not be finished.
    partial_frame_seconds: float = 0.05
    # A vend whose 06 found no POLL to answer for so long is given up: 25 intervals of the slowest usual board.
    not_taken_seconds: float = 5.0
    # The idle board is asked for door and temperature this often; boards that do not answer are not harmed by it.
    ask_status_seconds: float = 10.0
    # How long `recall` waits for the board's sales counter: reconnecting takes 0.5 s, synchronising about 1 s.
    recall_seconds: float = 10.0
    # A count older than this says nothing about the moment before a vend: someone may have sold by the keypad.
    count_valid_seconds: float = 120.0


@dataclass(eq=False)
class Errand:
    """One command that is to be the answer to a POLL."""

    wire: bytes
    most_writes: int = MOST_WRITES
    polls_before_repeat: int = 1  # how many POLLs without an ACK make it unanswered
    writes: int = 0  # tries to put it on the wire; 0 means: certainly never sent
    acked: bool = False
    polls_unanswered: int = 0

    @property
    def is_due(self) -> bool:
        """Whether the next POLL should be answered with it."""
        if self.writes == 0:
            return True
        return not self.acked and self.polls_unanswered >= self.polls_before_repeat and self.writes < self.most_writes


class Session:
    """One conversation over one port, through losses of the link and reboots of the board.

    `on_data(frame)`: a data frame of the board, already acknowledged, of a known length, never the repeat of one
    that was delivered before. `on_reboot()`: the board said that it has just started. `on_idle()`: a POLL found
    nothing to say. `on_change()`: `reason` may have changed. All are called after the answer has been written.

    `objection`: why the board must not be driven although it talks; set by whoever knows, empty otherwise.
    """

    def __init__(
        self,
        *,
        port: str,
        baudrate: int,
        poll_interval_ms: int,
        timing: XyTiming,
        link_timing: LinkTiming | None,
        on_data: Callable[[Frame], None],
        on_reboot: Callable[[], None],
        on_idle: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        codec.poll_interval(1, poll_interval_ms)  # raises ValueError now instead of at the first poll
        self._link = SerialLink(
            port=port,
            baudrate=baudrate,
            on_bytes=self._bytes_came,
            on_up=self._link_up,
            on_down=self._link_down,
            timing=link_timing,
        )
        self._timing = timing
        self._poll_interval_ms = poll_interval_ms
        self._silence_seconds = max(timing.poll_silence_seconds, 3.5 * poll_interval_ms / 1000)
        self._on_data = on_data
        self._on_reboot = on_reboot
        self._on_idle = on_idle
        self._on_change = on_change

        self.objection = ""
        self._decoder = codec.Decoder()
        self._noise_before = 0  # noise bytes of the link's earlier lives
        self._foreign = False  # bytes come in, and none of them is XY
        self._link_reason = f"the serial port {port} has not been opened yet"
        self._polled = False
        self._synced = False  # our 31 was acknowledged
        self._settled = False  # and the board polls again: what it reports after a 31 keeps it busy for seconds
        self._heard_at = 0.0  # loop time of the last good frame
        self._watch: asyncio.TimerHandle | None = None
        self._partial: asyncio.TimerHandle | None = None
        # Any start will do; not always the same one, or the first vends of two runs could look like repeats.
        self._packno = int(time.time()) % 255

        self._vend: Errand | None = None
        self._errands: deque[Errand] = deque()  # the first one may be on its way
        self._sync: Errand | None = None
        self._in_flight: Errand | None = None
        self._seen: dict[int, Frame] = {}  # the last data frame of each command

        self._polls = 0
        self._resends = 0
        self._repeats = 0
        self._odd_frames = 0
        self._answer_ms: deque[float] = deque(maxlen=ANSWERS_REMEMBERED)
        self._slowest_answer_ms = 0.0
        self._last_in: Frame | None = None
        self._last_out = b""

    @property
    def alive(self) -> bool:
        """Whether the port is still looked after."""
        return self._link.is_kept

    @property
    def reason(self) -> str:
        """One sentence why a command given now might not reach the board; empty when it would."""
        if not self._link.is_up:
            return self._link_reason
        if self._foreign and not self._polled:
            return (
                f"what comes in on {self._link.port} is not the language of an XY board: "
                "is another kind of board connected, or does it use another baud rate?"
            )
        if not self._polled:
            return f"no board polls on {self._link.port}: is it switched on, and its cable plugged in?"
        if not self._synced:
            return f"the board on {self._link.port} has not acknowledged the synchronisation yet"
        if not self._settled:
            return f"the board on {self._link.port} is still reporting its selections"
        return self.objection

    @property
    def synced(self) -> bool:
        """Whether the board has acknowledged the synchronisation since it was last lost."""
        return self._synced

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What is known of the line."""
        answers = self._answer_ms
        return (
            Fact("port", self._link.port),
            Fact("polls", self._polls),
            Fact("answer_median", round(statistics.median(answers), 2) if answers else 0.0, "ms"),
            Fact("answer_max", round(self._slowest_answer_ms, 2), "ms"),
            Fact("checksum_errors", self._decoder.checksum_errors),
            Fact("noise_bytes", self._decoder.noise_bytes),
            Fact("odd_frames", self._odd_frames),
            Fact("repeats_received", self._repeats),
            Fact("resends", self._resends),
            Fact("reconnects", self._link.losses),
            Fact("last_frame_in", codec.encode(self._last_in).hex(" ") if self._last_in else ""),
            Fact("last_frame_out", self._last_out.hex(" ")),
        )

    def start(self) -> None:
        """Begin to keep the port open."""
        self._link.start()

    async def stop(self) -> None:
        """Close the port."""
        await self._link.stop()
        self._link_reason = f"the serial port {self._link.port} has been closed by this machine"
        self._forget_line()

    def next_packno(self) -> int:
        """The number of the next command: 1..255, then 1 again."""
        self._packno = self._packno % 255 + 1
        return self._packno

    def ask(self, frame: Frame) -> None:
        """Say something harmless when the board next polls and no vend is open; forgotten when the link is lost."""
        if self._synced and len(self._errands) < QUEUED_ERRANDS:
            self._errands.append(Errand(codec.encode(frame)))

    def begin_vend(self, errand: Errand) -> None:
        """Answer the next POLL of a synchronised board with `errand`, and say nothing else until `end_vend`."""
        self._vend = errand

    def end_vend(self) -> None:
        """From here on the errand is not written (again)."""
        self._vend = None

    # The link.

    def _link_up(self) -> None:
        self._link_reason = lost(self._link.port)
        self._forget_line()
        self._on_change()

    def _link_down(self, reason: str) -> None:
        self._link_reason = reason
        self._forget_line()
        self._on_change()

    def _forget_line(self) -> None:
        for timer in (self._watch, self._partial):
            if timer is not None:
                timer.cancel()
        self._watch = self._partial = None
        self._decoder.reset()
        self._noise_before = self._decoder.noise_bytes
        self._polled = self._foreign = False
        self._lose_sync()

    def _lose_sync(self) -> None:
        """The board may be another one now, or may have started anew: synchronise before anything else is said."""
        self._synced = self._settled = False
        self._in_flight = self._sync = None
        self._errands.clear()
        if self._vend is not None and self._vend.writes:
            self._vend.most_writes = self._vend.writes  # a repeat is harmless, if ever, only in direct succession

    def _watch_silence(self) -> None:
        """Runs when the board could have been silent for too long."""
        loop = asyncio.get_running_loop()
        silent_until = self._heard_at + self._silence_seconds
        if loop.time() < silent_until:
            self._watch = loop.call_at(silent_until, self._watch_silence)
            return
        self._watch = None
        self._polled = False
        self._lose_sync()
        self._on_change()

    # What comes in.

    def _bytes_came(self, data: bytes) -> None:
        came_at = time.perf_counter()
        if self._partial is not None:
            self._partial.cancel()
            self._partial = None
        self._frames_came(self._decoder.feed(data), came_at)
        if not self._foreign and self._decoder.noise_bytes - self._noise_before > FOREIGN_BYTES and not self._polled:
            self._foreign = True
            self._on_change()
        if self._decoder.pending and self._link.is_up:
            self._partial = asyncio.get_running_loop().call_later(
                self._timing.partial_frame_seconds, self._give_up_partial
            )

    def _give_up_partial(self) -> None:
        self._partial = None
        self._frames_came(self._decoder.give_up(), time.perf_counter())

    def _frames_came(self, frames: list[Frame], came_at: float) -> None:
        for index, frame in enumerate(frames):
            if frame.command in codec.HOST_ONLY:
                self._odd_frames += 1
                logger.warning("heard a command that only a host sends: %s", codec.encode(frame).hex(" "))
                continue
            self._heard()
            self._last_in = frame
            if frame.command == Command.POLL:
                # A POLL with something behind it is stale: its time to be answered is over.
                if index == len(frames) - 1:
                    self._answer_poll(came_at)
            elif frame.command == Command.ACK:
                self._acknowledged()
            else:
                self._write(ACK_BYTES)
                self._note_answer(came_at)
                self._data_came(frame)

    def _heard(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._heard_at > self._timing.forget_frames_seconds:
            self._seen.clear()
        self._heard_at = now
        if self._watch is None:
            self._watch = loop.call_at(now + self._silence_seconds, self._watch_silence)

    def _data_came(self, frame: Frame) -> None:
        if not frame.has_known_length:
            self._odd_frames += 1
            logger.warning("ignored a frame of an impossible length: %s", codec.encode(frame).hex(" "))
            return
        if self._seen.get(frame.command) == frame:
            self._repeats += 1
            return
        if frame.command == Command.SYNC:
            logger.warning("the board has started anew")
            self._seen.clear()
            self._lose_sync()
            self._on_reboot()
            self._on_change()
            return
        self._seen[frame.command] = frame
        self._on_data(frame)

    # What goes out.

    def _answer_poll(self, came_at: float) -> None:
        if self._in_flight is not None:
            self._in_flight.polls_unanswered += 1
        errand = self._next_errand()
        if errand is None:
            self._write(ACK_BYTES)
        else:
            # Counted before it is tried: what may have gone out, even in part, has gone out.
            errand.writes += 1
            errand.polls_unanswered = 0
            self._in_flight = errand
            self._write(errand.wire)
            self._resends += errand.writes > 1
        self._note_answer(came_at)
        self._polls += 1
        if not self._polled or self._settled is not self._synced:
            self._polled = True
            self._noise_before = self._decoder.noise_bytes
            self._settled = self._synced
            self._on_change()
        if errand is None and (self._vend is None or self.objection) and self._synced:
            self._on_idle()

    def _next_errand(self) -> Errand | None:
        vend = self._vend
        if vend is not None and (vend.writes or (self._synced and not self.objection)):
            return vend if self._synced and vend.is_due else None
        while self._errands and self._errands[0].writes and not self._errands[0].is_due:
            self._errands.popleft()  # unanswered five times, or cut short by a vend: nothing is lost with it
        if not self._synced and not self._errands:
            self._sync = Errand(codec.encode(codec.sync(self.next_packno())))
            self._errands.append(self._sync)
        return self._errands[0] if self._errands else None

    def _acknowledged(self) -> None:
        errand, self._in_flight = self._in_flight, None
        if errand is None:
            return
        errand.acked = True
        if self._errands and self._errands[0] is errand:
            self._errands.popleft()
        if errand is self._sync:
            self._sync = None
            self._synced = True
            self.ask(codec.poll_interval(self.next_packno(), self._poll_interval_ms))
            self._on_change()

    def _write(self, wire: bytes) -> None:
        self._last_out = wire
        self._link.write(wire)

    def _note_answer(self, came_at: float) -> None:
        answer_ms = (time.perf_counter() - came_at) * 1000
        self._answer_ms.append(answer_ms)
        self._slowest_answer_ms = max(self._slowest_answer_ms, answer_ms)
