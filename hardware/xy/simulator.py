"""A simulated XY vending board on a pseudo-terminal: the other side of `hardware.xy.driver`, with faults on demand.

It keeps the protocol's real times (a POLL every 200 ms until told otherwise, 100 ms for an answer, five repeats of
unacknowledged data) and books every item that leaves it in a ledger of its own, so that a test can compare what the
machine believes with what happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hardware.pseudo_terminal import PseudoTerminal, Wire
from hardware.xy import codec
from hardware.xy.codec import Command, Frame

ANSWER_WINDOW_SECONDS = 0.1  # the documents: the host must answer within 100 ms
MOST_WRITES = 5  # the documents: the same data frame at most five times
GAP_SECONDS = 0.002  # between two frames of the board: a board is no faster than its line
EVENTS_KEPT = 500
STOCK = 8  # what every selection reports to hold, of as many; the host keeps the real stock
SOFTWARE = b"SIMULATED XY 3 "

JAMMED = 0x03
TERMINATED = 0xFF
SOLD_OUT = 0x02
NO_SUCH_SELECTION = 0x03


class Damage(enum.Enum):
    """What can be done to one frame of the board on its way out."""

    NOISE_BEFORE = "noise before"
    NOISE_INSIDE = "noise inside"
    NOISE_AFTER = "noise after"
    CUT = "cut"  # its second half never comes
    MERGE = "merge"  # it comes in one piece with the next frame
    CHECKSUM = "checksum"


@dataclass(frozen=True)
class Drop:
    """One item that left the machine. `time` is the wall clock in seconds since 1970."""

    time: float
    selection: int


@dataclass(frozen=True)
class BoardEvent:
    """Something that happened: kind is "in" or "out" (a frame, in hex), "drop", "vend", "duplicate" or "fault"."""

    kind: str
    detail: str


class XyBoard:
    """One simulated board. `start` and `stop` it on an event loop; every other method may be called in between.

    `ledger`: a file that gets one JSON line {"time", "selection"} for each item dropped, synced to the disk before
    the board reports the drop. `link`: a symbolic link to the current pseudo-terminal. `drops_duplicates`: whether an
    order equal to the one just carried out, PACKNO included, is taken for its repeat, as the documents imply; False
    runs it again. `counts_sales`: whether orders of the host move the sales counter (menu 47). `answers_queries`:
    whether it knows 51 and 53. `answer_window_seconds`: more patience than the documents grant, for a board that
    shares its loop with much else. `on_event` hears everything, at once.

    Faults for as long as they last: the attributes `silent` (the board neither speaks nor listens, its motors go on)
    and `blind_drop_sensor` (goods fall unseen), and `jam`, `empty`, `clear` for selections. Faults that are used up:
    `damage_next`, `lose_commands`, `lose_acks`, `lose_results`, `delay_results`, `answer_next_vend`. Events:
    `reboot`, `reboot_in_next_vend`, `unplug`, `replug`.
    """

    def __init__(
        self,
        *,
        link: Path | None = None,
        ledger: Path | None = None,
        selections: Iterable[int] = range(1, 61),
        motor_seconds: float = 1.5,
        poll_seconds: float = 0.2,
        drops_duplicates: bool = True,
        counts_sales: bool = True,
        answers_queries: bool = True,
        wire: Wire | None = None,
        answer_window_seconds: float = ANSWER_WINDOW_SECONDS,
        seed: int = 0,
        on_event: Callable[[BoardEvent], None] | None = None,
    ) -> None:
        self.drops: list[Drop] = []
        self.events: deque[BoardEvent] = deque(maxlen=EVENTS_KEPT)
        self.answer_ms: deque[float] = deque(maxlen=EVENTS_KEPT)  # POLL written -> answer understood
        self.sales: dict[int, int] = {}
        self.silent = False
        self.blind_drop_sensor = False
        self.synced = False  # the host has synchronised since the last boot
        self.motor_seconds = motor_seconds
        self.poll_seconds = poll_seconds
        self._first_poll_seconds = poll_seconds
        self._selections = tuple(selections)
        self._ledger = ledger
        self._drops_duplicates = drops_duplicates
        self._counts_sales = counts_sales
        self._answers_queries = answers_queries
        self._answer_window_seconds = answer_window_seconds
        self._random = random.Random(seed)  # noqa: S311 - noise to be repeated, not a secret
        self._on_event = on_event
        self._terminal = PseudoTerminal(link=link, wire=wire or Wire(), on_bytes=self._bytes_came)
        self._decoder = codec.Decoder()
        self._heard: asyncio.Queue[Frame] = asyncio.Queue()
        self._outbox: deque[Frame] = deque()
        self._wake = asyncio.Event()
        self._packno = 0
        self._last_command: Frame | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._jammed: set[int] = set()
        self._empty: set[int] = set()
        self._damages: deque[Damage] = deque()
        self._merged = b""
        self._lost_commands = 0
        self._lost_acks = 0
        self._lost_results = 0
        self._delays: deque[float] = deque()
        self._next_status: int | None = None
        self._reboot_after_drop: bool | None = None
        self._booting_seconds: float | None = None

    # Life.

    @property
    def path(self) -> str:
        """The pseudo-terminal that a host opens now; empty while unplugged."""
        return self._terminal.path

    async def start(self) -> None:
        """Plug in and begin to poll. A ledger that exists already is continued, not read."""
        self._terminal.plug()
        self._spawn_conversation()

    async def stop(self) -> None:
        """Switch off: motors stop where they are."""
        tasks = {*self._tasks, *([self._running] if self._running else [])}
        self._running = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._terminal.unplug()

    def _spawn_conversation(self) -> None:
        self._running = asyncio.get_running_loop().create_task(self._converse(), name="simulated XY board")

    # Faults.

    def jam(self, selection: int) -> None:
        """The motor of this selection turns, nothing falls, the board reports a jam; until `clear`."""
        self._jammed.add(selection)

    def empty(self, selection: int) -> None:
        """The board refuses this selection as sold out; until `clear`."""
        self._empty.add(selection)

    def clear(self, selection: int) -> None:
        """The selection works again."""
        self._jammed.discard(selection)
        self._empty.discard(selection)

    def damage_next(self, *damages: Damage) -> None:
        """Damage the next frames that the board sends, one each."""
        self._damages.extend(damages)

    def lose_commands(self, count: int = 1) -> None:
        """The next commands of the host (not its ACKs) never arrive."""
        self._lost_commands += count

    def lose_acks(self, count: int = 1) -> None:
        """The next commands are carried out, but their ACKs never arrive."""
        self._lost_acks += count

    def lose_results(self, count: int = 1) -> None:
        """The final 04 of the next vends never arrives."""
        self._lost_results += count

    def delay_results(self, *seconds: float) -> None:
        """The final 04 of the next vends comes so much later, one each; the goods drop in time."""
        self._delays.extend(seconds)

    def answer_next_vend(self, status: int) -> None:
        """The next vend drops nothing and ends with this code of 04."""
        self._next_status = status

    def reboot(self, boot_seconds: float = 0.5) -> None:
        """Forget everything, motors and unsent results included, and start anew with a 31."""
        self._event("fault", "reboot")
        for task in self._tasks:
            task.cancel()
        self._outbox.clear()
        self._last_command = None
        self._packno = 0
        self.synced = False
        self.poll_seconds = self._first_poll_seconds
        self._booting_seconds = boot_seconds
        self._wake.set()

    def reboot_in_next_vend(self, *, after_drop: bool) -> None:
        """Reboot while the next motor turns: just before the item would drop, or just after it has."""
        self._reboot_after_drop = after_drop

    def unplug(self) -> None:
        """Pull the adapter out; the board itself goes on."""
        self._event("fault", "unplug")
        self._terminal.unplug()

    def replug(self) -> None:
        """Put the adapter back in; it gets whatever name is free, the link leads to it."""
        self._terminal.plug()
        self._event("fault", f"replug as {self.path}")

    # The conversation. The board is master: nothing comes from the host but answers.

    async def _converse(self) -> None:
        loop = asyncio.get_running_loop()
        next_poll = loop.time()
        while True:
            if self._booting_seconds is not None:
                seconds, self._booting_seconds = self._booting_seconds, None
                await asyncio.sleep(seconds)
                self._say(Command.SYNC)
                self._say(Command.SOFTWARE_VERSION, SOFTWARE)
            if self.silent:
                await asyncio.sleep(GAP_SECONDS)
                continue
            if self._outbox:
                await self._send_data(self._outbox.popleft())
                await asyncio.sleep(GAP_SECONDS)
                continue
            left = next_poll - loop.time()
            if left > 0:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):  # wait_for can lose a cancellation (before Python 3.12)
                        await self._wake.wait()
                continue
            next_poll = loop.time() + self.poll_seconds
            await self._poll()

    async def _poll(self) -> None:
        self._forget_late_answers()
        polled_at = time.perf_counter()
        self._transmit(codec.POLL)
        answer = await self._answer()
        if answer is None:
            return
        self.answer_ms.append((time.perf_counter() - polled_at) * 1000)
        if answer.command != Command.ACK:
            self._obey(answer)

    async def _send_data(self, frame: Frame) -> None:
        for _ in range(MOST_WRITES):
            self._forget_late_answers()
            self._transmit(frame)
            answer = await self._answer()
            if answer is not None and answer.command == Command.ACK:
                return
            if self._booting_seconds is not None:
                return
            await asyncio.sleep(GAP_SECONDS)

    async def _answer(self) -> Frame | None:
        """What the host says within the answer window; the bytes of an unfinished frame are forgotten after it."""
        try:
            async with asyncio.timeout(self._answer_window_seconds):
                return await self._heard.get()
        except TimeoutError:
            self._decoder.reset()
            return None

    def _forget_late_answers(self) -> None:
        while not self._heard.empty():
            late = self._heard.get_nowait()
            self._event("fault", f"too late: {codec.encode(late).hex(' ')}")

    def _bytes_came(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            if self.silent:
                continue
            if frame.command != Command.ACK and self._lost_commands:
                self._lost_commands -= 1
                self._event("fault", f"command lost: {codec.encode(frame).hex(' ')}")
                continue
            self._event("in", codec.encode(frame).hex(" "))
            self._heard.put_nowait(frame)

    def _say(self, command: Command, text: bytes = b"") -> None:
        """Queue a data frame; it goes out before the next POLL."""
        self._packno = self._packno % 255 + 1
        self._outbox.append(Frame(command, self._packno, text))
        self._wake.set()

    def _transmit(self, frame: Frame) -> None:
        wire = codec.encode(frame)
        self._event("out", wire.hex(" "))
        damage = self._damages.popleft() if self._damages else None
        noise = self._random.randbytes(self._random.randint(1, 6))
        middle = self._random.randint(1, len(wire) - 1)
        match damage:
            case Damage.NOISE_BEFORE:
                wire = noise + wire
            case Damage.NOISE_INSIDE:
                wire = wire[:middle] + noise + wire[middle:]
            case Damage.NOISE_AFTER:
                wire += noise
            case Damage.CUT:
                wire = wire[:middle]
            case Damage.CHECKSUM:
                wire = wire[:-1] + bytes((wire[-1] ^ 0x5A,))
            case Damage.MERGE:
                self._merged += wire
                return
            case None:
                pass
        wire, self._merged = self._merged + wire, b""
        self._terminal.write(wire)

    def _event(self, kind: str, detail: str) -> None:
        event = BoardEvent(kind, detail)
        self.events.append(event)
        if self._on_event is not None:
            self._on_event(event)

    # Commands.

    def _obey(self, frame: Frame) -> None:
        if self._lost_acks:
            self._lost_acks -= 1
            self._event("fault", f"ACK lost for {codec.encode(frame).hex(' ')}")
        else:
            self._transmit(codec.ACK)
        repeated = frame == self._last_command
        self._last_command = frame
        if repeated and self._drops_duplicates:
            self._event("duplicate", codec.encode(frame).hex(" "))
            return
        if not frame.has_known_length:
            return
        match frame.command:
            case Command.SYNC:
                self._report_everything()
            case Command.POLL_INTERVAL:
                self.poll_seconds = frame.text[0] / 10
            case Command.CHECK_SELECTION | Command.SELECT_TO_BUY:
                selection = int.from_bytes(frame.text[:2])
                self._say(Command.SELECTION_STATUS, bytes((self._refusal(selection) or 0x01,)) + frame.text[:2])
            case Command.DRIVE:
                self._drive(drop_sensor=frame.text[0] == 1, selection=int.from_bytes(frame.text[2:4]))
            case Command.MACHINE_STATUS_QUERY if self._answers_queries:
                self._say(Command.MACHINE_STATUS, MACHINE_STATUS_TEXT)
            case Command.QUICK_STATUS_QUERY if self._answers_queries:
                self._say(Command.QUICK_STATUS, b"\x00")
            case Command.MENU if frame.text[:2] == bytes((codec.SALES_OF_SELECTION, codec.MENU_READ)):
                count = self.sales.get(int.from_bytes(frame.text[2:4]), 0)
                self._say(Command.MENU_ANSWER, frame.text[:4] + count.to_bytes(4) + (count * 350).to_bytes(4))
            case _:
                pass

    def _report_everything(self) -> None:
        self.synced = True
        self._last_command = None
        for selection in self._selections:
            text = selection.to_bytes(2) + (350).to_bytes(4) + bytes((STOCK, STOCK)) + (100).to_bytes(2) + b"\x00"
            self._say(Command.SELECTION_REPORT, text)

    def _refusal(self, selection: int) -> int | None:
        if selection not in self._selections:
            return NO_SUCH_SELECTION
        return SOLD_OUT if selection in self._empty else None

    def _drive(self, *, drop_sensor: bool, selection: int) -> None:
        self._event("vend", str(selection))
        refusal = self._refusal(selection)
        if refusal is not None:
            self._say(Command.SELECTION_STATUS, bytes((refusal,)) + selection.to_bytes(2))
            return
        task = asyncio.get_running_loop().create_task(
            self._turn(selection, drop_sensor=drop_sensor), name=f"motor {selection}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _turn(self, selection: int, *, drop_sensor: bool) -> None:
        """One turn of a motor: drops at most one item, booked before it is reported."""
        where = selection.to_bytes(2)
        self._say(Command.DISPENSE_STATUS, b"\x01" + where)
        status, self._next_status = self._next_status, None
        if status is None and selection in self._jammed:
            status = JAMMED
        reboot_after_drop, self._reboot_after_drop = self._reboot_after_drop, None
        await asyncio.sleep(self.motor_seconds)
        if reboot_after_drop is False:
            self.reboot()
            return
        if status is None:
            await self._drop(selection)
            status = JAMMED if drop_sensor and self.blind_drop_sensor else 0x02
        if reboot_after_drop:
            self.reboot()
            return
        if status == 0x02 and self._counts_sales:
            self.sales[selection] = self.sales.get(selection, 0) + 1
        if self._delays:
            await asyncio.sleep(self._delays.popleft())
        if self._lost_results:
            self._lost_results -= 1
            self._event("fault", f"result lost for selection {selection}")
            return
        self._say(Command.DISPENSE_STATUS, bytes((status,)) + where)

    async def _drop(self, selection: int) -> None:
        drop = Drop(time.time(), selection)
        self.drops.append(drop)
        if self._ledger is not None:
            # Shielded: what has fallen has fallen, even if the board is switched off while it is booked.
            await asyncio.shield(asyncio.to_thread(book_drop, self._ledger, drop))
        self._event("drop", str(selection))


# 52: notes, coins, card ready; temperature control on; 6 °C; door closed; change 0 and 0; id; cabinets; humidity.
MACHINE_STATUS_TEXT = (
    b"\x00\x00\x00\x01\x06\x00" + bytes(8) + b"SIMULATED0" + b"\x06" + b"\xaa" * 7 + b"\x32" + b"\xaa" * 7
)


def book_drop(ledger: Path, drop: Drop) -> None:
    """Append one drop to a ledger and see it onto the disk. Blocks."""
    line = json.dumps({"time": drop.time, "selection": drop.selection}) + "\n"
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_ledger(ledger: Path) -> list[Drop]:
    """The drops in a ledger, oldest first; none if there is no such file."""
    if not ledger.exists():
        return []
    return [Drop(**json.loads(line)) for line in ledger.read_text().splitlines()]


async def run_simulator(link: Path | None, ledger: Path | None = None) -> None:
    """Run a board until cancelled; print where it can be reached, and every frame and item dropped."""

    def show(event: BoardEvent) -> None:
        print(f"{time.strftime('%H:%M:%S')} {event.kind:9} {event.detail}", flush=True)

    board = XyBoard(link=link, ledger=ledger, on_event=show)
    await board.start()
    print(f"a simulated XY board listens on {link or board.path}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await board.stop()
