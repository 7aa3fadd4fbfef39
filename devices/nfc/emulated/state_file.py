"""One locked JSON file per emulated card, and the lock that only one process holds at a time.

The lock is a file of its own beside the state: the state is replaced whole at every write, and
a lock on a replaced file would guard nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_POLL_S = 0.002


class CardInUse(Exception):
    """Another process, or another reader of this one, holds the card in its field."""


class CardFileError(Exception):
    """The state file of a card is missing or not ours; the message names it."""


class FileLock:
    """An exclusive lock on `path`, released when the process ends however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        return self._handle is not None

    def acquire(self, timeout_s: float) -> bool:
        """Whether the lock was got within the time; the folder must exist."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + timeout_s
        while not _try_lock(handle):
            if time.monotonic() >= deadline:
                os.close(handle)
                return False
            time.sleep(_POLL_S)
        self._handle = handle
        return True

    def release(self) -> None:
        """Give the lock back; safe to call when it is not held."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


@contextmanager
def locked(path: Path, timeout_s: float = 30.0) -> Iterator[None]:
    """Hold the lock on `path` for a block; raises CardInUse when it can't be got in time."""
    lock = FileLock(path)
    if not lock.acquire(timeout_s):
        raise CardInUse(f"{path.name}: another process has held it for {timeout_s:g} s")
    try:
        yield
    finally:
        lock.release()


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter, and return it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_json(path: Path, content: object, *, mode: int = 0o600) -> None:
    """Replace `path` whole and durably: a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(content, separators=(",", ":")))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; raises CardFileError when it is missing or something else."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CardFileError(f"{path}: no such card; personalise it first") from error
    except (OSError, ValueError) as error:
        raise CardFileError(f"{path}: not a card's state file ({error})") from error
    if not isinstance(content, dict):
        raise CardFileError(f"{path}: not a card's state file (a JSON object was expected)")
    return content


def _sync_folder(path: Path) -> None:
    # A rename is durable only when its folder is; Windows has no such handle and needs none.
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


FORMAT = 1


def card_path(name: str, home: Path) -> Path:
    """Where the state of the card with this name lives."""
    return home / "cards" / f"{name}.json"


def lock_path(path: Path) -> Path:
    """The lock that guards a card's state file."""
    return path.with_suffix(".lock")
