"""The font of the screen: one with Chinese characters, found on the system; and which characters it lacks."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from pathlib import Path

from PIL import ImageFont

# Debian's fonts-wqy-microhei, fonts-noto-cjk, fonts-droid-fallback, fonts-wqy-zenhei, in the order of our taste.
CANDIDATES = (
    Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),
    Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf"),
    Path("/usr/share/fonts/truetype/droid/DroidSansFallback.ttf"),
    Path("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc"),
)
MAX_SIZES = 64  # a layout uses about ten sizes; a few screens' worth are kept
_PROBE_SIZE = 24
_UNSEEN = frozenset({"Cc", "Cf", "Zs"})  # controls, formats and blanks have nothing to paint
_NO_CHARACTER = "\U0010fffe"  # never a character: painted as the font's box for what it lacks

NO_FONT = "no font with Chinese characters was found: install the package fonts-wqy-microhei"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def find_font() -> Path | None:
    """The first of the known fonts that is installed."""
    return next((path for path in CANDIDATES if path.is_file()), None)


@lru_cache(MAX_SIZES)
def font(size: int) -> Font:
    """The screen's font at `size` pixels; Pillow's own, which has no Chinese, where none is installed."""
    path = find_font()
    return ImageFont.load_default(size) if path is None else ImageFont.truetype(path, size)


def missing_glyphs(text: str) -> str:
    """The characters of `text`, each once, that would be painted as boxes."""
    probe = font(_PROBE_SIZE)
    box = _ink(probe, _NO_CHARACTER)
    return "".join(
        character
        for character in dict.fromkeys(text)
        if unicodedata.category(character) not in _UNSEEN and _ink(probe, character) == box
    )


def _ink(probe: Font, character: str) -> tuple[object, bytes]:
    mask = probe.getmask(character, mode="L")
    return mask.size, bytes(mask)
