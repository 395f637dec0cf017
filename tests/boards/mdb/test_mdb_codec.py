"""Lines of an MDB bridge ↔ values: the lines of the bridge's documents, and what may become of them on the way."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.mdb import codec
from hardware.mdb.codec import (
    Asks,
    Hardware,
    Lines,
    Message,
    Refuses,
    SettingTaken,
    Stands,
    State,
    Switched,
    Vended,
    VendError,
    Version,
)

# As docs.qibixx.com prints them.
GOLDEN: dict[str, Message] = {
    "v,4.0.2.0,1a2b3c4d": Version("4.0.2.0", "1a2b3c4d"),
    "h,2.0,caps": Hardware("2.0,caps"),
    "c,STATUS,OFFLINE": Stands(State.OFFLINE),
    "c,STATUS,INACTIVE": Stands(State.INACTIVE),
    "c,STATUS,DISABLED": Stands(State.DISABLED),
    "c,STATUS,ENABLED": Stands(State.ENABLED),
    "c,STATUS,IDLE": Stands(State.IDLE),
    "c,STATUS,VEND,1.00,5": Asks("1.00", 5),
    "c,STATUS,VEND,99.20,18": Asks("99.20", 18),
    "c,STATUS,VEND,10,101": Asks("10", 101),
    "c,VEND,SUCCESS": Vended(),
    "c,ERR,VEND 3": VendError(3),
    'c,ERR,"cashless is off"': Refuses("cashless is off"),
    "c,SET,OK": SettingTaken(),
    "c,0": Switched(on=False),
    "c,1": Switched(on=True),
}


class TestReading:
    @pytest.mark.parametrize(("line", "message"), GOLDEN.items(), ids=GOLDEN.keys())
    def test_golden_lines(self, line: str, message: Message) -> None:
        """Each documented line is the message that the documents say."""
        assert [message] == codec.read(line)

    @pytest.mark.parametrize(
        "line",
        [
            *("", "r,ACK", "c", "c,", "c,STATUS", "c,STATUS,", "c,STATUS,SLEEPING", "c,VEND", "c,VEND,FAILED"),
            *(
                "c,STATUS,VEND",
                "c,STATUS,VEND,1.00",
                "c,STATUS,VEND,1.00,",
                "c,STATUS,VEND,,5",
                "c,STATUS,VEND,1.0.0,5",
            ),
            *("c,STATUS,VEND,-1,5", "c,STATUS,VEND,1e3,5", "c,STATUS,VEND,NaN,5", "c,STATUS,VEND,１,5"),
            *("c,STATUS,VEND,1.00,70000", "c,STATUS,VEND,1.00,5,6", "C,STATUS,ENABLED", "v,4.0.2.0", "\ufffd\ufffd"),
        ],
    )
    def test_anything_else_is_no_message(self, line: str) -> None:
        """What is not exactly a line of the bridge means nothing."""
        assert [] == codec.read(line)

    def test_the_amount_stays_the_text_that_it_was(self) -> None:
        """The price is a number to compare, the amount is what the yes repeats."""
        (asks,) = codec.read("c,STATUS,VEND,1.50,5")

        assert isinstance(asks, Asks)
        assert (Decimal("1.5"), b"C,VEND,1.50\n") == (asks.price, codec.approve(asks.amount))

    def test_noise_before_a_line(self) -> None:
        """Bytes before a line's beginning do not hide it."""
        assert [Vended()] == codec.read("\ufffdx7c,VEND,SUCCESS")

    def test_glued_lines(self) -> None:
        """Lines whose ends were lost are each read."""
        glued = "c,VEND,SUCCESSc,STATUS,IDLEc,STATUS,ENABLED"

        assert [Vended(), Stands(State.IDLE), Stands(State.ENABLED)] == codec.read(glued)

    def test_a_request_whose_end_was_lost_is_none(self) -> None:
        """12.50 for item 15, cut behind the 1, must not become 12.50 for item 1."""
        assert [Stands(State.ENABLED)] == codec.read("c,STATUS,VEND,12.50,1c,STATUS,ENABLED")


class TestLines:
    @given(st.lists(st.sampled_from(list(GOLDEN)), max_size=8), st.data())
    def test_cut_anywhere(self, lines: list[str], data: st.DataObject) -> None:
        """However the bytes are cut, and whether LF or CR LF ends them, the same lines come out."""
        wire = "".join(line + data.draw(st.sampled_from(["\n", "\r\n", "\r"])) for line in lines).encode()
        cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
        taker = Lines()
        pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]

        assert lines == [line for piece in pieces for line in taker.feed(piece)]

    def test_a_babbler_takes_no_memory(self) -> None:
        """A megabyte without an end is given up, and the next whole line is read."""
        taker = Lines()
        for _ in range(1000):
            assert [] == list(taker.feed(b"\xff" * 1000))
        (line,) = taker.feed(b"c,VEND,SUCCESS\n")

        assert [Vended()] == codec.read(line)
        assert len(line) <= codec.MOST_LINE_BYTES


def test_lines_out() -> None:
    """What goes to the bridge, byte by byte as its documents have it."""
    assert codec.ON == bytes.fromhex("43 2C 31 0A")
    assert codec.approve("1.00") == bytes.fromhex("43 2C 56 45 4E 44 2C 31 2E 30 30 0A")
    assert codec.setting("mdb-addr", "0x10") == b"C,SETCONF,mdb-addr=0x10\n"
    assert (codec.OFF, codec.DENY, codec.VERSION, codec.HARDWARE) == (b"C,0\n", b"C,STOP\n", b"V\n", b"H\n")
