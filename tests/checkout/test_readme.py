"""The README's two commands, run exactly as they are written there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.S)


def test_the_readme_has_two_commands_and_the_second_runs_these_tests() -> None:
    assert len(BLOCKS) == 2
    assert BLOCKS[1].strip() == "tests/run"
    assert os.access(ROOT / "tests" / "run", os.X_OK)
    assert "\ntests/run\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_command_of_the_table_exists() -> None:
    from checkout.commands.cli import commands

    shown = re.findall(r"^\| `checkout ([a-z]+)", README, re.M)
    assert len(shown) == 13
    assert set(shown) <= set(commands.commands)


def test_its_python_examples_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(examples) == 4
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, "README.md", "exec"), names)


def tracked_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    return [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_file_holds_both_sides_of_a_merge() -> None:
    torn = [
        name
        for name in tracked_files()
        if re.search(rb"^(<{7}|>{7}) ", (ROOT / name).read_bytes(), re.M)
    ]
    assert torn == []


@pytest.mark.timeout(900)
def test_the_first_command_starts_a_checkout_from_nothing(tmp_path: Path) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 8000)) == 0:
            pytest.skip("port 8000, which the command uses, is taken on this machine")
    tree = tmp_path / "fresh"
    for name in tracked_files():
        if not name.startswith("tests/"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment["CHECKOUT_HOME"] = str(tmp_path / "home")
    said = tmp_path / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-c", BLOCKS[0]],
            cwd=tree,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        page = wait_for_counter(process, said)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    assert "<html" in page
    text = said.read_text(encoding="utf-8")
    assert "Counter  http://localhost:8000/" in text
    assert "Operator's password" in text
    assert "█" in text or "▀" in text
    assert "\x1b" not in text  # standard output is a file here


@pytest.mark.timeout(300)
def test_a_wheel_carries_pages_styles_and_tables(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("checkout_qr_nfc-*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for name in tracked_files():
        if name.startswith(("checkout/", "devices/")):
            assert name in inside, f"{name} is missing from the wheel"
        elif name.startswith("static/"):
            assert f"checkout/{name}" in inside, f"{name} is missing from the wheel"


def wait_for_counter(process: subprocess.Popen[bytes], said: Path) -> str:
    deadline = time.monotonic() + 840
    while time.monotonic() < deadline:
        assert process.poll() is None, said.read_text(encoding="utf-8")
        if "Ctrl-C stops" in said.read_text(encoding="utf-8"):
            with urllib.request.urlopen("http://localhost:8000/", timeout=20) as answer:
                return str(answer.read().decode())
        time.sleep(0.25)
    raise AssertionError(said.read_text(encoding="utf-8"))
