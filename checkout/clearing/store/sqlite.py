"""SQLite behind the clearing tables, reduced to what the path of a payment needs."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable

from checkout.clearing.store.engine import Row, Statement
from checkout.database import DatabaseError, open_sqlite

#: Small pieces are copied often: a commit waits for the disk while a large piece is copied.
_CHECKPOINT_EVERY_S = 0.06
_NOTHING_TO_COPY_S = 0.25


class SqliteEngine:
    """SQLite in WAL mode with full synchronisation; the commit returns when the bytes are safe."""

    def __init__(self, url: str, *, copies: bool = True) -> None:
        self._connection = open_sqlite(url)
        # A thread copies the log back between commits. The writer, which alone may begin the log
        # anew, then has little left to copy. Only one process copies (`copies`).
        self._connection.execute("PRAGMA wal_autocheckpoint = 16000")
        self._copying = _Checkpointer(url) if copies else None

    def query(self, sql: str, parameters: Row = (), *, flushed: bool = True) -> list[Row]:
        """All rows of one SELECT; nothing is ever handed over here."""
        del flushed
        return self._connection.execute(sql, parameters).fetchall()

    def write(self, statements: Iterable[Statement]) -> None:
        """Run each statement for each of its rows, all in one durable transaction."""
        run = self._connection.execute
        try:
            run("BEGIN IMMEDIATE")
            try:
                for sql, rows in statements:
                    self._connection.executemany(sql, rows)
                run("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    run("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise DatabaseError(f"database: {error}") from None

    def define(self, statements: Iterable[str]) -> None:
        """Create tables and indexes where they are missing."""
        self.write([(sql, [()]) for sql in statements])

    def close(self) -> None:
        """Close the connection."""
        if self._copying is not None:
            self._copying.stop()
        self._connection.close()


class _Checkpointer:
    """Copies the write-ahead log back to the database from a thread with its own connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; whatever it has not copied stays in the log."""
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        try:
            connection = open_sqlite(self._url)
        except DatabaseError:
            return  # the file has gone already; the writer reports that
        try:
            pause, before = _NOTHING_TO_COPY_S, None
            while not self._stop.wait(pause):
                try:
                    progress = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                except sqlite3.Error:
                    continue  # the writer is busy or the disk full; the log still has everything
                pause = _NOTHING_TO_COPY_S if progress == before else _CHECKPOINT_EVERY_S
                before = progress
        finally:
            connection.close()
