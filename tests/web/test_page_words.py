"""The words of the technician's page."""

from __future__ import annotations

import re
from pathlib import Path

import hardware
import kiosk.web
from kiosk.orders import OrderState
from kiosk.shelf import SlotState
from kiosk.web.page_words import page_words

WEB = Path(kiosk.web.__file__).parent
SCRIPTS = "".join(file.read_text(encoding="utf-8") for file in sorted((WEB / "static").glob("*.js")))
PAGE = (WEB / "templates" / "index.html").read_text(encoding="utf-8")


def test_every_word_that_the_page_says_is_there() -> None:
    """What scripts and template name by itself stands in the list, and every state has its word."""
    named = set(re.findall(r"""\bw\("([a-z_.]+)\"""", SCRIPTS)) | set(
        re.findall(r"""\bw\[["']([a-z_.]+)["']\]""", PAGE)
    )
    states = {f"order_state.{state.value}" for state in OrderState} | {
        f"slot_state.{state.value}" for state in SlotState
    }

    assert len(named) > 80
    assert set() == (named | states) - page_words("en").keys()


def test_whatever_a_driver_knows_of_its_board_has_its_word() -> None:
    """No fact comes out under the name that programs give it."""
    sources = "".join(file.read_text(encoding="utf-8") for file in Path(hardware.__file__).parent.rglob("*.py"))
    facts = set(re.findall(r'(?:Fact|_note)\("([a-z_]+)"', sources))

    assert len(facts) > 20
    assert set() == {f"fact.{name}" for name in facts} - page_words("en").keys()


def test_both_languages_fill_in_the_same() -> None:
    """A sentence has the same gaps in both languages, and neither is empty."""
    english, chinese = page_words("en"), page_words("zh_CN")
    for name, text in english.items():
        gaps = [set(re.findall(r"\{\w+\}", each)) for each in (text, chinese[name])]

        assert gaps[0] == gaps[1], name
        assert text, name
        assert chinese[name], name


def test_no_word_is_left_over() -> None:
    """Every word is used: by its name, or by the beginning that is put together with a state, a fact or a health."""
    said = SCRIPTS + PAGE
    put_together = ("health.", "slot_state.", "order_state.", "tested.", "fact.", "level.", "nav_")

    assert [] == [name for name in page_words("en") if name not in said and not name.startswith(put_together)]
