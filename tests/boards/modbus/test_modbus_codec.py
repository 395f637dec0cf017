"""Modbus RTU frames against the frames of documents and captures: bytes out, answers found in bytes."""

from __future__ import annotations

import pytest

from hardware.modbus import codec
from hardware.modbus.codec import Refused


def wire(text: str) -> bytes:
    return bytes.fromhex(text)


class TestQuestions:
    @pytest.mark.parametrize(
        ("made", "golden"),
        [
            (codec.timed_pulse(1, 0, 0.7), "01 05 02 00 00 07 8D B0"),
            (codec.timed_pulse(1, 1, 0.8), "01 05 02 01 00 08 9C 74"),
            (codec.timed_pulse(1, 0, 1.0), "01 05 02 00 00 0A 4C 75"),
            (codec.read_coils(1, 0, 8), "01 01 00 00 00 08 3D CC"),
            (codec.read_inputs(1, 0, 8), "01 02 00 00 00 08 79 CC"),
            (codec.read_registers(1, 0x03, 1), "01 03 00 03 00 01 74 0A"),
            (codec.read_registers(1, 0x04, 2), "01 03 00 04 00 02 85 CA"),
            (codec.read_registers(1, 0x08, 1), "01 03 00 08 00 01 05 C8"),
            (codec.read_registers(1, 0x0A, 1), "01 03 00 0A 00 01 A4 08"),
            (codec.read_registers(1, 0x05, 1), "01 03 00 05 00 01 94 0B"),
            (codec.write_registers(1, 0x2001, [0x0001, 0x0100]), "01 10 20 01 00 02 04 00 01 01 00 FB F2"),
            (codec.write_registers(1, 0x2001, [0x1001, 0x0100]), "01 10 20 01 00 02 04 10 01 01 00 FF 32"),
        ],
    )
    def test_golden_frames(self, made: bytes, golden: str) -> None:
        """What is sent is what the makers' examples print, CRC included."""
        assert made == wire(golden)

    @pytest.mark.parametrize("coil", [-1, 256, 70_000])
    def test_a_coil_that_cannot_be_pulsed_is_refused(self, coil: int) -> None:
        """The upper byte of the address is the command's: 256 coils, no more."""
        with pytest.raises(ValueError, match=f"0 to 255; {coil}"):
            codec.timed_pulse(1, coil, 1)


class TestAnswers:
    @pytest.mark.parametrize(
        ("question", "answer", "registers"),
        [
            (codec.read_registers(1, 3, 1), "01 03 02 00 00 B8 44", [0]),
            (codec.read_registers(1, 4, 2), "01 03 04 00 D2 02 26 DA B0", [210, 550]),
            (codec.read_registers(1, 10, 1), "01 03 02 04 00 BA 84", [0x0400]),
            (codec.read_registers(1, 5, 1), "01 03 02 01 00 B9 D4", [0x0100]),
        ],
    )
    def test_golden_frames(self, question: bytes, answer: str, registers: list[int]) -> None:
        """Registers as the manual reads them."""
        assert codec.answer_finder(question)(wire(answer)) == (0, len(wire(answer)))
        assert list(codec.decode(wire(answer)).registers) == registers

    def test_an_order_is_answered_with_its_address(self) -> None:
        """The driver board's own answer to 10; the echo of 05."""
        order = codec.write_registers(1, 0x2001, [0x0001, 0x0100])
        assert codec.answer_finder(order)(wire("01 10 20 01 00 02 1B C8")) == (0, 8)
        assert codec.decode(wire("01 10 20 01 00 02 1B C8")).address == 0x2001
        pulse = codec.timed_pulse(1, 0, 0.7)
        assert codec.answer_finder(pulse)(pulse) == (0, 8)

    def test_an_exception_is_raised_with_its_code(self) -> None:
        """Which ones prove that nothing moved is part of it."""
        question = wire("01 06 10 04 0B B8 CA 49")
        assert codec.answer_finder(question)(wire("01 86 04 43 A3")) == (0, 5)
        with pytest.raises(Refused, match="exception 4, device failure") as caught:
            codec.decode(wire("01 86 04 43 A3"))
        assert not caught.value.proves_nothing_moved
        assert [Refused(code).proves_nothing_moved for code in range(1, 8)] == [
            *(True, True, True, False, False, True, False)
        ]

    @pytest.mark.parametrize(
        "other",
        [
            "02 03 02 00 00 FC 44",  # another unit
            "01 04 02 00 00 B9 30",  # another function
            "01 03 04 00 D2 02 26 DA B0",  # another count
            "01 03 02 00 01 B8 44",  # a wrong CRC
            "01 03 02 00 00 B8",  # not all of it
            "01 03 00 03 00 01 74 0A",  # the question itself
        ],
    )
    def test_what_is_not_the_answer_is_not_found(self, other: str) -> None:
        """Unit, function, count and CRC all have to be right; the answer behind it is found."""
        find = codec.answer_finder(codec.read_registers(1, 3, 1))
        good = wire("01 03 02 00 00 B8 44")
        assert find(wire(other)) is None
        assert find(wire(other) + good) == (len(wire(other)), len(wire(other)) + len(good))
