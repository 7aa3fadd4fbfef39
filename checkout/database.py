"""Opens the one database of the shop and the clearing backend; how their tables store times.

SQLite by default (WAL, full synchronisation, foreign keys), PostgreSQL for more than one machine.
An SQLite file is used only when it is new and empty or has this project's mark.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sqlalchemy import Dialect, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from checkout.private_files import touch_private

#: The environment variable that names the file of the PostgreSQL password.
PASSWORD_FILE = "CHECKOUT_DATABASE_PASSWORD_FILE"  # noqa: S105 - a name, no password
_PASSWORD_IN_URL = re.compile(r"://[^:@/]*:(.+)@")
#: "LANE" in ASCII, in the header's application id: what marks an SQLite file as ours.
APPLICATION_ID = 0x4C414E45
SCHEMA_VERSION = 1
BUSY_TIMEOUT_MS = 10_000
CACHE_KB = 16_384  # of each connection; tables are read by key, where more gains nothing


class DatabaseError(Exception):
    """The database can't be used; the message is one line that names the remedy."""


class DatabaseLost(DatabaseError):
    """The file of a running database was taken away or replaced."""


class DatabaseFile:
    """Notices when the file of a running database is removed; SQLite would write on unseen.

    Costs one look at the directory, and never opens the file. PostgreSQL has no file to look at.
    """

    def __init__(self, url: str | Path) -> None:
        self._path = None if is_postgresql(str(url)) else sqlite_path(url)
        self._seen: tuple[int, int] | None = None

    def check(self) -> None:
        """DatabaseLost where the file that was there is gone, or is another one now."""
        if self._path is None:
            return
        try:
            found = self._path.stat()
        except FileNotFoundError:
            if self._seen is None:
                return  # it does not exist yet
            raise self._lost("was deleted") from None
        except OSError:
            return  # the file can't be looked at, so nothing is known
        identity = (found.st_dev, found.st_ino)
        if self._seen is None:
            self._seen = identity
        if self._seen != identity:
            raise self._lost("was replaced")

    def _lost(self, what: str) -> DatabaseLost:
        return DatabaseLost(
            f"database {self._path}: the file {what} under a running checkout; stopping, since "
            "nothing more would be stored; only a copy of the file brings its content back"
        )


def printable(text: str) -> str:
    """The text with every control character written out, so that it can forge no line of a log."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def one_line(error: BaseException) -> str:
    """An error in one line for people: the database's message, never the statement."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    message = printable(" ".join(str(cause).split())) or type(cause).__name__
    return message if cause is error else f"database: {message}"


def is_postgresql(url: str) -> bool:
    """Whether `url` names a PostgreSQL database."""
    return url.startswith(("postgresql:", "postgresql+", "postgres:"))


def sqlite_path(url: str | Path) -> Path:
    """The file behind ``sqlite:///path`` or a bare path; DatabaseError for any other URL."""
    location = str(url)
    if location.startswith("sqlite:///"):
        location = location.removeprefix("sqlite:///")
    elif "://" in location:
        scheme = location.split("://", 1)[0]
        raise DatabaseError(
            f"database: expected a path, sqlite:///path or postgresql://..., got {scheme}://"
        )
    if not location or location == ":memory:":
        raise DatabaseError(f"database: expected the path of a file, got {location!r}")
    return Path(location).expanduser().absolute()


def micros(instant: datetime) -> int:
    """An aware instant as the tables store it: microseconds since the epoch."""
    return round(instant.timestamp() * 1_000_000)


def instant(micros_since_epoch: int) -> datetime:
    """The aware UTC instant that `micros` made into a number."""
    return datetime.fromtimestamp(micros_since_epoch / 1_000_000, UTC)


def day_number(on: date) -> int:
    """A date as the tables store it: yyyymmdd."""
    return on.year * 10000 + on.month * 100 + on.day


def date_of(day: int) -> date:
    """The date that `day_number` made into a number."""
    return date(day // 10000, day // 100 % 100, day % 100)


def open_engine(url: str | Path, *, pool_size: int = 8) -> Engine:
    """A SQLAlchemy engine on the database of this URL or path.

    Raises DatabaseError when the file is another program's, no database, not writable, in a missing
    directory, or when PostgreSQL is out of reach.
    """
    if is_postgresql(str(url)):
        return _postgresql_engine(str(url), pool_size)
    path = sqlite_path(url)
    prepare_sqlite(path)
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=pool_size,
        max_overflow=64,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )

    @event.listens_for(engine, "do_connect")
    def _never_create(
        _dialect: Dialect,
        _entry: ConnectionPoolEntry,
        arguments: list[str],
        options: dict[str, Any],
    ) -> None:
        arguments[:], options["uri"] = [_existing_file(path)], True

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        configure_sqlite(connection)

    return engine


def open_sqlite(url: str | Path) -> sqlite3.Connection:
    """A bare connection in autocommit mode, for the path of a payment.

    The caller writes BEGIN IMMEDIATE and COMMIT itself. DatabaseError as for `open_engine`.
    """
    path = sqlite_path(url)
    prepare_sqlite(path)
    try:
        connection = sqlite3.connect(
            _existing_file(path),
            uri=True,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
        )
        configure_sqlite(connection)
    except sqlite3.Error as error:
        raise DatabaseError(f"database {path}: {error}") from None
    return connection


