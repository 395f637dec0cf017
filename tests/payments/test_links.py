"""What a static code holds, and what a mini-program opens its cashier with."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from payments_values import MINI_APP_ID, SETTINGS, changed, hand_sign

from kiosk.payments.wechat.jsapi import request_payment_fields
from kiosk.payments.wechat.native import native_link
from kiosk.settings import SignType

DOCS_NONCE = "f6808210402125e30663234f94c87a8c"


@pytest.mark.parametrize("sign_type", SignType)
def test_the_link_carries_the_golden_signature(sign_type: SignType) -> None:
    """The documents' example link, signed with MD5 whatever is configured, without a blank in it."""
    link = native_link(changed(sign_type=sign_type), "1", time_stamp=1415949957, nonce=DOCS_NONCE)
    assert link == (
        "weixin://wxpay/bizpayurl?appid=wx2421b1c4370ec43b&mch_id=10000100"
        f"&nonce_str={DOCS_NONCE}&product_id=1&time_stamp=1415949957&sign=62C618B41B3C5F9050AB94C0580DDA8E"
    )


def test_values_are_signed_raw_and_encoded_only_in_the_link() -> None:
    """Odd product ids reach WeChat unharmed, under a signature over their raw text."""
    link = native_link(SETTINGS, "a&b=c 红+%/", time_stamp=1415949957, nonce=DOCS_NONCE)
    assert link.isascii()
    assert " " not in link
    query = parse_qs(urlsplit(link).query, strict_parsing=True)
    fields = {name: values[0] for name, values in query.items()}
    assert fields["product_id"] == "a&b=c 红+%/"
    assert fields.pop("sign") == hand_sign(fields, SignType.MD5)


@pytest.mark.parametrize(
    ("sign_type", "pay_sign"),
    [
        (SignType.MD5, "22D9B4E54AB1950F51E0649E8810ACD6"),
        (SignType.HMAC_SHA256, "FB9D1EFB5C509131BBFF729F88A99CA2DE9B724D06D3B3262832A53083862BC0"),
    ],
)
def test_the_phone_gets_the_golden_five_fields(sign_type: SignType, pay_sign: str) -> None:
    """The documents' example of wx.requestPayment, in both types; the app id is signed, and not handed over."""
    settings = replace(SETTINGS, api_key="qazwsxedcrfvtgbyhnujmikolp111111", sign_type=sign_type)
    fields = request_payment_fields(
        settings,
        MINI_APP_ID,
        "wx2017033010242291fcfe0db70013231072",
        time_stamp=1490840662,
        nonce="5K8264ILTKCH16CQ2502SI8ZNMTM67VS",
    )
    assert fields == {
        "timeStamp": "1490840662",
        "nonceStr": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS",
        "package": "prepay_id=wx2017033010242291fcfe0db70013231072",
        "signType": sign_type.value,
        "paySign": pay_sign,
    }
