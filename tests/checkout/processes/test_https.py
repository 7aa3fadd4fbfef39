"""`checkout serve --https`: TLS under a certificate made here, on each address of this machine."""

from __future__ import annotations

import json
import os
import re
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checkout.addresses import lan_address
from checkout.processes.certificate import fingerprint_of
from devices.phone import HttpNetwork, Phone
from tests.checkout.serving import Serving


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    running = Serving(tmp_path_factory.mktemp("https") / "home", "--https", "--reader", "none")
    yield running
    running.kill()


@pytest.fixture(scope="module")
def certificate(serving: Serving) -> Path:
    found = re.search(r"file: (\S+)", serving.said)
    assert found is not None
    return Path(found[1])


def ask(
    serving: Serving,
    certificate: Path,
    path: str,
    body: dict[str, Any] | None = None,
    host: str = "localhost",
) -> str:
    headers = {} if host == "localhost" else {"Authorization": f"Bearer {serving.merchant_key}"}
    if body is not None:
        headers |= {"Idempotency-Key": os.urandom(12).hex(), "Content-Type": "application/json"}
    url = f"https://{host}:{serving.port}{path}"
    content = None if body is None else json.dumps(body).encode()
    trusting = ssl.create_default_context(cafile=certificate)
    request = urllib.request.Request(url, content, headers)
    with urllib.request.urlopen(request, timeout=20, context=trusting) as answer:
        return str(answer.read().decode())


def test_it_prints_addresses_and_how_to_accept_the_certificate(
    serving: Serving, certificate: Path
) -> None:
    assert f"Counter  https://localhost:{serving.port}/" in serving.said
    assert f"Phones   https://{lan_address()}:{serving.port}/wallet" in serving.said
    assert fingerprint_of(certificate) in serving.said
    assert "Advanced" in serving.said


def test_who_trusts_the_certificate_opens_the_counter(serving: Serving, certificate: Path) -> None:
    assert "Take payment" in ask(serving, certificate, "/")


def test_who_does_not_is_not_connected(serving: Serving) -> None:
    with pytest.raises(OSError, match="certificate verify failed"):
        urllib.request.urlopen(f"https://localhost:{serving.port}/", timeout=20)


def test_what_is_served_is_the_certificate_whose_fingerprint_was_printed(
    serving: Serving, certificate: Path
) -> None:
    served = ssl.get_server_certificate(("localhost", serving.port))
    assert ssl.PEM_cert_to_DER_cert(served) == ssl.PEM_cert_to_DER_cert(certificate.read_text())


def test_a_phone_on_the_lan_address_pays_over_tls(serving: Serving, certificate: Path) -> None:
    body = {"amount_minor": 1280, "currency": "CNY"}
    order = json.loads(ask(serving, certificate, "/api/v1/orders", body))
    assert order["qr"]["link"].startswith(f"HTTPS://{lan_address()}:{serving.port}/P/")
    phone = Phone("unionpay-debit", network=HttpNetwork(certificate=certificate))
    assert phone.pay_at(order["qr"]["link"]).outcome == "paid"
    paid = ask(serving, certificate, f"/api/v1/orders/{order['id']}", host=lan_address())
    assert json.loads(paid)["state"] == "paid"
