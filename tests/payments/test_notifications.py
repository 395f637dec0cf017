"""What WeChat posts: believed only when signed as configured, for us, and about a payment."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from hypothesis import given
from hypothesis import strategies as st
from payments_values import APP_ID, KEY, MCH_ID, MINI_APP_ID, NOTICE, SETTINGS, changed, hand_sign, plain_xml, signed

from kiosk.payments.gateway import Payment, Refunded, RefundFailed, RefundNotice
from kiosk.payments.wechat import xml
from kiosk.payments.wechat.notifications import (
    SUCCESS_REPLY,
    Inbound,
    NotBelieved,
    PaymentNotMade,
    Scan,
    failure_reply,
)
from kiosk.settings import SignType

MD5, HMAC = SignType.MD5, SignType.HMAC_SHA256
INBOUND = Inbound(SETTINGS, miniprogram_app_id=MINI_APP_ID)
SCAN = {
    "appid": APP_ID,
    "openid": "oUpF8uMEb4qRXf22hE3X68TekukE",
    "mch_id": MCH_ID,
    "is_subscribe": "Y",
    "nonce_str": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS",
    "product_id": "cola",
}
A_SCAN = Scan(APP_ID, SCAN["openid"], "cola", SCAN["nonce_str"])
REFUND = {
    "transaction_id": "4200000065201803063807324676",
    "out_trade_no": "lobby-1-0123456789",
    "refund_id": "50000408942018111907145868882",
    "out_refund_no": "lobby-1-0123456789-1",
    "total_fee": "350",
    "settlement_total_fee": "350",
    "refund_fee": "350",
    "settlement_refund_fee": "350",
    "refund_status": "SUCCESS",
    "success_time": "2026-11-24 04:35:00",
    "refund_recv_accout": "支付用户零钱",
    "refund_account": "REFUND_SOURCE_UNSETTLED_FUNDS",
    "refund_request_source": "API",
}


def aes_256_ecb(plain: bytes, key: bytes) -> str:
    """Padded as PKCS7 says, in base64."""
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - WeChat's choice
    padded = padder.update(plain) + padder.finalize()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def md5_hex(text: str) -> str:
    """In lower case."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def encrypted(plain: bytes, key: str = KEY) -> str:
    """As WeChat encrypts what it tells of a refund."""
    return aes_256_ecb(plain, md5_hex(key).encode())


def refund_body(inner: bytes | None = None, **outer: str) -> bytes:
    """A refund notification around an inner message."""
    req_info = encrypted(plain_xml(REFUND, "root") if inner is None else inner)
    fields = {"return_code": "SUCCESS", "appid": APP_ID, "mch_id": MCH_ID, "nonce_str": "n", "req_info": req_info}
    return plain_xml(fields | outer)


class TestScan:
    def test_a_scan_is_read(self) -> None:
        """It has no return_code, and says who wants what."""
        assert INBOUND.read_scan(signed(SCAN, MD5)) == A_SCAN

    def test_scans_are_signed_with_md5_whatever_is_configured(self) -> None:
        """The static code's exchange has no sign_type; HMAC is not taken there."""
        with pytest.raises(NotBelieved, match="signature"):
            INBOUND.read_scan(signed(SCAN, HMAC))

    @pytest.mark.parametrize(
        "change", [{"appid": "wx0"}, {"appid": MINI_APP_ID}, {"mch_id": "1"}, {"product_id": ""}, {"nonce_str": ""}]
    )
    def test_a_scan_for_another_or_without_its_fields_is_not_believed(self, change: dict[str, str]) -> None:
        """Also when its signature is right."""
        with pytest.raises(NotBelieved):
            INBOUND.read_scan(signed(SCAN | change, MD5))

    def test_the_answer_that_opens_the_cashier_is_the_golden_one(self) -> None:
        """Its fields and signature are those computed for the documents' example."""
        body = INBOUND.scan_prepaid(A_SCAN, "wx201411102639507cbf6ffd8b0779950874")
        assert xml.parse(body) == {
            "return_code": "SUCCESS",
            "appid": APP_ID,
            "mch_id": MCH_ID,
            "nonce_str": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS",
            "prepay_id": "wx201411102639507cbf6ffd8b0779950874",
            "result_code": "SUCCESS",
            "sign": "4C6D31DD982C504E4F32E03BD9728AE1",
        }
        assert b">\n" not in body
        assert b"> <" not in body

    def test_a_refusal_says_why_in_the_customers_words(self) -> None:
        """Signed, return_code SUCCESS, result_code FAIL; the text fits 128 bytes without a cut character."""
        fields = xml.parse(INBOUND.scan_refused(A_SCAN, "此商品已售完，" * 20))
        assert fields.pop("sign") == hand_sign(fields, MD5)
        assert (fields["return_code"], fields["result_code"], fields["prepay_id"]) == ("SUCCESS", "FAIL", "")
        text = fields["err_code_des"]
        assert 126 <= len(text.encode()) <= 128
        assert ("此商品已售完，" * 20).startswith(text)


