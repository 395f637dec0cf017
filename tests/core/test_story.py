"""Events as sentences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from core_values import NOON

import kiosk
from kiosk.records import Event
from kiosk.story import sentence

SOURCES = sorted(Path(kiosk.__file__).parent.glob("*.py"))
KINDS = {
    kind
    for source in SOURCES
    for kind in re.findall(r'Step\([^"\n]*(?:\([^"\n]*\)[^"\n]*)*, "([a-z_]+)"', source.read_text(encoding="utf-8"))
}


def test_the_kinds_were_found() -> None:
    """The list below is the program's own, not a copy of it."""
    assert {"paid", "dispensing", "dispensed", "refunded", "closed"} <= KINDS


@pytest.mark.parametrize("language", ["zh_CN", "en"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_step_has_its_sentence(kind: str, language: str) -> None:
    """Whatever an order goes through is told in words, in both languages, also when a detail is missing."""
    told = sentence(Event(NOON, kind, {}), language)

    assert told.endswith((".", "。"))
    assert kind not in told.split()


def test_details_are_told() -> None:
    """Money as it is read, the slot by its name."""
    event = Event(NOON, "created", {"product": "cola", "amount_fen": 350, "channel": "native_two"})

    assert sentence(event, "en") == "Order for cola over ¥3.50 made (native_two)."


MACHINE_KINDS = (
    *("slot_added", "restock", "enable", "disable", "test_vend", "test_vend_delivered", "test_vend_not_delivered"),
    *("test_vend_unknown", "switch_out_of_service", "switch_language", "screen_test", "day_closed"),
    *("settings_reloaded", "journal_writable_again"),
)


@pytest.mark.parametrize("language", ["zh_CN", "en"])
@pytest.mark.parametrize("kind", MACHINE_KINDS)
def test_what_is_done_to_the_machine_has_its_sentence(kind: str, language: str) -> None:
    """Whatever a technician or the machine does is told in words, in both languages."""
    told = sentence(Event(NOON, kind, {}), language)

    assert told.endswith((".", "。"))


def test_the_way_back_into_service_is_told_as_such() -> None:
    """An empty text is the switch back."""
    event = Event(NOON, "switch_out_of_service", {"value": "", "who": "technician 192.168.1.5"})

    assert sentence(event, "en") == "technician 192.168.1.5: back into service."
