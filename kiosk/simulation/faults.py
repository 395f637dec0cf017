"""Faults of the simulated WeChat Pay, by place and name, on demand.

========================  ==========================================================================================
place                     faults
========================  ==========================================================================================
unifiedorder, orderquery  `no_answer` nothing done, nothing answered · `late_answer` done, answered `seconds` later ·
closeorder, refund        `reset` nothing done, connection torn down · `http_500` · `bad_gateway` 502 with HTML (both
refundquery, downloadbill nothing done) · `wrong_signature` done · `cut_xml` done, half an answer · `answer_lost`
calls (all six)           done, connection torn down · any error code, such as `SYSTEMERROR`, `NOTENOUGH` or
                          `FREQUENCY_LIMITED`: nothing done, answered with that code
unifiedorder also         `paid_before_answer` a customer pays, and the notification is sent, before the answer
jscode2session            `no_answer` · `late_answer` · `reset` · `http_500` · `bad_gateway` · any errcode: `-1`, …
notify, refund_notify     `lost` this try reaches nobody (the next one of the timetable may) · `never` neither does
                          any later one · `doubled` twice at once · `hundredfold` a hundred at once · `late` `seconds`
                          later · `out_of_order` after the next notification of any order
refund_end                `processing` stays PROCESSING, for `seconds` or until told · `REFUNDCLOSE` failed for good ·
                          `CHANGE` the customer's account is gone
line                      `down` nothing gets through in either direction between merchant and WeChat; phones do
========================  ==========================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

CALLS = ("unifiedorder", "orderquery", "closeorder", "refund", "refundquery", "downloadbill")
_CALL_FAULTS = frozenset(
    "no_answer late_answer reset http_500 bad_gateway wrong_signature cut_xml answer_lost".split()  # noqa: SIM905 - as in the table above
)
_NOTICE_FAULTS = frozenset({"lost", "never", "doubled", "hundredfold", "late", "out_of_order"})
_FAULTS = {
    **dict.fromkeys((*CALLS, "calls"), _CALL_FAULTS),
    "unifiedorder": _CALL_FAULTS | {"paid_before_answer"},
    "jscode2session": frozenset({"no_answer", "late_answer", "reset", "http_500", "bad_gateway"}),
    "notify": _NOTICE_FAULTS,
    "refund_notify": _NOTICE_FAULTS,
    "refund_end": frozenset({"processing", "REFUNDCLOSE", "CHANGE"}),
    "line": frozenset({"down"}),
}
_ERROR_CODE = re.compile(r"[A-Z][A-Z_]{3,31}")
_ERRCODE = re.compile(r"-1|[0-9]{5}")  # of auth.code2Session
DEFAULT_SECONDS = 10.0  # longer than any of the machine's own read time limits


@dataclass
class Fault:
    """One fault in wait. `times`: how often it will strike yet; None until cleared."""

    place: str
    name: str
    times: int | None
    seconds: float | None


class Faults:
    """The faults in wait. They strike in the order in which they were set, each until it is used up."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def __iter__(self) -> Iterator[Fault]:
        return iter(tuple(self._waiting))

    def set(self, place: str, name: str, *, times: int | None = 1, seconds: float | None = None) -> None:
        """Let a fault strike the next `times` times at a place, see the table. Raises ValueError."""
        if place not in _FAULTS:
            raise ValueError(f"{place!r} is no place for faults; there are {', '.join(sorted(_FAULTS))}")
        is_code = place in (*CALLS, "calls") and _ERROR_CODE.fullmatch(name) is not None
        is_code = is_code or (place == "jscode2session" and _ERRCODE.fullmatch(name) is not None)
        if name not in _FAULTS[place] and not is_code:
            raise ValueError(f"{name!r} is no fault of {place}; there are {', '.join(sorted(_FAULTS[place]))}")
        if times is not None and times < 1:
            raise ValueError(f"a fault strikes at least once, not {times} times")
        if seconds is not None and seconds < 0:
            raise ValueError(f"a fault cannot last {seconds} seconds")
        self._waiting.append(Fault(place, name, times, seconds))

    def clear(self, place: str | None = None, name: str | None = None) -> None:
        """Take faults back: of one place, of one name, or all."""
        self._waiting = [
            fault
            for fault in self._waiting
            if (place is not None and fault.place != place) or (name is not None and fault.name != name)
        ]

    def take(self, *places: str) -> Fault | None:
        """The fault that strikes now at one of the places, if there is one; it is counted."""
        fault = next((fault for fault in self._waiting if fault.place in places), None)
        if fault is not None and fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                self._waiting.remove(fault)
        return fault

    @property
    def line_is_down(self) -> bool:
        """Whether merchant and WeChat hear nothing of each other."""
        return any(fault.place == "line" for fault in self._waiting)
