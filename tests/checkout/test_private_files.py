"""Files for their owner alone, whole or not at all."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from checkout.private_files import create_private, private_folder, replace_private, touch_private


@pytest.fixture(autouse=True)
def _generous_umask() -> object:
    before = os.umask(0)
    yield
    os.umask(before)


def test_files_and_folders_are_their_owners_alone_under_any_umask(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "a" / "keys")
    replace_private(folder / "replaced", b"1")
    create_private(folder / "created", b"2")
    touch_private(folder / "touched")
    assert {stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_replacing_a_file_that_others_can_read_makes_it_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    replace_private(path, b"new")
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_file_that_exists_is_not_created_again(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert create_private(path, b"first")
    assert not create_private(path, b"second")
    touch_private(path)
    assert path.read_bytes() == b"first"


def test_of_several_that_create_a_file_at_once_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: create_private(path, bytes([n]) * 64), range(8)))
    assert sum(won) == 1 and path.read_bytes() == bytes([won.index(True)]) * 64
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [replace_private, create_private])
def test_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(path, b"new")  # type: ignore[operator]
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_content_and_name_are_on_the_disk_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    replace_private(tmp_path / "secret", b"1")
    assert order == ["file", "rename", "folder"]
