"""Opening the database again in one process leaves the locks of its other connections alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from checkout.database import DatabaseError, open_engine, open_sqlite


def test_another_process_does_not_take_the_log_away(tmp_path: Path) -> None:
    # POSIX drops all of a process's locks on a file when it closes any descriptor of that file.
    path = tmp_path / "checkout.db"
    engine = open_engine(str(path))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (n INTEGER)"))
    open_sqlite(str(path)).close()
    script = f"from checkout.database import open_sqlite; open_sqlite({str(path)!r}).close()"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO kept VALUES (1)"))
    other = open_sqlite(str(path))
    assert other.execute("SELECT count(*) FROM kept").fetchone() == (1,)
    other.close()
    engine.dispose()


@pytest.mark.parametrize("content", [b"x" * 40, b"PNG" * 2_000])
def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture.db"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="not an SQLite database"):
        open_sqlite(str(path))
    assert path.read_bytes() == content
