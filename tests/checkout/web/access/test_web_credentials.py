"""The operator's password, the merchant key and the cookie key."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from checkout.web.access import credentials


def test_the_password_is_shown_on_the_first_run_only(tmp_path: Path) -> None:
    first = credentials.ensure(tmp_path)
    assert first.fresh_password is not None
    again = credentials.ensure(tmp_path)
    assert again.fresh_password is None
    assert again.password_matches(first.fresh_password)
    assert not again.password_matches(first.fresh_password + "x")
    assert again.merchant_key_matches(first.merchant_key)
    assert not again.merchant_key_matches("")


def test_the_password_itself_is_nowhere_on_disk(tmp_path: Path) -> None:
    password = credentials.ensure(tmp_path).fresh_password
    assert password is not None
    for file in (tmp_path / "keys").iterdir():
        assert password not in file.read_text("utf-8")


def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    credentials.ensure(tmp_path)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "keys").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: credentials.ensure(tmp_path), range(8)))
    assert len({each.merchant_key for each in made}) == 1
    assert len({each.signing_key for each in made}) == 1
    assert sum(each.fresh_password is not None for each in made) == 1


def test_secrets_do_not_show_when_printed(tmp_path: Path) -> None:
    made = credentials.ensure(tmp_path)
    shown = repr(made)
    assert made.merchant_key not in shown
    assert made.signing_key not in shown
    assert made.fresh_password not in shown


def test_a_file_that_is_not_ours_is_named_in_one_line(tmp_path: Path) -> None:
    credentials.ensure(tmp_path)
    (tmp_path / "keys" / "web.json").write_text("[]")
    with pytest.raises(credentials.CredentialsError, match=r"web\.json: expected merchant_key"):
        credentials.ensure(tmp_path)


def test_a_reset_makes_new_ones(tmp_path: Path) -> None:
    before = credentials.ensure(tmp_path)
    credentials.forget(tmp_path)
    assert credentials.ensure(tmp_path).merchant_key != before.merchant_key
