"""One process for one machine: two on the same data folder would each take up what the other has under way."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class DataFolderLock:
    """Holds a data folder until `release`, or until the process ends in whatever way.

    Raises `OSError` with a sentence for a folder that another process holds, or that cannot be made or opened. The
    lock is on the folder itself (flock(2)): it leaves no file behind that a dead process could have forgotten.
    """

    def __init__(self, data_dir: Path) -> None:
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise OSError(f"the data folder {data_dir} cannot be made or opened: {error.strerror}") from error
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise OSError(
                f"another process already runs the machine of the data folder {data_dir}: stop that one first "
                "(systemctl stop kiosk), or give this machine a data_dir of its own"
            ) from error

    def release(self) -> None:
        """Let another process have the folder."""
        os.close(self._folder)
