"""What the status bytes of XY boards mean, and what each means for a vend.

Source: Xing Yuan, "VMC - Upper computer" V3.0 and V3.2.11, tables of commands 02, 04 and 54. The codes look decimal
but are literal bytes: after 09 comes 10 hex. Of the final codes of 04 only 02 is success (V3.2); whether a code ends
the vend was told by colour in the document and is decided here by its words.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hardware.dispenser import Cause

USABLE = 0x01  # 02: the selection can be sold
DISPENSING = 0x01  # 04: the motor turns
DELIVERED = 0x02  # 04: success, the only one
SECONDS_LEFT = 0x23  # 04: the selection field carries seconds, not a selection


class Stage(enum.Enum):
    """Where a vend stands after a 04."""

    PROGRESS = "progress"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True)
class DispenseMeaning:
    """A code of 04. `cause` is set exactly when the stage is FAILED."""

    stage: Stage
    words: str
    cause: Cause | None = None


@dataclass(frozen=True)
class RefusalMeaning:
    """A code of 02 that says the selection will not be driven."""

    words: str
    cause: Cause


def _progress(words: str) -> DispenseMeaning:
    return DispenseMeaning(Stage.PROGRESS, words)


def _failed(words: str, cause: Cause = Cause.MACHINE) -> DispenseMeaning:
    return DispenseMeaning(Stage.FAILED, words, cause)


# A motor that did not stop may have dropped any number of goods, and faults of lift, door and oven concern every
# slot: nothing else is tried for this customer. Jam and missing motor concern one slot only.
DISPENSE_STATUSES: dict[int, DispenseMeaning] = {
    0x01: _progress("dispensing"),
    0x02: DispenseMeaning(Stage.DELIVERED, "dispensed"),
    0x03: _failed("the selection is jammed", Cause.SLOT),
    0x04: _failed("the motor did not stop"),
    0x06: _failed("the motor is missing", Cause.SLOT),
    0x07: _failed("lift error"),
    0x0A: _failed("the infrared drop sensor failed its self-test"),
    **dict.fromkeys((0x10, 0x11), _progress("the lift is moving")),
    **dict.fromkeys((0x14, 0x16, 0x18, 0x19, 0x26), _progress("a door or the pusher is moving")),
    0x22: _progress("heating"),
    SECONDS_LEFT: _progress("heating, seconds left"),
    0x24: _progress("please take the goods"),
    **dict.fromkeys(
        (0x12, 0x13, 0x15, 0x17, 0x20, 0x21, 0x25, 0x27, 0x28, 0x29, 0x30, 0x31, 0x32),
        _failed("error of the lift, a door or the oven"),
    ),
    0xFF: _failed("the purchase was terminated"),
}

REFUSALS: dict[int, RefusalMeaning] = {
    0x02: RefusalMeaning("sold out", Cause.EMPTY),
    0x03: RefusalMeaning("there is no such selection", Cause.SLOT),
    0x04: RefusalMeaning("the selection is paused", Cause.SLOT),
    0x05: RefusalMeaning("goods are left in the lift", Cause.MACHINE),
    0x06: RefusalMeaning("the delivery door is not closed", Cause.MACHINE),
    0x07: RefusalMeaning("lift error", Cause.MACHINE),
    0x08: RefusalMeaning("the lift is testing itself", Cause.MACHINE),
    **dict.fromkeys((0x09, 0x10, 0x11, 0x14), RefusalMeaning("delivery door error", Cause.MACHINE)),
    **dict.fromkeys((0x12, 0x13, 0x15), RefusalMeaning("the lunch-box unit is not ready", Cause.MACHINE)),
    **dict.fromkeys((0x16, 0x19), RefusalMeaning("pole error", Cause.MACHINE)),
    0x17: RefusalMeaning("main motor error", Cause.MACHINE),
    0x18: RefusalMeaning("shift motor error", Cause.MACHINE),
    **dict.fromkeys((0x20, 0x21), RefusalMeaning("the lift does not meet the oven", Cause.MACHINE)),
    **dict.fromkeys((0x22, 0x23), RefusalMeaning("pushrod error", Cause.MACHINE)),
}

QUICK_STATUSES: dict[int, str] = {
    0x00: "ok",
    0x01: "goods in the lift",
    0x02: "the delivery door is open",
    0x03: "lift error",
    0x04: "the lift failed its self-test",
}
