"""Writes files that only their owner may read, whole or not at all.

The content goes to a temporary file in the same folder (mode 0600), then to the disk, then to its
name. Whoever reads that name finds the old content or the new, never a part of it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter (mode 0700), and return it; OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def replace_private(path: Path, content: bytes) -> None:
    """Write a file, over an older one where there is one; OSError leaves the older one."""
    with _draft(path, content) as draft:
        draft.replace(path)
    _sync_folder(path.parent)


def create_private(path: Path, content: bytes) -> bool:
    """Write a file unless it exists; False where it does. OSError leaves no file.

    Of several processes that create one file at once, exactly one gets True.
    """
    with _draft(path, content) as draft:
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return False
    _sync_folder(path.parent)
    return True


def touch_private(path: Path) -> None:
    """Make an empty file unless it exists, whose content another program then writes; OSError."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


@contextlib.contextmanager
def _draft(path: Path, content: bytes) -> Iterator[Path]:
    """The content in a temporary file beside `path`; it is removed unless it was renamed."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows has no handle for a folder and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
