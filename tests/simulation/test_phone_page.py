from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, async_playwright, expect
from simulation_kit import wait_until
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from kiosk.settings import NativeMode
from kiosk.simulation.camera import SeenCode
from kiosk.simulation.phone import phone_application
from kiosk.simulation.scratch import GOODS, SCREEN
from kiosk.simulation.world import World

CHROMIUM = "/usr/bin/chromium"  # Debian's; the project's set-up installs it
PATIENCE_MS = 30_000  # everything below takes seconds; this is for a busy computer

expect.set_options(timeout=PATIENCE_MS)


async def all_codes(world: World) -> None:
    """Wait until every product's code is on the screen."""
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while len(await world.codes()) < len(GOODS):
            await world.change(world.revision, 0.5)


@pytest.fixture(params=[NativeMode.TWO])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A demo whose machine has all its codes on the screen."""
    made = World(native_mode=request.param, language="en")
    await made.start()
    try:
        await all_codes(made)
        yield made
    finally:
        await made.stop()


@pytest.fixture
async def address(world: World) -> AsyncIterator[str]:
    """Where the page is."""
    server = HTTPServer(phone_application(world))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}/"
    server.stop()
    await server.close_all_connections()


@pytest.fixture
async def page(address: str) -> AsyncIterator[Page]:
    """The page in a browser; nothing may go wrong in it, and nothing may be asked of another host."""
    trouble: list[str] = []
    hosts: set[str | None] = set()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = await browser.new_page(locale="en-GB")
        opened.set_default_timeout(PATIENCE_MS)
        opened.on("pageerror", lambda error: trouble.append(str(error)))
        opened.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        opened.on("request", lambda sent: hosts.add(urlsplit(sent.url).hostname))
        await opened.goto(address)
        await expect(opened.locator("#seen")).to_have_js_property("naturalWidth", SCREEN[0])
        yield opened
        await browser.close()
    assert trouble == []
    assert hosts == {"127.0.0.1"}


async def shown_code(world: World, product: str) -> SeenCode:
    """A product's code as the camera sees it; a busy computer may take codes off the screen for a moment."""
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while True:
            seen = world.revision
            for code in await world.codes():
                good = world.good_behind(code.text)
                if good is not None and good.id == product:
                    return code
            await world.change(seen, 1.0)


async def tap_code(page: Page, world: World, product: str, picture: str = "seen") -> None:
    """Tap into the middle of a product's code, in the phone's picture of the screen, or another one."""
    code = await shown_code(world, product)
    # Before the picture is there its box has another shape, and the tap would miss.
    await page.wait_for_function(f"document.getElementById('{picture}').naturalWidth > 0")
    box = await page.locator(f"#{picture}").bounding_box()
    assert box is not None
    x, y = (code.left + code.right) / 2 * box["width"], (code.top + code.bottom) / 2 * box["height"]
    await page.mouse.click(box["x"] + x, box["y"] + y)


async def buy(page: Page, world: World, product: str) -> None:
    """Scan a code, look at the cashier, pay."""
    await tap_code(page, world, product)
    await expect(page.locator("#cashier")).to_be_visible()
    await page.locator("#pay").click()
    await expect(page.locator("#verdict")).to_have_text("Paid")


@pytest.mark.parametrize("world", list(NativeMode), indirect=True)
async def test_a_visitor_buys_a_drink(page: Page, world: World) -> None:
    """Tap a code, see what it costs, pay, see the drink drop, take it; in both native modes."""
    await tap_code(page, world, "tea")
    await expect(page.locator("#shop")).to_have_text("Lobby drinks")
    await expect(page.locator("#amount")).to_have_text("¥4.00")
    await expect(page.locator("#goods")).to_have_text("Iced tea")
    await page.locator("#pay").click()
    await expect(page.locator("#verdict")).to_have_text("Paid")
    await expect(page.locator(".good")).to_have_attribute("data-product", "tea")
    assert [good.id for good in world.dropped] == ["tea"]
    await expect(page.locator("#diary li").first).to_contain_text("Iced tea drops into the tray")
    await page.locator("#tray").click()
    await expect(page.locator(".good")).to_have_count(0)


async def test_a_code_can_be_tapped_on_the_machine_itself(page: Page, world: World) -> None:
    """The machine's own screen stands beside the phone: a tap on a code there is scanned as well, once at a time."""
    await tap_code(page, world, "tea", "screen")
    await expect(page.locator("#goods")).to_have_text("Iced tea")
    await tap_code(page, world, "cola", "screen")  # the phone is busy
    await page.locator("#pay").click()
    await expect(page.locator("#verdict")).to_have_text("Paid")
    await tap_code(page, world, "cola", "screen")
    await expect(page.locator("#goods")).to_have_text("Coca-Cola")


async def test_the_phone_finds_codes_by_itself(page: Page, world: World) -> None:
    """The button marks every code on the screen; a mark can be taken, and the cashier can be left."""
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while await page.locator(".found").count() < len(GOODS):  # codes may be off the screen for a moment
            await all_codes(world)
            await page.locator("#find").click()
            await page.locator(".found").first.wait_for()
    await page.locator(".found").nth(1).click()
    await expect(page.locator("#cashier")).to_be_visible()
    await page.locator("#cancel").click()
    await expect(page.locator("#camera")).to_be_visible()
    await expect(page.locator("#diary li").first).to_contain_text("Left the cashier without paying")
    assert world.wechat.ledger.audit() == {}


async def test_a_tap_beside_all_codes_scans_nothing(page: Page) -> None:
    """The top left corner shows the machine's name."""
    await page.locator("#finder").click(position={"x": 4, "y": 4})
    await expect(page.locator("#hint")).to_have_text("No code there: tap right on one")


