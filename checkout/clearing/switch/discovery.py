"""How the processes of one installation find their switch, and that there is only one.

For each database the home folder has a lock file, locked as long as the switch lives, and a note of
its address. The lock decides: a note whose lock nobody holds is that of a dead switch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import lock_descriptor

from checkout.database import is_postgresql, sqlite_path
from checkout.private_files import private_folder, replace_private

Address = tuple[str, int]
_GLANCE_S = 0.2


class SwitchRunning(Exception):
    """Another process is the switch of this database already."""


@dataclass(slots=True)
class Seat:
    """The one place of the switch of a database; give it back with `leave`."""

    note: Path
    descriptor: int

    def publish(self, address: Address) -> None:
        """Write where this switch listens into the note, which only this user may read."""
        text = json.dumps({"host": address[0], "port": address[1], "pid": os.getpid()})
        replace_private(self.note, text.encode("ascii"))

    def withdraw(self) -> None:
        """Remove the note, so that no new client finds this switch; the seat stays taken."""
        if self.descriptor >= 0:
            self.note.unlink(missing_ok=True)

    def leave(self) -> None:
        """Remove the note and free the seat for the next switch; safe to call twice."""
        if self.descriptor >= 0:
            self.withdraw()
            os.close(self.descriptor)
            self.descriptor = -1


def take_seat(home: Path, database_url: str, *, wait_s: float = 0.0) -> Seat:
    """Become the switch of this database; SwitchRunning where another one is after `wait_s`."""
    note = _note(home, database_url)
    private_folder(note.parent)
    descriptor = os.open(note.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    # A process that looks for a switch holds the lock for an instant, without being a switch.
    deadline = time.monotonic() + max(wait_s, _GLANCE_S)
    while not _lock(descriptor):
        if time.monotonic() >= deadline:
            os.close(descriptor)
            raise SwitchRunning(f"another switch is running for {_shown(database_url)}")
        time.sleep(0.02)
    note.unlink(missing_ok=True)
    return Seat(note=note, descriptor=descriptor)


def find_switch(home: Path, database_url: str) -> Address | None:
    """Where the switch of this database listens; None while there is none."""
    note = _note(home, database_url)
    try:
        text = note.read_text("ascii")
        content = json.loads(text)
        address, pid = (str(content["host"]), int(content["port"])), int(content["pid"])
        if not _alive(pid):
            return None
        descriptor = os.open(note.with_suffix(".lock"), os.O_RDWR)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        if not _is_locked(descriptor):
            return None  # a dead switch's note; another process has got its number since
        # The next switch may hold the lock by now. If the note is unchanged, its writer does.
        return address if note.read_text("ascii") == text else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _lock(descriptor: int) -> bool:
    """Whether the lock was free and is now held.

    It belongs to the open file, so the switch's writing process, which inherits the descriptor,
    goes on holding it when the switch dies. A `filelock.FileLock` would unlock the file instead.
    """
    with contextlib.suppress(OSError):
        return lock_descriptor(descriptor, blocking=False)
    return False


def _is_locked(descriptor: int) -> bool:
    """Whether another process holds the lock; the shared lock taken to find out is left held."""
    # `filelock` has no shared mode. With an exclusive lock, two processes that look at the same
    # moment would take each other for the switch.
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _note(home: Path, database_url: str) -> Path:
    """One note a database: two spellings of the same file are the same database."""
    if is_postgresql(database_url):
        named = database_url
    else:
        named = str(sqlite_path(database_url).resolve())
    digest = hashlib.sha256(named.encode()).hexdigest()[:16]
    return home / "switch" / f"{digest}.json"


def _shown(database_url: str) -> str:
    return "this PostgreSQL database" if is_postgresql(database_url) else database_url
