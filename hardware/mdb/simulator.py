"""A simulated vending machine behind a simulated MDB bridge: the other side of `hardware.mdb.driver`.

It plays both: the bridge, which takes lines and gives lines, and the machine's VMC with keypad, patience and motors.
What a customer does at the machine is done by calling `choose` and `cancel`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from hardware.mdb import codec
from hardware.pseudo_terminal import Wire
from hardware.simulated_board import BOOT_SECONDS, BoardEvent, SimulatedBoard

PRICE = "3.50"  # what every item costs unless `choose` is told otherwise
# The settings of docs.qibixx.com, "API configuration", that a test may want, with what they may be.
SETTINGS = {
    "mdb-addr": "0x(10|60)",
    "mdb-currency-code": "0x1[0-9]{3}",
    "mdb-always-idle": "[01]",
    "mdb-timeout": "[0-9]{1,5}",
}
START_SECONDS = 0.02  # how long the VMC takes to find a cashless device and to enable it; real ones take seconds


class MdbMachine(SimulatedBoard):
    """One machine with its bridge; see `SimulatedBoard` for its life, its ledger and the faults that all boards have.

    `items`: the numbers on its keypad. `patience_seconds`: how long it waits for a yes or a no. `identity`: the
    number of the bridge's processor. `silent` is the bridge's: the machine goes on. `jam`: the item does not come
    out, the machine says VEND FAILURE. `empty`: the keypad refuses the item.

    Besides the common faults: `lets_pay` (False: the VMC disables cashless payment), `refuses` (names of settings
    that the bridge does not know), and, used up one by one, `forget_words` (the next vends end without VEND SUCCESS
    or FAILURE, the states go on) and `lose_cancels` (the customer cancels, the bridge does not tell).
    """

    def __init__(
        self,
        *,
        link: Path | None = None,
        ledger: Path | None = None,
        items: Iterable[int] = range(1, 61),
        motor_seconds: float = 1.5,
        patience_seconds: float = 60.0,
        wire: Wire | None = None,
        seed: int = 0,
        identity: str = "5A17C0DE",
        on_event: Callable[[BoardEvent], None] | None = None,
    ) -> None:
        super().__init__(
            link=link,
            ledger=ledger,
            slots=items,
            motor_seconds=motor_seconds,
            wire=wire,
            seed=seed,
            identity=identity,
            on_event=on_event,
        )
        self.patience_seconds = patience_seconds
        self.settings: dict[str, str] = {}
        self.refuses: set[str] = set()
        self._lines = codec.Lines()
        self._on = False
        self._lets_pay = True
        self._state = codec.State.OFFLINE
        self._asked: tuple[int, str] | None = None  # item and amount of the choice that waits for an answer
        self._vending = False
        self._forgotten_words = 0
        self._lost_cancels = 0
        self._timers: list[asyncio.TimerHandle] = []
        self._patience: asyncio.TimerHandle | None = None
        self.own_words = {
            "choose": self._choose_typed,
            "cancel": lambda _: self.cancel(),
            "reset": lambda _: self.reset_machine(),
        }

    # The customer, and the machine's own ways.

    @property
    def waits(self) -> bool:
        """Whether a choice waits for its answer."""
        return self._asked is not None

    @property
    def can_choose(self) -> bool:
        """Whether the keypad takes a choice now that is to be paid without cash."""
        ready = self._state is codec.State.ENABLED and self.settings.get("mdb-always-idle") == "1"
        return ready and not self._vending and self._asked is None

    def choose(self, item: int, price: str = PRICE) -> bool:
        """Press an item's number; False if the machine does not take it."""
        if not self.can_choose or item in self._empty:
            return False
        self._event("choice", f"{item} for {price}")
        self._asked = (item, price)
        self._patience = asyncio.get_running_loop().call_later(self.patience_seconds, self.cancel)
        self._say(f"c,STATUS,VEND,{price},{item}")
        return True

    def _choose_typed(self, words: str) -> None:
        item, _, price = words.partition(" ")
        self.choose(int(item), price or PRICE)

    def cancel(self) -> None:
        """Press the return key, or lose patience: the choice is over."""
        if self._asked is None:
            return
        self._event("cancel", str(self._asked[0]))
        self._forget_choice()
        if self._lost_cancels:
            self._lost_cancels -= 1
            return
        self._say("c,STATUS,IDLE", "c,STATUS,ENABLED")

    @property
    def lets_pay(self) -> bool:
        """Whether the VMC enables its cashless device."""
        return self._lets_pay

    @lets_pay.setter
    def lets_pay(self, lets_pay: bool) -> None:
        self._lets_pay = lets_pay
        if self._on and self._state is not codec.State.INACTIVE:
            self._forget_choice()
            self._enter(codec.State.ENABLED if lets_pay else codec.State.DISABLED)

    def forget_words(self, count: int = 1) -> None:
        """The next vends end without a word about them."""
        self._forgotten_words += count

    def lose_cancels(self, count: int = 1) -> None:
        """The next cancellations are not told."""
        self._lost_cancels += count

    def tell(self, *lines: str) -> None:
        """Let the bridge say these lines, whatever has happened."""
        self._say(*lines)

    def reset_machine(self) -> None:
        """The VMC begins anew, its motors stop where they are; the bridge goes on."""
        self._event("fault", "reset of the machine")
        self._stop_machine()
        if self._on:
            self._enter(codec.State.INACTIVE)
            self._later(START_SECONDS, self._find_device)

    def reboot(self, boot_seconds: float = BOOT_SECONDS) -> None:
        """Machine and bridge lose their power for a moment: the bridge forgets its settings and shows its version."""
        self._event("fault", "reboot")
        self._stop_machine()
        self._on = False
        self._state = codec.State.OFFLINE
        self.settings = {}
        self._lines.reset()
        self._later(boot_seconds, lambda: self._say(f"v,4.0.2.0,{self.identity}"))

    async def stop(self) -> None:
        """See `SimulatedBoard`."""
        self._stop_machine()
        await super().stop()

    def _stop_machine(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        self._stop_motors()
        self._vending = False
        self._forget_choice()

    def _forget_choice(self) -> None:
        self._asked = None
        if self._patience is not None:
            self._patience.cancel()

    def _event(self, kind: str, detail: str) -> None:
        """Lines of text are told as they are, not in hex."""
        super()._event(kind, bytes.fromhex(detail).decode().rstrip() if kind == "out" else detail)

    # The bridge.

    def _bytes_came(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if self.silent:
                continue
            if self._lost_commands:
                self._lost_commands -= 1
                self._event("fault", f"command lost: {line}")
                continue
            self._event("in", line)
            self._obey(line)

    def _say(self, *lines: str) -> None:
        for line in lines:
            if not self.silent:
                self._transmit(f"{line}\n".encode())

    def _obey(self, line: str) -> None:
        match line.split(","):
            case ["V"]:
                self._say(f"v,4.0.2.0,{self.identity}")
            case ["H"]:
                self._say("h,2.0,simulated")
            case ["C", "0"]:
                self._on = False
                self._state = codec.State.OFFLINE
                self._forget_choice()
                self._say("c,STATUS,OFFLINE", "c,0")
            case ["C", "1"]:
                self._on = True
                self._state = codec.State.INACTIVE
                self._say("c,STATUS,INACTIVE", "c,1")
                self._later(START_SECONDS, self._find_device)
            case ["C", "SETCONF", setting]:
                self._set(*setting.split("=", 1))
            case _ if not self._on:
                self._say(f'c,ERR,"{codec.CASHLESS_IS_OFF}"')
            case ["C", "STOP"] | ["C", "VEND", "-1"]:
                self._deny()
            case ["C", "VEND", amount]:
                self._approve(amount)
            case _:
                self._say('c,ERR,"unknown command"')

    def _set(self, name: str, value: str = "") -> None:
        if self._on:
            self._say('c,ERR,"cashless is on"')
        elif name in self.refuses or not re.fullmatch(SETTINGS.get(name, "$^"), value):
            self._say('c,ERR,"unknown parameter"')
        else:
            self.settings[name] = value
            self._say("c,SET,OK")

    def _find_device(self) -> None:
        if self._on and self._state is codec.State.INACTIVE:
            self._enter(codec.State.DISABLED)
            if self._lets_pay:
                self._enter(codec.State.ENABLED)

    def _enter(self, state: codec.State) -> None:
        self._state = state
        self._say(f"c,STATUS,{state.value}")

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, act))

    def _deny(self) -> None:
        if self._asked is None:
            self._say('c,ERR,"no vend"')
            return
        self._event("denied", str(self._asked[0]))
        self._forget_choice()
        self._say("c,STATUS,IDLE", "c,STATUS,ENABLED")

    def _approve(self, amount: str) -> None:
        if self._asked is None or self._asked[1] != amount:
            self._say('c,ERR,"no vend of that amount"')
            return
        item, _ = self._asked
        self._event("vend", str(item))
        self._forget_choice()
        self._vending = True
        self._spawn(self._turn(item), f"motor {item}")

    # The motors.

    async def _turn(self, item: int) -> None:
        """One turn: drops at most one item, booked before it is told."""
        reboot_after_drop, self._reboot_after_drop = self._reboot_after_drop, None
        await asyncio.sleep(self.motor_seconds)
        if reboot_after_drop is False:
            self._later(0.0, self.reboot)
            return
        jammed = item in self._jammed
        if not jammed:
            await self._drop(item)
        if reboot_after_drop:
            self._later(0.0, self.reboot)
            return
        if self._delays:
            await asyncio.sleep(self._delays.popleft())
        self._vending = False
        if self._lost_results:
            self._lost_results -= 1
            self._event("fault", f"result lost for item {item}")
            return
        if self._forgotten_words:
            self._forgotten_words -= 1
            self._event("fault", f"no word about item {item}")
        else:
            self._say("c,ERR,VEND 3" if jammed else "c,VEND,SUCCESS")
        if self._on:
            self._say("c,STATUS,IDLE", "c,STATUS,ENABLED")
