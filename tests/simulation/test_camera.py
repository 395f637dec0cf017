from __future__ import annotations

import io

import pytest
import qrcode
from PIL import Image

from kiosk.simulation.camera import code_at, read_codes

TEXTS = ("weixin://wxpay/bizpayurl?pr=first01zz", "weixin://wxpay/bizpayurl?pr=second2zz")


def picture(*texts: str) -> bytes:
    """A dark screen of 800 × 600 with a code of 160 pixels in each column of 400."""
    screen = Image.new("RGB", (800, 600), "#0b1220")
    for column, text in enumerate(texts):
        code = qrcode.QRCode(border=4)
        code.add_data(text)
        drawn = code.make_image().get_image().convert("RGB").resize((160, 160), Image.Resampling.NEAREST)
        screen.paste(drawn, (column * 400 + 120, 220))
    file = io.BytesIO()
    screen.save(file, format="PNG")
    return file.getvalue()


def test_all_codes_are_read_off_a_picture() -> None:
    """Text and place of each, from left to right."""
    codes = read_codes(picture(*TEXTS))
    assert list(TEXTS) == [code.text for code in codes]
    assert 0.15 < codes[0].left < codes[0].right < 0.35
    assert 0.36 < codes[0].top < codes[0].bottom < 0.64


@pytest.mark.parametrize(
    ("x", "y", "text"),
    [(0.25, 0.5, TEXTS[0]), (0.75, 0.5, TEXTS[1]), (0.30, 0.70, TEXTS[0]), (0.5, 0.05, None), (0.02, 0.98, None)],
)
def test_a_finger_means_the_code_under_or_beside_it(x: float, y: float, text: str | None) -> None:
    """A tap on a code, or just beside it, is that code; one far from all codes is none."""
    code = code_at(read_codes(picture(*TEXTS)), x, y)
    assert text == (code.text if code else None)


def test_a_picture_without_codes_has_none() -> None:
    """An empty screen."""
    assert read_codes(picture()) == []
