"""TCN frames against the frames that four public hosts agree on."""

from __future__ import annotations

import pytest

from hardware.tcn import codec
from hardware.tcn.codec import Answer


def wire(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(
    ("made", "golden"),
    [
        (codec.turn(1, drop_sensor=True), "00 FF 01 FE AA 55"),
        (codec.turn(1, drop_sensor=False), "00 FF 01 FE 55 AA"),
        (codec.turn(10, drop_sensor=True), "00 FF 0A F5 AA 55"),
        (codec.read_temperature(), "00 FF DC 23 55 AA"),
        (codec.read_door(), "00 FF DF 20 55 AA"),
    ],
)
def test_questions(made: bytes, golden: str) -> None:
    """What is sent, and what a board reads out of it."""
    assert made == wire(golden)
    assert codec.read_question(made) == (made[2], made[4])


@pytest.mark.parametrize(
    ("golden", "answer"),
    [
        ("00 5D 00 AA 07", Answer(done=True, error=0, value=0xAA)),
        ("00 5D 00 00 5D", Answer(done=True, error=0, value=0)),
        ("00 5C 40 00 9C", Answer(done=False, error=0x40, value=0)),
        ("00 5C 50 00 AC", Answer(done=False, error=0x50, value=0)),
        ("00 5C 50 AA 56", Answer(done=False, error=0x50, value=0xAA)),
        ("00 5C 02 00 5E", Answer(done=False, error=0x02, value=0)),
        ("00 5C 03 00 5F", Answer(done=False, error=0x03, value=0)),
        ("00 5D 00 CC 29", Answer(done=True, error=0, value=0xCC)),
        ("00 5D 00 33 90", Answer(done=True, error=0, value=0x33)),
    ],
)
def test_answers(golden: str, answer: Answer) -> None:
    """Bytes to value and back; found behind noise and behind an echo of the question."""
    assert codec.read_answer(wire(golden)) == answer
    assert codec.encode_answer(answer) == wire(golden)
    noise = codec.turn(1, drop_sensor=True) + wire("5D 00 FF")
    assert codec.find_answer(noise + wire(golden)) == (len(noise), len(noise) + 5)


@pytest.mark.parametrize("data", ["", "00 5D 00 00", "00 5D 00 00 5E", "01 5D 00 00 5E", "00 FF 01 FE AA 55"])
def test_what_is_no_answer(data: str) -> None:
    """Cut, a wrong sum, another address, a question."""
    assert codec.find_answer(wire(data)) is None


@pytest.mark.parametrize("data", ["00 FF 01 FE AA", "00 FF 01 FE AA 54", "01 FE 01 FE AA 55"])
def test_what_is_no_question(data: str) -> None:
    """Cut, a wrong complement, another board's."""
    assert codec.read_question(wire(data)) is None


@pytest.mark.parametrize("lane", [0, 81])
def test_lanes_are_1_to_80(lane: int) -> None:
    """A sentence names the range and the number."""
    with pytest.raises(ValueError, match=f"1 to 80; {lane}"):
        codec.turn(lane, drop_sensor=True)
