"""Opening the database: our own, a new one, or a clear error."""

from __future__ import annotations

import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from checkout.clearing.store.opening import open_clearing_engine
from checkout.commands import cli
from checkout.database import (
    DatabaseError,
    DatabaseFile,
    one_line,
    open_engine,
    open_sqlite,
    postgresql_password,
    sqlite_path,
)
from checkout.processes.roles import PrintableFormatter


def test_new_file_is_marked_and_opened_again_in_either_spelling(tmp_path: Path) -> None:
    path = tmp_path / "checkout.db"
    first = open_sqlite(path)
    first.execute("CREATE TABLE mine (n INTEGER)")
    first.close()
    engine = open_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM mine")).scalar() == 0
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
    engine.dispose()


def test_someone_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE photos (n INTEGER)")
    theirs.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="belongs to another program"):
        open_engine(path)
    assert path.read_bytes() == before


def test_another_programs_mark_is_respected_even_without_tables(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    theirs = sqlite3.connect(path)
    theirs.execute("PRAGMA application_id = 7")
    theirs.close()
    with pytest.raises(DatabaseError, match="belongs to another program"):
        open_sqlite(path)


def test_tables_of_another_version_are_named(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    open_sqlite(path).close()
    old = sqlite3.connect(path)
    old.execute("PRAGMA user_version = 99")
    old.close()
    with pytest.raises(DatabaseError, match="version 99"):
        open_sqlite(path)


@pytest.mark.parametrize("content", [b"hello, I am a letter", b"SQLite format 3\x00" + b"x" * 200])
def test_file_that_is_no_database_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letter.txt"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="not an SQLite database"):
        open_engine(path)
    assert path.read_bytes() == content


def test_directory_missing_or_in_the_files_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="does not exist"):
        open_sqlite(tmp_path / "nowhere" / "checkout.db")
    with pytest.raises(DatabaseError, match="is a directory"):
        open_sqlite(tmp_path)


def test_unwritable_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkout.db"
    open_sqlite(path).close()
    # root may write everything, so the system's answer is given instead of a mode
    monkeypatch.setattr("checkout.database.os.access", lambda named, _mode: Path(named) != path)
    with pytest.raises(DatabaseError, match="not writable"):
        open_sqlite(path)


@pytest.mark.parametrize("url", ["mysql://host/shop", "", "sqlite:///", ":memory:"])
def test_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match="database: expected"):
        sqlite_path(url)


def test_unreachable_postgresql_is_told_in_one_line() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(DatabaseError, match="out of reach") as caught:
        open_engine("postgresql://nobody@127.0.0.1:1/none")
    assert "\n" not in str(caught.value)


def test_several_processes_may_arrive_at_a_new_file_together(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"{number}.db"
        with ThreadPoolExecutor(16) as pool:
            for connection in pool.map(lambda _, path=path: open_sqlite(path), range(32)):
                connection.close()


def test_a_failed_statement_is_told_in_a_line_without_its_sql(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_engine(tmp_path / "checkout.db")
    with engine.connect() as connection, pytest.raises(OperationalError) as caught:
        connection.execute(text("SELECT secret FROM nowhere WHERE pin = :pin"), {"pin": "123456"})
    engine.dispose()
    assert one_line(caught.value) == "database: no such table: nowhere"
    assert cli._report("pay", caught.value) == 1
    assert capsys.readouterr().err == "checkout pay: database: no such table: nowhere\n"


def test_file_that_is_taken_away_or_replaced_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "checkout.db"
    watched = DatabaseFile(path)
    watched.check()  # not made yet
    path.write_text("one")
    watched.check()
    path.write_text("another, written into the same file")
    watched.check()
    path.rename(tmp_path / "elsewhere.db")
    with pytest.raises(DatabaseError, match=r"checkout\.db: the file was deleted"):
        watched.check()
    path.write_text("new")
    with pytest.raises(DatabaseError, match="was replaced"):
        watched.check()
    DatabaseFile("postgresql://nobody@nowhere/none").check()


def test_a_connection_begins_no_new_file_in_place_of_a_deleted_one(tmp_path: Path) -> None:
    path = tmp_path / "checkout with spaces?.db"
    engine = open_engine(path)
    with engine.connect() as first:
        first.execute(text("SELECT 1"))
        path.unlink()
        with pytest.raises(OperationalError, match="unable to open"):
            engine.connect()
    engine.dispose()
    assert not path.exists()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://clerk:Secr3tWord@127.0.0.1:1/db",
        "postgresql://clerk:Secr3t/Word@127.0.0.1:1/db",
        "postgresql://clerk:Secr3t%2FWord@127.0.0.1:1/db",
        "postgresql://clerk:Secr3t@Word@127.0.0.1:1/db",
    ],
)
def test_an_error_never_shows_the_password(url: str) -> None:
    pytest.importorskip("psycopg")
    for open_it in (open_engine, open_clearing_engine):
        with pytest.raises(DatabaseError) as refusal:
            open_it(url)
        assert "Secr3t" not in str(refusal.value)
        assert "Word" not in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_the_password_comes_from_a_file_where_the_url_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("Secr3t Word\n", "utf-8")
    monkeypatch.setenv("CHECKOUT_DATABASE_PASSWORD_FILE", str(file))
    assert postgresql_password("postgresql://clerk@db/lane") == {"password": "Secr3t Word"}
    assert postgresql_password("postgresql://clerk:own@db/lane") == {}
    file.unlink()
    with pytest.raises(
        DatabaseError, match=r"CHECKOUT_DATABASE_PASSWORD_FILE: .*password: No such"
    ):
        postgresql_password("postgresql://clerk@db/lane")


def test_no_control_character_reaches_a_log_or_an_error_line() -> None:
    sent = "card \x1b[2J\r\nswitch: all is well\x07 茶"
    record = logging.LogRecord("x", logging.ERROR, "", 0, "%s", (sent,), None)
    line = PrintableFormatter("web: %(message)s").format(record)
    assert line == "web: card \\x1b[2J\\r\\nswitch: all is well\\x07 茶"
    assert one_line(ValueError(sent)) == "card \\x1b[2J switch: all is well\\x07 茶"
