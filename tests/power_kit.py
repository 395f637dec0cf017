"""A disk that forgets what was not synced, under the SQLite that the product itself uses.

A wrapper library with an SQLite of its own (apsw) cannot see the product's files; so the file layer (VFS) of the very
library that Python's sqlite3 module has loaded is given other functions for write, truncate, sync and delete
(https://sqlite.org/vfs.html, https://sqlite.org/c3ref/io_methods.html). They do what they did, and keep a record.
From the record the disk can be made as a power cut at any moment would have left it.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

SECTOR_BYTES = 512  # what a disk writes whole or not at all, at the least

_File, _Integer, _Wide = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
# Names are handed on as the pointers that they are: SQLite keeps them, and finds more behind their end.
_OPEN = ctypes.CFUNCTYPE(_Integer, ctypes.c_void_p, ctypes.c_void_p, _File, _Integer, ctypes.c_void_p)
_DELETE = ctypes.CFUNCTYPE(_Integer, ctypes.c_void_p, ctypes.c_void_p, _Integer)
_WRITE = ctypes.CFUNCTYPE(_Integer, _File, ctypes.c_void_p, _Integer, _Wide)
_TRUNCATE = ctypes.CFUNCTYPE(_Integer, _File, _Wide)
_SYNC = ctypes.CFUNCTYPE(_Integer, _File, _Integer)


class _Vfs(ctypes.Structure):
    _fields_ = (
        *(("version", _Integer), ("file_size", _Integer), ("path_size", _Integer)),
        *(("next", ctypes.c_void_p), ("name", ctypes.c_char_p), ("data", ctypes.c_void_p)),
        *(("open", ctypes.c_void_p), ("delete", ctypes.c_void_p)),
    )


class _Methods(ctypes.Structure):
    _fields_ = (
        *(("version", _Integer), ("close", ctypes.c_void_p), ("read", ctypes.c_void_p)),
        *(("write", ctypes.c_void_p), ("truncate", ctypes.c_void_p), ("sync", ctypes.c_void_p)),
        ("others", ctypes.c_void_p * 13),
    )


class What(Enum):
    """What reached the file layer, or the world."""

    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    DELETE = "delete"
    TOLD = "told"


@dataclass(frozen=True)
class Act:
    """One act on a file; for TOLD `data` is what the world was told, and `path` is empty."""

    what: What
    path: str
    offset: int = 0
    data: Any = b""


class Recorder:
    """Everything that reached the disk, in its order, and between it what the world was told."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self._lock = threading.Lock()

    def add(self, act: Act) -> None:
        with self._lock:
            self.acts.append(act)

    def tell(self, fact: object) -> None:
        """The world has been told: from here on the fact must survive."""
        self.add(Act(What.TOLD, "", data=fact))

    def cuts(self) -> list[int]:
        """How many acts had happened when the power failed: before each sync and after it."""
        syncs = [index for index, act in enumerate(self.acts) if act.what is What.SYNC]
        return sorted({cut for index in syncs for cut in (index, index + 1)} | {len(self.acts)})

    def told(self, cut: int) -> list[Any]:
        return [act.data for act in self.acts[:cut] if act.what is What.TOLD]


class Luck(Enum):
    """What becomes of what was written and not synced."""

    FORGOTTEN = "forgotten"
    WRITTEN = "written"
    TORN = "torn"


def disk_after(acts: Sequence[Act], before: dict[str, bytes], luck: Luck, seed: int) -> dict[str, bytes]:
    """The files by path as the disk holds them when the power comes back."""
    chance = random.Random(seed)
    disk: dict[str, bytearray] = {path: bytearray(content) for path, content in before.items()}
    pending: list[Act] = []
    for act in acts:
        if act.what is What.SYNC:
            for waiting in pending:
                if waiting.path == act.path:
                    _apply(disk, waiting)
            pending = [waiting for waiting in pending if waiting.path != act.path]
        elif act.what is not What.TOLD:
            pending.append(act)
    for act in pending:
        if luck is Luck.WRITTEN:
            _apply(disk, act)
        elif luck is Luck.TORN:
            for part in _sectors(act):
                if chance.random() < 0.5:
                    _apply(disk, part)
    return {path: bytes(content) for path, content in disk.items()}


