"""Take the README's pictures: the screen of the demo's machine, and the technician's page in front of it.

Run by `make picture`; the page is taken by the system's Chromium.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import async_playwright, expect

from kiosk.settings import NativeMode
from kiosk.simulation.scratch import GOODS
from kiosk.simulation.wechat import Cashier
from kiosk.simulation.world import World

HERE = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
LIMIT_SECONDS = 30.0


async def take() -> None:
    """Switch a machine on, keep its screen with all codes; sell a little, let a slot jam, keep the page."""
    world = World(native_mode=NativeMode.TWO, language="zh_CN")
    try:
        await world.start()
        await all_codes(world)
        picture = await world.picture()
        if picture is not None:
            (HERE / "screen.png").write_bytes(picture)
        for product in ("water", "chips", "juice"):
            await buy(world, product)
        world.switch_fault("jam", on=True)
        await buy(world, "cola")
        await take_page(world)
    finally:
        await world.stop()


async def all_codes(world: World) -> None:
    """Wait until every product that is there has its code on the screen."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while len(await world.codes()) < len(GOODS):
            await world.change(world.revision, 1.0)


async def buy(world: World, product: str) -> None:
    """Scan, pay, wait for the goods."""
    await all_codes(world)
    code = next(code for code in await world.codes() if world.good_behind(code.text) == by_id(product))
    cashier = await world.wechat.scan(code.text)
    if isinstance(cashier, Cashier):
        await world.wechat.pay(cashier.out_trade_no)
    async with asyncio.timeout(LIMIT_SECONDS):
        while world.dropped[-1:] != [by_id(product)]:
            await world.change(world.revision, 1.0)


def by_id(product: str) -> object:
    """The good of that id."""
    return next(good for good in GOODS if good.id == product)


async def take_page(world: World) -> None:
    """The page as it is on a phone that is turned to English, down to the first tray."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
        await page.goto(world.technician)
        await page.fill("#password", world.scratch.password)
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("button", name="English").click()
        await page.locator("#slot-11.jammed").wait_for()
        await expect(page.locator("#screen")).not_to_have_js_property("naturalWidth", 0)
        await page.screenshot(path=HERE / "page.png")
        await browser.close()


if __name__ == "__main__":
    asyncio.run(take())