def _existing_file(path: Path) -> str:
    """The SQLite URI of a file that must exist.

    By a plain path, the next connection of any process would begin a new, empty database in place
    of one that was deleted under a running checkout.
    """
    return f"{path.as_uri()}?mode=rw"


def configure_sqlite(connection: sqlite3.Connection) -> None:
    """Make a connection wait for the writer, commit durably and check foreign keys."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KB}")


def prepare_sqlite(path: Path) -> None:
    """Mark a new file as ours, or check the mark of an old one; DatabaseError."""
    _check_place(path)
    # It holds account numbers, so only its owner may read it. SQLite gives its own files beside it
    # the same mode.
    touch_private(path)
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None)
    except sqlite3.Error as error:
        raise DatabaseError(f"database {path}: {error}") from None
    try:
        _when_free(lambda: _check_mark(connection, path))
    except sqlite3.DatabaseError as error:
        message = str(error)
        if "not a database" in message or "malformed" in message:
            message = "this file is not an SQLite database; name another with --database"
        raise DatabaseError(f"database {path}: {message}") from None
    finally:
        connection.close()


def _when_free(action: Callable[[], None]) -> None:
    """Repeat while the database is busy: SQLite doesn't wait when it turns to a write-ahead log."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _check_place(path: Path) -> None:
    """Check file and directory first: SQLite has the same message for all their faults.

    Doesn't open the file. Closing it would drop the locks that this process's connections hold on
    it, and another process could then remove the write-ahead log.
    """
    if path.is_dir():
        raise DatabaseError(f"database {path}: this is a directory, expected a file")
    if not path.parent.is_dir():
        raise DatabaseError(f"database {path}: the directory {path.parent} does not exist")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise DatabaseError(f"database {path}: the file is not writable for this user")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DatabaseError(
            f"database {path}: the directory {path.parent} is not writable for this user"
        )


def _check_mark(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    if _pragma(connection, "application_id") != APPLICATION_ID:
        # Two processes may open a new file at once; the lock lets one of them mark it.
        connection.execute("BEGIN IMMEDIATE")
        try:
            _mark_new_file(connection, path)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    version = _pragma(connection, "user_version")
    if version != SCHEMA_VERSION:
        raise DatabaseError(
            f"database {path}: written by version {version} of the tables, this program needs "
            f"{SCHEMA_VERSION}; name another with --database"
        )
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise DatabaseError(f"database {path}: this file system can't hold a write-ahead log")


def _mark_new_file(connection: sqlite3.Connection, path: Path) -> None:
    mark = _pragma(connection, "application_id")
    if mark == APPLICATION_ID:
        return
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables or mark:
        raise DatabaseError(
            f"database {path}: this database belongs to another program; "
            "name another with --database"
        )
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _postgresql_engine(url: str, pool_size: int) -> Engine:
    if importlib.util.find_spec("psycopg") is None:
        raise DatabaseError(
            "database: PostgreSQL needs the extra: pip install 'checkout[postgres]'"
        )
    options: dict[str, Any] = {"pool_size": pool_size, "max_overflow": 64, "pool_pre_ping": True}
    options["connect_args"] = postgresql_password(url)
    try:
        engine = create_engine(psycopg_url(url), **options)
    except (SQLAlchemyError, ValueError) as error:
        raise DatabaseError(f"database: {without_password(str(error), url)}") from None
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        engine.dispose()
        cause = getattr(error, "orig", None) or error
        reason = without_password(str(cause), url)
        raise DatabaseError(f"database: PostgreSQL is out of reach: {reason}") from None
    return engine


def postgresql_password(url: str) -> dict[str, str]:
    """The connection argument `password` from the file that the environment names.

    Empty where the URL has a password or `CHECKOUT_DATABASE_PASSWORD_FILE` is not set. Raises
    DatabaseError for a file that can't be read.
    """
    path = os.environ.get(PASSWORD_FILE)
    if not path or _PASSWORD_IN_URL.search(url):
        return {}
    try:
        return {"password": Path(path).read_text("utf-8").strip("\r\n")}
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "expected text in UTF-8"
        raise DatabaseError(f"{PASSWORD_FILE}: {path}: {why}") from None


def without_password(reason: str, url: str) -> str:
    """An error of the PostgreSQL driver in one line that shows no part of the URL's password."""
    line = " ".join(reason.split())
    if match := _PASSWORD_IN_URL.search(url):
        parts = {match[1], unquote(match[1]), *re.split(r"[:/?#@]", match[1])}
        if any(part and part in line for part in parts):
            return "it refused the URL; the reason is not shown, since it would show the password"
    return line


def psycopg_url(url: str) -> str:
    """The PostgreSQL URL with the driver that this project uses."""
    rest = url.split("://", 1)[1]
    return f"postgresql+psycopg://{rest}"
