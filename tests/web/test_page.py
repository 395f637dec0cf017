"""The technician's page in a real browser, in front of a whole machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from page_kit import (
    DESKTOP,
    PASSWORD,
    PHONE,
    Relay,
    Technician,
    chromium,
    confirm,
    keep_picture,
)
from playwright.async_api import Browser, Page, expect
from scenario_kit import Bench, bench

from kiosk.orders import OrderState
from kiosk.settings import InDoubt
from kiosk.web import auth
from kiosk.web.password import set_password

# One browser for all of them; each has a machine of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def technician(tmp_path: Path, browser: Browser) -> AsyncIterator[Technician]:
    """Nothing may go wrong in the page, and nothing may be asked of another host."""
    set_password(tmp_path / "password", PASSWORD)
    async with bench(tmp_path, kiosk={"language": "en"}) as here:
        await here.code("cola")
        made = Technician(here, browser)
        yield made
        for context in browser.contexts:
            await context.close()
    assert [] == made.trouble


async def sell(here: Bench, product: str = "cola") -> str:
    number = await here.buy(product)
    await here.settled(number, OrderState.DISPENSED)
    return number


async def test_a_sale_arrives_while_one_looks(technician: Technician) -> None:
    """Without a reload: the order with its state, one unit less in the slot, the day's sum; unfolded, its story."""
    page = await technician.log_in()
    await expect(page.locator("#headline")).to_have_text("Sells all 2 products")
    await expect(page.locator("#no-orders")).to_be_visible()
    number = await sell(technician.here)
    line = page.locator("#order-lines li").first

    await expect(line).to_contain_text("Coca-Cola, ¥3.50, slot 11")
    await expect(line.locator(".chip")).to_have_text("vended")
    await expect(page.locator("#slot-11")).to_contain_text("2 of 3")
    await expect(page.locator("#today")).to_have_text("Today 1 sold for ¥3.50.")
    await line.locator("summary").click()
    await expect(line.locator(".story li").last).to_contain_text("The goods dropped from slot 11")
    await expect(line).to_contain_text(number)


async def test_it_is_usable_before_the_feed_says_anything(technician: Technician) -> None:
    """With a feed that never opens, the page shows the machine as it was and does what it is told."""
    await sell(technician.here)
    page = await technician.browse()
    await page.route_web_socket("**/api/live", lambda _: None)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("#slot-11")).to_contain_text("2 of 3")
    await expect(page.locator("#order-lines li")).to_have_count(1)
    await page.locator("#slot-11").click()
    await page.get_by_role("button", name="Full: 3").click()
    await page.get_by_role("button", name="Book this stock").click()
    await expect(page.locator("#said")).to_contain_text("Slot 11 holds 3 now.")

    assert 3 == (await technician.here.machine.journal.slots())["11"].stock


async def test_a_count_that_somebody_else_has_overtaken_is_refused(technician: Technician) -> None:
    """The sheet says what the slot holds now and books nothing; the next count is booked."""
    journal = technician.here.machine.journal
    page, other = await technician.log_in(), await technician.log_in()
    for each in (page, other):
        await each.locator("#slot-11").click()
    await other.get_by_role("button", name="One fewer").click()
    await other.get_by_role("button", name="Book this stock").click()
    await expect(other.locator("#said")).to_contain_text("Slot 11 holds 2 now.")
    await expect(page.locator("#sheet-state")).to_contain_text("2 of 3")
    await page.locator("#stock").fill("1")
    await page.get_by_role("button", name="Book this stock").click()
    await expect(page.locator("#sheet-said")).to_contain_text("held 3 when you counted and holds 2 now")
    between = (await journal.slots())["11"].stock
    await page.get_by_role("button", name="Book this stock").click()
    await expect(page.locator("#slot-11")).to_contain_text("1 of 3")

    assert 2 == between


