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

import filelock

FORMAT = 1
_POLL_S = 0.002


class CardInUse(Exception):
    """The card is in the field of another reader, in this process or another."""


class CardFileError(Exception):
    """The state file of a card is missing or not valid; the message names it."""


class CardLock:
    """An exclusive lock on `path`; the system frees it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, timeout_s: float) -> bool:
        """Whether the lock became free, and was taken, within the time; the folder must exist."""
        # The lock of a descriptor takes 12 us, a `filelock.FileLock` 350 us of every tap.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + timeout_s
        while not filelock.lock_descriptor(descriptor, blocking=False):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return False
            time.sleep(_POLL_S)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Free the lock; safe to call when it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def locked(path: Path, timeout_s: float = 30.0) -> Iterator[None]:
    """Hold the lock on `path` for a block; raises CardInUse where it isn't free in time."""
    lock = CardLock(path)
    if not lock.acquire(timeout_s):
        raise CardInUse(f"{path.name}: another process has held it for {timeout_s:g} s")
    try:
        yield
    finally:
        lock.release()


def card_path(name: str, home: Path) -> Path:
    """The state file of the card with this name."""
    return home / "cards" / f"{name}.json"


def lock_path(path: Path) -> Path:
    """The lock that guards a card's state file."""
    return path.with_suffix(".lock")


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
    """Make a rename durable; Windows has no handle for a folder and needs none."""
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
