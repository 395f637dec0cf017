"""A machine with a keypad of its own, for random lives: its VMC, and the driver that the machine has then."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from soak_kit import DROP_SECONDS, IN_A_MACHINE, VEND_SECONDS, Driver, Machine, World

from hardware.dispenser import Cause, Choice, Outcome, VendResult
from kiosk.keypad import KeypadSales
from kiosk.simulation.ledger import Refusal

PATIENCE_SECONDS = 90.0  # of the VMC: longer than the machine says no itself


CODE_SECONDS = 10.0  # a customer who sees no code by then goes away


class Vmc:
    """The vending machine's side: lets one customer choose at a time. Outlives every process of the machine."""

    def __init__(self, world: KeypadWorld) -> None:
        self._world = world
        self._count = 0
        self.choice: Choice | None = None
        self.busy = False  # a motor turns
        self.scanned: dict[str, str] = {}  # a choice's serial → the order whose code was scanned for it

    def choose(self, address: int, price: Decimal) -> Choice | None:
        """Press a number; None if the machine takes no choice now."""
        world = self._world
        if self.choice is not None or self.busy or not world.board_is_up:
            return None
        self._count += 1
        self.choice = Choice(f"choice-{self._count}", address, price)
        self._tell()
        world.spawn(self._lose_patience(self.choice))
        return self.choice

    async def _lose_patience(self, choice: Choice) -> None:
        await asyncio.sleep(PATIENCE_SECONDS)
        self.cancel(choice)

    def cancel(self, choice: Choice | None) -> None:
        """The choice is over, for whatever reason; nothing happens if it was over before."""
        if choice is not None and self.choice is choice:
            self.choice = None
            self._tell()

    def answered(self) -> None:
        """A yes or a no: the driver knows of it."""
        self.choice = None

    def _tell(self) -> None:
        machine = self._world.machine
        if machine is not None and not machine.dead and isinstance(machine.driver, KeypadDriver):
            machine.driver.heard()


class KeypadDriver(Driver):
    """A Dispenser and Keypad in front of the world's VMC."""

    _world: KeypadWorld

    def __init__(self, world: KeypadWorld, machine: Machine) -> None:
        super().__init__(world, machine)
        self._bound: Choice | None = None
        self._choice_callbacks: list[Callable[[], None]] = []
        world.vmc.answered()  # a bridge that is set up anew ends every session

    @property
    def choice(self) -> Choice | None:
        return self._world.vmc.choice

    def on_choice(self, callback: Callable[[], None]) -> None:
        self._choice_callbacks.append(callback)

    def heard(self) -> None:
        """What the callbacks begin belongs to their machine, and dies with it."""
        for callback in self._choice_callbacks:
            context = contextvars.copy_context()
            context.run(IN_A_MACHINE.set, self._machine)
            context.run(callback)

    def decline(self, serial: str) -> None:
        if self.choice is not None and self.choice.serial == serial:
            self._world.vmc.answered()

    def prepare(self, address: int) -> str:
        self._world.evidence += 1
        self._bound = self.choice if self.choice is not None and self.choice.address == address else None
        return json.dumps({"vend": self._world.evidence, "address": address})

    async def vend(self, address: int) -> VendResult:
        world, bound = self._world, self._bound
        await world.crash_point(self._machine)
        if bound is None or self.choice is not bound:
            return VendResult(Outcome.NOT_DELIVERED, "it is not chosen any more", Cause.CHOICE_GONE)
        world.vmc.answered()
        fate = world.board_turns(address, world.vmc.scanned.get(bound.serial))
        world.vmc.busy = True
        world.spawn(self._turn())
        await world.crash_point(self._machine)
        if fate in {"dropped, unheard", "nothing, unheard"}:
            await asyncio.sleep(VEND_SECONDS)
            return VendResult(Outcome.UNKNOWN, "no word came")
        await asyncio.sleep(DROP_SECONDS + 0.5)
        match fate:
            case "jam":
                return VendResult(Outcome.NOT_DELIVERED, "VEND FAILURE", Cause.SLOT)
            case "empty" | "lift":  # nothing fell, and the machine began anew before it could say so
                return VendResult(Outcome.DELIVERED, "by the rule of MDB", presumed=True)
            case _:
                return VendResult(Outcome.DELIVERED, "VEND SUCCESS")

    async def _turn(self) -> None:
        await asyncio.sleep(DROP_SECONDS)
        self._world.vmc.busy = False


class KeypadWorld(World):
    """One life of a machine with a keypad of its own: no mini-program, no codes made ahead."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.settings = replace(self.settings, miniprogram=None)
        self.vmc = Vmc(self)

    def make_driver(self, machine: Machine) -> Driver:
        return KeypadDriver(self, machine)

    def switch_board(self, *, up: bool) -> None:
        super().switch_board(up=up)
        if not up:
            self.vmc.cancel(self.vmc.choice)

    async def choose(self, product: str, openid: str, pays_after_seconds: float | None) -> None:
        """Press a number, scan the code, pay after a while; perhaps cancel before or after."""
        slots = [slot for slot in self.settings.slots if slot.product_id == product]
        price_fen = next(found.price_fen for found in self.settings.products if found.id == product)
        choice = self.vmc.choose(self.dice.choice(slots).address, Decimal(price_fen) / 100)
        if choice is None:
            return
        if self.dice.random() < 0.4:
            self.spawn(self._later(self.dice.choice((0.3, 2.0, 3.0, 20.0)), lambda: self.vmc.cancel(choice)))
        waited = 0.0
        while (code := self._code(choice)) is None:
            await asyncio.sleep(0.5)
            waited += 0.5
            if waited > CODE_SECONDS:
                return
        with contextlib.suppress(Refusal):
            order = self.ledger.order_of_code(code)
            self.ledger.enter(order, openid)
            self.vmc.scanned[choice.serial] = order.out_trade_no
            self._pay_later(order.out_trade_no, openid, pays_after_seconds)

    def _code(self, choice: Choice) -> str | None:
        """The code that stands on the screen for this choice."""
        machine = self._up()
        offer = machine.codes.offer if machine is not None and isinstance(machine.codes, KeypadSales) else None
        return offer.code_url if offer is not None and offer.choice == choice else None