def _sectors(act: Act) -> Iterator[Act]:
    if act.what is not What.WRITE:
        yield act
        return
    start = 0
    while start < len(act.data):
        end = start + SECTOR_BYTES - (act.offset + start) % SECTOR_BYTES
        yield Act(act.what, act.path, act.offset + start, act.data[start:end])
        start = end


def _apply(disk: dict[str, bytearray], act: Act) -> None:
    if act.what is What.DELETE:
        disk.pop(act.path, None)
        return
    content = disk.setdefault(act.path, bytearray())
    if act.what is What.TRUNCATE:
        del content[act.offset :]
        return
    if len(content) < act.offset:
        content.extend(bytes(act.offset - len(content)))
    content[act.offset : act.offset + len(act.data)] = act.data


@contextmanager
def recorded(folder: Path) -> Iterator[Recorder]:
    """Record what SQLite does to the databases in `folder`, whatever connection does it."""
    recorder = Recorder()
    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    vfs = library.sqlite3_vfs_find(None).contents
    original_open, original_delete = vfs.open, vfs.delete
    open_it, delete_it = _OPEN(original_open), _DELETE(original_delete)
    wrapper = _Wrapper(recorder)

    def ours(name: int | None) -> str | None:
        path = "" if name is None else ctypes.string_at(name).decode()
        return path if path.startswith(str(folder)) else None

    @_OPEN
    def opened(own: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        result = int(open_it(own, name, file, flags, out))
        if result == 0 and (path := ours(name)) is not None:
            wrapper.wrap(file, path)
        return result

    @_DELETE
    def deleted(own: int, name: int, sync_folder: int) -> int:
        result = int(delete_it(own, name, sync_folder))
        if (path := ours(name)) is not None:
            recorder.add(Act(What.DELETE, path))
            if sync_folder:
                recorder.add(Act(What.SYNC, path))
        return result

    vfs.open = ctypes.cast(opened, ctypes.c_void_p).value
    vfs.delete = ctypes.cast(deleted, ctypes.c_void_p).value
    try:
        yield recorder
    finally:
        vfs.open, vfs.delete = original_open, original_delete
        _kept.append((wrapper, opened, deleted))


_kept: list[object] = []  # connections that are still open call these functions until they close


class _Wrapper:
    """Gives open files other functions for what a disk may forget."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._paths: dict[int, str] = {}
        self._made: dict[int, _Methods] = {}
        self._functions: list[Callable[..., int]] = []

    def wrap(self, file: int, path: str) -> None:
        self._paths[file] = path
        pointer = ctypes.cast(file, ctypes.POINTER(ctypes.c_void_p))
        original = pointer[0]
        assert original is not None
        if original not in self._made:
            self._made[original] = self._methods(_Methods.from_address(original))
        pointer[0] = ctypes.addressof(self._made[original])

    def _methods(self, original: _Methods) -> _Methods:
        made = _Methods.from_buffer_copy(original)
        write, truncate, sync = _WRITE(original.write), _TRUNCATE(original.truncate), _SYNC(original.sync)

        @_WRITE
        def written(file: int, data: int, size: int, offset: int) -> int:
            self._recorder.add(Act(What.WRITE, self._paths[file], offset, ctypes.string_at(data, size)))
            return int(write(file, data, size, offset))

        @_TRUNCATE
        def truncated(file: int, size: int) -> int:
            self._recorder.add(Act(What.TRUNCATE, self._paths[file], size))
            return int(truncate(file, size))

        @_SYNC
        def synced(file: int, flags: int) -> int:
            result = int(sync(file, flags))
            self._recorder.add(Act(What.SYNC, self._paths[file]))
            return result

        self._functions += [written, truncated, synced]
        for name, function in (("write", written), ("truncate", truncated), ("sync", synced)):
            setattr(made, name, ctypes.cast(function, ctypes.c_void_p).value)
        return made
