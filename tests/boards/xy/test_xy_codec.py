"""Frames of the XY protocol: golden bytes, round trips, and what noise does to the reader."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.dispenser import Cause
from hardware.xy import codec
from hardware.xy.codec import Command, Decoder, DispenseStatus, Frame, SalesCount, SelectionReport, SelectionStatus
from hardware.xy.statuses import DISPENSE_STATUSES, REFUSALS, Stage

# Printed in the vendor's documents, quoted in public host code from live machines, or test vectors of another host.
GOLDEN = {
    "POLL": ("FA FB 41 00 40", codec.POLL),
    "ACK": ("FA FB 42 00 43", codec.ACK),
    "sync 1": ("FA FB 31 01 01 30", codec.sync(1)),
    "sync 2": ("FA FB 31 01 02 33", codec.sync(2)),
    "poll every 200 ms": ("FA FB 16 02 02 02 15", codec.poll_interval(2, 200)),
    "check 10": ("FA FB 01 03 03 00 0A 0A", Frame(0x01, 3, b"\x00\x0a")),
    "usable 10": ("FA FB 02 04 01 01 00 0A 0D", Frame(0x02, 1, b"\x01\x00\x0a")),
    "sold out 10": ("FA FB 02 04 02 02 00 0A 0D", Frame(0x02, 2, b"\x02\x00\x0a")),
    "select to buy 10": ("FA FB 03 03 04 00 0A 0F", Frame(0x03, 4, b"\x00\x0a")),
    "drive 10": ("FA FB 06 05 05 01 00 00 0A 0C", codec.drive(5, 10, drop_sensor=True, lift=False)),
    "drive 1": ("FA FB 06 05 04 01 00 00 01 06", codec.drive(4, 1, drop_sensor=True, lift=False)),
    "drive 60": ("FA FB 06 05 A6 01 00 00 3C 99", codec.drive(0xA6, 60, drop_sensor=True, lift=False)),
    "drive 13 with lift": ("FA FB 06 05 01 01 01 00 0D 0E", codec.drive(1, 13, drop_sensor=True, lift=True)),
    "dispensing 60": ("FA FB 04 04 A3 01 00 3C 9F", Frame(0x04, 0xA3, b"\x01\x00\x3c")),
    "success 60": ("FA FB 04 04 A4 02 00 3C 9B", Frame(0x04, 0xA4, b"\x02\x00\x3c")),
    "jammed 60": ("FA FB 04 04 9E 03 00 3C A0", Frame(0x04, 0x9E, b"\x03\x00\x3c")),
    "success 10, long": ("FA FB 04 05 04 02 00 0A 00 0C", Frame(0x04, 4, b"\x02\x00\x0a\x00")),
    "jammed 10, long": ("FA FB 04 05 04 03 00 0A 00 0D", Frame(0x04, 4, b"\x03\x00\x0a\x00")),
    "motor not stopped 10": ("FA FB 04 05 04 04 00 0A 00 0A", Frame(0x04, 4, b"\x04\x00\x0a\x00")),
    "terminated 10": ("FA FB 04 05 04 FF 00 0A 00 F1", Frame(0x04, 4, b"\xff\x00\x0a\x00")),
    "cancelled": ("FA FB 05 03 06 00 00 01", Frame(0x05, 6, b"\x00\x00")),
    "report 10": (
        "FA FB 11 0C 07 00 0A 00 00 01 5E 05 08 00 64 00 27",
        Frame(0x11, 7, bytes.fromhex("000A 0000015E 05 08 0064 00")),
    ),
    "paid by WeChat": ("FA FB 27 06 0A 05 00 00 01 5E 70", Frame(0x27, 10, bytes.fromhex("050000015E"))),
    "note taken": ("FA FB 21 06 D5 01 00 01 86 A0 D5", Frame(0x21, 0xD5, bytes.fromhex("01000186A0"))),
    "machine status?": ("FA FB 51 01 08 59", codec.machine_status_query(8)),
    "quick status?": ("FA FB 53 01 09 5A", codec.quick_status_query(9)),
    "delivery door open": ("FA FB 54 02 05 02 50", Frame(0x54, 5, b"\x02")),
    "temperature?": ("FA FB 70 04 0B 36 00 00 48", Frame(0x70, 0x0B, b"\x36\x00\x00")),
    "jams?": ("FA FB 70 03 0C 32 00 4C", Frame(0x70, 0x0C, b"\x32\x00")),
    "clear jams": ("FA FB 70 03 0D 32 01 4C", Frame(0x70, 0x0D, b"\x32\x01")),
    "turn 10": ("FA FB 70 06 0E 38 01 01 00 0A 4B", Frame(0x70, 0x0E, bytes.fromhex("380101000A"))),
    "configuration of 10?": ("FA FB 70 05 0F 42 00 00 0A 33", Frame(0x70, 0x0F, bytes.fromhex("4200000A"))),
    "menu 01": ("FA FB 70 04 47 01 00 00 33", Frame(0x70, 0x47, b"\x01\x00\x00")),
    "menu 17": ("FA FB 70 03 42 17 00 27", Frame(0x70, 0x42, b"\x17\x00")),
    "menu 20": ("FA FB 70 03 46 20 00 14", Frame(0x70, 0x46, b"\x20\x00")),
}

frames = st.one_of(
    st.just(codec.POLL),
    st.just(codec.ACK),
    st.builds(
        Frame,
        st.integers(0, 255).filter(lambda command: command not in {Command.POLL, Command.ACK}),
        st.integers(0, 255),
        st.binary(max_size=254),
    ),
)


def cut_up(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(marks)]


class TestGoldenFrames:
    @pytest.mark.parametrize(("wire", "frame"), GOLDEN.values(), ids=GOLDEN.keys())
    def test_encode_makes_the_very_bytes(self, wire: str, frame: Frame) -> None:
        """Every frame of the documents and of live machines is made byte for byte."""
        assert codec.encode(frame) == bytes.fromhex(wire)

    @pytest.mark.parametrize(("wire", "frame"), GOLDEN.values(), ids=GOLDEN.keys())
    def test_decode_reads_the_very_frame(self, wire: str, frame: Frame) -> None:
        """Every frame of the documents and of live machines is read, and is of a length that is known to occur."""
        assert Decoder().feed(bytes.fromhex(wire)) == [frame]
        assert frame.has_known_length


class TestRoundTrip:
    @given(st.lists(frames, max_size=4), st.lists(st.integers(0, 2000), max_size=8))
    def test_any_frames_in_any_pieces(self, sent: list[Frame], cuts: list[int]) -> None:
        """What was encoded is decoded, however the bytes are cut up, with nothing counted as noise."""
        decoder = Decoder()
        read = [frame for piece in cut_up(b"".join(map(codec.encode, sent)), cuts) for frame in decoder.feed(piece)]
        assert read == sent
        assert not decoder.pending
        assert (decoder.noise_bytes, decoder.checksum_errors) == (0, 0)

    @given(st.lists(st.binary(max_size=400), max_size=6))
    def test_random_bytes_never_raise_and_never_grow(self, pieces: list[bytes]) -> None:
        """Whatever comes, less than one frame is kept, and silence empties even that."""
        decoder = Decoder()
        read = 0
        for piece in pieces:
            read += sum(len(codec.encode(frame)) for frame in decoder.feed(piece))
            kept = sum(map(len, pieces[: pieces.index(piece) + 1])) - read - decoder.noise_bytes
            assert kept < codec.LONGEST_FRAME or pieces.count(piece) > 1
        read += sum(len(codec.encode(frame)) for frame in decoder.give_up())
        assert not decoder.pending
        assert read + decoder.noise_bytes == sum(map(len, pieces))


class TestNoise:
    def test_hazard_8_a_header_inside_a_frame_is_data(self) -> None:
        """A price of 642.51 (FA FB) inside a report does not start a new frame."""
        report = Frame(0x11, 7, bytes.fromhex("000A 0000FAFB 05 08 0064 00"))
        assert Decoder().feed(codec.encode(report)) == [report]
        parsed = codec.read_selection_report(report)
        assert parsed == SelectionReport(10, 64251, 5, 8, 100, paused=False)

    def test_hazard_8_a_frame_hidden_in_a_wreck_is_found(self) -> None:
        """After a wrong XOR one byte is dropped and the search begins again: the POLL inside is not lost."""
        decoder = Decoder()
        wreck = bytes.fromhex("FA FB 04 05")
        assert decoder.feed(wreck + codec.encode(codec.POLL) + b"\x01") == [codec.POLL]
        assert decoder.checksum_errors == 1
        assert decoder.noise_bytes == 5

    def test_hazard_8_silence_ends_a_partial_frame(self) -> None:
        """A false start that asks for many bytes gives back the POLL that it swallowed once it is given up."""
        decoder = Decoder()
        assert decoder.feed(bytes.fromhex("FA FB 11 0C") + codec.encode(codec.POLL)) == []
        assert decoder.pending
        assert decoder.give_up() == [codec.POLL]
        assert not decoder.pending

    def test_a_broken_length_byte_does_not_hold_up_polls(self) -> None:
        """A POLL whose LEN became 255 is no frame at all: the next one is read at once."""
        assert Decoder().feed(bytes.fromhex("FA FB 41 FF") + codec.encode(codec.POLL)) == [codec.POLL]

    def test_a_lost_line_takes_its_partial_frame_with_it(self) -> None:
        """After a reset the next byte begins anew."""
        decoder = Decoder()
        decoder.feed(bytes.fromhex("FA FB 11 0C"))
        decoder.reset()
        assert decoder.feed(codec.encode(codec.POLL)) == [codec.POLL]

    def test_a_wrong_checksum_is_counted(self) -> None:
        """A frame with a wrong XOR is not read, and the counters say so."""
        decoder = Decoder()
        assert decoder.feed(bytes.fromhex("FA FB 04 04 A4 02 00 3C 9C")) == []
        assert decoder.checksum_errors == 1
        assert decoder.noise_bytes == 9

    def test_the_end_of_noise_may_be_half_a_header(self) -> None:
        """FA FA FB: the first FA is noise, the frame begins at the second."""
        assert Decoder().feed(b"\xfa" + codec.encode(codec.ACK)) == [codec.ACK]

    @pytest.mark.parametrize(
        "wire",
        ["04 03 01 02 00", "04 06 01 02 00 0A 00 00", "02 05 01 02 00 0A 00", "31 02 01 01", "11 0B 07" + "00" * 10],
    )
    def test_hazard_7_an_odd_length_is_noticed(self, wire: str) -> None:
        """A frame with a right XOR but a LEN that its command never has says so, and no reader believes it."""
        body = b"\xfa\xfb" + bytes.fromhex(wire)
        checksum = 0
        for byte in body:
            checksum ^= byte
        (frame,) = Decoder().feed(body + bytes((checksum,)))
        assert not frame.has_known_length
        assert codec.read_dispense_status(frame) is None
        assert codec.read_selection_status(frame) is None
        assert codec.read_selection_report(frame) is None


class TestValues:
    def test_dispense_status_with_and_without_microwave(self) -> None:
        """04 is read in both lengths that boards send."""
        assert codec.read_dispense_status(Frame(0x04, 1, b"\x02\x00\x3c")) == DispenseStatus(2, 60)
        assert codec.read_dispense_status(Frame(0x04, 1, b"\x02\x00\x0a\x00")) == DispenseStatus(2, 10)

    def test_selection_status(self) -> None:
        """02 carries its status before the selection."""
        assert codec.read_selection_status(Frame(0x02, 1, b"\x02\x01\x00")) == SelectionStatus(2, 256)

    def test_machine_status(self) -> None:
        """52 in full: signed temperatures, the id without padding, probes that are not there left out."""
        text = bytes((1, 1, 1, 1, 0xFC, 1)) + bytes(8) + b"VM12345   " + b"\x05\xfe" + b"\xaa" * 6 + b"\xaa" * 8
        assert codec.read_machine_status(Frame(0x52, 1, text)) == codec.MachineStatus(-4, 1, "VM12345", (5, -2))
        assert codec.read_machine_status(Frame(0x52, 1)) is None

    @pytest.mark.parametrize(("before", "selection"), [("4700", None), ("470000", None), ("4700000A", 10)])
    def test_sales_count(self, before: str, selection: int | None) -> None:
        """71/47 ends in count and amount; the selection is read where it is repeated."""
        frame = Frame(0x71, 1, bytes.fromhex(before + "0000000C 00001068"))
        assert codec.read_sales_count(frame) == SalesCount(12, 4200, selection)

    @pytest.mark.parametrize("address", [0, -1, 1001, 9999])
    def test_impossible_addresses_are_refused_with_a_sentence(self, address: int) -> None:
        """Selections are 1 to 1000; anything else is a mistake in the ini, told in words."""
        with pytest.raises(ValueError, match=f"1 to 1000; {address} is none"):
            codec.check_address(address)

    @pytest.mark.parametrize("interval_ms", [0, 50, 150, 2100])
    def test_impossible_poll_intervals_are_refused(self, interval_ms: int) -> None:
        """The protocol knows 100 to 2000 ms in steps of 100."""
        with pytest.raises(ValueError, match="in steps of 100"):
            codec.poll_interval(1, interval_ms)

    def test_only_02_is_success(self) -> None:
        """Of all codes of 04 only 02 delivers, and every failure names its cause."""
        delivering = [code for code, meaning in DISPENSE_STATUSES.items() if meaning.stage is Stage.DELIVERED]
        assert delivering == [0x02]
        for meaning in DISPENSE_STATUSES.values():
            assert (meaning.cause is not None) == (meaning.stage is Stage.FAILED)

    def test_only_jam_and_missing_motor_allow_another_slot(self) -> None:
        """After any other failure goods may have moved, or every slot is concerned."""
        slot = {code for code, meaning in DISPENSE_STATUSES.items() if meaning.cause is Cause.SLOT}
        assert slot == {0x03, 0x06}
        assert {code for code, refusal in REFUSALS.items() if refusal.cause is Cause.EMPTY} == {0x02}