async def test_power_cut_while_the_motor_turns_gives_the_money_back(page: Page, world: World) -> None:
    """The process is killed in mid-vend; the next one sees to it that the customer has goods or money."""
    world.board.motor_seconds = 6.0  # longer than a busy computer needs to notice that it turns
    await buy(page, world, "water")
    await expect(page.locator("#cabinet.turning")).to_be_visible()
    await page.locator("[data-fault=power]").click()
    await expect(page.locator("#cabinet.dead")).to_be_visible()
    await expect(page.locator("#banner")).to_have_text("Refund: ¥2.00 is back in your account")
    account = next(iter(world.wechat.ledger.audit().values()))
    assert (account.paid_fen, account.refunded_fen, world.dropped) == (200, 200, [])
    await expect(page.locator("#cabinet.dead")).to_have_count(0)


async def test_a_jam_moves_on_to_the_other_slot(page: Page, world: World) -> None:
    """Cola has two slots: the first jams, the second serves, nothing is refunded."""
    await page.locator("[data-fault=jam]").click()
    await expect(page.locator("[data-fault=jam] i")).to_have_text("armed")
    await buy(page, world, "cola")
    await expect(page.locator(".good")).to_have_attribute("data-product", "cola")
    await expect(page.locator("[data-fault=jam] i")).to_have_text("")
    assert [line.data["jams"] for line in world.diary if line.kind == "vend"] == [True, False]
    assert [account.refunding_fen for account in world.wechat.ledger.audit().values()] == [0]


async def test_a_board_that_is_unplugged_takes_the_codes_away(page: Page, world: World) -> None:
    """No code can be scanned while no motor can be reached; plugged in again, they are back."""
    await page.locator("[data-fault=unplug]").click()
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while await world.codes():
            await world.change(world.revision, 0.5)
    await page.locator("#find").click()
    await expect(page.locator("#hint")).to_have_text("The machine shows no code now")
    await page.locator("[data-fault=unplug]").click()
    await all_codes(world)


@pytest.mark.parametrize("fault", ["lost", "slow"])
async def test_wechats_troubles_only_take_time(page: Page, world: World, fault: str) -> None:
    """A lost message or slow answers: the drink drops all the same, once."""
    await page.locator(f"[data-fault={fault}]").click()
    await expect(page.locator(f"[data-fault={fault}] i")).not_to_be_empty()
    await buy(page, world, "milk")
    await expect(page.locator(".good")).to_have_attribute("data-product", "milk")
    assert [good.id for good in world.dropped] == ["milk"]


async def test_a_payment_while_the_line_is_cut_is_found_later(page: Page, world: World) -> None:
    """The cashier is open, the line is cut, the customer pays; when the line is back the drink drops."""
    await tap_code(page, world, "chips")
    await expect(page.locator("#cashier")).to_be_visible()
    await page.locator("[data-fault=down]").click()
    await expect(page.locator("[data-fault=down] i")).to_have_text("on")
    await page.locator("#pay").click()
    await expect(page.locator("#verdict")).to_have_text("Paid")
    await wait_until(lambda: any(line.kind == "notification_failed" for line in world.diary), "the message is lost")
    assert world.dropped == []
    await page.locator("[data-fault=down]").click()
    await expect(page.locator(".good")).to_have_attribute("data-product", "chips")


async def test_the_page_speaks_both_languages_and_fits_a_phone(page: Page) -> None:
    """Every word changes with the switch, and at 360 pixels nothing has to be moved sideways."""
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.locator("#language").click()
    await expect(page.locator("h1")).to_have_text("买瓶饮料吧。")
    await expect(page.locator("[data-fault=power] b")).to_have_text("拉闸断电")
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    await page.reload()
    await expect(page.locator("#find")).to_have_text("找二维码")


async def buy_in_miniprogram(page: Page, world: World, product: str, price: str) -> None:
    """Choose and pay; on a busy computer board or WeChat may answer too late, and the customer tries again."""
    opened = page.locator(".cashier:not([hidden]), .order-view:not([hidden])")
    refused = page.locator("#result:not([hidden])")
    for _ in range(5):
        await all_codes(world)
        await page.locator("#shop-open").click()
        await page.locator(f"#goods-list [data-product={product}]").click()
        await expect(opened.or_(refused)).to_be_visible()
        if await opened.is_visible():
            await expect(page.locator("#amount")).to_have_text(price)
            await page.locator("#pay").click()
            await expect(page.locator("#order-view:not([hidden])").or_(refused)).to_be_visible()
        if not await refused.is_visible():
            return
        await page.locator("#done").click()
    pytest.fail("the order could not be paid")


async def test_a_drink_is_bought_in_the_miniprogram(page: Page, world: World) -> None:
    """Choose, pay, and the order tells the truth until the goods are there; what is sold out cannot be chosen."""
    await buy_in_miniprogram(page, world, "noodles", "¥6.00")
    await expect(page.locator("#order-state")).to_have_text("Take your goods")
    await expect(page.locator("#order-steps li")).to_have_count(5)
    assert [good.id for good in world.dropped] == ["noodles"]
    await page.locator("#order-done").click()
    await expect(page.locator("#goods-list [data-product=noodles]")).to_be_disabled()
    await expect(page.locator("#goods-list [data-product=cola]")).to_be_enabled()


async def test_a_refund_shows_in_the_miniprogram(page: Page, world: World) -> None:
    """The only slot jams: the order says that the money is on its way, and then that it is back."""
    await page.locator("[data-fault=jam]").click()
    await expect(page.locator("[data-fault=jam] i")).to_have_text("armed")
    await buy_in_miniprogram(page, world, "tea", "¥4.00")
    await expect(page.locator("#order-state")).to_have_text("Refunded")
    assert world.dropped == []
