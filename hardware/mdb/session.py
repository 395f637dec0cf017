"""The talk with an MDB bridge: set it up after every start, know whether it lives, hand on what the machine says.

A bridge speaks only when something happens and forgets its settings with its power. So it is set up whenever its line
comes up or it has started anew (it then shows its version unasked), and is asked for its version now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hardware.dispenser import Fact
from hardware.mdb import codec
from hardware.mdb.codec import Hardware, Message, Refuses, SettingTaken, Stands, State, Switched, Version
from hardware.serial_link import LinkTiming, SerialLink

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MdbTiming:
    """The waits of a bridge's session and of its vends."""

    answer_seconds: float = 2.0  # a bridge answers in milliseconds; this is for a busy computer
    retry_seconds: float = 3.0  # between two attempts to set up a bridge that does not answer
    heartbeat_seconds: float = 5.0  # a dead bridge is found out in about 10 s
    # A bridge tells each state once. Who has heard for so long that nobody can choose may have missed the last one.
    stale_seconds: float = 60.0
    # Before the bridge is told anything: words about a vend that an earlier process approved are heard first.
    listen_seconds: float = 2.0
    recall_seconds: float = 20.0  # the longest turn of usual machines: the last word about a vend has come by then
    # After "c,STATUS,ENABLED" without a word about the vend: such a word may come glued, late, or in another order.
    verdict_seconds: float = 1.0
    # No motor gives goods sooner than this after the approval: a state that does come was sent before it arrived.
    shortest_vend_seconds: float = 0.5


SET_UP_TRIES = 3  # a line may be damaged
ALWAYS_IDLE = ("mdb-always-idle", "1")  # the customer chooses first and pays then: without it nothing can be sold
ON_STATES = tuple(state for state in State if state is not State.OFFLINE)
MISSES = 2  # heartbeats without an answer until the bridge counts as silent: one may be lost

_REASONS = {
    State.OFFLINE: "the bridge has switched the cashless device off",
    State.INACTIVE: "the vending machine does not speak to the bridge: is its MDB cable in, is the machine on?",
    State.DISABLED: "the vending machine has disabled cashless payment: is its door open, is it in its service menu?",
}


