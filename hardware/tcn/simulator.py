"""A simulated TCN board: the other side of `hardware.tcn.driver`, with faults on demand.

It does one thing at a time, as its processor does: what is asked while a motor turns is answered afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from hardware.answering_board import AnsweringBoard
from hardware.pseudo_terminal import Wire
from hardware.simulated_board import BoardEvent
from hardware.tcn import codec
from hardware.tcn.codec import Answer

TIMED_OUT = 0x50
NO_MOTOR = 0x40
UNKNOWN_QUESTION = Answer(done=False, error=0, value=0)


class TcnBoard(AnsweringBoard):
    """One simulated TCN board. Besides the common faults: `answer_next_vend` with any answer, dropping nothing."""

    def __init__(
        self,
        *,
        link: Path | None = None,
        ledger: Path | None = None,
        lanes: Iterable[int] = range(1, 61),
        motor_seconds: float = 1.5,
        wire: Wire | None = None,
        echo: bool = False,
        seed: int = 0,
        on_event: Callable[[BoardEvent], None] | None = None,
    ) -> None:
        super().__init__(
            link=link,
            ledger=ledger,
            slots=lanes,
            motor_seconds=motor_seconds,
            wire=wire,
            seed=seed,
            identity="",
            echo=echo,
            on_event=on_event,
        )
        self.door_open = False
        self.temperature = 6  # °C
        self._waiting: list[bytes] = []  # questions that came while a motor turns
        self._next_answer: Answer | None = None

    def answer_next_vend(self, answer: Answer) -> None:
        """The next vend drops nothing and ends with this answer."""
        self._next_answer = answer

    def _find_question(self, data: bytes) -> tuple[int, int] | None:
        for start in range(len(data) - 5):
            if codec.read_question(data[start : start + 6]) is not None:
                return start, start + 6
        return None

    def _slot_of(self, question: bytes) -> int | None:
        lane, argument = codec.read_question(question) or (0, 0)
        is_order = codec.LOWEST_LANE <= lane <= codec.HIGHEST_LANE and argument in {codec.YES, codec.NO}
        return lane if is_order else None

    def _forget(self) -> None:
        self._waiting.clear()

    def _take(self, question: bytes) -> None:
        if self._motors:
            self._waiting.append(question)
            return
        lane = self._slot_of(question)
        code, argument = codec.read_question(question) or (0, 0)
        if lane is not None:
            self._spawn(self._turn(lane, drop_sensor=argument == codec.YES), f"motor {lane}")
        elif code == codec.READ_TEMPERATURE:
            self._say(codec.encode_answer(Answer(done=True, error=0, value=self.temperature & 0xFF)))
        elif code == codec.READ_DOOR:
            self._say(codec.encode_answer(Answer(done=True, error=0, value=int(self.door_open))))
        else:
            self._say(codec.encode_answer(UNKNOWN_QUESTION))

    async def _turn(self, lane: int, *, drop_sensor: bool) -> None:
        answer, self._next_answer = self._next_answer, None
        if answer is None and lane not in self._slots:
            answer = Answer(done=False, error=NO_MOTOR, value=0)
        if answer is None:
            fell = await self._turn_motor(lane)
            seen = fell and drop_sensor and not self.blind_drop_sensor
            jammed = lane in self._jammed
            answer = Answer(done=not jammed, error=TIMED_OUT if jammed else 0, value=codec.YES if seen else 0)
        else:
            await asyncio.sleep(self.motor_seconds)
        if self._delays:
            await asyncio.sleep(self._delays.popleft())
        self._say_result(codec.encode_answer(answer))
        asyncio.get_running_loop().call_soon(self._take_waiting)

    def _take_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for question in waiting:
            self._take(question)
