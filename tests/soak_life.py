"""What can happen to a machine in a random life: the steps that hypothesis puts into an order."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from soak_keypad import KeypadWorld
from soak_kit import World

KEYPAD_EVERY = 4  # one life in so many is that of a machine whose customers choose at its own keypad

PRODUCTS = st.sampled_from(["cola", "tea"])
CUSTOMERS = st.sampled_from(["o-ann", "o-bob", "o-cleo"])
PAUSES = st.sampled_from([0.5, 3.0, 20.0, 0.5, 3.0, 20.0, 120.0, 290.0, 320.0, 7000.0, None])  # None: walks away
WAYS = st.sampled_from(["code", "code", "sticker", "miniprogram"])
SPELLS = st.sampled_from([1.0, 20.0, 100.0, 400.0, 4000.0])  # how long something is amiss


class Life(RuleBasedStateMachine):
    """One machine, its customers, its technician, and everything that goes wrong around it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.world: World | None = None

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        kind = KeypadWorld if seed % KEYPAD_EVERY == 0 else World
        self.world = kind(Path(self.folder.name), seed)
        self.world.run(self.world.boot())

    @property
    def here(self) -> World:
        assert self.world is not None
        return self.world

    @rule(way=WAYS, product=PRODUCTS, openid=CUSTOMERS, pause=PAUSES, then=st.sampled_from([0.0, 1.0, 3.0, 60.0]))
    def somebody_buys(self, way: str, product: str, openid: str, pause: float | None, then: float) -> None:
        if isinstance(self.here, KeypadWorld):
            buy = self.here.choose
        else:
            buy = {
                "code": self.here.scan_screen,
                "sticker": self.here.scan_sticker,
                "miniprogram": self.here.order_in_miniprogram,
            }[way]
        self.here.run(buy(product, openid, pause))
        self.here.run(asyncio.sleep(then))

    @rule(way=WAYS, product=PRODUCTS, openid=CUSTOMERS)
    def the_power_fails_in_a_sale(self, way: str, product: str, openid: str) -> None:
        self.here.run(self.here.technician())
        self.here.crash_in = self.here.dice.randrange(30)  # evenly: hypothesis prefers small numbers
        self.somebody_buys(way, product, openid, 0.5, 3.0)
        self.here.run(asyncio.sleep(60))
        self.here.run(self.here.boot())

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 30.0, 200.0, 1000.0, 20000.0]))
    def time_passes(self, seconds: float) -> None:
        self.here.run(asyncio.sleep(seconds))

    @rule(points=st.integers(0, 12), seconds=st.sampled_from([0.0, 2.0, 90.0, 900.0]))
    def the_power_fails(self, points: int, seconds: float) -> None:
        self.here.crash_in = points
        self.here.run(asyncio.sleep(seconds))
        self.here.run(self.here.boot())

    @rule()
    def a_restart(self) -> None:
        self.here.run(self.here.shut_down())
        self.here.run(self.here.boot())

    @rule(seconds=SPELLS)
    def the_board_goes_away(self, seconds: float) -> None:
        self.here.run(self.here.board_away(seconds))

    @rule(seconds=SPELLS)
    def the_line_goes_down(self, seconds: float) -> None:
        self.here.run(self.here.line_away(seconds))

    @rule(offset=st.sampled_from([-3600, -30, 30, 3600]), seconds=SPELLS)
    def the_clock_is_wrong(self, offset: int, seconds: float) -> None:
        self.here.run(self.here.clock_wrong(offset, seconds))

    @rule()
    def a_technician_comes(self) -> None:
        self.here.run(self.here.technician())

    @invariant()
    def the_promises_hold(self) -> None:
        if self.world is not None:
            self.world.check()

    def teardown(self) -> None:
        try:
            if self.world is not None:
                try:
                    self.world.run(self.world.end())
                finally:
                    self.world.close()
        finally:
            self.folder.cleanup()
