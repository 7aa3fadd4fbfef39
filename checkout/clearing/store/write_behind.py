"""SQLite for the switch: the rows of a large turn are written by a process beside it.

Under load the rows cost as much processor time as the decisions do by half. Handed over, they are
written on another core while the switch decides the next turn; the answers wait until they stand.
A switch without much to do writes here and now, and is one process: the other one is started when
it is first worth it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence

from checkout.clearing.store.engine import Row, Statement
from checkout.clearing.store.sqlite import SqliteEngine
from checkout.clearing.store.worker_process import Companion, hear, tell
from checkout.database import DatabaseError


class BesideEngine:
    """An engine that can have one turn written beside, while its user goes on.

    `held` are descriptors that the writing process keeps open: the seat's, so that no other switch
    begins before the last turn of this one is written or lost. A turn that could not be written
    stops everything with its DatabaseError until `abandon`: what was decided since is built on it.
    """

    def __init__(self, url: str, *, held: tuple[int, ...] = ()) -> None:
        self._here = SqliteEngine(url)
        self.writer = Companion("checkout.clearing.store.write_process", url, held=held)
        self._handed: tuple[bytes, int] | None = None
        self._failure: DatabaseError | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is being written beside."""
        return self._handed is None

    def hand_over(self, statements: Sequence[Statement], message: int) -> bool:
        """Have a turn written beside; False where the writer has gone.

        `message` is the number of a message that the turn adds to the log, to know it again by.
        """
        self.settle()
        turn = pickle.dumps(statements, pickle.HIGHEST_PROTOCOL)
        try:
            tell(self.writer.line, turn)
        except (OSError, EOFError) as error:
            self.writer.lose(error)
            return False
        self._handed = (turn, message)
        return True

    def settle(self) -> None:
        """Wait until what was handed over stands; DatabaseError where it could not be written."""
        if self._failure is not None:
            raise self._failure
        if self._handed is None:
            return
        turn, message = self._handed
        try:
            said = hear(self.writer.line).decode()
            failure = DatabaseError(said) if said else None
        except (OSError, EOFError) as error:
            self.writer.lose(error)
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
        self.writer.close()
        self._here.close()

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
