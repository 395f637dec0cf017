"""A simulated XY vending board on a pseudo-terminal: the other side of `hardware.xy.driver`, with faults on demand.

It keeps the protocol's real times: a POLL every 200 ms until told otherwise, 100 ms for an answer, five repeats of
unacknowledged data.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from hardware.pseudo_terminal import Wire
from hardware.simulated_board import BOOT_SECONDS, EVENTS_KEPT, BoardEvent, SimulatedBoard
from hardware.xy import codec
from hardware.xy.codec import Command, Frame

ANSWER_WINDOW_SECONDS = 0.1  # the documents: the host must answer within 100 ms
MOST_WRITES = 5  # the documents: the same data frame at most five times
GAP_SECONDS = 0.002  # between two frames of the board: a board is no faster than its line
STOCK = 8  # what every selection reports to hold, of as many; the host keeps the real stock
SOFTWARE = b"SIMULATED XY 3 "

JAMMED = 0x03
TERMINATED = 0xFF
SOLD_OUT = 0x02
NO_SUCH_SELECTION = 0x03


class XyBoard(SimulatedBoard):
    """One simulated XY board; see `SimulatedBoard` for its life, its ledger and the faults that all boards have.

    `selections`: the numbers of its slots. `drops_duplicates`: whether an order equal to the one just carried out,
    PACKNO included, is taken for its repeat, as the documents imply; False runs it again. `counts_sales`: whether
    orders of the host move the sales counter (menu 47). `answers_queries`: whether it knows 51 and 53.
    `identity`: its machine id in 52, 10 characters at most. `answer_window_seconds`: more patience than the documents
    grant, for a board that shares its loop with much else.

    Besides the common faults, used up one by one: `lose_acks`, `answer_next_vend`.
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
        identity: str = "SIMULATED0",
        on_event: Callable[[BoardEvent], None] | None = None,
    ) -> None:
        super().__init__(
            link=link,
            ledger=ledger,
            slots=selections,
            motor_seconds=motor_seconds,
            wire=wire,
            seed=seed,
            identity=identity,
            on_event=on_event,
        )
        self.answer_ms: deque[float] = deque(maxlen=EVENTS_KEPT)  # POLL written -> answer understood
        self.sales: dict[int, int] = {}
        self.synced = False  # the host has synchronised since the last boot
        self.poll_seconds = poll_seconds
        self._first_poll_seconds = poll_seconds
        self._drops_duplicates = drops_duplicates
        self._counts_sales = counts_sales
        self._answers_queries = answers_queries
        self._answer_window_seconds = answer_window_seconds
        self._decoder = codec.Decoder()
        self._heard: asyncio.Queue[Frame] = asyncio.Queue()
        self._outbox: deque[Frame] = deque()
        self._wake = asyncio.Event()
        self._packno = 0
        self._last_command: Frame | None = None
        self._running: asyncio.Task[None] | None = None
        self._lost_acks = 0
        self._next_status: int | None = None
        self._booting_seconds: float | None = None

    # Life.

    async def start(self) -> None:
        """Plug in and begin to poll."""
        await super().start()
        self._running = asyncio.get_running_loop().create_task(self._converse(), name="simulated XY board")

    async def stop(self) -> None:
        """See `SimulatedBoard`."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait({running})
        await super().stop()

    # Faults.

    def lose_acks(self, count: int = 1) -> None:
        """The next commands are carried out, but their ACKs never arrive."""
        self._lost_acks += count

    def answer_next_vend(self, status: int) -> None:
        """The next vend drops nothing and ends with this code of 04."""
        self._next_status = status

    def reboot(self, boot_seconds: float = BOOT_SECONDS) -> None:
        """See `SimulatedBoard`: the board starts anew with a 31."""
        self._event("fault", "reboot")
        self._stop_motors()
        self._outbox.clear()
        self._last_command = None
        self._packno = 0
        self.synced = False
        self.poll_seconds = self._first_poll_seconds
        self._booting_seconds = boot_seconds
        self._wake.set()

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
        self._transmit(codec.encode(codec.POLL))
        answer = await self._answer()
        if answer is None:
            return
        self.answer_ms.append((time.perf_counter() - polled_at) * 1000)
        if answer.command != Command.ACK:
            self._obey(answer)

    async def _send_data(self, frame: Frame) -> None:
        for _ in range(MOST_WRITES):
            self._forget_late_answers()
            self._transmit(codec.encode(frame))
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

    # Commands.

    def _obey(self, frame: Frame) -> None:
        if self._lost_acks:
            self._lost_acks -= 1
            self._event("fault", f"ACK lost for {codec.encode(frame).hex(' ')}")
        else:
            self._transmit(codec.encode(codec.ACK))
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
                self._say(Command.MACHINE_STATUS, _machine_status_text(self.identity))
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
        for selection in self._slots:
            text = selection.to_bytes(2) + (350).to_bytes(4) + bytes((STOCK, STOCK)) + (100).to_bytes(2) + b"\x00"
            self._say(Command.SELECTION_REPORT, text)

    def _refusal(self, selection: int) -> int | None:
        if selection not in self._slots:
            return NO_SUCH_SELECTION
        return SOLD_OUT if selection in self._empty else None

    def _drive(self, *, drop_sensor: bool, selection: int) -> None:
        self._event("vend", str(selection))
        refusal = self._refusal(selection)
        if refusal is not None:
            self._say(Command.SELECTION_STATUS, bytes((refusal,)) + selection.to_bytes(2))
            return
        self._spawn(self._turn(selection, drop_sensor=drop_sensor), f"motor {selection}")

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


def _machine_status_text(identity: str) -> bytes:
    """52: notes, coins, card ready; temperature control on; 6 °C; door closed; no change; id; cabinets; humidity."""
    name = identity.encode("ascii").ljust(10)[:10]
    return b"\x00\x00\x00\x01\x06\x00" + bytes(8) + name + b"\x06" + b"\xaa" * 7 + b"\x32" + b"\xaa" * 7