class TestPayment:
    def test_a_payment_is_read(self) -> None:
        """Every value comes typed, the time with its zone."""
        assert INBOUND.read_payment(signed(NOTICE)) == Payment(
            out_trade_no="lobby-1-0123456789",
            transaction_id="4200000065201803063807324676",
            app_id=APP_ID,
            total_fen=350,
            currency="CNY",
            openid="oUpF8uMEb4qRXf22hE3X68TekukE",
            paid_at=datetime(2026, 11, 23, 20, 31, 5, tzinfo=UTC),
        )

    def test_a_payment_in_the_mini_program_is_ours_too(self) -> None:
        """With its own app id, which the event tells."""
        notice = NOTICE | {"appid": MINI_APP_ID, "trade_type": "JSAPI"}
        assert INBOUND.read_payment(signed(notice)).app_id == MINI_APP_ID
        with pytest.raises(NotBelieved, match="app"):
            Inbound(SETTINGS, miniprogram_app_id=None).read_payment(signed(notice))

    @pytest.mark.parametrize(
        "extra",
        [
            {"sign_type": "HMAC-SHA256"},
            {"attach": ""},
            {"attach": " around "},
            {"device_info": "lobby-1", "brand_new_field": "1"},
            {"cash_fee": "250", "coupon_fee": "100", "coupon_count": "11"}
            | {f"coupon_fee_{i}": "10" for i in range(11)}
            | {f"coupon_id_{i}": f"{i}" for i in range(11)},
            {"settlement_total_fee": "300", "coupon_fee_0": "50", "coupon_type_0": "NO_CASH"},
            {"bank_type": "招商<&>"},
        ],
    )
    def test_fields_that_come_and_go_change_nothing(self, extra: dict[str, str]) -> None:
        """Coupons, empty values, blanks and fields of next year are under the signature; the price is total_fee."""
        assert INBOUND.read_payment(signed(NOTICE | extra)).total_fen == 350

    def test_a_payment_without_a_currency_is_in_yuan(self) -> None:
        """The field is optional."""
        notice = {name: value for name, value in NOTICE.items() if name != "fee_type"}
        assert INBOUND.read_payment(signed(notice)).currency == "CNY"
        assert INBOUND.read_payment(signed(notice | {"fee_type": "USD"})).currency == "USD"

    @pytest.mark.parametrize(("configured", "used"), [(HMAC, MD5), (MD5, HMAC)])
    @pytest.mark.parametrize("says", [None, "MD5", "HMAC-SHA256"])
    def test_only_the_configured_sign_type_is_believed(
        self, configured: SignType, used: SignType, says: str | None
    ) -> None:
        """Neither its sign_type field nor the length of its signature lets a message choose the weaker type."""
        inbound = Inbound(changed(sign_type=configured), miniprogram_app_id=None)
        notice = NOTICE if says is None else NOTICE | {"sign_type": says}
        assert inbound.read_payment(signed(notice, configured))
        with pytest.raises(NotBelieved, match="signature"):
            inbound.read_payment(signed(notice, used))

    @pytest.mark.parametrize(
        "change",
        [
            {"mch_id": "1900009851"},
            {"mch_id": ""},
            {"appid": "wx0000000000000000"},
            {"appid": ""},
            {"return_code": "FAIL"},
            {"return_code": ""},
            {"result_code": ""},
            {"out_trade_no": ""},
            {"transaction_id": ""},
            {"total_fee": ""},
            {"total_fee": "3.50"},
            {"total_fee": "-350"},
            {"total_fee": "３５０"},
            {"total_fee": "9" * 5000},
            {"time_end": ""},
            {"time_end": "20261399999999"},
            {"time_end": "2026-11-24 04:31"},
        ],
    )
    def test_a_signed_message_that_tells_of_no_payment_to_us_is_not_believed(self, change: dict[str, str]) -> None:
        """A right signature alone makes no payment."""
        with pytest.raises(NotBelieved):
            INBOUND.read_payment(signed(NOTICE | change))

    def test_a_failed_payment_is_a_case_of_its_own(self) -> None:
        """Signed and genuine, but nothing was paid; unsigned, it is just not believed."""
        failed = NOTICE | {"result_code": "FAIL", "err_code": "SYSTEMERROR"}
        with pytest.raises(PaymentNotMade, match="SYSTEMERROR"):
            INBOUND.read_payment(signed(failed))
        with pytest.raises(NotBelieved) as caught:
            INBOUND.read_payment(plain_xml(failed | {"sign": "0" * 64}))
        assert not isinstance(caught.value, PaymentNotMade)

    @given(st.sampled_from(sorted(NOTICE)), st.sampled_from(["1", "0", "x", "SUCCESS", "FAIL", MCH_ID]))
    def test_no_change_after_signing_survives(self, name: str, value: str) -> None:
        """Whatever single field is altered on the way, the message is not believed."""
        if NOTICE[name] == value:
            return
        forged = NOTICE | {"sign": hand_sign(NOTICE), name: value}
        with pytest.raises(NotBelieved):
            INBOUND.read_payment(plain_xml(forged))

    def test_the_documents_own_example_does_not_verify(self) -> None:
        """Its key was never published: it must not be believed under ours."""
        example = NOTICE | {"sign": "B552ED6B279343CB493C5DD0D78AB241"}
        for sign_type in SignType:
            with pytest.raises(NotBelieved):
                Inbound(changed(sign_type=sign_type), miniprogram_app_id=None).read_payment(plain_xml(example))

    def test_a_doubled_amount_is_not_believed(self) -> None:
        """Two readers could see two amounts, one of them under the signature."""
        body = signed(NOTICE).replace(
            b"<total_fee>350</total_fee>", b"<total_fee>350</total_fee><total_fee>1</total_fee>"
        )
        with pytest.raises(NotBelieved, match="twice"):
            INBOUND.read_payment(body)


