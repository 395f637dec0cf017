"""QR codes in whole pixels: black on white, with the four quiet modules that the standard wants (ISO/IEC 18004)."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image
from qrcode import QRCode
from qrcode.constants import ERROR_CORRECT_M

QUIET_MODULES = 4
# One mask instead of a search through eight, which takes four fifths of the time. Of 200 links of mode one this one
# gave all but a few their lowest penalty (ISO/IEC 18004, 7.8.3), the worst 8 % above; none is better for code_urls.
MASK = 2
MAX_CODES = 256  # 60 products, their codes before and after a renewal, at two sizes


@lru_cache(MAX_CODES)
def modules(text: str) -> int:
    """How many modules the code of `text` measures from side to side, its quiet zone included."""
    return _matrix(text).width


@lru_cache(MAX_CODES)
def paint(text: str, module_pixels: int) -> Image.Image:
    """The code of `text`, each module `module_pixels` square. Not to be changed: it is kept."""
    matrix = _matrix(text)
    side = matrix.width * module_pixels
    return matrix.resize((side, side), Image.Resampling.NEAREST)


@lru_cache(MAX_CODES)
def _matrix(text: str) -> Image.Image:
    """One pixel a module: level M, which a phone reads off a screen as well as any other."""
    code = QRCode(error_correction=ERROR_CORRECT_M, border=QUIET_MODULES, mask_pattern=MASK)
    code.add_data(text)
    rows = code.get_matrix()
    image = Image.new("L", (len(rows), len(rows)))
    image.putdata([0 if dark else 255 for row in rows for dark in row])
    return image
