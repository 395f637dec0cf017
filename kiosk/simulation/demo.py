"""`kiosk demo`: a whole machine on this computer, to be bought from and to be broken."""

from __future__ import annotations

import asyncio
import contextlib
import locale
import os
import signal
import sys
import time
import webbrowser
from collections.abc import Awaitable, Callable

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from kiosk.journal import read_orders
from kiosk.orders import OrderState
from kiosk.settings import NativeMode
from kiosk.simulation.camera import SeenCode
from kiosk.simulation.member import Answer
from kiosk.simulation.phone import phone_application
from kiosk.simulation.scratch import GOODS, Good
from kiosk.simulation.wechat import Payment, Told
from kiosk.simulation.world import World
from kiosk.words import price_text

FAVOURITE_PORT = 8765  # the phone page's, so that it can be bookmarked; any free one if it is taken
CODE_SECONDS = 30.0  # from power-on until the code is on the screen: start, board, order at WeChat
DROP_SECONDS = 30.0  # from the payment until the goods are in the tray
SETTLED_SECONDS = 15.0  # from the drop until the machine has no more to do for the order
LOOK_SECONDS = 0.05


_Say = Callable[[str], None]
_Pay = Callable[[World, Good, _Say], Awaitable[str]]


class PurchaseFailed(Exception):
    """The sentence says why."""


def run(*, buy: str | None, headless: bool, port: int | None, native_mode: NativeMode, miniprogram: bool) -> int:
    """Run until SIGINT or SIGTERM, or until one purchase is made. Return the exit status."""
    return asyncio.run(_run(buy=buy, headless=headless, port=port, native_mode=native_mode, miniprogram=miniprogram))


async def _run(
    *, buy: str | None, headless: bool, port: int | None, native_mode: NativeMode, miniprogram: bool
) -> int:
    if buy is not None and buy not in {good.id for good in GOODS}:
        known = ", ".join(good.id for good in GOODS)
        print(f"the demo's machine sells no {buy!r}; it sells {known}", file=sys.stderr)
        return 1
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    world = World(native_mode=native_mode, language=_language())
    try:
        await world.start()
        if buy is None:
            return await _wait_for_visitors(world, stop, headless=headless, port=port)
        good = next(good for good in GOODS if good.id == buy)
        return await _buy_once(world, stop, good, _order_in_miniprogram if miniprogram else _order_by_code)
    finally:
        await world.stop()


def _language() -> str:
    """The machine speaks the language of whoever starts it."""
    spoken = os.environ.get("LC_ALL") or os.environ.get("LANG") or locale.getlocale()[0] or ""
    return "zh_CN" if spoken.startswith("zh") else "en"


async def _wait_for_visitors(world: World, stop: asyncio.Event, *, headless: bool, port: int | None) -> int:
    server = HTTPServer(phone_application(world))
    try:
        sockets = bind_sockets(FAVOURITE_PORT if port is None else port, "127.0.0.1")
    except OSError as error:
        if port is not None:
            print(f"--port {port} cannot be used: {error.strerror}; choose another one", file=sys.stderr)
            return 1
        sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    address = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/"
    print(
        f"\n  Buy a drink:       {address}\n"
        f"  Technician's page: {world.technician}   password: {world.scratch.password}\n"
        f"  The machine's log: {world.scratch.log}\n\n"
        "Ctrl-C ends everything.",
        flush=True,
    )
    if not headless and _has_display():
        await asyncio.to_thread(webbrowser.open, address)
    await stop.wait()
    print("\nThe machine is switched off in order …", flush=True)
    server.stop()
    await server.close_all_connections()
    return 0


def _has_display() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


async def _buy_once(world: World, stop: asyncio.Event, good: Good, pay: _Pay) -> int:
    began = time.monotonic()

    def say(step: str) -> None:
        print(f"{time.monotonic() - began:6.2f} s  {step}", flush=True)

    purchase = asyncio.get_running_loop().create_task(_purchase(world, good, pay, say))
    interrupted = asyncio.get_running_loop().create_task(stop.wait())
    await asyncio.wait({purchase, interrupted}, return_when=asyncio.FIRST_COMPLETED)
    interrupted.cancel()
    if not purchase.done():
        purchase.cancel()
        await asyncio.gather(purchase, return_exceptions=True)
        print("interrupted before the purchase was complete", file=sys.stderr)
        return 1
    try:
        purchase.result()
    except PurchaseFailed as error:
        print(f"the purchase failed: {error}", file=sys.stderr)
        return 1
    return 0


