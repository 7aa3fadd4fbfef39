"""The processes of `checkout serve`: they start, watch each other, and stop in time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from devices.phone import Phone
from tests.checkout.serving import Serving, alive, events, free_port


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    running = Serving(tmp_path / "home", "--workers", "2", "--reader", "emulated")
    yield running
    running.kill()


def open_stream(serving: Serving, order_id: str):  # type: ignore[no-untyped-def]
    request = urllib.request.Request(
        f"{serving.origin}/api/v1/orders/{order_id}/events",
        headers={"Authorization": f"Bearer {serving.merchant_key}"},
    )
    return urllib.request.urlopen(request, timeout=30)


def until(condition, within_s: float = 20.0):  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come about in time")


def wait_for_state(serving: Serving, order_id: str, state: str) -> None:
    until(lambda: serving.call("GET", f"/orders/{order_id}")[1]["state"] == state)


def pay_by_code(serving: Serving, order: dict) -> str:  # type: ignore[type-arg]
    return Phone("unionpay-credit").pay_at(local(serving, order)).outcome


def local(serving: Serving, order: dict) -> str:  # type: ignore[type-arg]
    """The link's code on this machine's loopback address, which every machine has."""
    return f"http://127.0.0.1:{serving.port}/p/{order['qr']['link'].rsplit('/', 1)[1]}"


def test_one_reader_one_writer_two_workers(serving: Serving) -> None:
    assert sorted(serving.roles().values()) == ["switch", "terminal", "web", "worker", "worker"]


def test_more_workers_give_no_more_guesses_at_the_key(serving: Serving) -> None:
    """Nor do new ones: workers that are killed and started again go on with the same count."""

    def guess(_: int) -> int:
        with closing(HTTPConnection("localhost", serving.port, timeout=20)) as line:
            line.request("GET", "/api/v1/comparison", headers={"Authorization": "Bearer guess"})
            return line.getresponse().status

    with ThreadPoolExecutor(20) as pool:
        assert sorted(pool.map(guess, range(40))) == [401] * 5 + [429] * 35
    before = workers_of(serving)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while len(workers_of(serving) - before) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    answers: set[int] = set()
    while not answers:
        assert time.monotonic() < deadline
        with suppress(OSError, HTTPException):  # until the new workers listen
            answers.add(guess(0))
    assert answers == {429}


def workers_of(serving: Serving) -> set[int]:
    return {pid for pid, role in serving.roles().items() if role == "worker"}


def test_events_reach_streams_on_every_worker(serving: Serving) -> None:
    order = serving.order()
    streams = [open_stream(serving, order["id"]) for _ in range(8)]
    assert pay_by_code(serving, order) == "paid"
    for stream in streams:
        with stream:
            names = []
            for name, _ in events(stream):
                names.append(name)
                if name == "order-paid":
                    break
            assert names[-1] == "order-paid"


def test_an_emulated_card_laid_on_the_reader_pays(serving: Serving) -> None:
    from checkout.config import Config
    from checkout.demo.payers import DemoPayers
    from checkout.shop.shop import Shop

    order = serving.order()
    shop = Shop.open(Config(home=serving.home), payers=DemoPayers())
    try:
        until(lambda: shop.reader.status().emulated)
        shop.reader.request_card("unionpay-debit")
        wait_for_state(serving, order["id"], "paid")
        (payment,) = shop.payments.of_order(order["id"])
    finally:
        shop.close()
    assert (payment.mode, payment.emulated, payment.response_code) == ("nfc", True, "00")
    assert payment.modelled_ms > 0


def test_sigterm_with_fifty_open_streams_ends_every_process_in_five_seconds(
    serving: Serving,
) -> None:
    order = serving.order()
    streams = [open_stream(serving, order["id"]) for _ in range(50)]
    drained = []

    def drain(stream) -> None:  # type: ignore[no-untyped-def]
        try:
            for _ in stream:
                pass
        except OSError:
            pass
        drained.append(1)

    for stream in streams:
        threading.Thread(target=drain, args=(stream,), daemon=True).start()
    took_s = serving.stop()
    assert took_s < 5, f"{took_s:.1f} s"
    assert serving.process.returncode == 0


@pytest.mark.parametrize("role", ["switch", "terminal", "web", "worker"])
def test_a_killed_role_is_started_again_and_the_sale_goes_on(serving: Serving, role: str) -> None:
    order = serving.order()
    victim = next(pid for pid, name in serving.roles().items() if name == role)
    os.kill(victim, signal.SIGKILL)
    until(lambda: not alive(victim))

    def back() -> bool:
        names = sorted(serving.roles().values())
        return names == ["switch", "terminal", "web", "worker", "worker"]

    until(back)

    def paid() -> bool:
        try:
            return pay_by_code(serving, order) in ("paid", "used")
        except Exception:
            return False  # the role is still coming back: the payer tries again

    until(paid)
    wait_for_state(serving, order["id"], "paid")


def test_roles_do_not_outlive_a_killed_supervisor(serving: Serving) -> None:
    everyone = list(serving.roles())
    serving.process.kill()
    serving.process.wait(10)
    until(lambda: not any(alive(pid) for pid in everyone))


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "checkout", *arguments],
        env=os.environ | {"CHECKOUT_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_port_in_use_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", free_port())) as taken:
        port = str(taken.getsockname()[1])
        ended = run(tmp_path / "home", "serve", "--port", port)
    assert ended.returncode == 1
    expected = f"checkout serve: port: {port} is in use; choose another with --port\n"
    assert ended.stderr == expected


def test_a_file_that_is_no_checkout_database_is_refused_untouched(tmp_path: Path) -> None:
    other = tmp_path / "notes.db"
    other.write_bytes(b"these are not the tables you want" * 100)
    ended = run(tmp_path / "home", "serve", "--database", str(other), "--port", str(free_port()))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "Traceback" not in ended.stderr
    assert other.read_bytes() == b"these are not the tables you want" * 100
