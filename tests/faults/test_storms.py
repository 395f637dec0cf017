"""Storms at the public listener: many true messages at once, and ten thousand that are not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scenario_kit import Bench, bench
from storm_kit import Hostile, Lag, Liar, head, resident_bytes, storm
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from kiosk.audit import Audit, audit
from kiosk.orders import OrderState
from kiosk.simulation.messages import payment_notice

SUCCESS = b"<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg><![CDATA[OK]]></return_msg></xml>"
COPIES = 200
HOSTILE_REQUESTS = 10_000
AT_ONCE = 16  # senders of hostile requests; with idle connections beside them
IDLE_CONNECTIONS = 100
ANSWER_SECONDS = 1.0  # for each of them
LAG_SECONDS = 0.05  # of the loop, in the middle of the storm's moments
WORST_LAG_SECONDS = 0.15  # in the worst hundredth of them; 30 ms on two idle cores, but tests share theirs
GROWTH_BYTES = 5 * 1024 * 1024
WECHAT_SECONDS = 5.0  # WeChat's patience with a notification


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Logs go to a file, as on a machine: pytest would keep them in the memory that is measured.

    No fixture: pytest listens to loggers that do not propagate when the test itself begins.
    """
    handler = logging.FileHandler(path)
    loggers = [logging.getLogger(name) for name in ("kiosk", "tornado", "hardware")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True
        handler.close()


@pytest.fixture
async def client() -> AsyncIterator[AsyncHTTPClient]:
    """As many connections as copies."""
    made = AsyncHTTPClient(force_instance=True, max_clients=COPIES)
    yield made
    made.close()


def true_notice(here: Bench, number: str) -> bytes:
    """The notification that WeChat would send for a paid order."""
    order = here.wechat.ledger.orders[number]
    assert order.payment is not None
    return payment_notice(order, order.payment, here.wechat.merchant, names_sign_type=False)


async def pay_in_silence(here: Bench) -> tuple[str, bytes]:
    """A paid order whose notification WeChat keeps to itself, and that notification."""
    here.wechat.faults.set("notify", "never")
    number = await here.buy("cola")
    return number, true_notice(here, number)


class TestTrueOnes:
    async def test_two_hundred_copies_at_once(
        self, tmp_path: Path, client: AsyncHTTPClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All are answered SUCCESS within WeChat's patience, though orderquery tells the same: one can, one event."""
        monkeypatch.setattr("kiosk.unpaid.QUERY_CODE_SECONDS", 0.01)
        async with bench(tmp_path) as here:
            number, notice = await pay_in_silence(here)
            url = f"http://127.0.0.1:{here.settings.callbacks.port}/wxpay/notify"
            loop = asyncio.get_running_loop()
            started = loop.time()
            answers = await asyncio.gather(
                *(client.fetch(url, method="POST", body=notice, raise_error=False) for _ in range(COPIES))
            )
            seconds = loop.time() - started
            await here.settled(number, OrderState.DISPENSED)
            kinds = await here.kinds(number)

        assert {SUCCESS} == {answer.body for answer in answers}
        assert seconds < WECHAT_SECONDS
        assert 1 == kinds.count("paid") == kinds.count("dispensed")
        assert (1, (350, 0)) == (len(here.board.drops), here.money(number))
        assert () == audit(here.journal_file).findings

    async def test_copies_across_a_restart(
        self, tmp_path: Path, client: AsyncHTTPClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The machine restarts under the storm; who got no answer sends again, as WeChat does: one can in the end."""
        monkeypatch.setattr("kiosk.unpaid.QUERY_CODE_SECONDS", 0.01)
        async with bench(tmp_path) as here:
            number, notice = await pay_in_silence(here)
            url = f"http://127.0.0.1:{here.settings.callbacks.port}/wxpay/notify"

            async def send_until_taken() -> None:
                while True:
                    try:
                        answer = await client.fetch(url, method="POST", body=notice, raise_error=False)
                    except (OSError, HTTPClientError):  # nobody listens, or the connection broke
                        answer = None
                    if answer is not None and answer.body == SUCCESS:
                        return
                    await asyncio.sleep(0.05)

            async with asyncio.timeout(30), asyncio.TaskGroup() as senders:
                first = senders.create_task(send_until_taken())
                for _ in range(COPIES - 1):
                    senders.create_task(send_until_taken())
                await first
                await here.restart()
            await here.settled(number, OrderState.DISPENSED, OrderState.REFUNDED)
            kinds = await here.kinds(number)

        assert 1 == len(here.board.drops)
        assert (350, 0) == here.money(number)
        assert 1 == kinds.count("paid") == kinds.count("dispensed")
        assert () == audit(here.journal_file).findings


class TestHostileOnes:
    async def test_ten_thousand_requests(self, tmp_path: Path) -> None:
        """Each is answered or closed at once, the loop goes on, memory stays, the journal too; cans are sold as ever.

        A customer buys during the first thousand; the other ten thousand are measured.
        """
        log = tmp_path / "log"
        with logging_to(log):
            async with bench(tmp_path) as here:
                number, notice = await pay_in_silence(here)
                port = here.settings.callbacks.port
                await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/wxpay/notify", method="POST", body=notice)
                await here.settled(number, OrderState.DISPENSED)
                open_number = (await here.scan("cola")).out_trade_no
                requests = Liar(here, notice, open_number).requests()

                warming = asyncio.create_task(storm(port, requests, 1_000, AT_ONCE))
                await here.settled(await here.buy("tea"), OrderState.DISPENSED)
                await warming
                before, memory = told(here), resident_bytes()
                idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(IDLE_CONNECTIONS)]
                lag = Lag()
                measuring = asyncio.create_task(lag.measure())
                outcome = await storm(port, requests, HOSTILE_REQUESTS, AT_ONCE)
                measuring.cancel()
                growth = resident_bytes() - memory
                after = told(here)
                for _, writer in idle:
                    writer.close()
                await here.settled(await here.buy("cola"), OrderState.DISPENSED)

        figures = (
            f"answers: p99 {outcome.p99_seconds * 1000:.0f} ms, slowest {outcome.slowest_seconds * 1000:.0f} ms; "
            f"loop lag: median {lag.quantile(0.5) * 1000:.1f} ms, p99 {lag.quantile(0.99) * 1000:.1f} ms, "
            f"longest {lag.quantile(1) * 1000:.0f} ms; memory {growth / 1024**2:+.1f} MiB"
        )
        print(figures)
        assert [] == list(wrongly_answered(requests, outcome.answers))
        assert outcome.slowest_seconds < ANSWER_SECONDS, figures
        assert lag.quantile(0.5) < LAG_SECONDS, figures
        assert lag.quantile(0.99) < WORST_LAG_SECONDS, figures
        assert growth < GROWTH_BYTES, figures
        assert before == after
        assert 3 == len(here.board.drops)
        assert () == audit(here.journal_file).findings
        assert here.settings.wechatpay.api_key not in log.read_text(errors="replace")

    async def test_slow_senders(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever sends a head or a body drop by drop is cut off; a customer notices nothing of it."""
        monkeypatch.setattr("kiosk.web.messages.BODY_SECONDS", 1)
        monkeypatch.setattr("kiosk.web.messages.IDLE_CONNECTION_SECONDS", 1)
        line, host = "POST /wxpay/notify HTTP/1.1", "Host: pay.example.com"
        starts = [head(line, host, "Content-Length: 1000"), f"{line}\r\n{host}\r\nX-Slow: ".encode(), b"", b"P"]

        async def drip(port: int, start: bytes) -> float:
            loop = asyncio.get_running_loop()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            begun = loop.time()
            writer.write(start)
            ended = asyncio.ensure_future(reader.read())
            while not ended.done():
                writer.write(b"x" if start else b"")
                await asyncio.wait([ended], timeout=0.1)
            ended.exception()
            writer.close()
            return loop.time() - begun

        async with bench(tmp_path) as here, asyncio.timeout(20):
            drips = [drip(here.settings.callbacks.port, start) for start in starts * 10]
            cut = asyncio.gather(*drips)
            await here.settled(await here.buy("cola"), OrderState.DISPENSED)
            seconds = await cut

        assert max(seconds) < 5, seconds


def told(here: Bench) -> tuple[Audit, dict[str, str]]:
    """What the journal says, and what WeChat was asked to do."""
    orders = here.wechat.ledger.orders
    return audit(here.journal_file), {number: here.wechat.ledger.trade_state(orders[number]) for number in orders}


def wrongly_answered(requests: list[Hostile], answers: dict[str, dict[str, int]]) -> Iterator[str]:
    """Requests that were believed, were not answered, or broke something; and replays that were not acknowledged."""
    for hostile in requests:
        for answer, count in answers[hostile.name].items():
            good = answer == "200 SUCCESS" if hostile.replay else not answer.startswith(("200 SUCCESS", "5", "no"))
            if not good:
                yield f"{hostile.name}: {answer} ({count} times)"
