"""SQLite for the switch, with a second process that writes the rows of a large turn.

Under load, writing the rows costs half as much processor time as the decisions. So the switch hands
a turn over, decides the next one while another core writes, and sends the answers once the rows are
durable. A switch with little to do writes the rows itself, and starts no second process.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence

from checkout.clearing.store.engine import Row, Statement
from checkout.clearing.store.sqlite import SqliteEngine
from checkout.clearing.store.worker_process import WorkerProcess, receive, send
from checkout.database import DatabaseError


class WriteBehindEngine:
    """An engine that can have one turn written by another process, while its user goes on.

    `held` are descriptors that the writing process keeps open: the seat's, so that no other switch
    begins before the last turn of this one is written or lost. After a turn that could not be
    written, every call raises its DatabaseError until `abandon`: the turns decided since then are
    built on rows that do not exist.
    """

    def __init__(self, url: str, *, held: tuple[int, ...] = ()) -> None:
        self._here = SqliteEngine(url)
        self.writer = WorkerProcess("checkout.clearing.store.write_process", url, held=held)
        self._under_way: tuple[bytes, int] | None = None
        self._failure: DatabaseError | None = None

    @property
    def is_flushed(self) -> bool:
        """Whether the other process writes nothing at the moment."""
        return self._under_way is None

    def hand_over(self, statements: Sequence[Statement], message: int) -> bool:
        """Have the other process write a turn; False where that process has ended.

        `message` is the number of a message that the turn adds to the log. By it the turn is found
        again in the tables.
        """
        self.flush()
        turn = pickle.dumps(statements, pickle.HIGHEST_PROTOCOL)
        try:
            send(self.writer.line, turn)
        except OSError as error:
            self.writer.discard(error)
            return False
        self._under_way = (turn, message)
        return True

    def flush(self) -> None:
        """Wait until the turn handed over is durable; DatabaseError where it can't be written."""
        if self._failure is not None:
            raise self._failure
        if self._under_way is None:
            return
        turn, message = self._under_way
        try:
            reply = receive(self.writer.line).decode()
            failure = DatabaseError(reply) if reply else None
        except OSError as error:
            self.writer.discard(error)
            failure = self._write_lost_turn(turn, message)
        self._under_way, self._failure = None, failure
        if failure is not None:
            raise failure

    def abandon(self) -> None:
        """Wait for the turn handed over, and forget it where it failed."""
        try:
            self.flush()
        except DatabaseError:
            self._failure = None

    def query(self, sql: str, parameters: Row = (), *, flushed: bool = True) -> list[Row]:
        """All rows of one SELECT; `flushed` waits first until rows handed over are written."""
        if flushed:
            self.flush()
        return self._here.query(sql, parameters)

    def write(self, statements: Iterable[Statement]) -> None:
        """Run each statement for each of its rows, all in one durable transaction."""
        self.flush()
        self._here.write(statements)

    def define(self, statements: Iterable[str]) -> None:
        """Create tables and indexes where they are missing."""
        self._here.define(statements)

    def close(self) -> None:
        """Wait for the turn handed over, end the writer, close the connection."""
        self.abandon()
        self.writer.close()
        self._here.close()

    def _write_lost_turn(self, turn: bytes, message: int) -> DatabaseError | None:
        """Write the turn of a lost writer unless the writer still did; the error, if any."""
        known = "SELECT 1 FROM clearing_messages WHERE seq = ?"
        # The lost writer may have committed just before it ended. A commit of our own makes sure
        # that its rows have reached the disk.
        touch = "UPDATE clearing_messages SET took_us = took_us WHERE seq = ?"
        try:
            if self._here.query(known, (message,)):
                self._here.write([(touch, [(message,)])])
            else:
                self._here.write(pickle.loads(turn))  # noqa: S301 - made by `hand_over`
        except DatabaseError as error:
            return error
        return None