class TestRefund:
    def test_a_refund_is_decrypted(self) -> None:
        """The inner message is read with the key's MD5, and what it says comes typed."""
        assert INBOUND.read_refund(refund_body()) == RefundNotice(
            "lobby-1-0123456789", "lobby-1-0123456789-1", 350, Refunded("50000408942018111907145868882")
        )

    @pytest.mark.parametrize(("status", "fresh_number"), [("REFUNDCLOSE", True), ("CHANGE", False)])
    def test_a_failed_refund_says_whether_a_new_number_helps(self, status: str, fresh_number: bool) -> None:
        """A closed refund may be tried anew; money that the bank sent back needs a person."""
        notice = INBOUND.read_refund(refund_body(plain_xml(REFUND | {"refund_status": status}, "root")))
        assert isinstance(notice.result, RefundFailed)
        assert notice.result.fresh_number is fresh_number

    @pytest.mark.parametrize(
        "body",
        [
            refund_body(appid="wx0"),
            refund_body(mch_id="1"),
            refund_body(return_code="FAIL"),
            refund_body(req_info=""),
            refund_body(req_info="not base64!"),
            refund_body(req_info="AAAA"),
            refund_body(req_info=base64.b64encode(bytes(64)).decode()),
            refund_body(req_info=encrypted(plain_xml(REFUND, "root"), key="another key")),
            refund_body(plain_xml(REFUND, "xml")),
            refund_body(b'<!DOCTYPE root [<!ENTITY a "SUCCESS">]><root><refund_status>&a;</refund_status></root>'),
            refund_body(plain_xml(REFUND | {"refund_status": "PROCESSING"}, "root")),
            refund_body(plain_xml(REFUND | {"refund_fee": "3.5"}, "root")),
            refund_body(plain_xml(REFUND | {"out_refund_no": ""}, "root")),
            refund_body(plain_xml({"refund_status": "SUCCESS"}, "root")),
            signed(NOTICE),
            b"",
        ],
    )
    def test_what_cannot_be_decrypted_or_read_is_not_believed(self, body: bytes) -> None:
        """Wrong key, padding, root, numbers or merchant: each is refused in a sentence."""
        with pytest.raises(NotBelieved) as caught:
            INBOUND.read_refund(body)
        assert str(caught.value).endswith(".")

    def test_the_other_side_encrypts_as_published(self) -> None:
        """What these tests encrypt with agrees with the vectors of official and other clients."""
        assert aes_256_ecb(b"hello", b"0123456789abcdef0123456789abcdef") == "pZwJZBLuy3mDACEQT4YTBw=="
        assert md5_hex("exposed_your_key_here_have_risks") == "4ad14ac334ab13540eb6c5479512a8e8"

    def test_line_breaks_in_the_base64_do_no_harm(self) -> None:
        """It is not signed, and encoders break long lines."""
        req_info = encrypted(plain_xml(REFUND, "root"))
        folded = "\n".join(req_info[i : i + 76] for i in range(0, len(req_info), 76))
        assert INBOUND.read_refund(refund_body(req_info=folded)) == INBOUND.read_refund(refund_body())


class TestReplies:
    def test_success_is_said_to_the_letter(self) -> None:
        """One line, no blank between the tags, no sign."""
        assert SUCCESS_REPLY == (
            b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"
        )

    def test_failure_gives_its_reason_within_the_limit(self) -> None:
        """At most 128 bytes of it."""
        fields = xml.parse(failure_reply("签" * 100))
        assert fields["return_code"] == "FAIL"
        assert fields["return_msg"] == "签" * 42

    @given(st.binary(max_size=300))
    def test_noise_is_not_believed_and_nothing_worse(self, body: bytes) -> None:
        """No body makes a reader raise anything but NotBelieved, and its reason can always be sent back."""
        for read in (INBOUND.read_scan, INBOUND.read_payment, INBOUND.read_refund):
            with pytest.raises(NotBelieved) as caught:
                read(body)
            assert failure_reply(str(caught.value))
