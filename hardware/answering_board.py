"""A simulated board that speaks only when it is asked: the common part of the Modbus and TCN simulators."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from hardware.pseudo_terminal import Wire
from hardware.simulated_board import BOOT_SECONDS, BoardEvent, SimulatedBoard

MOST_BYTES = 256  # of an unfinished question; the longest one has 16


class AnsweringBoard(SimulatedBoard):
    """A `SimulatedBoard` that answers questions. `echo`: the adapter returns the host's own bytes, as RS-485 may."""

    def __init__(
        self,
        *,
        link: Path | None,
        ledger: Path | None,
        slots: Iterable[int],
        motor_seconds: float,
        wire: Wire | None,
        seed: int,
        identity: str,
        echo: bool,
        on_event: Callable[[BoardEvent], None] | None,
    ) -> None:
        super().__init__(
            link=link,
            ledger=ledger,
            slots=slots,
            motor_seconds=motor_seconds,
            wire=wire,
            seed=seed,
            identity=identity,
            on_event=on_event,
        )
        self._echo = echo
        self._buffer = bytearray()
        self._booting: asyncio.TimerHandle | None = None

    async def stop(self) -> None:
        """See `SimulatedBoard`."""
        if self._booting is not None:
            self._booting.cancel()
        await super().stop()

    def reboot(self, boot_seconds: float = BOOT_SECONDS) -> None:
        """See `SimulatedBoard`: the board hears nothing while it boots."""
        self._event("fault", "reboot")
        self._stop_motors()
        self._forget()
        self._booting = asyncio.get_running_loop().call_later(boot_seconds, self._booted)

    def _booted(self) -> None:
        self._booting = None

    # For the protocols.

    @abc.abstractmethod
    def _find_question(self, data: bytes) -> tuple[int, int] | None:
        """Where the first whole question to this board stands."""

    @abc.abstractmethod
    def _slot_of(self, question: bytes) -> int | None:
        """The slot that a question orders to turn; None if it orders nothing."""

    @abc.abstractmethod
    def _take(self, question: bytes) -> None:
        """Answer a question, at once or later, by `_transmit`."""

    @abc.abstractmethod
    def _forget(self) -> None:
        """What a reboot does to the memory."""

    def _bytes_came(self, data: bytes) -> None:
        if self._echo:
            self._terminal.write(data)
        self._buffer += data
        del self._buffer[:-MOST_BYTES]
        while (found := self._find_question(bytes(self._buffer))) is not None:
            start, end = found
            question = bytes(self._buffer[start:end])
            del self._buffer[:end]
            self._question_came(question)

    def _question_came(self, question: bytes) -> None:
        if self.silent or self._booting is not None:
            return
        slot = self._slot_of(question)
        if slot is not None and self._lost_commands:
            self._lost_commands -= 1
            self._event("fault", f"command lost: {question.hex(' ')}")
            return
        self._event("in", question.hex(" "))
        if slot is not None:
            self._event("vend", str(slot))
        self._take(question)

    def _say(self, answer: bytes) -> None:
        """Answer, unless the board has fallen silent meanwhile."""
        if not self.silent and self._booting is None:
            self._transmit(answer)

    def _say_result(self, answer: bytes) -> None:
        """Tell the end of a vend: in time, late or never."""
        if self._lost_results:
            self._lost_results -= 1
            self._event("fault", f"result lost: {answer.hex(' ')}")
        elif self._delays:
            asyncio.get_running_loop().call_later(self._delays.popleft(), self._say, answer)
        else:
            self._say(answer)
