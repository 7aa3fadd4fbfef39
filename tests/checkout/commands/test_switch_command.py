"""`checkout switch` as other programs start it: its first line, its port, its end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-W", "ignore", "-m", "checkout", "switch"]


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "CHECKOUT_HOME": str(home), "PYTHONUNBUFFERED": "1"}


def test_it_tells_its_address_answers_there_and_ends_when_asked(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0"],
        env=_environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert found is not None
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=5) as caller:
            sign_on = bytes.fromhex("3038323082200000800000000400000000000000")
            sign_on += b"0302040506" + b"000001" + b"0890020001" + b"001"
            caller.sendall(len(sign_on).to_bytes(2) + sign_on)
            answer = caller.recv(200)
        assert answer[2:6] == b"0830" and b"00001" in answer
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_port_in_use_second_switch_and_wrong_rules_are_one_line_each(tmp_path: Path) -> None:
    def says(*options: str) -> str:
        done = subprocess.run(
            [*COMMAND, *options],
            env=_environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in says("--port", str(taken.getsockname()[1]))
    rules = tmp_path / "faults.toml"
    rules.write_text("[[fault]]\ncode = 'ZZ'\n")
    assert "code 'ZZ'" in says("--port", "0", "--faults", str(rules))
    assert "No such file" in says("--port", "0", "--faults", str(tmp_path / "none.toml"))
    assert "expected 0 to 65535" in says("--port", "70000")


def test_specification_is_printed_without_a_database(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--spec"],
        env=_environment(tmp_path / "nowhere"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("# Messages of the clearing backend")
    assert not (tmp_path / "nowhere").exists()


def test_switch_stops_in_one_line_once_its_database_is_taken_away(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0"],
        env=_environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "127.0.0.1" in process.stdout.readline()
        for file in tmp_path.glob("checkout.db*"):
            file.unlink()
        _, told = process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 1
    assert told.count("\n") == 1 and "checkout.db: the file was deleted" in told


def test_rules_of_the_home_folder_that_cannot_be_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("rule_set = 5")
    done = subprocess.run(
        [*COMMAND, "--port", "0"],
        env=_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "rules.toml: " in done.stderr
