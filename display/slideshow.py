"""A folder of pictures, one after the other: PNG and JPEG; whatever else lies there is told once and skipped."""

from __future__ import annotations

import logging
from pathlib import Path

from display.pictures import PictureError, poster_picture
from display.scene import Poster

SLIDE_SECONDS = 8.0  # long enough to read a few words in passing
MAX_PICTURES = 200  # a folder with more is some other folder; the others are not looked at

_log = logging.getLogger(__name__)


def files_in(folder: Path) -> list[Path]:
    """The files that may be pictures, by name. Raises OSError."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))[
        :MAX_PICTURES
    ]


class Slideshow:
    """Turns over one folder. Reads files: to be used in the painter's thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shown: Poster | None = None
        self._refused: dict[Poster, str] = {}  # told already
        self._folder_error = ""
        self.turn_at = 0.0  # when the next one is due, on the clock of whoever asks

    def current(self, now: float, width: int, height: int) -> Poster | None:
        """The picture that is to be seen at `now`, readable at that size; None where the folder holds none."""
        if now < self.turn_at and self._shown is not None:
            return self._shown
        self.turn_at = now + SLIDE_SECONDS
        posters = self._posters()
        after = [poster for poster in posters if self._shown is not None and poster.path > self._shown.path]
        self._shown = next((poster for poster in (*after, *posters) if self._readable(poster, width, height)), None)
        return self._shown

    def _posters(self) -> list[Poster]:
        """What lies in the folder now: pictures may be exchanged while the machine runs."""
        try:
            found = [Poster(path, path.stat().st_mtime_ns) for path in files_in(self._folder)]
        except OSError as error:
            if self._folder_error != str(error):
                _log.warning("the folder %s of idle pictures cannot be read: %s", self._folder, error.strerror)
            self._folder_error = str(error)
            return []
        self._folder_error = ""
        self._refused = {poster: reason for poster, reason in self._refused.items() if poster in found}
        return found

    def _readable(self, poster: Poster, width: int, height: int) -> bool:
        if poster in self._refused:
            return False
        try:
            poster_picture(poster, width, height)
        except PictureError as error:
            self._refused[poster] = str(error)
            _log.warning("%s; it is skipped", error)
            return False
        return True
