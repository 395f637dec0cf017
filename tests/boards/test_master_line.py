"""Questions and answers over a real pty: whose answer it is, echoes, losses, and a line that takes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from boards_kit import QUICK_LINK, LineMaker, wait_until

from hardware.master_line import MasterLine, MasterTiming, Unanswered
from hardware.pseudo_terminal import PseudoTerminal, Wire
from hardware.simulated_board import Damage
from hardware.tcn.driver import TcnDispenser
from hardware.tcn.simulator import TcnBoard

QUESTION = b"who are you?"
ANSWER = b"<a board>"


def find(data: bytes) -> tuple[int, int] | None:
    """An answer stands in angle brackets."""
    start = data.find(b"<")
    end = data.find(b">", start)
    return None if start < 0 or end < 0 else (start, end + 1)


class HandPeer:
    """The board's end of the line, with every byte sent by hand."""

    def __init__(self, link: Path) -> None:
        self.heard = b""
        self.line = PseudoTerminal(link=link, wire=Wire(), on_bytes=self._bytes_came)
        self.line.plug()

    def _bytes_came(self, data: bytes) -> None:
        self.heard += data

    async def hears(self, question: bytes = QUESTION) -> None:
        await wait_until(lambda: self.heard.endswith(question), "the question came")


class Pair:
    def __init__(self, folder: Path) -> None:
        self.peer = HandPeer(folder / "board")
        self.line = MasterLine(
            port=str(folder / "board"),
            baudrate=9600,
            kind="a board in brackets",
            timing=MasterTiming(quiet_seconds=1),
            link_timing=QUICK_LINK,
            on_change=lambda: None,
        )

    def fact(self, name: str) -> object:
        return next(fact.value for fact in self.line.facts if fact.name == name)

    def ask(self, seconds: float = 5) -> asyncio.Task[bytes]:
        return asyncio.ensure_future(self.line.ask(QUESTION, find, seconds))


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    made = Pair(tmp_path)
    made.line.start()
    await wait_until(lambda: not made.line.reason, "the port is open")
    yield made
    await made.line.stop()
    made.peer.line.unplug()


class TestWhoseAnswer:
    async def test_it_may_come_in_pieces_and_in_noise(self, pair: Pair) -> None:
        """The answer alone is returned; what was around it is counted."""
        asked = pair.ask()
        await pair.peer.hears()
        for piece in (b"noise", b"<a ", b"board>"):
            pair.peer.line.write(piece)
            await asyncio.sleep(0.01)
        assert await asked == ANSWER
        assert pair.fact("noise_bytes") == 5
        assert pair.fact("last_frame_in") == ANSWER.hex(" ")
        assert pair.fact("last_frame_out") == QUESTION.hex(" ")

    async def test_one_that_came_unasked_is_thrown_away(self, pair: Pair) -> None:
        """What lies there before the question cannot be its answer."""
        pair.peer.line.write(b"<an old one>")
        await asyncio.sleep(0.05)  # it is there
        asked = pair.ask()
        await pair.peer.hears()
        pair.peer.line.write(ANSWER)
        assert await asked == ANSWER

    async def test_one_that_comes_late_is_not_the_next_ones(self, pair: Pair) -> None:
        """After a question without an answer the line is left alone, and what comes meanwhile is thrown away."""
        with pytest.raises(Unanswered) as caught:
            await pair.ask(0.05)
        assert caught.value.sent
        again = pair.ask()
        await asyncio.sleep(0.05)  # well within the quiet time
        pair.peer.line.write(b"<too late>")
        await wait_until(lambda: pair.peer.heard == QUESTION * 2, "the second question came")
        pair.peer.line.write(ANSWER)
        assert await again == ANSWER
        assert pair.fact("unanswered") == 1


class TestEcho:
    async def test_it_is_seen_and_skipped(self, pair: Pair) -> None:
        """Our own bytes before the answer: no noise, and from then on never an answer themselves."""
        asked = pair.ask()
        await pair.peer.hears()
        pair.peer.line.write(QUESTION + ANSWER)
        assert await asked == ANSWER
        assert pair.line.echoes is True
        assert pair.fact("noise_bytes") == 0
        echo = asyncio.ensure_future(pair.line.ask(ANSWER, find, 0.1))
        await pair.peer.hears(ANSWER)
        pair.peer.line.write(ANSWER)
        with pytest.raises(Unanswered, match="only this machine's own bytes come back"):
            await echo

    async def test_without_one_an_answer_may_look_like_the_question(self, pair: Pair) -> None:
        """Once an answer has shown that nothing is echoed, the same bytes back are the board's."""
        asked = pair.ask()
        await pair.peer.hears()
        pair.peer.line.write(ANSWER)
        await asked
        assert pair.line.echoes is False
        same = asyncio.ensure_future(pair.line.ask(ANSWER, find, 5))
        await pair.peer.hears(ANSWER)
        pair.peer.line.write(ANSWER)
        assert await same == ANSWER


class TestLoss:
    async def test_a_port_that_is_gone_was_never_asked(self, pair: Pair) -> None:
        """Not one byte went out, and that is said."""
        pair.peer.line.unplug()
        await wait_until(lambda: pair.line.reason, "the loss was noticed")
        with pytest.raises(Unanswered) as caught:
            await pair.ask()
        assert not caught.value.sent

    async def test_a_loss_ends_the_question_at_once(self, pair: Pair) -> None:
        """The sentence names the port; the question may have arrived."""
        asked = pair.ask(60)
        await pair.peer.hears()
        pair.peer.line.unplug()
        async with asyncio.timeout(5):
            with pytest.raises(Unanswered, match="was lost") as caught:
                await asked
        assert caught.value.sent

    async def test_a_line_that_takes_nothing_does_not_hold_up_the_loop(self, pair: Pair) -> None:
        """A write that waits loses the port after 40 ms, and the question ends as one that may have been sent."""
        loop = asyncio.get_running_loop()
        pair.peer.line.stop_taking()
        slowest = 0.0

        async def watch() -> None:
            nonlocal slowest
            while True:
                before = loop.time()
                await asyncio.sleep(0)
                slowest = max(slowest, loop.time() - before)

        watching = asyncio.create_task(watch())
        with pytest.raises(Unanswered, match=r"lost|takes no more bytes") as caught:
            await pair.line.ask(bytes(200_000), find, 60)
        watching.cancel()
        assert caught.value.sent
        assert slowest < 0.5
        pair.peer.line.take_again()


async def test_one_damaged_answer_closes_no_shop(line: LineMaker) -> None:
    """The routine's questions may go wrong twice in a row; three in a row are a silent board."""
    made = await line(TcnBoard, TcnDispenser)
    reasons: list[str] = []
    made.dispenser.on_status(lambda: reasons.append(made.dispenser.status.reason))
    made.board.damage_next(Damage.CHECKSUM, Damage.CUT)
    await wait_until(lambda: made.fact("checksum_errors") == 2, "both were damaged")
    polls = made.fact("polls")
    await wait_until(lambda: made.fact("polls") >= polls + 2, "it was asked again")
    assert reasons == []
