"""SQLite for the switch: the rows of a large turn are written by a process beside it.

Under load the rows cost as much processor time as the decisions do by half. Handed over, they are
written on another core while the switch decides the next turn; the answers wait until they stand.
A switch without much to do writes here and now, and is one process: the other one is started when
it is first worth it.
"""

from __future__ import annotations

import logging
import os
import pickle
import select
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from checkout.clearing.engines import Row, SqliteEngine, Statement
from checkout.clearing.row_writer import hear, tell
from checkout.database import DatabaseError

log = logging.getLogger("checkout.switch")

#: A writer that says nothing for this long is ended, and its turn written here.
PATIENCE_S = 30.0
#: After so many writers that went away, the switch does without.
_MOST_LOST = 3
_PACKAGES = str(Path(__file__).resolve().parents[2])


class BesideEngine:
    """An engine that can have one turn written beside, while its user goes on.

    `held` are descriptors that the writing process keeps open: the seat's, so that no other switch
    begins before the last turn of this one is written or lost. A turn that could not be written
    stops everything with its DatabaseError until `abandon`: what was decided since is built on it.
    """

    def __init__(self, url: str, *, held: tuple[int, ...] = ()) -> None:
        self._url, self._held = url, held
        self._here = SqliteEngine(url)
        self._writer: _Writer | None = None
        self._lost = 0 if len(os.sched_getaffinity(0)) > 1 else _MOST_LOST
        self._handed: tuple[bytes, int] | None = None
        self._failure: DatabaseError | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is being written beside."""
        return self._handed is None

    @property
    def descriptor(self) -> int:
        """What becomes readable when the turn that was handed over has been written."""
        return -1 if self._writer is None else self._writer.line.fileno()

    @property
    def writer_pid(self) -> int | None:
        """The process that writes beside; None while there is none."""
        return None if self._writer is None else self._writer.process.pid

    def has_writer(self, *, start: bool) -> bool:
        """Whether a process takes turns; `start` one where there is none, for later."""
        try:
            if self._writer is None:
                if start and self._lost < _MOST_LOST:
                    self._writer = _Writer(self._url, self._held)
                return False
            return self._writer.is_ready()
        except (OSError, EOFError) as error:
            self._lose(error)
            return False

    def hand_over(self, statements: Sequence[Statement], message: int) -> bool:
        """Have a turn written beside, by the writer there is; False where it has gone.

        `message` is the number of a message that the turn adds to the log, to know it again by.
        """
        self.settle()
        turn = pickle.dumps(statements, pickle.HIGHEST_PROTOCOL)
        if self._writer is None:
            return False
        try:
            tell(self._writer.line, turn)
        except OSError as error:
            self._lose(error)
            return False
        self._handed = (turn, message)
        return True

    def settle(self) -> None:
        """Wait until what was handed over stands; DatabaseError where it could not be written."""
        if self._failure is not None:
            raise self._failure
        if self._handed is None or self._writer is None:
            return
        turn, message = self._handed
        try:
            said = hear(self._writer.line).decode()
            failure = DatabaseError(said) if said else None
        except (OSError, EOFError) as error:
            self._lose(error)
            failure = self._written_here(turn, message)
        self._handed, self._failure = None, failure
        if failure is not None:
            raise failure

    def abandon(self) -> None:
        """Wait for what was handed over, and forget that it failed."""
        try:
            self.settle()
        except DatabaseError:
            self._failure = None

    def query(self, sql: str, parameters: Row = (), *, settled: bool = True) -> list[Row]:
        """All rows of one SELECT; `settled` with all that was handed over, which it waits for."""
        if settled:
            self.settle()
        return self._here.query(sql, parameters)

    def write(self, statements: Iterable[Statement]) -> None:
        """Run each statement for each of its rows, all in one durable transaction."""
        self.settle()
        self._here.write(statements)

    def define(self, statements: Iterable[str]) -> None:
        """Create tables and indexes where they are missing."""
        self._here.define(statements)

    def close(self) -> None:
        """Wait for what was handed over, end the writer, give the connection back."""
        self.abandon()
        if self._writer is not None:
            self._writer.end()
            self._writer = None
        self._here.close()

    def _lose(self, why: Exception) -> None:
        """End a writer that has gone or is stuck: from now on nothing of its turn can come."""
        log.warning("the process that writes rows has gone: %s", why or "it ended")
        self._lost += 1
        if self._writer is not None:
            self._writer.kill()
            self._writer = None

    def _written_here(self, turn: bytes, message: int) -> DatabaseError | None:
        """Write what a lost writer has not; None where it stands then."""
        known = "SELECT 1 FROM clearing_messages WHERE seq = ?"
        # A commit of our own makes sure that one which stands has reached the disk, too.
        touch = "UPDATE clearing_messages SET took_us = took_us WHERE seq = ?"
        try:
            if self._here.query(known, (message,)):
                self._here.write([(touch, [(message,)])])
            else:
                self._here.write(pickle.loads(turn))  # noqa: S301 - made by `hand_over`
        except DatabaseError as error:
            return error
        return None


class _Writer:
    """The process and this end of the socket to it; ready once it has said so."""

    def __init__(self, url: str, held: tuple[int, ...]) -> None:
        self.line, its_end = socket.socketpair()
        self._ready = False
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "checkout.clearing.row_writer", url],
                stdin=its_end.fileno(),
                stdout=subprocess.DEVNULL,
                pass_fds=held,
                env=os.environ | {"PYTHONPATH": _PACKAGES},
            )
        except BaseException:
            self.line.close()
            raise
        finally:
            its_end.close()
        self.line.settimeout(PATIENCE_S)

    def is_ready(self) -> bool:
        """Whether it takes turns yet; OSError or EOFError where it never will."""
        if not self._ready and select.select((self.line,), (), (), 0)[0]:
            hear(self.line)
            self._ready = True
        return self._ready

    def end(self) -> None:
        """Let it go, as it does by itself when nobody is at the other end."""
        self.line.close()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, whatever it is at."""
        self.line.close()
        self.process.kill()
        self.process.wait()
