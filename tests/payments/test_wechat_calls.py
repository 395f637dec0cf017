"""What each call sends, and what each answer of WeChat Pay means; over real HTTP to a server that behaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from payments_server import Reply, WeChatServer, business, failure, raw
from payments_values import APP_ID, CREATED_AT, MINI_APP_ID, NOTICE, ORDER, REFUND, plain_xml

from kiosk.payments.gateway import (
    Closed,
    Missing,
    NotPaid,
    Paid,
    Payment,
    Prepared,
    RefundAccepted,
    Refunded,
    RefundFailed,
    RefundPending,
    RefundSum,
    Refused,
    Unclear,
)
from kiosk.payments.wechat.gateway import WeChatGateway
from kiosk.settings import SignType

MakeGateway = Callable[..., WeChatGateway]
NUMBER = ORDER.out_trade_no
PAYMENT = Payment(
    NUMBER,
    NOTICE["transaction_id"],
    APP_ID,
    350,
    "CNY",
    NOTICE["openid"],
    datetime(2026, 11, 23, 20, 31, 5, tzinfo=UTC),
)
SIGNERROR = raw(plain_xml({"return_code": "FAIL", "return_msg": "签名错误"}))
BUSY = raw(plain_xml({"return_code": "FAIL", "return_msg": "系统繁忙,请稍后再试"}))
CONTRADICTION = raw(plain_xml({"return_code": "FAIL", "return_msg": "x", "err_code": "ORDERNOTEXIST"}))


@pytest.fixture
def gateway(main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway) -> WeChatGateway:
    """A gateway whose first host behaves."""
    return make_gateway(main, backup)


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Path]:
    """Files that are there; without TLS nobody reads them."""
    files = {"client_cert_file": tmp_path / "cert.pem", "client_key_file": tmp_path / "key.pem"}
    for file in files.values():
        file.touch()
    return files


@pytest.fixture
def refunding(
    main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway, certificate: dict[str, Path]
) -> WeChatGateway:
    """A gateway that may refund."""
    return make_gateway(main, backup, **certificate)


class TestPrepay:
    async def test_a_code_can_be_had(self, gateway: WeChatGateway, main: WeChatServer) -> None:
        """A NATIVE order says what it is, in China Standard Time, and brings the text for a code."""
        assert await gateway.prepay(ORDER, urgent=False) == Prepared(
            "wx201411102639507cbf6ffd8b0779950874", "weixin://wxpay/bizpayurl?pr=NwY5Mz9&groupid=00"
        )
        sent = dict(main.seen.calls[0].fields)
        assert main.seen.calls[0].path == "/pay/unifiedorder"
        assert len(sent.pop("nonce_str")) == 32
        assert sent.pop("sign")
        assert sent == {
            "appid": APP_ID,
            "mch_id": "10000100",
            "sign_type": "HMAC-SHA256",
            "device_info": "lobby-1",
            "body": "大堂饮料机-可口可乐",
            "out_trade_no": NUMBER,
            "total_fee": "350",
            "spbill_create_ip": "127.0.0.1",
            "time_start": "20261124043015",
            "time_expire": "20261124050015",
            "notify_url": "https://pay.example.com/wxpay/notify",
            "trade_type": "NATIVE",
            "product_id": "cola",
        }

    async def test_an_order_of_the_mini_program_is_made_under_its_own_app(
        self, gateway: WeChatGateway, main: WeChatServer
    ) -> None:
        """JSAPI with the customer's openid; there is no code."""
        answer = await gateway.prepay(replace(ORDER, openid="oUpF8", client_ip="203.0.113.9"), urgent=True)
        assert answer == Prepared("wx201411102639507cbf6ffd8b0779950874", None)
        sent = main.seen.calls[0].fields
        assert (sent["trade_type"], sent["appid"], sent["openid"]) == ("JSAPI", MINI_APP_ID, "oUpF8")
        assert sent["spbill_create_ip"] == "203.0.113.9"

    async def test_a_repeat_is_the_same_but_for_nonce_and_sign(
        self, gateway: WeChatGateway, main: WeChatServer
    ) -> None:
        """WeChat refuses the re-entry of an order of which any parameter differs."""
        for urgent in (True, False):
            await gateway.prepay(ORDER, urgent=urgent)
        first, second = ({**call.fields, "nonce_str": "", "sign": ""} for call in main.seen.calls)
        assert first == second
        assert main.seen.calls[0].fields["nonce_str"] != main.seen.calls[1].fields["nonce_str"]

    @pytest.mark.parametrize(
        ("life", "expires"),
        [
            (timedelta(seconds=5), "20261124043615"),  # never nearer than WeChat allows
            (timedelta(seconds=420), "20261124043715"),
            (timedelta(hours=5), "20261124063015"),  # never later than a prepay_id lives
        ],
    )
    async def test_the_expiry_is_moved_to_where_wechat_takes_it(
        self, gateway: WeChatGateway, main: WeChatServer, life: timedelta, expires: str
    ) -> None:
        """Whatever the order's own life is."""
        await gateway.prepay(replace(ORDER, expires_at=CREATED_AT + life), urgent=False)
        assert main.seen.calls[0].fields["time_expire"] == expires

    @pytest.mark.parametrize(
        ("description", "body"),
        [
            ("可乐", "大堂饮料机-可乐"),
            ("大堂饮料机-可乐", "大堂饮料机-可乐"),
            ("a" * 200, "大堂饮料机-" + "a" * 111),
            ("红" * 60, "大堂饮料机-" + "红" * 37),
            (" 冰 <茶> & ]]> ", "大堂饮料机- 冰 <茶> & ]]> "),
        ],
    )
    async def test_the_customer_reads_shop_and_goods(
        self, gateway: WeChatGateway, main: WeChatServer, description: str, body: str
    ) -> None:
        """In the documented form, within 127 bytes of UTF-8 and without a cut character, blanks kept."""
        assert isinstance(await gateway.prepay(replace(ORDER, description=description), urgent=False), Prepared)
        assert main.seen.calls[0].fields["body"] == body

    async def test_a_machine_that_nothing_reaches_names_an_address_that_nobody_owns(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """An order cannot do without one; .invalid never resolves."""
        gateway = make_gateway(main, backup, public_url=None)
        assert isinstance(await gateway.prepay(ORDER, urgent=False), Prepared)
        assert main.seen.calls[0].fields["notify_url"] == "https://kiosk.invalid/wxpay/notify"

    async def test_md5_works_when_it_is_configured(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """Both ways, and only then."""
        main.seen.sign_type = SignType.MD5
        gateway = make_gateway(main, backup, sign_type=SignType.MD5)
        assert isinstance(await gateway.prepay(ORDER, urgent=False), Prepared)
        assert main.seen.calls[0].fields["sign_type"] == "MD5"
        main.seen.replies.append(raw(plain_xml({"return_code": "SUCCESS", "sign": "A" * 32})))
        assert isinstance(await gateway.prepay(ORDER, urgent=False), Unclear)

    @pytest.mark.parametrize(
        ("reply", "code", "permanent"),
        [
            *((failure(code), code, True) for code in ["NOAUTH", "APPID_NOT_EXIST", "MCHID_NOT_EXIST", "SIGNERROR"]),
            *((failure(code), code, True) for code in ["APPID_MCHID_NOT_MATCH", "LACK_PARAMS", "PARAM_ERROR"]),
            *((failure(code), code, True) for code in ["ORDERPAID", "ORDERCLOSED", "OUT_TRADE_NO_USED"]),
            *((failure(code), code, True) for code in ["INVALID_REQUEST", "XML_FORMAT_ERROR", "NOT_UTF8"]),
            *((failure(code), code, True) for code in ["POST_DATA_EMPTY", "REQUIRE_POST_METHOD"]),
            *((failure(code), code, False) for code in ["FREQUENCY_LIMIT", "FREQUENCY_LIMITED", "RATELIMIT_EXCEED"]),
            *((failure(code), code, False) for code in ["NOTENOUGH", "A_CODE_OF_NEXT_YEAR"]),
            (SIGNERROR, "FAIL", True),
            (BUSY, "FAIL", False),
        ],
    )
    async def test_a_no_says_whether_to_ask_again(
        self, gateway: WeChatGateway, main: WeChatServer, reply: Reply, code: str, permanent: bool
    ) -> None:
        """Configuration, mistakes and used numbers stay; rates and moods pass. A no is not asked twice by itself."""
        main.seen.replies.append(reply)
        answer = await gateway.prepay(ORDER, urgent=False)
        assert isinstance(answer, Refused)
        assert (answer.code, answer.permanent) == (code, permanent)
        assert answer.message
        assert len(main.seen.calls) == 1

    @pytest.mark.parametrize(
        "reply",
        [
            business(trade_type="NATIVE", prepay_id="wx1"),
            business(trade_type="NATIVE", code_url="weixin://x"),
            business(trade_type="JSAPI", prepay_id="wx1", code_url="weixin://x"),
            business(trade_type="NATIVE", prepay_id="wx1", code_url="weixin://x", mch_id="1900009851"),
            business(trade_type="NATIVE", prepay_id="wx1", code_url="weixin://x", appid="wx0"),
            business(trade_type="NATIVE", prepay_id="wx1", code_url="weixin://x", result_code=""),
        ],
    )
    async def test_a_yes_that_does_not_fit_is_no_yes(
        self, gateway: WeChatGateway, main: WeChatServer, reply: Reply
    ) -> None:
        """Incomplete, of another kind, or for another merchant or app."""
        main.seen.replies.append(reply)
        assert isinstance(await gateway.prepay(ORDER, urgent=False), Unclear)

    async def test_our_own_mistakes_are_not_sent(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """A number, a price or an app that cannot be right is refused here, in a sentence."""
        gateway = make_gateway(main, backup, miniprogram_app_id=None)
        for change in ({"out_trade_no": "no?"}, {"out_trade_no": "n" * 33}, {"amount_fen": 0}, {"openid": "o"}):
            answer = await gateway.prepay(replace(ORDER, **change), urgent=False)
            assert isinstance(answer, Refused)
            assert answer.permanent
        assert main.seen.calls == []


class TestQuery:
    async def test_a_paid_order_brings_its_payment(self, gateway: WeChatGateway, main: WeChatServer) -> None:
        """Asked for by number under the merchant's app, answered with everything the cashier compares."""
        assert await gateway.query(NUMBER, APP_ID) == Paid(PAYMENT)
        sent = main.seen.calls[0]
        assert sent.path == "/pay/orderquery"
        assert set(sent.fields) == {"appid", "mch_id", "out_trade_no", "nonce_str", "sign", "sign_type"}
        assert (sent.fields["appid"], sent.fields["out_trade_no"]) == (APP_ID, NUMBER)

    @pytest.mark.parametrize(
        ("state", "expected"),
        [
            ("REFUND", Paid(PAYMENT, refunded=True)),
            *((state, NotPaid()) for state in ["NOTPAY", "USERPAYING", "ACCEPT", "PAYERROR"]),
            *((state, Closed()) for state in ["CLOSED", "REVOKED"]),
        ],
    )
    async def test_each_state_has_its_meaning(
        self, gateway: WeChatGateway, main: WeChatServer, state: str, expected: object
    ) -> None:
        """A refunded order was paid; a failed try can be repeated; a revoked order is closed."""
        main.seen.replies.append(business(**NOTICE, trade_state=state))
        assert await gateway.query(NUMBER, APP_ID) == expected

    async def test_an_unpaid_order_comes_without_most_fields(
        self, gateway: WeChatGateway, main: WeChatServer
    ) -> None:
        """Even without the amount."""
        main.seen.replies.append(business(trade_state="NOTPAY", out_trade_no=NUMBER))
        assert await gateway.query(NUMBER, APP_ID) == NotPaid()

    async def test_an_order_of_the_mini_program_is_found_too(
        self, gateway: WeChatGateway, main: WeChatServer
    ) -> None:
        """It is asked for under the app id that it was made under."""
        main.seen.replies.append(business(**NOTICE | {"appid": MINI_APP_ID}, trade_state="SUCCESS"))
        assert await gateway.query(NUMBER, MINI_APP_ID) == Paid(replace(PAYMENT, app_id=MINI_APP_ID))
        assert main.seen.calls[0].fields["appid"] == MINI_APP_ID

    async def test_an_unknown_order_is_missing(self, gateway: WeChatGateway, main: WeChatServer) -> None:
        """ORDERNOTEXIST, if it is signed."""
        main.seen.replies.append(failure("ORDERNOTEXIST"))
        assert await gateway.query(NUMBER, APP_ID) == Missing()

    @pytest.mark.parametrize(
        "reply",
        [
            business(trade_state="A_STATE_OF_NEXT_YEAR", out_trade_no=NUMBER),
            business(out_trade_no=NUMBER),
            business(**NOTICE | {"out_trade_no": "lobby-1-another"}, trade_state="SUCCESS"),
            business(out_trade_no="lobby-1-another", trade_state="NOTPAY"),
            business(out_trade_no="lobby-1-another", trade_state="CLOSED"),
            business(**NOTICE | {"total_fee": ""}, trade_state="SUCCESS"),
            business(**NOTICE | {"time_end": "soon"}, trade_state="SUCCESS"),
            business(**NOTICE | {"out_trade_no": ""}, trade_state="SUCCESS"),
            failure("A_CODE_OF_NEXT_YEAR"),
            SIGNERROR,
            BUSY,
            CONTRADICTION,
        ],
    )
    async def test_anything_else_is_not_known(self, gateway: WeChatGateway, main: WeChatServer, reply: Reply) -> None:
        """Above all, return_code FAIL is never "not paid" or "no such order"."""
        main.seen.replies.append(reply)
        answer = await gateway.query(NUMBER, APP_ID)
        assert isinstance(answer, Unclear)
        assert answer.reason


class TestClose:
    @pytest.mark.parametrize(
        ("reply", "expected"),
        [
            (business(), Closed()),
            (failure("ORDERCLOSED"), Closed()),
            (failure("ORDERNOTEXIST"), Missing()),
        ],
    )
    async def test_closed_or_never_there(
        self, gateway: WeChatGateway, main: WeChatServer, reply: Reply, expected: object
    ) -> None:
        """Closing twice is as good as once."""
        main.seen.replies.append(reply)
        assert await gateway.close(NUMBER, APP_ID) == expected
        assert main.seen.paths() == ["closeorder"]

    async def test_a_payment_that_was_faster_is_brought(self, gateway: WeChatGateway, main: WeChatServer) -> None:
        """ORDERPAID is followed by a query, whose payment is the answer."""
        main.seen.replies.append(failure("ORDERPAID"))
        assert await gateway.close(NUMBER, APP_ID) == Paid(PAYMENT)
        assert main.seen.paths() == ["closeorder", "orderquery"]

    @pytest.mark.parametrize("state", ["NOTPAY", "CLOSED"])
    async def test_contradictions_are_not_known(self, gateway: WeChatGateway, main: WeChatServer, state: str) -> None:
        """ORDERPAID and then not paid settles nothing."""
        main.seen.replies += [failure("ORDERPAID"), business(trade_state=state, out_trade_no=NUMBER)]
        assert isinstance(await gateway.close(NUMBER, APP_ID), Unclear)

    @pytest.mark.parametrize("reply", [failure("TRADE_STATE_ERROR"), SIGNERROR, CONTRADICTION])
    async def test_other_noes_settle_nothing(self, gateway: WeChatGateway, main: WeChatServer, reply: Reply) -> None:
        """The order may still be paid."""
        main.seen.replies.append(reply)
        assert isinstance(await gateway.close(NUMBER, APP_ID), Unclear)


class TestRefund:
    async def test_a_refund_is_asked_for_by_transaction_and_our_number(
        self, refunding: WeChatGateway, main: WeChatServer
    ) -> None:
        """SUCCESS means accepted, no more."""
        assert refunding.can_refund
        assert await refunding.refund(REFUND) == RefundAccepted()
        sent = main.seen.calls[0]
        assert sent.path == "/secapi/pay/refund"
        wanted = {
            "appid": APP_ID,
            "transaction_id": REFUND.transaction_id,
            "out_refund_no": REFUND.out_refund_no,
            "total_fee": "350",
            "refund_fee": "350",
            "refund_desc": "没有出货",
            "notify_url": "https://pay.example.com/wxpay/refund-notify",
        }
        assert {name: sent.fields.get(name) for name in wanted} == wanted

    async def test_a_long_reason_is_cut_and_an_unreachable_machine_names_no_address(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway, certificate: dict[str, Path]
    ) -> None:
        """80 bytes for the reason; the notify_url is optional here."""
        gateway = make_gateway(main, backup, public_url=None, **certificate)
        assert await gateway.refund(replace(REFUND, reason="货" * 40)) == RefundAccepted()
        sent = main.seen.calls[0].fields
        assert sent["refund_desc"] == "货" * 26
        assert "notify_url" not in sent

    async def test_without_a_certificate_nothing_is_sent(self, gateway: WeChatGateway, main: WeChatServer) -> None:
        """A person has to do it."""
        answer = await gateway.refund(REFUND)
        assert not gateway.can_refund
        assert isinstance(answer, Refused)
        assert answer.permanent
        assert main.seen.calls == []

    @pytest.mark.parametrize(
        ("code", "permanent"),
        [
            *(
                (code, False)
                for code in ["NOTENOUGH", "FREQUENCY_LIMITED", "INVALID_REQ_TOO_MUCH", "ORDER_NOT_READY"]
            ),
            *((code, True) for code in ["USER_ACCOUNT_ABNORMAL", "TRADE_OVERDUE", "ERROR", "INVALID_REQUEST"]),
            *((code, True) for code in ["REFUND_FEE_MISMATCH", "INVALID_TRANSACTIONID", "ORDERNOTEXIST"]),
            *((code, True) for code in ["CERT_ERROR", "NOAUTH", "SIGNERROR", "PARAM_ERROR"]),
        ],
    )
    async def test_a_no_says_whether_to_ask_again(
        self, refunding: WeChatGateway, main: WeChatServer, code: str, permanent: bool
    ) -> None:
        """Empty accounts fill and rates pass; the rest needs a person."""
        main.seen.replies.append(failure(code))
        assert await refunding.refund(REFUND) == Refused(code, "说明", permanent=permanent)

    @pytest.mark.parametrize(
        "change", [{"out_refund_no": "other"}, {"out_trade_no": "other"}, {"refund_fee": "1"}, {"out_refund_no": ""}]
    )
    async def test_an_answer_about_another_refund_settles_nothing(
        self, refunding: WeChatGateway, main: WeChatServer, change: dict[str, str]
    ) -> None:
        """Its numbers and its amount have to be ours."""
        right = {"out_refund_no": REFUND.out_refund_no, "out_trade_no": REFUND.out_trade_no, "refund_fee": "350"}
        main.seen.replies += [business(**right), business(**right | change)]
        assert await refunding.refund(REFUND) == RefundAccepted()
        assert isinstance(await refunding.refund(REFUND), Unclear)


class TestQueryRefund:
    async def test_a_refund_is_found_by_our_number(self, gateway: WeChatGateway, main: WeChatServer) -> None:
        """Among several of the same order, numbered from 0."""
        main.seen.replies.append(
            business(
                refund_count="2",
                out_refund_no_0="lobby-1-0123456789-0",
                refund_status_0="REFUNDCLOSE",
                refund_id_0="5000",
                out_refund_no_1=REFUND.out_refund_no,
                refund_status_1="SUCCESS",
                refund_id_1="5001",
            )
        )
        assert await gateway.query_refund(REFUND.out_refund_no, APP_ID) == Refunded("5001")
        sent = main.seen.calls[0]
        assert (sent.path, sent.fields["out_refund_no"]) == ("/pay/refundquery", REFUND.out_refund_no)

    @pytest.mark.parametrize(
        ("status", "expected"),
        [("SUCCESS", Refunded("5000")), ("PROCESSING", RefundPending()), ("NOTSURE", Missing())],
    )
    async def test_each_state_has_its_meaning(
        self, gateway: WeChatGateway, main: WeChatServer, status: str, expected: object
    ) -> None:
        """NOTSURE wants the refund sent again under its number, as a missing one does."""
        number = REFUND.out_refund_no
        main.seen.replies.append(business(out_refund_no_0=number, refund_status_0=status, refund_id_0="5000"))
        assert await gateway.query_refund(number, APP_ID) == expected

    @pytest.mark.parametrize(("status", "fresh_number"), [("REFUNDCLOSE", True), ("CHANGE", False)])
    async def test_a_failed_refund_says_whether_a_new_number_helps(
        self, gateway: WeChatGateway, main: WeChatServer, status: str, fresh_number: bool
    ) -> None:
        """Closed: try anew. Sent back by the bank: a person must act."""
        main.seen.replies.append(business(out_refund_no_0=REFUND.out_refund_no, refund_status_0=status))
        answer = await gateway.query_refund(REFUND.out_refund_no, APP_ID)
        assert isinstance(answer, RefundFailed)
        assert answer.fresh_number is fresh_number

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            (failure("REFUNDNOTEXIST"), Missing),
            (failure("INVALID_TRANSACTIONID"), Unclear),
            (SIGNERROR, Unclear),
            (CONTRADICTION, Unclear),
            (business(out_refund_no_0="another", refund_status_0="SUCCESS", refund_id_0="1"), Unclear),
            (business(out_refund_no_0=REFUND.out_refund_no, refund_status_0="A_STATE_OF_NEXT_YEAR"), Unclear),
            (business(out_refund_no_0=REFUND.out_refund_no), Unclear),
            (business(), Unclear),
        ],
    )
    async def test_only_a_signed_word_makes_it_missing(
        self, gateway: WeChatGateway, main: WeChatServer, reply: Reply, kind: type
    ) -> None:
        """A refund taken for missing is sent again, so everything else is not known."""
        main.seen.replies.append(reply)
        assert isinstance(await gateway.query_refund(REFUND.out_refund_no, APP_ID), kind)


class TestQueryRefunds:
    async def test_all_that_went_back_is_summed_up(self, gateway: WeChatGateway, main: WeChatServer) -> None:
        """What is there and what is on its way, whoever sent it; a refund that failed is neither."""
        main.seen.replies.append(
            business(
                out_trade_no=NUMBER,
                refund_count="4",
                **{
                    f"refund_status_{n}": s for n, s in enumerate(("SUCCESS", "PROCESSING", "REFUNDCLOSE", "SUCCESS"))
                },
                **{f"refund_fee_{n}": fen for n, fen in enumerate(("100", "50", "350", "200"))},
            )
        )
        assert await gateway.query_refunds(NUMBER, APP_ID) == RefundSum(done_fen=300, pending_fen=50)
        sent = main.seen.calls[0]
        assert (sent.path, sent.fields["out_trade_no"]) == ("/pay/refundquery", NUMBER)

    @pytest.mark.parametrize(
        ("reply", "expected"),
        [
            (failure("REFUNDNOTEXIST"), RefundSum(0, 0)),
            (failure("INVALID_TRANSACTIONID"), None),
            (SIGNERROR, None),
            (business(out_trade_no="another", refund_status_0="SUCCESS", refund_fee_0="350"), None),
            (business(out_trade_no=NUMBER, refund_status_0="SUCCESS", refund_fee_0="all of it"), None),
        ],
    )
    async def test_only_a_signed_word_about_this_order_counts(
        self, gateway: WeChatGateway, main: WeChatServer, reply: Reply, expected: RefundSum | None
    ) -> None:
        """None at all is an answer; everything else is not known."""
        main.seen.replies.append(reply)
        answer = await gateway.query_refunds(NUMBER, APP_ID)
        assert answer == expected if expected is not None else isinstance(answer, Unclear)
