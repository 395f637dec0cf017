from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from simulation_kit import APP_ID, KEY, MCH_ID, MERCHANT, Caller, HandClock, Mailbox

from kiosk.payments.wechat import xml
from kiosk.payments.wechat.native import native_link
from kiosk.payments.wechat.signature import sign, verify
from kiosk.settings import SignType, WeChatPaySettings
from kiosk.simulation.customer import BAD_ANSWER, BAD_LINK, NO_ANSWER
from kiosk.simulation.wechat import CUSTOMER, Cashier, Told, WeChatSimulator

LINK = native_link(WeChatPaySettings(APP_ID, MCH_ID, KEY), "cola", time_stamp=1415949957, nonce="f6808210402125e3")


@pytest.fixture
async def shop(clock: HandClock, mailbox: Mailbox) -> AsyncIterator[WeChatSimulator]:
    """A WeChat Pay that posts scans to the mailbox."""
    simulator = WeChatSimulator(replace(MERCHANT, scan_url=f"{mailbox.url}/scan"), clock=clock)
    await simulator.start()
    yield simulator
    await simulator.stop()


def reply(**fields: str) -> bytes:
    """A signed reply to a scan."""
    full = {"return_code": "SUCCESS", "appid": APP_ID, "mch_id": MCH_ID, "nonce_str": "n1", **fields}
    return xml.build(full | {"sign": sign(full, KEY, SignType.MD5)})


async def test_a_scanned_link_opens_the_cashier(shop: WeChatSimulator, mailbox: Mailbox) -> None:
    """The merchant gets a signed scan without return_code; its prepay_id opens the cashier with its order's price."""
    caller = Caller(shop)
    prepay_id = (await caller.order())["prepay_id"]
    caller.close()
    mailbox.answer_scan = lambda _: reply(prepay_id=prepay_id, result_code="SUCCESS")
    cashier = await shop.scan(LINK)
    assert isinstance(cashier, Cashier)
    assert (cashier.shop, cashier.goods, cashier.amount_fen) == ("大堂饮料机", "可口可乐", 350)
    question = mailbox.messages()[0]
    assert verify(question, KEY, SignType.MD5)
    assert (question["product_id"], question["openid"]) == ("cola", CUSTOMER)
    assert question.keys() == {"appid", "openid", "mch_id", "is_subscribe", "nonce_str", "product_id", "sign"}


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (reply(prepay_id="", result_code="FAIL", err_code_des="已售罄"), "REFUSED_BY_MERCHANT", "已售罄"),
        (reply(prepay_id="wx0", result_code="SUCCESS"), "INVALID_PREPAY", "商家订单信息有误，请重新下单支付"),
        (reply(prepay_id="wx0", result_code="SUCCESS").replace(b"wx0", b"wx1"), "BAD_ANSWER", BAD_ANSWER),
        (b"<xml><return_code>FAIL</return_code></xml>", "BAD_ANSWER", BAD_ANSWER),
        (b"busy", "BAD_ANSWER", BAD_ANSWER),
    ],
)
async def test_the_customer_reads_why_not(
    shop: WeChatSimulator, mailbox: Mailbox, body: bytes, code: str, text: str
) -> None:
    """The merchant's err_code_des is shown as it is; a reply that cannot be believed opens nothing."""
    mailbox.answer_scan = lambda _: body
    assert await shop.scan(LINK) == Told(code, text)


async def test_a_merchant_that_does_not_answer_200_is_told_as_such(shop: WeChatSimulator, mailbox: Mailbox) -> None:
    """WeChat's own words for a handler that failed."""
    mailbox.status = 500
    assert await shop.scan(LINK) == Told("NO_ANSWER", NO_ANSWER)


@pytest.mark.parametrize(
    "link",
    [
        LINK.replace("product_id=cola", "product_id=tea"),
        LINK.replace(f"mch_id={MCH_ID}", "mch_id=1900000110"),
        LINK.replace("nonce_str=f6808210402125e3&", ""),
        "weixin://wxpay/bizpayurl?" + urlencode({"sign": "0"}),
    ],
)
async def test_a_forged_link_asks_nobody(shop: WeChatSimulator, mailbox: Mailbox, link: str) -> None:
    """A link with a wrong signature, merchant or field is refused on the phone."""
    assert await shop.scan(link) == Told("BAD_LINK", BAD_LINK)
    assert not mailbox.bodies


async def test_other_codes_are_no_payment(shop: WeChatSimulator) -> None:
    """A code that is none of WeChat Pay's."""
    answer = await asyncio.wait_for(shop.scan("https://example.com"), 5)
    assert isinstance(answer, Told)
    assert answer.code == "UNKNOWN_CODE"
