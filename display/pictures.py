"""Pictures from files: read once, bounded, never trusted; and what is drawn for a product that has none."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from display.palette import disc
from display.scene import Poster

MAX_PICTURE_BYTES = 8 * 1024 * 1024
MAX_PICTURE_PIXELS = 16_000_000  # 4000 x 4000: more than any screen shows; decoded it takes 64 MB for a moment
MAX_POSTERS = 2  # the one that is shown, and the next
MAX_KEPT = 256  # 60 products at a few sizes

_log = logging.getLogger(__name__)


class PictureError(Exception):
    """The picture cannot be used; the sentence names the file and says why."""


def open_picture(path: Path, largest: tuple[int, int] | None = None) -> Image.Image:
    """Read a PNG or JPEG as RGBA, upright. Raises `PictureError`.

    `largest`: more pixels than that in width and height are not needed, which saves time and memory with a JPEG.
    """
    try:
        return _read(path, largest)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"the picture {path} is neither PNG nor JPEG") from error
    except Exception as error:  # what damaged files make a decoder raise cannot be listed
        raise PictureError(f"the picture {path} cannot be read: {error}") from error


def _read(path: Path, largest: tuple[int, int] | None) -> Image.Image:
    if path.stat().st_size > MAX_PICTURE_BYTES:
        raise PictureError(f"the picture {path} is larger than {MAX_PICTURE_BYTES // 1024**2} MiB")
    with Image.open(path, formats=("PNG", "JPEG")) as image:
        if image.width * image.height > MAX_PICTURE_PIXELS:
            raise PictureError(f"the picture {path} has more than {MAX_PICTURE_PIXELS} pixels")
        if largest is not None:
            image.draft("RGB", largest)
        return ImageOps.exif_transpose(image).convert("RGBA")


@lru_cache(MAX_KEPT)
def product_picture(path: Path | None, name: str, product_id: str, side: int) -> Image.Image:
    """The product as RGBA, at most `side` pixels wide and high. Not to be changed: it is kept."""
    if path is not None:
        try:
            image = open_picture(path)
        except PictureError as error:
            _log.warning("%s; a stand-in is drawn", error)
        else:
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
            return image
    return disc(name[:1].upper(), product_id, side)


@lru_cache(MAX_POSTERS)
def poster_picture(poster: Poster, width: int, height: int) -> Image.Image:
    """The poster as RGBA, whole, as large as fits. Not to be changed: it is kept. Raises `PictureError`."""
    side = max(width, height)  # before it is known whether the camera was held upright
    image = open_picture(poster.path, (side, side))
    return ImageOps.contain(image, (width, height), Image.Resampling.LANCZOS)


def forget_pictures() -> None:
    """Read every picture's file again when it is next painted."""
    product_picture.cache_clear()
