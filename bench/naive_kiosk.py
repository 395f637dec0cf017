"""The machine's screen as one would write it in an afternoon, with the same libraries: everything painted anew.

As a program it shows twelve codes of native mode one in a file that stands for a framebuffer, says so, and waits:

    python bench/naive_kiosk.py FILE
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import qrcode
from PIL import Image, ImageDraw, ImageFont
from qrcode.constants import ERROR_CORRECT_M

WIDTH, HEIGHT, COLUMNS, ROWS = 1080, 1920, 3, 4
FONT = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")


def picture(codes: Sequence[str]) -> Image.Image:
    """Twelve products, each with name, price and code."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.truetype(str(FONT), 36) if FONT.exists() else ImageFont.load_default(36)
    width, height = WIDTH // COLUMNS, HEIGHT // ROWS
    for number, text in enumerate(codes):
        left, top = number % COLUMNS * width, number // COLUMNS * height
        maker = qrcode.QRCode(error_correction=ERROR_CORRECT_M, border=4, box_size=10)
        maker.add_data(text)
        code = maker.make_image().get_image().convert("RGB").resize((width - 20, width - 20))
        image.paste(code, (left + 10, top + 10))
        draw.text((left + 20, top + width), "可口可乐  ¥3.50", "black", font)
    return image


def pixels(image: Image.Image) -> bytes:
    """As a framebuffer of 32 bits wants them."""
    return image.tobytes("raw", "BGRX")


if __name__ == "__main__":
    # What such a program imports at its top, used or not.
    import sqlite3

    import requests
    import serial
    import xmltodict
    from tornado import web

    from bench.codes_made import link

    web.Application([])
    sqlite3.connect(":memory:")
    assert all((requests, serial, xmltodict))
    Path(sys.argv[1]).write_bytes(pixels(picture([link(number) for number in range(COLUMNS * ROWS)])))
    print("shown", time.monotonic_ns(), flush=True)
    asyncio.run(asyncio.sleep(3600))