class Session:
    """One bridge on one port.

    `on_message(message)`: what the bridge said, answers to the session's own questions left out. `on_reset(reason)`:
    line, bridge or machine have begun anew, nothing that was asked for before is asked for any more. `on_change()`:
    `reason` has changed. `busy()`: whether a vend is under way, during which the bridge is asked nothing.
    """

    def __init__(
        self,
        *,
        port: str,
        baudrate: int,
        settings: Sequence[tuple[str, str]],
        timing: MdbTiming,
        link_timing: LinkTiming | None,
        on_message: Callable[[Message], None],
        on_reset: Callable[[str], None],
        on_change: Callable[[], None],
        busy: Callable[[], bool],
    ) -> None:
        self._port = port
        self._settings = settings
        self._timing = timing
        self._on_message = on_message
        self._on_reset = on_reset
        self._on_change = on_change
        self._busy = busy
        self._link = SerialLink(
            port=port,
            baudrate=baudrate,
            on_bytes=self._bytes_came,
            on_up=self._up,
            on_down=self._down,
            timing=link_timing,
        )
        self._lines = codec.Lines()
        self._task: asyncio.Task[None] | None = None
        self._trouble = f"the serial port {port} has not been opened yet"
        self._state: State | None = None
        self._again = asyncio.Event()  # the bridge is to be set up
        self._awaited: tuple[tuple[type[Message], ...], asyncio.Future[Message]] | None = None
        self._versions_due = 0
        self._may_set_up = asyncio.Event()
        self._may_set_up.set()
        self._refused: list[str] = []
        self._version: Version | None = None
        self._identity = ""  # the processor's number of the first bridge that answered: this one is driven
        self._last_in = self._last_out = b""
        self._hardware = ""
        self._last_restart = ""
        self._lines_in = 0
        self._noise_bytes = 0  # of lines that could not be understood
        self.untouched = True  # this process has told the bridge nothing yet that ends a session

    @property
    def reason(self) -> str:
        """Why no customer can choose now; empty when one can."""
        if self._trouble:
            return self._trouble
        if self._state is None:
            return "the bridge has not told yet what the vending machine does"
        reason = _REASONS.get(self._state, "")
        if reason and self._refused:
            reason += f" The bridge refused the setting {', '.join(self._refused)}"
        return reason

    @property
    def alive(self) -> bool:
        """False once nobody looks after the port any more: a mistake of this program."""
        return self._link.is_kept and (self._task is None or not self._task.done())

    @property
    def bridge_id(self) -> str:
        """The number of the processor of the bridge that is there now; empty while it is not known."""
        return "" if self._version is None else self._version.cpu_id

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What is known of bridge, machine and line."""
        return (
            Fact("port", self._port),
            Fact("identity", self.bridge_id),
            Fact("bridge_firmware", "" if self._version is None else self._version.firmware),
            Fact("bridge_hardware", self._hardware),
            Fact("cashless_state", "" if self._state is None else self._state.value),
            Fact("settings_refused", ", ".join(self._refused)),
            Fact("last_restart", self._last_restart),
            Fact("lines_in", self._lines_in),
            Fact("noise_bytes", self._noise_bytes),
            Fact("reconnects", self._link.losses),
            Fact("last_frame_in", self._last_in.hex(" ")),
            Fact("last_frame_out", self._last_out.hex(" ")),
        )

    def start(self) -> None:
        """Begin to look for the port."""
        self._link.start()

    async def stop(self, *, switch_off: bool) -> None:
        """Close the port. `switch_off`: let the machine go on without a cashless device, which nobody serves now."""
        if switch_off:
            self.write(codec.OFF)
        await self._link.stop()
        await self._end_task()
        self._trouble = "the driver has been stopped"

    def write(self, line: bytes) -> bool:
        """Send a line; False if it did not go out whole: see `SerialLink.write`."""
        logger.debug("to the bridge: %r", line)
        self._last_out = line
        return self._link.write(line)

    @contextlib.contextmanager
    def only_listening(self) -> Iterator[None]:
        """Tell the bridge nothing meanwhile, if it was told nothing yet."""
        self._may_set_up.clear()
        try:
            yield
        finally:
            self._may_set_up.set()

    # The line.

    def _up(self) -> None:
        self._lines.reset()
        self._versions_due = 0
        self._trouble = f"the MDB bridge at {self._port} is being set up"
        self._state = None
        self._task = asyncio.get_running_loop().create_task(self._converse(), name=f"MDB bridge {self._port}")
        self._on_change()

    def _down(self, reason: str) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._state = None
        self._trouble = reason
        self._on_reset(reason)
        self._on_change()

    async def _end_task(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def _bytes_came(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            self._lines_in += 1
            self._last_in = line.encode("ascii", "replace")
            messages = codec.read(line)
            if not messages:
                self._noise_bytes += len(line)
                logger.info("not understood from the bridge: %r", line)
            for message in messages:
                logger.debug("from the bridge: %s", message)
                self._take(message)

    def _take(self, message: Message) -> None:
        awaited = self._awaited
        if awaited is not None and isinstance(message, awaited[0]) and not awaited[1].done():
            awaited[1].set_result(message)
        match message:
            case Version():
                self._take_version(message)
            case Hardware(text):
                self._hardware = text
            case Stands(state):
                self._state = state
                self._on_message(message)
                if state is State.OFFLINE and not self._trouble:
                    self._begin_again("the bridge has switched the cashless device off")
                self._on_change()
            case SettingTaken() | Switched():
                pass
            case Refuses() if awaited is not None and Refuses in awaited[0]:
                pass  # `_set_up` tells of it
            case _:
                self._on_message(message)

    def _take_version(self, version: Version) -> None:
        if version == self._version:  # once alone may be a damaged line
            self._identity = self._identity or version.cpu_id
        self._version = version
        if self._versions_due:
            self._versions_due -= 1
        elif not self._trouble or self._busy():
            self._last_restart = datetime.now(UTC).isoformat(timespec="seconds")
            self._begin_again("the bridge has started anew")

    def _begin_again(self, reason: str) -> None:
        logger.warning("%s", reason)
        self._trouble = reason
        self._state = None
        self._on_reset(reason)
        self._again.set()
        self._on_change()

    # The talk.

    async def _converse(self) -> None:
        """From the moment that the line is up until it is lost."""
        if self.untouched:
            await self._version_told()
            await asyncio.sleep(self._timing.listen_seconds)
            await self._may_set_up.wait()
        while True:
            self._again.clear()
            self._trouble = await self._set_up()
            self._on_change()
            if self._trouble:
                await asyncio.sleep(self._timing.retry_seconds)
                continue
            await self._keep_asking()

    async def _keep_asking(self) -> None:
        """Return when the bridge is to be set up again: it has started anew, or has fallen silent."""
        loop = asyncio.get_running_loop()
        missed, good_at = 0, loop.time()
        while missed < MISSES:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.heartbeat_seconds):
                    await self._again.wait()
                    return
            if self._busy() or not self.reason:
                good_at = loop.time()
            elif loop.time() - good_at > self._timing.stale_seconds:
                return
            if not self._busy():
                missed = 0 if await self._version_told() else missed + 1
        self._begin_again(self._silence())

    async def _set_up(self) -> str:
        """Say everything that the bridge has to know; return what is wrong, "" if nothing."""
        self._versions_due = 0
        if not await self._version_told():
            return self._silence()
        if self.bridge_id != (self._identity or self.bridge_id):
            return (
                f"another board answers on {self._port}: the bridge {self.bridge_id}, not {self._identity} "
                "as before; put the cables right, or restart the machine if the bridge was exchanged"
            )
        await self._ask(codec.HARDWARE, Hardware)
        self.untouched = False
        # No document says what a bridge answers that is off already: that it takes the settings is what counts.
        await self._insist(codec.OFF, Switched(on=False), Stands(State.OFFLINE), Refuses(codec.CASHLESS_IS_OFF))
        self._refused = []
        for name, value in self._settings:
            if not await self._insist(codec.setting(name, value), SettingTaken()):
                self._refused.append(f"{name}={value}")
        if self._refused:
            logger.warning("the bridge refused the setting %s", ", ".join(self._refused))
        if "=".join(ALWAYS_IDLE) in self._refused:
            return f"the MDB bridge at {self._port} does not let customers choose first ({'='.join(ALWAYS_IDLE)})"
        if not await self._insist(codec.ON, Switched(on=True), *map(Stands, ON_STATES)):
            return f"the MDB bridge at {self._port} does not switch the cashless device on"
        return ""

    async def _insist(self, line: bytes, *wanted: Message) -> bool:
        """Say it until the bridge answers as wanted, which is harmless for whatever sets it up."""
        kinds = {type(message) for message in wanted} | {Refuses}
        for _ in range(SET_UP_TRIES):
            if await self._ask(line, *kinds) in wanted:
                return True
        return False

    async def _version_told(self) -> bool:
        self._versions_due += 1
        return await self._ask(codec.VERSION, Version) is not None

    def _silence(self) -> str:
        if self._noise_bytes:
            return (
                f"what comes from {self._port} is no MDB bridge's language: "
                "is another kind of board connected, or does it use another baud rate?"
            )
        return f"the MDB bridge at {self._port} does not answer: has it power, is it the right port?"

    async def _ask(self, line: bytes, *kinds: type[Message]) -> Message | None:
        """Send a line and wait for an answer of these kinds; None if none came in its time."""
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._awaited = (kinds, answer)
        try:
            if not self.write(line):
                return None
            await asyncio.wait({answer}, timeout=self._timing.answer_seconds)
            return answer.result() if answer.done() else None
        finally:
            self._awaited = None
