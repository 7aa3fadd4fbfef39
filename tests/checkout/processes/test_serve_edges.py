"""`checkout serve` where it is not alone, not the first, killed hard, or has a plain terminal."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from socket import create_connection, socket
from urllib.request import urlopen

import pytest

from checkout.web.access import credentials
from tests.checkout.serving import Serving, alive, free_port

#: A terminal that knows ASCII alone, and a Python that does not talk itself out of it.
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "checkout", *arguments],
        env=os.environ | {"CHECKOUT_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """Started after a command that opened pages and made the secrets for them."""
    home = tmp_path / "home"
    assert run(home, "pay", "--mode", "qr", "--amount", "1").returncode == 0
    for name, value in ASCII.items():
        monkeypatch.setenv(name, value)
    serving = Serving(home, "--reader", "none")
    yield serving
    serving.kill()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_not_alone_not_first_on_a_plain_terminal_and_killed_hard(serving: Serving) -> None:
    assert "Operator's password" in serving.said
    assert "this terminal's encoding is" in serving.said
    assert credentials.unshown_password(serving.home) is None

    second = run(serving.home, "serve", "--port", str(free_port()))
    assert second.returncode == 1
    assert second.stderr.startswith("checkout serve: database: a checkout is running on it")

    roles = serving.roles()
    assert "worker" in roles.values()
    parents = [pid for pid, role in roles.items() if role != "worker"]
    for pid in (serving.process.pid, *parents):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(map(alive, roles)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [role for pid, role in roles.items() if alive(pid)] == []


def test_a_sale_that_could_not_begin_leaves_no_order_for_the_next_card(tmp_path: Path) -> None:
    told = run(tmp_path, "pay", "--mode", "nfc", "--amount", "1", "--reader", "none")
    assert told.returncode == 1
    with closing(sqlite3.connect(tmp_path / "checkout.db")) as connection:
        assert connection.execute("SELECT state FROM shop_orders").fetchall() == [("cancelled",)]


def test_a_reader_path_that_can_mean_none_is_told_at_the_start(tmp_path: Path) -> None:
    told = run(tmp_path, "serve", "--port", str(free_port()), "--reader", "bogus:1")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("checkout serve: reader path 'bogus:1': expected usb")


@pytest.mark.parametrize("option", ["--port", "--workers"])
def test_zero_is_refused_and_not_taken_for_the_default(tmp_path: Path, option: str) -> None:
    told = run(tmp_path, "serve", option, "0")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(f"checkout serve: {option.strip('-')}: expected 1 to ")


def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for arguments in (("tap", "--reader", "emulated"), ("pay", "--mode", "nfc", "--amount", "1")):
        subprocess.run(
            [sys.executable, "-m", "checkout", *arguments],
            env=os.environ | {"CHECKOUT_HOME": str(home)},
            check=True,
            capture_output=True,
            timeout=60,
        )
    assert home.stat().st_mode & 0o077 == 0
    for kept in home.iterdir():
        assert kept.stat().st_mode & 0o077 == 0, kept


def test_a_pipe_that_closes_early_is_no_error(tmp_path: Path) -> None:
    piped = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m checkout payers | head -1"],
        env=os.environ | {"CHECKOUT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert piped.returncode == 0, piped.stderr
    assert piped.stderr == ""


@pytest.mark.parametrize("supervisor", ["watches", "comes-late"])
def test_checkout_whose_database_is_taken_away_stops_at_once_in_one_line(
    tmp_path: Path, supervisor: str
) -> None:
    serving = Serving(tmp_path / "home", "--reader", "none")
    try:
        if supervisor == "comes-late":  # meanwhile workers open connections for what they are asked
            serving.process.send_signal(signal.SIGSTOP)
        (serving.home / "checkout.db").unlink()
        if supervisor == "comes-late":
            with ThreadPoolExecutor(8) as browsers:
                list(browsers.map(lambda _: serving.call("GET", "/static-codes"), range(16)))
            serving.process.send_signal(signal.SIGCONT)
        assert serving.process.wait(10) == 1
        (line,) = [one for one in serving.said.splitlines() if "the file was deleted" in one]
        assert line.startswith("checkout serve: database ")
        assert not (serving.home / "checkout.db").exists()  # nothing was begun anew unasked
        assert "Traceback" not in serving.said
    finally:
        serving.kill()


def test_silent_and_slow_sockets_stop_no_page_and_are_closed(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < 2_000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_000, hard), hard))
    serving = Serving(tmp_path / "home", "--reader", "none")
    try:
        with ExitStack() as held:
            address = ("127.0.0.1", serving.port)
            sockets = [held.enter_context(create_connection(address, 10)) for _ in range(1_100)]
            for slow in sockets[::2]:
                slow.sendall(b"GET /wallet/ HTTP/1.1\r\nHost: ")
            for _ in range(3):
                page = f"http://127.0.0.1:{serving.port}/wallet/"
                with urlopen(page, timeout=4) as answer:
                    assert answer.status == 200
            time.sleep(7)  # the headers' deadline is 5 s
            assert [one for one in sockets if not is_closed(one)] == []
    finally:
        serving.kill()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def is_closed(sock: socket) -> bool:
    """Whether the other end closed the connection, after an answer or without one."""
    sock.settimeout(2)
    try:
        while sock.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@pytest.mark.parametrize("file", ["shop.key", "issuer-keys.json"])
@pytest.mark.parametrize("other", [False, True])
def test_a_lost_key_stops_the_start_in_one_line_until_it_is_restored_or_all_is_reset(
    tmp_path: Path, file: str, other: bool
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    assert run(home, "pay", "--mode", "qr", "--amount", "1").returncode == 0
    path = home / "keys" / file
    key = path.read_bytes()
    path.unlink()
    if other:
        assert run(elsewhere, "pay", "--mode", "qr", "--amount", "1").returncode == 0
        path.write_bytes((elsewhere / "keys" / file).read_bytes())
        path.chmod(0o600)
    for command in (("serve", "--port", str(free_port())), ("pay", "--mode=qr", "--amount=1")):
        refused = run(home, *command)
        assert (refused.returncode, refused.stdout) == (1, "")
        (line,) = refused.stderr.splitlines()
        assert f"keys/{file}: " in line
        assert "depend on" in line or "protects" in line
        assert "checkout reset" in line
        assert path.exists() is other
    path.write_bytes(key)
    path.chmod(0o600)
    assert run(home, "pay", "--mode", "qr", "--amount", "1").returncode == 0
    path.unlink()
    assert run(home, "reset").returncode == 0
    assert run(home, "pay", "--mode", "qr", "--amount", "1").returncode == 0


def test_a_code_leads_to_the_shop_that_runs_in_this_home(tmp_path: Path) -> None:
    make = ("qr", "make", "--amount", "1.00", "--out", str(tmp_path / "code.png"))
    home = tmp_path / "home"
    serving = Serving(home, "--reader", "none")
    try:
        made = run(home, *make)
        assert (made.returncode, made.stderr) == (0, "")
        assert f":{serving.port}/" in made.stdout
        assert ":8123/" in run(home, *make, "--port", "8123").stdout
        serving.kill()
        made = run(home, *make)
        assert made.returncode == 0
        assert made.stderr.startswith("checkout qr make: no shop is running in ")
        assert ":8000/" in made.stdout
    finally:
        serving.kill()
