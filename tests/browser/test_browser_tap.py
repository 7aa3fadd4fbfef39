"""The counter of a whole `checkout serve`: a tap on the emulated reader, with two web workers."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("serve-home")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "checkout", "serve", "--port", str(port), "--workers", "2"]
    running = subprocess.Popen(
        [*command, "--reader", "emulated"],
        env={**os.environ, "CHECKOUT_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("Counter"):
                break
        else:
            pytest.fail(f"checkout serve ended with status {running.wait()}")
        yield f"http://localhost:{port}"
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=15)


def test_an_emulated_card_laid_on_the_reader_turns_the_counter_to_paid(
    windows, address: str
) -> None:
    counter = windows.open(address)
    counter.fill("#amount", "12.80")
    counter.click("text=Take payment")
    expect(counter.locator(".tap-card .pill.emulated")).to_be_visible()
    counter.click("button[value='unionpay-debit']")
    expect(counter.locator("[data-verdict='paid'] h2")).to_have_text("Paid by tap")
    # The time of a modelled part and of an emulated card never passes for a real one.
    expect(counter.locator(".took .pill.emulated")).to_be_visible()
    expect(counter.locator(".took .pill.modelled")).to_be_visible()
    expect(counter.locator(".verdict")).to_contain_text(re.compile(r"999901\*{6}\d{4}"))


def test_a_card_that_fails_leaves_the_order_open_and_says_why(windows, address: str) -> None:
    counter = windows.open(address)
    counter.fill("#amount", "12.80")
    counter.click("text=Take payment")
    counter.click("text=Cards made to fail")
    counter.click("button[value='empty']")
    expect(counter.locator(".declined")).to_contain_text("insufficient funds")
    expect(counter.locator("#code")).to_be_visible()


def test_the_pages_come_with_their_styles_from_the_server(address: str) -> None:
    for name in ("shared/base.css", "counter/office.css", "counter/order.js", "payer/payer.css"):
        with urllib.request.urlopen(f"{address}/static/{name}", timeout=5) as answer:
            expected = Path(__file__).parents[2] / "static" / name
            assert answer.read() == expected.read_bytes()


def test_a_large_tap_asks_for_the_pin_on_the_pad_and_pays(windows, address: str) -> None:
    counter = windows.open(address)
    counter.fill("#amount", "1500")
    counter.click("text=Take payment")
    counter.click("button[value='unionpay-debit']")
    pad = counter.locator(".pin-pad")
    expect(pad).to_be_visible()
    expect(pad).to_contain_text("Never type the PIN of a real card")
    expect(counter.locator("#pin")).to_be_focused()
    counter.keyboard.type("99")
    # News of the reader must not wipe out what is being typed.
    counter.wait_for_timeout(600)
    expect(counter.locator("#pin")).to_have_value("99")
    for key in ("delete", "delete", *"123456"):
        counter.click(f"[data-pin-key='{key}']")
    counter.click(".pin-form button[aria-label='confirm']")
    expect(counter.locator("[data-verdict='paid'] h2")).to_have_text("Paid by tap")
    assert "123456" not in counter.url


def test_a_cancelled_pin_gives_the_order_back_to_code_and_tap(windows, address: str) -> None:
    counter = windows.open(address)
    counter.fill("#amount", "1500")
    counter.click("text=Take payment")
    counter.click("button[value='unionpay-debit']")
    counter.click("text=Cancel this payment")
    expect(counter.locator(".declined")).to_contain_text("cancelled before the PIN")
    expect(counter.locator("#code")).to_be_visible()
    expect(counter.locator("#reader-message")).to_have_text("Tap here")