async def test_a_count_that_cannot_be_is_refused_where_it_was_typed(technician: Technician) -> None:
    """The sheet stays open and says what would be right; nothing is booked."""
    page = await technician.log_in()
    await page.locator("#slot-11").click()
    for typed in ("-1", "10000", "3.5", "three", ""):
        await page.locator("#stock").fill(typed)
        async with page.expect_response("**/restock") as answer:
            await page.get_by_role("button", name="Book this stock").click()

        assert 400 == (await answer.value).status, typed
        await expect(page.locator("#sheet-said")).to_contain_text("a whole number from 0 to 3")
    assert 3 == (await technician.here.machine.journal.slots())["11"].stock


async def test_all_slots_are_filled_at_once(technician: Technician) -> None:
    """The button says how much it books; afterwards every slot is full."""
    await sell(technician.here)
    await sell(technician.here, "tea")
    page = await technician.log_in()
    await expect(page.locator("#problems")).to_contain_text("Iced tea is sold out")
    await page.get_by_role("button", name="Fill all").click()
    await confirm(page, "Fill all", "2 units added in 2 slots")
    await expect(page.locator("#headline")).to_have_text("Sells all 2 products")

    assert [3, 2, 1] == [(await technician.here.machine.journal.slots())[each].stock for each in ("11", "12", "21")]


async def test_an_empty_machine_is_one_thing_to_do(technician: Technician) -> None:
    """All that is sold out stands in one line with one button, however many products they are."""
    journal = technician.here.machine.journal
    await journal.change_slots(["11", "12", "21"], "restock", "tester", lambda slot: replace(slot, stock=0))
    page = await technician.log_in()
    await expect(page.locator("#problems li")).to_have_count(1)
    await expect(page.locator("#problems")).to_contain_text("2 products are sold out: Coca-Cola, Iced tea")
    await keep_picture(page, "page-empty")
    await page.locator("#problems").get_by_role("button", name="Fill all").click()
    await confirm(page, "Fill all", "6 units added in 3 slots")

    await expect(page.locator("#headline")).to_have_text("Sells all 2 products")


async def test_a_jam_stands_on_top_until_it_is_freed(technician: Technician) -> None:
    """The band turns amber, the problem brings its advice and the button that ends it, and it asks first."""
    here, page = technician.here, await technician.log_in()
    here.board.jam(11)
    await sell(here)
    problem = page.locator("#problems li")
    await expect(page.locator("#band")).to_have_class("degraded")
    await expect(problem).to_contain_text("Slot 11 is off sale")
    await expect(problem).to_contain_text("Look into the slot, free it")
    await expect(page.locator("#slot-11 .chip")).to_have_text("jammed")
    here.board.clear(11)
    await problem.get_by_role("button", name="Jam is cleared").click()
    await confirm(page, "Jam is cleared", "Have you looked into it?")

    await expect(page.locator("#slot-11 .chip")).to_have_text("on sale")
    await expect(problem).to_have_count(0)
    await expect(page.locator("#band")).to_have_class("ok")


