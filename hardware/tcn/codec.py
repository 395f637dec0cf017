"""TCN frames: bytes <-> frozen values. Pure: no I/O, no clock.

Source: TCN / Zhongji coil boards as four public hosts drive them (caiguanhao/vending-processors and others), which
agree on the framing. A question has 6 bytes, three of them and the complement of each; an answer has 5:

    address ~address  code ~code  argument ~argument
    address  5D (done) or 5C (fault)  error  drop  sum of the four

The answer to "turn" comes after the turn, once. Nothing numbers it, and nothing tells it from the answer to another
question: 00 5D 00 00 5D means "turned, nothing fell" as well as "done".
"""

from __future__ import annotations

from dataclasses import dataclass

BOARD = 0x00  # the one board on the line; further ones are not driven here
DONE, FAULT = 0x5D, 0x5C
LOWEST_LANE, HIGHEST_LANE = 1, 80
ANSWER_BYTES = 5

YES, NO = 0xAA, 0x55  # as an argument: watch the drop sensor, or not. As "drop" in an answer: goods were seen
READ_TEMPERATURE, READ_DOOR = 0xDC, 0xDF


@dataclass(frozen=True)
class Answer:
    """What the board says. `error`: high nibble the motor, low nibble the drop sensor; `value`: its fourth byte."""

    done: bool
    error: int
    value: int

    @property
    def dropped(self) -> bool:
        """As the answer to "turn": the drop sensor saw goods."""
        return self.value == YES


def check_lane(lane: int) -> None:
    """Raise ValueError, with a sentence, for a number that no lane of a TCN board can have."""
    if not LOWEST_LANE <= lane <= HIGHEST_LANE:
        raise ValueError(f"a TCN board numbers its lanes {LOWEST_LANE} to {HIGHEST_LANE}; {lane} is none of them")


def _question(code: int, argument: int) -> bytes:
    return bytes(part for value in (BOARD, code, argument) for part in (value, value ^ 0xFF))


def turn(lane: int, *, drop_sensor: bool) -> bytes:
    """Turn one lane once; answered after the turn."""
    check_lane(lane)
    return _question(lane, YES if drop_sensor else NO)


def read_temperature() -> bytes:
    """Answered with the temperature as `value`, in °C."""
    return _question(READ_TEMPERATURE, NO)


def read_door() -> bytes:
    """Answered with the door as `value`: 1 open."""
    return _question(READ_DOOR, NO)


def read_question(data: bytes) -> tuple[int, int] | None:
    """Code and argument of a question of 6 bytes to this board; None if it is none."""
    if len(data) != 6 or any(data[at] ^ data[at + 1] != 0xFF for at in (0, 2, 4)) or data[0] != BOARD:
        return None
    return data[2], data[4]


def encode_answer(answer: Answer) -> bytes:
    """What the board sends."""
    body = bytes((BOARD, DONE if answer.done else FAULT, answer.error, answer.value))
    return body + bytes((sum(body) & 0xFF,))


def find_answer(data: bytes) -> tuple[int, int] | None:
    """Where the first whole answer with a right sum stands in what came in; None while there is none."""
    for start in range(len(data) - ANSWER_BYTES + 1):
        if data[start] == BOARD and data[start + 1] in {DONE, FAULT}:
            body = data[start : start + ANSWER_BYTES]
            if sum(body[:4]) & 0xFF == body[4]:
                return start, start + ANSWER_BYTES
    return None


def read_answer(data: bytes) -> Answer:
    """An answer that `find_answer` found, as a value."""
    return Answer(data[1] == DONE, data[2], data[3])
