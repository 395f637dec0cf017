"""The line to WeChat Pay under faults: time limits, the other host, answers that must not be believed."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from payments_server import (
    FAST,
    Reply,
    WeChatServer,
    business,
    drips,
    drips_headers,
    failure,
    flood,
    raw,
    reset,
    silence,
)
from payments_values import APP_ID, KEY, NOTICE, ORDER, SETTINGS, plain_xml, signed

from kiosk.clock import CHINA_STANDARD_TIME
from kiosk.payments.gateway import NotPaid, Paid, Prepared, Unclear
from kiosk.payments.wechat.client import CallLimits, Limits
from kiosk.payments.wechat.gateway import WeChatGateway
from kiosk.settings import SignType

MakeGateway = Callable[..., WeChatGateway]
NUMBER = ORDER.out_trade_no
NOT_PAID = business(trade_state="NOTPAY", out_trade_no=NUMBER)
SYSTEMERROR = failure("SYSTEMERROR")
BAD_GATEWAY = raw(b"<html><body><h1>502 Bad Gateway</h1></body></html>", 502, Content_Type="text/html")
BODILESS_ERROR = raw(b"", 500)
PORTAL = raw(b"<!DOCTYPE html><html><body>Log in to this network</body></html>", Content_Type="text/html")
CUT = raw(signed(NOTICE | {"trade_state": "SUCCESS"})[:-40])
OVERSIZED = raw(plain_xml({"return_code": "SUCCESS", "padding": "x" * 70_000}))
COMPRESSED = raw(gzip.compress(bytes(100_000_000), 1), Content_Encoding="gzip")
REDIRECT = raw(b"", 302, Location="http://localhost:1/pay/orderquery")
UNSIGNED_SYSTEMERROR = raw(plain_xml({"return_code": "FAIL", "return_msg": "x", "err_code": "SYSTEMERROR"}))


class AtTime:
    """A clock that stands."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        """The moment."""
        return self.moment


class TestRepeats:
    @pytest.mark.parametrize(
        "fault",
        [
            silence,
            reset,
            BAD_GATEWAY,
            BODILESS_ERROR,
            PORTAL,
            CUT,
            OVERSIZED,
            COMPRESSED,
            REDIRECT,
            SYSTEMERROR,
            UNSIGNED_SYSTEMERROR,
        ],
    )
    async def test_a_call_without_an_answer_goes_to_the_other_host_unchanged(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway, fault: Reply
    ) -> None:
        """Once, byte for byte; the second answer is taken."""
        main.seen.replies.append(fault)
        gateway = make_gateway(main, backup)
        assert isinstance(await gateway.query(NUMBER, APP_ID), Paid)
        assert [call.body for call in main.seen.calls] == [call.body for call in backup.seen.calls]
        assert gateway.reachability.consecutive_failures == 0

    @pytest.mark.parametrize("fault", [reset, BAD_GATEWAY, PORTAL, CUT, OVERSIZED, REDIRECT, SYSTEMERROR])
    async def test_twice_no_answer_is_not_known(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway, fault: Reply
    ) -> None:
        """Never more than two tries, then a reason that names both hosts."""
        main.seen.replies += [fault] * 3
        backup.seen.replies += [fault] * 3
        gateway = make_gateway(main, backup)
        answer = await gateway.query(NUMBER, APP_ID)
        assert isinstance(answer, Unclear)
        assert str(main.server_address[1]) in answer.reason
        assert str(backup.server_address[1]) in answer.reason
        assert (len(main.seen.calls), len(backup.seen.calls)) == (1, 1)
        assert gateway.reachability.consecutive_failures == 1
        assert gateway.reachability.last_error == answer.reason
        assert gateway.reachability.last_answer_at is None

    async def test_a_flood_is_cut_off(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """A gigabyte is not read to its end, only as far as the buffers of the network reach."""
        main.seen.replies.append(flood)
        assert isinstance(await make_gateway(main, backup).query(NUMBER, APP_ID), Paid)
        assert await asyncio.to_thread(main.seen.silence_over.wait, 5)
        assert main.seen.flooded_bytes < 16 << 20

    async def test_a_redirect_is_not_followed(
        self, main: WeChatServer, backup: WeChatServer, absent: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """Not even to another WeChat Pay: the signed order would go wherever the network says."""
        main.seen.replies.append(raw(b"", 307, Location=f"{backup.base}/pay/orderquery"))
        answer = await make_gateway(main, absent).query(NUMBER, APP_ID)
        assert isinstance(answer, Unclear)
        assert "HTTP 307" in answer.reason
        assert backup.seen.calls == []


class TestBelief:
    @pytest.mark.parametrize(
        "reply",
        [
            raw(signed(NOTICE | {"trade_state": "SUCCESS"}, key="another key")),
            raw(signed(NOTICE | {"trade_state": "SUCCESS", "sign_type": "MD5"}, SignType.MD5)),
            raw(plain_xml(NOTICE | {"trade_state": "SUCCESS"})),
            raw(plain_xml(NOTICE | {"trade_state": "NOTPAY", "sign": ""})),
            business(**NOTICE | {"mch_id": "1900009851"}, trade_state="SUCCESS"),
            business(**NOTICE | {"appid": "wx0"}, trade_state="SUCCESS"),
            raw(signed(NOTICE).replace(b"<total_fee>350<", b"<total_fee>35<")),
        ],
    )
    async def test_an_answer_that_is_not_ours_settles_nothing(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway, reply: Reply
    ) -> None:
        """Wrong key, wrong type, no signature, another merchant, altered: not known, and not asked elsewhere."""
        main.seen.replies.append(reply)
        gateway = make_gateway(main, backup)
        assert isinstance(await gateway.query(NUMBER, APP_ID), Unclear)
        assert backup.seen.calls == []
        assert gateway.reachability.consecutive_failures == 1

    async def test_an_answer_in_md5_is_refused_where_hmac_is_configured_and_the_reverse(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """The configured type is used both ways."""
        main.seen.sign_type = SignType.MD5
        main.seen.replies.append(raw(signed(NOTICE | {"trade_state": "SUCCESS"}, SignType.HMAC_SHA256)))
        gateway = make_gateway(main, backup, sign_type=SignType.MD5)
        assert isinstance(await gateway.query(NUMBER, APP_ID), Unclear)
        assert isinstance(await gateway.query(NUMBER, APP_ID), Paid)

    async def test_blanks_coupons_and_new_fields_are_signed_as_they_stand(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """A customer with coupons and a message of next year are believed like any other."""
        extra = {"attach": "  a  ", "coupon_fee": "100", "coupon_fee_10": "3", "coupon_fee_2": "4", "brand_new": " "}
        main.seen.replies.append(business(**NOTICE, **extra, trade_state="SUCCESS"))
        assert isinstance(await make_gateway(main, backup).query(NUMBER, APP_ID), Paid)


class TestTime:
    async def test_an_urgent_call_ends_in_time_though_both_hosts_are_silent(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """With the product's own limits: a scan callback has to be answered within 3 s, whatever happens here."""
        main.seen.replies.append(silence)
        backup.seen.replies.append(silence)
        gateway = make_gateway(main, backup, limits=Limits())
        started = time.monotonic()
        assert isinstance(await gateway.prepay(ORDER, urgent=True), Unclear)
        assert time.monotonic() - started < 2.6
        assert main.seen.paths() == backup.seen.paths() == ["unifiedorder"]

    async def test_an_urgent_call_is_saved_by_the_other_host(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """One silent host leaves time for the other."""
        main.seen.replies.append(silence)
        gateway = make_gateway(main, backup, limits=Limits())
        assert isinstance(await gateway.prepay(ORDER, urgent=True), Prepared)

    @pytest.mark.parametrize("drip", [drips, drips_headers])
    async def test_an_answer_in_drops_ends_with_the_call_s_time(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway, drip: Reply
    ) -> None:
        """No byte comes late, and yet the whole does."""
        main.seen.replies.append(drip)
        gateway = make_gateway(main, backup)
        started = time.monotonic()
        assert isinstance(await gateway.prepay(ORDER, urgent=True), Unclear)
        assert time.monotonic() - started < FAST.urgent.total_seconds + 0.2
        assert gateway.reachability.consecutive_failures == 1

    async def test_urgent_calls_do_not_queue_behind_background_ones(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """With every background thread waiting for a silent server, a customer is served."""
        main.seen.replies += [silence] * 4
        limits = Limits(urgent=FAST.urgent, background=CallLimits(0.5, 5.0, 6.0))
        gateway = make_gateway(main, backup, limits=limits)
        waiting = [asyncio.create_task(gateway.query(NUMBER, APP_ID)) for _ in range(12)]
        await asyncio.to_thread(main.seen.wait_for, 4)
        started = time.monotonic()
        assert isinstance(await gateway.prepay(ORDER, urgent=True), Prepared)
        assert time.monotonic() - started < 0.5
        main.seen.silence_over.set()
        assert all(isinstance(answer, Paid) for answer in await asyncio.gather(*waiting))

    async def test_a_call_that_waited_too_long_for_a_thread_is_not_sent(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """Its time counts from the moment it was asked for; a try that cannot end in time is not begun."""
        main.seen.replies += [silence] * 4
        gateway = make_gateway(main, backup, limits=Limits(FAST.urgent, CallLimits(0.5, 0.6, 0.8)))
        answers = await asyncio.gather(*(gateway.query(NUMBER, APP_ID) for _ in range(8)))
        assert all(isinstance(answer, Unclear) for answer in answers)
        assert "no thread" in answers[-1].reason
        assert (len(main.seen.calls), len(backup.seen.calls)) == (4, 0)

    async def test_answers_in_drops_do_not_keep_the_threads(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """After as many of them as there are threads, the next customer is served."""
        main.seen.replies += [drips] * 4
        gateway = make_gateway(main, backup)
        await asyncio.gather(*(gateway.prepay(ORDER, urgent=True) for _ in range(4)))
        assert isinstance(await gateway.prepay(ORDER, urgent=True), Prepared)

    async def test_the_event_loop_stays_free(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """Twenty calls at once do not hold the loop up for 50 ms."""
        gateway = make_gateway(main, backup)
        await gateway.query(NUMBER, APP_ID)  # imports are done
        longest = 0.0
        calls = asyncio.gather(*(gateway.query(NUMBER, APP_ID) for _ in range(20)))
        while not calls.done():
            before = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - before)
        await calls
        assert longest < 0.05

    async def test_closing_lets_calls_end_and_then_takes_no_more(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """A refund under way is not cut off, nor one that waits for a thread."""
        main.seen.replies += [silence] * 4
        gateway = make_gateway(main, backup)
        under_way = [asyncio.create_task(gateway.query(NUMBER, APP_ID)) for _ in range(6)]
        await asyncio.to_thread(main.seen.wait_for, 4)
        await gateway.aclose()
        assert all(isinstance(answer, Paid) for answer in await asyncio.gather(*under_way))
        assert isinstance(await gateway.query(NUMBER, APP_ID), Unclear)
        assert (len(main.seen.calls), len(backup.seen.calls)) == (6, 4)


class TestHosts:
    async def test_a_host_that_refuses_connections_is_left_for_the_backup_and_tried_again_later(
        self, absent: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """After three failures to connect the backup comes first; after its time the main host does again."""
        gateway = make_gateway(absent, backup)
        assert str(absent.server_address[1]) in gateway.reachability.host
        for _ in range(3):
            assert isinstance(await gateway.query(NUMBER, APP_ID), Paid)
            assert gateway.reachability.consecutive_failures == 0
        assert str(backup.server_address[1]) in gateway.reachability.host
        absent.listen()
        assert isinstance(await gateway.query(NUMBER, APP_ID), Paid)
        assert absent.seen.calls == []
        await asyncio.sleep(FAST.back_to_main_seconds)  # the time itself is the promise
        assert str(absent.server_address[1]) in gateway.reachability.host
        assert isinstance(await gateway.query(NUMBER, APP_ID), Paid)
        assert len(absent.seen.calls) == 1

    async def test_failures_count_only_since_the_last_answer(
        self, main: WeChatServer, absent: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """A host that answers, even with nonsense, can be connected to and stays first."""
        gateway = make_gateway(main, absent)
        main.seen.replies += [BAD_GATEWAY] * 5
        for _ in range(5):
            assert isinstance(await gateway.query(NUMBER, APP_ID), Unclear)
        assert str(main.server_address[1]) in gateway.reachability.host

    async def test_the_main_host_saves_a_call_while_the_backup_is_first(
        self, absent: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """And is the first again at once."""
        gateway = make_gateway(absent, backup, limits=Limits(FAST.urgent, FAST.background, 60))
        for _ in range(3):
            await gateway.query(NUMBER, APP_ID)
        absent.listen()
        backup.seen.replies.append(reset)
        assert isinstance(await gateway.query(NUMBER, APP_ID), Paid)
        assert str(absent.server_address[1]) in gateway.reachability.host

    async def test_no_network_at_all_is_told_and_forgotten_with_the_first_answer(
        self, absent: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """The reason names the host and why; the count starts anew."""
        gateway = make_gateway(absent, absent)
        for count in (1, 2, 3, 4):
            answer = await gateway.query(NUMBER, APP_ID)
            assert isinstance(answer, Unclear)
            assert "Connection refused" in answer.reason
            assert gateway.reachability.consecutive_failures == count
        absent.listen()
        absent.seen.replies.append(NOT_PAID)
        assert await gateway.query(NUMBER, APP_ID) == NotPaid()
        assert gateway.reachability.consecutive_failures == 0
        assert gateway.reachability.last_answer_at is not None

    async def test_a_name_that_is_not_found_is_told(self, backup: WeChatServer, make_gateway: MakeGateway) -> None:
        """And the other host is asked."""

        class Nowhere:
            base = "http://api.mch.invalid"

        gateway = make_gateway(Nowhere(), backup, limits=Limits())
        assert isinstance(await gateway.query(NUMBER, APP_ID), Paid)
        answer = await make_gateway(Nowhere(), Nowhere(), limits=Limits()).query(NUMBER, APP_ID)
        assert isinstance(answer, Unclear)
        assert "api.mch.invalid" in answer.reason


class TestClock:
    async def test_wechat_s_clock_is_known_from_its_last_answer(
        self, main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway
    ) -> None:
        """Ahead of ours counts positive; an answer that is not believed tells no time."""
        ours = datetime(2026, 11, 23, 20, 0, 0, tzinfo=UTC)
        clock = AtTime(ours.astimezone(CHINA_STANDARD_TIME))
        gateway = make_gateway(main, backup, clock=clock)
        assert gateway.clock_offset_seconds is None
        for server in (main, backup):
            server.seen.date = "Mon, 23 Nov 2026 21:00:07 GMT"
        main.seen.replies.append(raw(plain_xml(NOTICE)))
        await gateway.query(NUMBER, APP_ID)
        assert gateway.clock_offset_seconds is None
        await gateway.query(NUMBER, APP_ID)
        assert gateway.clock_offset_seconds == 3607
        assert gateway.reachability.last_answer_at == ours
        clock.moment = ours + timedelta(hours=2)
        await gateway.query(NUMBER, APP_ID)
        assert gateway.clock_offset_seconds == 3607 - 7200
        main.seen.date = "yesterday"
        assert isinstance(await gateway.query(NUMBER, APP_ID), Paid)


async def test_no_log_line_holds_a_key_or_a_body(
    main: WeChatServer, backup: WeChatServer, make_gateway: MakeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines name order, call, code, host and time, and nothing that could be replayed."""
    caplog.set_level(logging.DEBUG)
    main.seen.replies += [failure("NOAUTH"), reset]
    backup.seen.replies.append(BAD_GATEWAY)
    gateway = make_gateway(main, backup)
    await gateway.prepay(ORDER, urgent=True)
    await gateway.prepay(ORDER, urgent=True)
    await gateway.query(NUMBER, APP_ID)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("kiosk")]
    assert len(lines) == 3
    assert all(NUMBER in line for line in lines)
    for secret in (KEY, NOTICE["openid"], main.seen.calls[0].fields["sign"], "<xml>"):
        assert secret not in caplog.text
    assert KEY not in repr(SETTINGS)
