"""The phone's camera: reads QR codes off a picture of the machine's screen."""

from __future__ import annotations

import io
from dataclasses import dataclass

import zxingcpp
from PIL import Image

_QR_CODES = zxingcpp.barcode_formats_from_str("QRCode")
REACH = 0.8  # of a code's size: a finger that is so far beside a code still means it


@dataclass(frozen=True)
class SeenCode:
    """A code in a picture. The box is in parts of the picture's width and height, 0 to 1."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


def read_codes(png: bytes) -> list[SeenCode]:
    """Every QR code in the picture, from the top left to the bottom right. Blocks for some 50 ms."""
    with Image.open(io.BytesIO(png)) as picture:
        width, height = picture.size
        found = zxingcpp.read_barcodes(picture.convert("L"), formats=_QR_CODES)
    codes = []
    for code in found:
        corners = code.position
        points = (corners.top_left, corners.top_right, corners.bottom_left, corners.bottom_right)
        across, down = [point.x for point in points], [point.y for point in points]
        codes.append(
            SeenCode(code.text, min(across) / width, min(down) / height, max(across) / width, max(down) / height)
        )
    return sorted(codes, key=lambda code: (round(code.top, 2), code.left))


def code_at(codes: list[SeenCode], x: float, y: float) -> SeenCode | None:
    """The code that a finger at that place means; None if there is none near it."""
    near = [(_distance(code, x, y), code) for code in codes]
    near = [(distance, code) for distance, code in near if distance <= REACH]
    return min(near, key=lambda pair: pair[0])[1] if near else None


def _distance(code: SeenCode, x: float, y: float) -> float:
    """How far beside a code a place is, in sizes of the code; 0 inside it."""
    beside = max(code.left - x, x - code.right, 0.0) / (code.right - code.left)
    below = max(code.top - y, y - code.bottom, 0.0) / (code.bottom - code.top)
    return max(beside, below)
