"""Chinese text has glyphs; pictures and fonts that are missing are sentences, not crashes."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from pathlib import Path

import pytest
from PIL import Image
from scenes import scene

from display import fonts
from display.painter import Painter
from display.pictures import PictureError, open_picture
from kiosk.words import WORDS


@pytest.mark.parametrize("language", sorted(WORDS))
def test_every_word_on_the_screen_has_its_glyphs(language: str) -> None:
    """Nothing that the machine says comes out as boxes."""
    words = WORDS[language]

    assert fonts.find_font() is not None, fonts.NO_FONT
    assert "" == fonts.missing_glyphs("".join(getattr(words, field.name) for field in fields(words)))
    assert "" == fonts.missing_glyphs("".join(tile.name + tile.price for tile in scene(8).tiles))


def test_a_character_without_a_glyph_is_named() -> None:
    """What the font lacks is found, once each."""
    assert "\ue123" == fonts.missing_glyphs("可\ue123乐\ue123")


def test_without_a_font_the_machine_paints_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Chinese font installed: the missing characters are known, and the screen works on."""
    monkeypatch.setattr(fonts, "CANDIDATES", (Path("/nowhere/font.ttc"),))
    fonts.find_font.cache_clear()
    fonts.font.cache_clear()
    try:
        assert fonts.find_font() is None
        assert "可" in fonts.missing_glyphs("可乐")
        assert Painter(800, 480).paint(scene(3)).pages == 1
    finally:
        fonts.find_font.cache_clear()
        fonts.font.cache_clear()


def test_a_picture_that_cannot_be_read_gets_a_stand_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file is named in the log, the product is sold."""
    broken = tmp_path / "cola.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    shown = scene(1)
    shown = replace(shown, tiles=(replace(shown.tiles[0], picture=broken),))
    with caplog.at_level(logging.WARNING):
        Painter(800, 480).paint(shown)

    assert str(broken) in caplog.text


def test_pictures_are_bounded(tmp_path: Path) -> None:
    """A wrong type, a missing file and a picture of too many pixels are sentences that name the file."""
    text, large = tmp_path / "text.png", tmp_path / "large.png"
    text.write_text("no picture")
    Image.new("1", (5000, 5000)).save(large)
    for path, reason in (
        (text, "neither PNG nor JPEG"),
        (large, "pixels"),
        (tmp_path / "none.png", "cannot be read"),
    ):
        with pytest.raises(PictureError, match=reason) as refused:
            open_picture(path)

        assert str(path) in str(refused.value)
