"""A machine whose customers choose at its own keypad, between a simulated WeChat Pay and a simulated VMC."""

from __future__ import annotations

from typing import Any

from scenario_kit import Bench

from display.scene import LargeCode
from hardware.mdb.simulator import MdbMachine
from hardware.simulated_board import read_ledger
from kiosk.keypad import KeypadSales
from kiosk.settings import DispenserDriver, MdbSettings
from kiosk.simulation.wechat import Cashier, Payment

CUSTOMER = "o-customer"


def at_keypad(**mdb: Any) -> dict[str, Any]:
    """What makes a bench's machine one with a keypad; `mdb` overrides values of [mdb]."""
    return {"make_board": MdbMachine, "dispenser": {"driver": DispenserDriver.MDB, "mdb": MdbSettings(**mdb)}}


class Keypad:
    """What people do at the machine, and what they see."""

    def __init__(self, here: Bench) -> None:
        self.here = here
        assert isinstance(here.board, MdbMachine)
        self.vmc = here.board

    @property
    def sales(self) -> KeypadSales:
        """That of the machine that runs now."""
        assert self.here.machine.keypad is not None
        return self.here.machine.keypad

    def large(self) -> LargeCode | None:
        """What was chosen, as the screen shows it."""
        return self.here.scene().large

    async def choose(self, item: int, price: str = "3.50") -> None:
        """Press a number as soon as the machine takes one."""
        ready = lambda: not self.here.machine.readiness.blocked and self.vmc.choose(item, price)  # noqa: E731 - short
        await self.here.until(ready, f"the machine takes {item}")

    async def code(self, *, other_than: str | None = None) -> str:
        """The large code, once it is on the screen."""

        def shown() -> str | None:
            large = self.large()
            return None if large is None or large.tile.code == other_than else large.tile.code

        await self.here.until(shown, "a code for what was chosen is on the screen")
        code = shown()
        assert code is not None
        return code

    async def order(self, item: int, price: str = "3.50", openid: str = CUSTOMER) -> str:
        """Choose and scan; the number of the order that can be paid."""
        before = self.sales.offer
        await self.choose(item, price)
        await self.here.until(lambda: self.sales.offer not in (None, before), "the choice is known")
        cashier = await self.here.wechat.scan(await self.code(), openid)
        assert isinstance(cashier, Cashier), cashier
        return cashier.out_trade_no

    async def ordered(self) -> str:
        """The number of the one order that WeChat has, its code scanned, whether or not it is on the screen."""
        orders = self.here.wechat.ledger.orders
        await self.here.until(lambda: orders, "WeChat has the order")
        (number,) = orders
        assert isinstance(await self.here.wechat.scan(orders[number].code_url, CUSTOMER), Cashier)
        return number

    async def pay(self, number: str, openid: str = CUSTOMER) -> None:
        paid = await self.here.wechat.pay(number, openid)
        assert isinstance(paid, Payment), paid

    async def buy(self, item: int, price: str = "3.50") -> str:
        """Choose, scan, pay."""
        number = await self.order(item, price)
        await self.pay(number)
        return number

    def dropped(self) -> list[int]:
        """What has left the machine, by its own books."""
        return [drop.selection for drop in read_ledger(self.here.folder / "drops.jsonl")]

    def approvals(self) -> int:
        """How often the machine was told yes."""
        return sum(event.kind == "in" and event.detail.startswith("C,VEND") for event in self.vmc.events)

    def problems(self) -> set[str]:
        return {problem.code for problem in self.here.machine.readiness.problems}
