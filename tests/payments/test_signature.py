"""Signatures of WeChat Pay v2, against published and computed vectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.payments.wechat.signature import nonce, sign, verify
from kiosk.settings import SignType

MD5, HMAC = SignType.MD5, SignType.HMAC_SHA256
DOCS_KEY = "192006250b4c09247ec02edce69f6a2d"
PHONE_KEY = "qazwsxedcrfvtgbyhnujmikolp111111"
DOCS = {
    "appid": "wxd930ea5d5a258f4f",
    "mch_id": "10000100",
    "device_info": "1000",
    "body": "test",
    "nonce_str": "ibuaiVcKdpRxkhJA",
}
PHONE = {
    "appId": "wxd678efh567hg6787",
    "nonceStr": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS",
    "package": "prepay_id=wx2017033010242291fcfe0db70013231072",
    "timeStamp": "1490840662",
}
REAL_ANSWER = {  # a real orderquery answer, with an empty attach
    "return_code": "SUCCESS",
    "return_msg": "OK",
    "appid": "wx426b3015555a46be",
    "mch_id": "1900009851",
    "nonce_str": "8VMExX7gt3imLgbM",
    "result_code": "SUCCESS",
    "openid": "oHZx6uKDzfAzljIKn_gP7mu99O3M",
    "is_subscribe": "N",
    "trade_type": "NATIVE",
    "bank_type": "CFT",
    "total_fee": "1",
    "fee_type": "CNY",
    "transaction_id": "4200000065201803063807324676",
    "out_trade_no": "SyVcLyh_z",
    "attach": "",
    "time_end": "20180306180002",
    "trade_state": "SUCCESS",
    "cash_fee": "1",
}
LINK = {
    "appid": "wx2421b1c4370ec43b",
    "mch_id": "10000100",
    "nonce_str": "f6808210402125e30663234f94c87a8c",
    "product_id": "1",
    "time_stamp": "1415949957",
}
REPLY = {
    "return_code": "SUCCESS",
    "appid": "wx2421b1c4370ec43b",
    "mch_id": "10000100",
    "nonce_str": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS",
    "prepay_id": "wx201411102639507cbf6ffd8b0779950874",
    "result_code": "SUCCESS",
}
ODD = {
    **DOCS,
    "body": '冰红茶 500ml & "糖" <2元>+%',
    "attach": "",
    "Zeta": "1",
    "_under": "2",
    "coupon_fee_10": "3",
    "coupon_fee_2": "4",
    "total_fee": "0",
}
VECTORS = [
    pytest.param(DOCS, DOCS_KEY, MD5, "9A0A8659F005D6984697E2CA0A9CF3B7", id="G1-md5"),
    pytest.param(
        DOCS, DOCS_KEY, HMAC, "6A9AE1657590FD6257D693A078E1C3E4BB6BA4DC30B23E0EE2496E54170DACD6", id="G1-hmac"
    ),
    pytest.param({**PHONE, "signType": "MD5"}, PHONE_KEY, MD5, "22D9B4E54AB1950F51E0649E8810ACD6", id="G2-md5"),
    pytest.param(
        {**PHONE, "signType": "HMAC-SHA256"},
        PHONE_KEY,
        HMAC,
        "FB9D1EFB5C509131BBFF729F88A99CA2DE9B724D06D3B3262832A53083862BC0",
        id="G2-hmac",
    ),
    pytest.param(
        REAL_ANSWER, "8934e7d15453e97507ef794cf7b0519d", MD5, "D115FD37C70247F7DECF192CE6F56B86", id="G3-empty-attach"
    ),
    pytest.param(LINK, DOCS_KEY, MD5, "62C618B41B3C5F9050AB94C0580DDA8E", id="link-md5"),
    pytest.param(
        LINK, DOCS_KEY, HMAC, "83FB10491E0527B86DB325BC0D253C2641B7DBF3EAC93A8CA469F492071DDF3F", id="link-hmac"
    ),
    pytest.param(LINK, PHONE_KEY, MD5, "AA2443B9830C9A81DABB587CF7428CBC", id="link-other-key"),
    pytest.param(
        LINK, "8934e7d15453e97507ef794cf7b0519d", MD5, "6AEF3381794A1F538306BBE6A2139534", id="link-third-key"
    ),
    pytest.param(REPLY, DOCS_KEY, MD5, "4C6D31DD982C504E4F32E03BD9728AE1", id="scan-reply"),
    pytest.param(ODD, DOCS_KEY, MD5, "246A94C871A7DB5C27730A14CB187FAF", id="odd-md5"),
    pytest.param(
        ODD, DOCS_KEY, HMAC, "8626266BA9E2DE458B5A6301FB1F43F9B59EFEE32BB149C952AF59A0F803E6B9", id="odd-hmac"
    ),
]


@pytest.mark.parametrize(("params", "key", "sign_type", "expected"), VECTORS)
def test_golden_vectors_are_met(params: dict[str, str], key: str, sign_type: SignType, expected: str) -> None:
    """Published and independently computed signatures come out to the letter, and verify."""
    assert sign(params, key, sign_type) == expected
    assert verify({**params, "sign": expected}, key, sign_type)


@pytest.mark.parametrize(
    "given_sign",
    [
        "512F68131DD251DA4A45DA79CC7EFE9D",  # of the documents' link, made with a key that was never published
        "62c618b41b3c5f9050ab94c0580dda8e",  # lower case
        "62C618B41B3C5F9050AB94C0580DDA8E ",
        "62C618B41B3C5F9050AB94C0580DDA8",
        "83FB10491E0527B86DB325BC0D253C2641B7DBF3EAC93A8CA469F492071DDF3F",  # right, but of the other type
        "签",
        "",
    ],
)
def test_any_other_signature_is_refused(given_sign: str) -> None:
    """Only the exact upper-case hex of the configured type verifies; odd ones are refused, not stumbled over."""
    assert not verify({**LINK, "sign": given_sign}, DOCS_KEY, MD5)


def test_a_missing_signature_is_refused() -> None:
    """A message without a sign field is not believed."""
    assert not verify(LINK, DOCS_KEY, MD5)


def test_the_message_cannot_choose_its_sign_type() -> None:
    """A message that says MD5 and is signed so is refused where HMAC is configured, and the reverse."""
    for said, configured in ((MD5, HMAC), (HMAC, MD5)):
        fields = {**LINK, "sign_type": said.value}
        fields["sign"] = sign(fields, DOCS_KEY, said)
        assert verify(fields, DOCS_KEY, said)
        assert not verify(fields, DOCS_KEY, configured)


@given(st.sampled_from(sorted(REAL_ANSWER)), st.text(min_size=1, max_size=5), st.sampled_from([MD5, HMAC]))
def test_every_field_is_under_the_signature(name: str, addition: str, sign_type: SignType) -> None:
    """To change any field, known or not, breaks the signature; so does a field more."""
    addition = addition.encode(errors="ignore").decode() or "x"
    fields = {**REAL_ANSWER, "sign": sign(REAL_ANSWER, DOCS_KEY, sign_type)}
    assert not verify({**fields, name: fields[name] + addition}, DOCS_KEY, sign_type)
    assert not verify({**fields, "new_field": addition}, DOCS_KEY, sign_type)


def test_zero_and_blanks_take_part_but_empty_values_do_not() -> None:
    """Zero and blanks are signed as they stand; an empty field is as good as none."""
    assert sign({"total_fee": "0"}, "k", MD5) != sign({}, "k", MD5)
    assert sign({"body": " x "}, "k", MD5) != sign({"body": "x"}, "k", MD5)
    assert sign({"attach": ""}, "k", MD5) == sign({}, "k", MD5)


def test_a_nonce_is_fresh_and_fits() -> None:
    """Nonces are at most 32 letters and digits, and do not come twice."""
    nonces = {nonce() for _ in range(1000)}
    assert len(nonces) == 1000
    assert all(len(each) <= 32 and each.isalnum() for each in nonces)