async def _purchase(world: World, good: Good, pay: _Pay, say: _Say) -> None:
    """One purchase without a person, by nothing but what a person has: the screen, a phone, the tray."""
    say(f"the machine is switched on; its screen is {world.scratch.screen}")
    number = await pay(world, good, say)
    await _until(world, lambda: bool(world.dropped), DROP_SECONDS, "nothing fell into the tray")
    if world.dropped != [good]:
        raise PurchaseFailed(f"{world.dropped[0].id} fell into the tray")
    say(f"{good.id} falls into the tray")
    await _settled(world, number)
    account = world.wechat.ledger.audit()[number]
    if len(world.dropped) != 1 or account.refunding_fen or account.refunded_fen:
        raise PurchaseFailed("goods and money do not match")
    say("the machine has booked the sale: one paid, one dropped, nothing refunded")


async def _order_by_code(world: World, good: Good, say: _Say) -> str:
    """Read the code off the screen, scan it, pay; the order's number."""
    code = await _code_on_screen(world, good)
    say(f"the code of {good.id} is read off the screen: {code.text}")
    answer = await world.wechat.scan(code.text)
    if isinstance(answer, Told):
        raise PurchaseFailed(f"the phone says: {answer.text}")
    number, price = answer.out_trade_no, price_text(answer.amount_fen)
    say(f"the cashier opens: {price} to {answer.shop} for {answer.goods}, order {number}")
    _say_paid(await world.pay(number), say)
    return number


async def _order_in_miniprogram(world: World, good: Good, say: _Say) -> str:
    """Log in, order, let wx.requestPayment open the cashier, pay; the order's number."""
    await _code_on_screen(world, good)  # not to be scanned: it says that the machine sells
    answer = await world.member.order(good.id)
    if "order" not in answer.values:
        raise PurchaseFailed(f"the mini-program says: {answer.words}")
    order = answer.values["order"]
    number, goods, price = str(order["out_trade_no"]), order["product_name"], price_text(order["amount"])
    say(f"the mini-program has logged in and ordered {goods} for {price}: {number}")
    paid = await world.member.pay(number)
    if isinstance(paid, Answer):
        raise PurchaseFailed(f"the mini-program says: {paid.words}")
    _say_paid(paid, say)
    return number


def _say_paid(paid: Payment | Told, say: _Say) -> None:
    if isinstance(paid, Told):
        raise PurchaseFailed(f"the phone says: {paid.text}")
    say(f"paid: WeChat's transaction {paid.transaction_id}")


async def _code_on_screen(world: World, good: Good) -> SeenCode:
    """Look at the machine's picture until the product's code can be read off it."""
    found: list[SeenCode] = []
    seen = -1
    deadline = time.monotonic() + CODE_SECONDS
    while not found:
        if not world.machine.runs:
            raise PurchaseFailed(f"the machine has stopped by itself:\n{world.machine.last_words()}")
        if time.monotonic() > deadline:
            raise PurchaseFailed(
                f"the code of {good.id} did not come onto the screen within {CODE_SECONDS:.0f} s, so it is not for "
                f"sale; the machine says:\n{world.machine.last_words()}"
            )
        if world.revision > seen:
            seen = world.revision
            found = [code for code in await world.codes() if world.good_behind(code.text) is good]
        else:
            await world.change(seen, 1.0)
    return found[0]


async def _settled(world: World, number: str) -> None:
    """Look into the machine's own books, as `kiosk orders` does, until they call the order dispensed."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while True:
        orders = await asyncio.to_thread(read_orders, world.scratch.data_dir, [], None)
        state = next((order.state for order in orders if order.out_trade_no == number), None)
        if state is OrderState.DISPENSED:
            return
        if time.monotonic() > deadline:
            name = "unknown" if state is None else state.value
            raise PurchaseFailed(f"the goods have dropped, but the machine calls the order {name}")
        await asyncio.sleep(LOOK_SECONDS)


async def _until(world: World, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if not world.machine.runs:
            raise PurchaseFailed(f"the machine has stopped by itself:\n{world.machine.last_words()}")
        left = deadline - time.monotonic()
        if left <= 0:
            raise PurchaseFailed(
                f"{otherwise} within {seconds:.0f} s; the machine says:\n{world.machine.last_words()}"
            )
        with contextlib.suppress(TimeoutError):
            await world.change(world.revision, min(left, 1.0))
