"""The real processes: `checkout serve`, `checkout webhooks listen`, and kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from checkout.shop.webhooks.signing import new_secret, sign
from tests.checkout.serving import Serving, alive, free_port
from tests.checkout.shop.webhooks.conftest import open_merchant

WITHIN_S = 40.0


def wait_for(what: Callable[[], object]) -> None:
    until = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    running = Serving(tmp_path / "home", "--reader", "none")
    yield running
    running.kill()


def command(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "checkout", *arguments],
        env=os.environ | {"CHECKOUT_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def pay(home: Path) -> None:
    paying = command(home, "pay", "--mode", "qr", "--amount", "12.80")
    said, _ = paying.communicate(timeout=60)
    assert paying.returncode == 0, said


def terminal_of(serving: Serving) -> int:
    return next(pid for pid, name in serving.roles().items() if name == "terminal")


@pytest.mark.timeout(180)
def test_a_sale_paid_while_the_deliverer_is_dead_is_told_by_the_next_one(serving: Serving) -> None:
    """Stopped before the sale and killed after it: between its commit and any delivery."""
    with open_merchant() as merchant:
        status, endpoint = serving.call("POST", "/webhook-endpoints", {"url": merchant.url})
        assert status == 201
        terminal = terminal_of(serving)
        os.kill(terminal, signal.SIGSTOP)
        pay(serving.home)
        assert merchant.requests == []
        os.kill(terminal, signal.SIGKILL)
        wait_for(lambda: "order.paid" in merchant.types)
        assert not alive(terminal)
        path = f"/webhook-endpoints/{endpoint['id']}/deliveries"
        wait_for(
            lambda: serving.call("GET", path)[1]["webhook_deliveries"][0]["state"] != "pending"
        )
        assert len(merchant.requests) == 1


@pytest.mark.timeout(180)
def test_a_delivery_that_died_on_the_way_comes_again_under_the_same_id(serving: Serving) -> None:
    with open_merchant() as merchant:
        merchant.hold = threading.Event()
        serving.call("POST", "/webhook-endpoints", {"url": merchant.url})
        pay(serving.home)
        wait_for(lambda: merchant.requests)
        os.kill(terminal_of(serving), signal.SIGKILL)
        merchant.hold.set()
        wait_for(lambda: len(merchant.requests) == 2)
        assert len(set(merchant.ids)) == 1


@pytest.mark.timeout(180)
def test_the_receiver_to_try_it_with_joins_the_shop_and_leaves_it(serving: Serving) -> None:
    port = str(free_port())
    listening = command(serving.home, "webhooks", "listen", "--port", port)
    assert listening.stdout is not None
    try:
        assert f"http://127.0.0.1:{port}/ (added to this shop" in listening.stdout.readline()
        pay(serving.home)
        line = listening.stdout.readline()
        assert "  verified  evt_" in line
        assert "order.paid  CNY 12.80" in line
        (endpoint,) = serving.call("GET", "/webhook-endpoints")[1]["webhook_endpoints"]
        path = f"/webhook-endpoints/{endpoint['id']}/deliveries"
        (delivery,) = serving.call("GET", path)[1]["webhook_deliveries"]
        serving.call("POST", f"/webhook-deliveries/{delivery['id']}/replay")
        assert f"  seen before  {delivery['event_id']}" in listening.stdout.readline()
    finally:
        listening.send_signal(signal.SIGTERM)
        rest, _ = listening.communicate(timeout=30)
    assert listening.returncode == 0, rest
    assert serving.call("GET", "/webhook-endpoints")[1] == {"webhook_endpoints": []}


def test_with_another_secret_each_event_is_refused_and_why(tmp_path: Path) -> None:
    secret, port = new_secret(), free_port()
    listening = command(
        tmp_path, "webhooks", "listen", "--port", str(port), "--secret", new_secret()
    )
    assert listening.stdout is not None
    try:
        assert "verifying with the secret given" in listening.stdout.readline()
        headers = sign(b"{}", event_id="evt_1", at=datetime.now(UTC), secrets=secret)
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", b"{}", headers)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)
        assert caught.value.code == 400
        caught.value.close()
        line = listening.stdout.readline()
        assert "refused: webhook-signature: it does not fit id, timestamp and body  evt_1" in line
    finally:
        listening.send_signal(signal.SIGINT)
        listening.communicate(timeout=30)
    assert listening.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--secret", "whsec_short"), 1, "secret: expected whsec_ and base64 of 24 to 64 bytes"),
        (("--port", "99999"), 1, "port: expected 0 to 65535, got 99999"),
    ],
)
def test_what_it_cannot_do_is_told_in_a_line(
    tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    listening = command(tmp_path, "webhooks", "listen", *arguments)
    told, _ = listening.communicate(timeout=60)
    assert listening.returncode == status
    assert told == f"checkout webhooks: {said}\n"