async def test_a_test_vend_asks_first_and_wants_the_password_again(
    technician: Technician, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names its consequence; a phone that was left lying turns no motor; nothing is booked as sold."""
    here, page = technician.here, await technician.log_in()
    await page.locator("#slot-21").click()
    await page.get_by_role("button", name="Test vend").click()
    monkeypatch.setattr(auth, "PROOF_SECONDS", -1.0)  # as if the password had been given long ago
    await confirm(page, "Test vend", "Turn slot 21 once. If something drops, it leaves the stock and is not booked")
    await expect(page.locator("#prove")).to_be_visible()
    monkeypatch.undo()
    await page.locator("#proof").fill("not the password")
    await page.get_by_role("button", name="Go on").click()
    await expect(page.locator("#prove-said")).to_have_text("that is not the password")
    before = len(here.board.drops)
    await page.locator("#proof").fill(PASSWORD)
    await page.get_by_role("button", name="Go on").click()
    await expect(page.locator("#said")).to_contain_text("Slot 21 delivered.")

    assert (0, [21]) == (before, [drop.selection for drop in here.board.drops])
    assert OrderState.DISPENSED not in await here.machine.journal.counts()


async def test_a_refund_is_confirmed_and_seen_through(technician: Technician) -> None:
    """From the order's story: amount and consequence first, then refunding and refunded come by themselves."""
    number = await sell(technician.here)
    page = await technician.log_in()
    line = page.locator("#order-lines li")
    await line.locator("summary").click()
    await line.get_by_role("button", name="Refund ¥3.50").click()
    await confirm(page, "Refund ¥3.50", f"Order ending in {number[-6:]}")
    await expect(line.locator(".chip")).to_have_text("refunded")
    await expect(line.locator(".story")).to_contain_text("A refund was asked for by technician 127.0.0.1")
    await expect(line.get_by_role("button")).to_have_count(0)

    assert (350, 350) == technician.here.money(number)


async def test_orders_are_found(technician: Technician) -> None:
    """By either number, the last six, product and state; the CSV is narrowed alike."""
    here = technician.here
    first, other = await sell(here), await sell(here, "tea")
    transaction = (await here.order(first)).transaction_id
    page = await technician.log_in(size=DESKTOP)
    lines = page.locator("#order-lines li")
    await expect(lines).to_have_count(2)
    search = page.locator("#filters [name=search]")
    for typed in (first, transaction or "", first[-6:].lower()):
        await search.fill(typed)
        await expect(lines).to_have_count(1)
        await expect(lines).to_contain_text("Coca-Cola")
    await page.get_by_role("button", name="Clear filters").click()
    await page.locator("#filters [name=product]").select_option("tea")
    await expect(lines).to_have_count(1)
    await expect(lines).to_contain_text(other)
    csv = await page.request.get(await page.locator("#csv").evaluate("each => each.href"))
    await page.locator("#filters [name=state]").select_option("refunded")
    await expect(page.locator("#no-orders")).to_have_text("No order fits these filters.")

    assert [other] == [row.split(",")[0] for row in (await csv.text()).splitlines()[1:]]


async def test_an_order_in_doubt_waits_on_top(tmp_path: Path, browser: Browser) -> None:
    """Nobody can tell whether the goods fell: the order stands above the others, with its button."""
    set_password(tmp_path / "password", PASSWORD)
    async with bench(tmp_path, kiosk={"language": "en", "in_doubt": InDoubt.HOLD}, vend_timeout_seconds=1) as here:
        here.board.lose_results(1)
        number = await here.buy("tea")
        await here.settled(number, OrderState.IN_DOUBT)
        technician = Technician(here, browser)
        page = await technician.log_in()
        await expect(page.locator("#unsettled li")).to_contain_text("in doubt")
        await page.locator("#problems").get_by_role("button", name="See the orders").click()
        await page.locator("#unsettled summary").click()
        await page.locator("#unsettled").get_by_role("button", name="Refund ¥3.00").click()
        await confirm(page, "Refund ¥3.00", "This cannot be undone.")
        await expect(page.locator("#unsettled")).to_be_hidden()
        await here.settled(number, OrderState.REFUNDED)
        await page.context.close()

        assert (300, 300) == here.money(number)
        assert [] == technician.trouble


async def test_out_of_service_and_back(technician: Technician) -> None:
    """The switch says what it does and what customers read; the band turns red, the picture follows; and back."""
    page = await technician.log_in()
    await expect(page.locator("#screen")).not_to_have_js_property("naturalWidth", 0)
    await technician.here.code("tea")
    await page.locator("#notice").fill("Back at noon")
    await page.get_by_role("button", name="Take out of service").click()
    await confirm(page, "Take out of service", "Customers read: Back at noon")
    await expect(page.locator("#headline")).to_have_text("Sells nothing")
    await expect(page.locator("#band")).to_have_class("out_of_service")
    shown = technician.here.scene().explanation
    await expect(page.locator("#screen")).to_have_js_property("naturalWidth", 480)
    async with page.expect_response("**/screen.png?*"):
        await page.locator("#pattern").click()
        await confirm(page, "Show the test pattern", "Nobody can scan meanwhile.")
    await page.locator("#problems").get_by_role("button", name="Back into service").click()
    await expect(page.locator("#headline")).to_have_text("Sells all 2 products")

    assert "Back at noon" == shown


async def test_the_language_of_the_page_and_that_of_the_screen(technician: Technician) -> None:
    """Each has a switch of its own; the page's holds for this phone, the screen's for all customers."""
    page = await technician.log_in()
    await page.get_by_role("button", name="中文").click()
    await expect(page.locator("#slots-title")).to_have_text("货道")
    await expect(page.locator("#headline")).to_have_text("2 种商品全部在售")
    untouched = technician.here.machine.storefront.language
    await page.get_by_label("顾客屏幕语言").select_option("zh_CN")
    await expect(page.locator("#said")).to_contain_text("已完成")
    await page.get_by_role("button", name="English").click()
    await expect(page.locator("#slots-title")).to_have_text("Slots")

    assert ("en", "zh_CN") == (untouched, technician.here.machine.storefront.language)


async def test_a_session_that_ends_elsewhere_ends_here(technician: Technician) -> None:
    """Logged out in another tab, this one goes back to the log-in by itself, and the way back shows nothing."""
    page = await technician.log_in()
    other = await page.context.new_page()
    await other.goto(technician.address)
    await other.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Password")).to_be_visible()
    await page.goto(technician.address)

    await expect(page.get_by_label("Password")).to_be_visible()


async def test_a_connection_that_is_lost_is_owned_up_to_and_found_again(technician: Technician) -> None:
    """Out of reach one hears no close: within five seconds the page says that it is stale; it catches up later."""
    here = technician.here
    async with Relay(here.settings.web.listen.port).between() as wifi:
        page = await technician.log_in(address=wifi.address)
        await expect(page.locator("#today")).to_contain_text("Today 0 sold")
        await page.clock.install()
        wifi.lose()
        await page.clock.run_for(1000)
        await expect(page.locator("#stale")).to_be_hidden()
        await page.clock.run_for(4000)
        await expect(page.locator("#stale")).to_be_visible()
        await expect(page.locator("#stale")).to_contain_text("what you see is old")
        await keep_picture(page, "page-stale")
        await sell(here)
        wifi.find()
        await page.clock.run_for(2000)
        await page.clock.resume()

        await expect(page.locator("#stale")).to_be_hidden()
        await expect(page.locator("#order-lines li")).to_contain_text("Coca-Cola, ¥3.50, slot 11")


async def test_a_day_is_closed_once(technician: Technician) -> None:
    """Choose yesterday, read its sums, close it: number, who and when stay; today cannot be closed yet."""
    page = await technician.log_in(size=DESKTOP)
    await expect(page.locator("#day")).to_contain_text("can be closed tomorrow")
    await page.locator("#bars button").nth(-2).click()
    await page.get_by_role("button", name="Close this day").click()
    await confirm(page, "Close this day", "A day is closed once.")

    await expect(page.locator("#day")).to_contain_text("Closed as number 1 by technician 127.0.0.1")


async def test_machine_log_and_support_file(technician: Technician) -> None:
    """The line to the board with its last frames, WeChat's answers, what was done and by whom; all in a file."""
    page = await technician.log_in(size=DESKTOP)
    await expect(page.locator("#board")).to_contain_text("takes commands")
    await expect(page.locator("#board")).to_contain_text("Checksum errors")
    await expect(page.locator("#board .hex").first).to_contain_text("fa fb")
    await expect(page.locator("#board")).to_contain_text("°C")
    await expect(page.locator("#computer")).to_contain_text("Disk free")
    await expect(page.locator("#versions")).to_contain_text("Tornado")
    await page.locator("#exchanges summary").click()
    await expect(page.locator("#exchanges tbody")).to_contain_text("/pay/unifiedorder")
    await page.locator("#slot-12").click()
    await page.get_by_role("button", name="Take off sale").click()
    await page.locator("#changes summary").click()
    await expect(page.locator("#changes li").first).to_contain_text("technician 127.0.0.1: slot 12 is off sale.")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download").click()

    assert (await download.value).suggested_filename.endswith(".zip")


async def test_everything_goes_by_keyboard(technician: Technician) -> None:
    """From the top of the page to a booked stock without a pointer; focus comes back to where it was."""
    page = await technician.log_in()
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    for _ in range(30):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.id") == "slot-11":
            break
    await page.keyboard.press("Enter")
    await expect(page.locator("#stock")).to_be_focused()
    await page.keyboard.type("1")
    await page.keyboard.press("Enter")

    await expect(page.locator("#slot-11")).to_contain_text("1 of 3")
    await expect(page.locator("#slot-11")).to_be_focused()


async def everything_open(page: Page) -> None:
    await expect(page.locator("#order-lines li").first).to_be_visible()
    await page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    await expect(page.locator(".story li").first).to_be_visible()


SMALL_TARGETS = """() => [...document.querySelectorAll("button, a, input, select, summary")].filter((each) => {
  const box = each.getBoundingClientRect();
  const narrow = box.width < 43.5 && !each.closest("#bars"); // fourteen days side by side: as high as they are narrow
  return box.width > 0 && !each.matches(".skip") && (box.height < 43.5 || narrow);
}).map((each) => each.outerHTML.slice(0, 120))"""


# What sticks out of its own box lies on its neighbour.
STICKING_OUT = """() => [...document.querySelectorAll("main *")].filter((each) => {
  const { display, overflowX } = getComputedStyle(each);
  return display !== "inline" && overflowX === "visible" && each.clientWidth > 0
    && each.scrollWidth > each.clientWidth + 1;
}).map((each) => each.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("language", ["English", "中文"])
async def test_it_fits_a_phone(technician: Technician, language: str) -> None:
    """At 360 pixels nothing sticks out anywhere, and every target is as large as a thumb, in both languages."""
    here = technician.here
    here.board.jam(11)
    await sell(here)
    page = await technician.log_in()
    if language != "English":
        await page.get_by_role("button", name=language).click()
        await expect(page.locator("#slots-title")).to_have_text("货道")
    await everything_open(page)
    await keep_picture(page, f"page-phone-{language}")
    wide = await page.evaluate("document.documentElement.scrollWidth")
    small, out = await page.evaluate(SMALL_TARGETS), await page.evaluate(STICKING_OUT)
    await page.locator("#slot-11").click()
    await keep_picture(page, f"page-phone-sheet-{language}")

    assert (PHONE[0], [], []) == (wide, small, out)
    assert [] == await page.evaluate(SMALL_TARGETS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_barrier_is_found(technician: Technician, scheme: str) -> None:
    """Axe finds nothing: the log-in, a machine that is well, a broken one with all unfolded, a dialog."""
    here, axe = technician.here, Axe()
    login = await technician.browse(scheme=scheme)
    found = {"login": (await axe.run(login)).response["violations"]}
    page = await technician.log_in(size=DESKTOP, scheme=scheme)
    await expect(page.locator("#bars button").first).to_be_visible()
    found["well"] = (await axe.run(page)).response["violations"]
    await keep_picture(page, f"page-well-{scheme}")
    here.board.jam(11)
    await sell(here)
    await sell(here, "tea")
    await expect(page.locator("#problems li")).to_have_count(2)
    await everything_open(page)
    await page.locator("#filters [name=state]").select_option("")
    found["broken"] = (await axe.run(page)).response["violations"]
    await keep_picture(page, f"page-broken-{scheme}")
    here.board.unplug()
    await expect(page.locator("#band")).to_have_class("out_of_service")
    await page.locator("#slot-11").click()
    found["sheet"] = (await axe.run(page)).response["violations"]
    await keep_picture(page, f"page-out-{scheme}")

    assert {} == {
        where: [(each["id"], [node["html"] for node in each["nodes"]]) for each in violations]
        for where, violations in found.items()
        if violations
    }
