"""A whole machine between a simulated WeChat Pay and a simulated board, all on real sockets and a real pty."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from core_values import make_settings

from display.scene import Scene, TileState
from hardware.simulated_board import SimulatedBoard
from hardware.xy.simulator import XyBoard
from kiosk.journal import JOURNAL_FILE
from kiosk.machine import Machine
from kiosk.orders import Order, OrderState
from kiosk.settings import DispenserDriver, DisplaySettings, ListenAddress, MiniProgramSettings, NativeMode, Settings
from kiosk.simulation.scratch import free_ports
from kiosk.simulation.wechat import Cashier, Payment, WeChatSimulator, merchant_of

MOTOR_SECONDS = 0.05
API_TOKEN = "token-of-the-tests"
LIMIT_SECONDS = 60.0  # no wait of a scenario takes longer, also on a busy machine whose calls to WeChat time out

# Board, WeChat and machine share one loop here, which a busy computer holds up for longer than the 100 ms that a
# board grants its host; that limit has tests of its own among those of the boards.
ANSWER_WINDOW_SECONDS = 1.0


class StepClock:
    """The system's clock, moved by whatever a test says."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset


class Bench:
    """The three books side by side: WeChat's, the board's, the machine's."""

    def __init__(
        self, folder: Path, settings: Settings, wechat: WeChatSimulator, wechat_clock: StepClock, board: Any
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.wechat = wechat
        self.wechat_clock = wechat_clock
        self.board = board
        self.clock = StepClock()
        self.machine = Machine(settings, self.clock)

    @property
    def journal_file(self) -> Path:
        return self.folder / JOURNAL_FILE

    async def start(self) -> None:
        """Start the machine and wait until it sells."""
        await self.machine.start()
        await self.until(lambda: not self.machine.readiness.blocked, "the machine is ready to sell")

    async def stop(self) -> None:
        """Stop whichever machine it is by now."""
        await self.machine.stop()

    async def restart(self) -> None:
        """Stop the machine in order and start a new one on the same journal."""
        await self.stop()
        await self.start_again()

    async def start_again(self) -> None:
        """Start a new machine on the journal of one that has stopped."""
        self.machine = Machine(self.settings, self.clock)
        await self.start()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until `condition` holds."""

        async def look() -> bool:
            return bool(condition())

        await self.until_async(look, what)

    async def until_async(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait until `condition` holds; looks again every few milliseconds, as there is no event for all of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LIMIT_SECONDS):
                while not await condition():  # noqa: ASYNC110 - see above
                    await asyncio.sleep(0.005)
                return
        raise AssertionError(f"waited {LIMIT_SECONDS} s in vain until {what}")

    def scene(self) -> Scene:
        """What the customer sees now."""
        return self.machine.storefront.scene()

    def tile_state(self, product: str) -> TileState:
        return next(tile.state for tile in self.scene().tiles if tile.product_id == product)

    def shown(self, product: str) -> str | None:
        """The code of a product on the screen; None while there is none."""
        return next((tile.code for tile in self.scene().tiles if tile.product_id == product), None)

    async def code(self, product: str, *, other_than: str | None = None) -> str:
        """The code of a product, once it is on the screen."""
        await self.until(lambda: self.shown(product) not in (None, other_than), f"a code for {product} is shown")
        code = self.shown(product)
        assert code is not None
        return code

    async def scan(self, product: str, openid: str = "o-customer") -> Cashier:
        """Scan a product's code with a phone; its cashier opens."""
        answer = await self.wechat.scan(await self.code(product), openid)
        assert isinstance(answer, Cashier), answer
        return answer

    async def buy(self, product: str, openid: str = "o-customer") -> str:
        """Scan and pay; the order's number."""
        cashier = await self.scan(product, openid)
        paid = await self.wechat.pay(cashier.out_trade_no, openid)
        assert isinstance(paid, Payment), paid
        return cashier.out_trade_no

    async def order(self, number: str) -> Order:
        found = await self.machine.journal.order(number)
        assert found is not None
        return found

    async def settled(self, number: str, *states: OrderState) -> Order:
        """The order, once it has come to one of `states`."""

        async def there() -> bool:
            return (await self.order(number)).state in states

        await self.until_async(there, f"{number} is {' or '.join(state.value for state in states)}")
        return await self.order(number)

    async def kinds(self, number: str) -> list[str]:
        """What happened to an order, in a word each."""
        return [event.kind for event in await self.machine.journal.story(number)]

    def money(self, number: str) -> tuple[int, int]:
        """What WeChat took and gave back for an order, in fen."""
        account = self.wechat.ledger.audit().get(number)
        return (account.paid_fen, account.refunded_fen) if account else (0, 0)


@asynccontextmanager
async def bench(
    folder: Path,
    *,
    native_mode: NativeMode = NativeMode.TWO,
    public: bool = True,
    miniprogram: bool = False,
    screen_link: str | None = None,
    wechatpay: dict[str, object] | None = None,
    kiosk: dict[str, object] | None = None,
    display: DisplaySettings | None = None,
    vend_timeout_seconds: int = 5,
    make_board: Callable[..., SimulatedBoard] | None = None,
    dispenser: dict[str, object] | None = None,
    proxy: str = "127.0.0.1",
    offset: timedelta = timedelta(),
    ready: bool = True,
) -> AsyncIterator[Bench]:
    """A machine that sells, and its surroundings; `wechatpay`, `kiosk`, `dispenser` override their sections' values.

    `make_board(link, ledger, motor_seconds)` makes another board than XY, for the driver that `dispenser` names.
    `offset`: of the whole scene from now, the machine's clock and WeChat's. `ready`: wait until it sells.
    """
    async with AsyncExitStack() as stack:
        port, page_port = stack.enter_context(free_ports(2))
        certificate = folder / "certificate.pem"
        certificate.touch()  # over loopback http it is never shown to anybody, but has to be there
        settings = make_settings(folder, **(kiosk or {}))
        web = replace(settings.web, listen=ListenAddress("127.0.0.1", page_port), api_token=API_TOKEN)
        settings = replace(settings, callbacks=ListenAddress("127.0.0.1", port), web=web, proxy=proxy)
        settings = replace(settings, display=display or settings.display)
        pay = replace(
            settings.wechatpay,
            native_mode=native_mode,
            public_url=f"http://127.0.0.1:{port}",
            client_cert_file=certificate,
            client_key_file=certificate,
        )
        wechat_clock = StepClock()
        wechat_clock.offset = offset
        members = MiniProgramSettings("wx7777777777777777", "5ec2e7" * 5) if miniprogram else None
        wechat = WeChatSimulator(
            merchant_of(pay, miniprogram=members), clock=wechat_clock, scale=0.01, refund_seconds=0.05
        )
        wechat.ledger.closes_young_orders = True  # the real one may make a test wait for five minutes
        await wechat.start()
        stack.push_async_callback(wechat.stop)
        pay = replace(pay, api_base=wechat.base_url, backup_api_base=wechat.base_url)
        pay = replace(pay, public_url=pay.public_url if public else None, **(wechatpay or {}))  # type: ignore[arg-type] # names vary
        make_board = make_board or partial(XyBoard, answer_window_seconds=ANSWER_WINDOW_SECONDS)
        board = make_board(link=folder / "board", ledger=folder / "drops.jsonl", motor_seconds=MOTOR_SECONDS)
        await board.start()
        stack.push_async_callback(board.stop)
        driven = replace(
            settings.dispenser,
            driver=DispenserDriver.XY,
            port=str(folder / "board"),
            vend_timeout_seconds=vend_timeout_seconds,
        )
        driven = replace(driven, **(dispenser or {}))  # type: ignore[arg-type] # names vary
        if members is not None:
            members = replace(members, api_base=wechat.base_url, screen_link=screen_link)
        settings = replace(settings, wechatpay=pay, dispenser=driven, miniprogram=members)
        made = Bench(folder, settings, wechat, wechat_clock, board)
        stack.push_async_callback(made.stop)
        made.clock.offset = offset
        await (made.start() if ready else made.machine.start())
        yield made
