"""How the processes of one installation find their switch, and that there is only one.

Beside the database's name in the home folder stand a lock, held as long as the switch lives, and a
note of its address. The lock is what counts: a note without it is a dead switch's.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from checkout.database import is_postgresql, sqlite_path

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
        """Tell the others where this switch listens; the note is for this user only."""
        text = json.dumps({"host": address[0], "port": address[1], "pid": os.getpid()})
        handle, name = tempfile.mkstemp(dir=self.note.parent, prefix=".switch-")
        with os.fdopen(handle, "w", encoding="ascii") as opened:
            opened.write(text)
        Path(name).replace(self.note)

    def withdraw(self) -> None:
        """Take the note away, so that nobody new comes; the seat stays taken."""
        if self.descriptor >= 0:
            self.note.unlink(missing_ok=True)

    def leave(self) -> None:
        """Take the note away and let the next one have the seat; safe to call twice."""
        if self.descriptor >= 0:
            self.withdraw()
            os.close(self.descriptor)
            self.descriptor = -1


def take_seat(home: Path, database_url: str, *, wait_s: float = 0.0) -> Seat:
    """Become the switch of this database; SwitchRunning where another one is after `wait_s`."""
    note = _note(home, database_url)
    note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(note.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    # Whoever looks for a switch holds the lock for an instant; that is no switch.
    deadline = time.monotonic() + max(wait_s, _GLANCE_S)
    while not _lock(descriptor):
        if time.monotonic() >= deadline:
            os.close(descriptor)
            raise SwitchRunning(f"another switch is running for {_shown(database_url)}")
        time.sleep(0.02)
    note.unlink(missing_ok=True)
    return Seat(note=note, descriptor=descriptor)


def find(home: Path, database_url: str) -> Address | None:
    """Where the switch of this database listens; None while there is none."""
    note = _note(home, database_url)
    try:
        text = note.read_text("ascii")
        told = json.loads(text)
        address, pid = (str(told["host"]), int(told["port"])), int(told["pid"])
        if not _alive(pid):
            return None
        descriptor = os.open(note.with_suffix(".lock"), os.O_RDWR)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        if _lock(descriptor, shared=True):
            # Held by nobody: the note is a dead switch's, whose number another process has got.
            return None
        # The lock may be the next switch's already; a note that is still there is its holder's.
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


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
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
