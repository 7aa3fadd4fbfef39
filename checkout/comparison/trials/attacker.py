"""The attackers' tools: requests of their own, a wiretap, a relay, a phishing page."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from checkout.acceptance.nfc.authorization import Evidence, authorization
from checkout.acceptance.qr.authorization import (
    CodeKind,
    Evidence as CodeEvidence,
    authorization as code_authorization,
)
from checkout.clearing.client.client import NoAnswer, NotSent, SwitchClient
from checkout.clearing.messages import AuthorizationRequest
from checkout.comparison.trials.lab import Lab
from checkout.shop import till
from checkout.sockets import receive_exactly
from devices.nfc.contract import Card, CardDescription
from devices.nfc.kernel import TapResult
from devices.phone import Answer, HttpNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchReply:
    """What came back for a request that an attacker made.

    `response_code` is empty where no response came; `passed` names the messages that got through.
    """

    response_code: str
    reason: str
    passed: str

    @property
    def approved(self) -> bool:
        """Whether the attack brought money."""
        return self.response_code == "00"


def read_card(lab: Lab, payer: str, amount_minor: int) -> tuple[TapResult, Evidence | None]:
    """Read a card as a terminal does, for any amount; its result and evidence, if any."""
    reader = lab.testbed.reader
    reader.place_card(payer)
    try:
        tap = till.read_card(
            lab.testbed.terminal,
            reader,
            amount_minor=amount_minor,
            currency="CNY",
            card_within_s=5.0,
        )
    finally:
        reader.remove_card()
    return tap.result, tap.evidence


def tap_request(
    lab: Lab, evidence: Evidence, amount_minor: int, **changed: Any
) -> AuthorizationRequest:
    """A request to the switch from a card's evidence, with the fields in `changed` replaced."""
    request = authorization(
        evidence,
        account=evidence.pan or "",
        amount_minor=amount_minor,
        currency="CNY",
        numbers=lab.shop.payments.numbers(),
        merchant=lab.testbed.config.merchant,
    )
    return replace(request, **changed)


def code_request(
    lab: Lab,
    account: str,
    expiry: str | None,
    amount_minor: int,
    *,
    pin: str | None,
    kind: CodeKind,
) -> AuthorizationRequest:
    """A request to the switch as if somebody had paid by code from `account`."""
    block = None if pin is None else lab.testbed.client.encrypt_pin(pin, account)
    return code_authorization(
        CodeEvidence(
            account=account, expiry=expiry, pan_sequence="001", code_kind=kind, pin_block=block
        ),
        amount_minor=amount_minor,
        currency="CNY",
        numbers=lab.shop.payments.numbers(),
        merchant=lab.testbed.config.merchant,
    )


def send(lab: Lab, request: AuthorizationRequest) -> SwitchReply:
    """Send the request by the shop's client; no response, or no connection, is a reply too."""
    client: SwitchClient = lab.testbed.client
    return send_as(lab, client, request)


def send_as(lab: Lab, client: SwitchClient, request: AuthorizationRequest) -> SwitchReply:
    """Send the request by a client of the attacker's own."""
    before = Counter(lab.proxy.passed)
    code = ""
    try:
        code = client.authorize(request, timeout_s=2.0).response.response_code
        reason = lab.books.reason(request.rrn)
    except (NoAnswer, NotSent, ValueError) as error:
        reason = str(error)
    counted = Counter(lab.proxy.passed) - before
    passed = " answered ".join(kind for _, kind in counted if kind in ("0200", "0210"))
    if not passed:
        passed = f"{', '.join(kind for _, kind in counted)}: no 0200 was sent"
    return SwitchReply(response_code=code, reason=reason, passed=passed)


class Wiretap:
    """A network that passes everything on and records every request and response."""

    def __init__(self) -> None:
        self._inner = HttpNetwork()
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.responses: list[Answer] = []

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """One exchange, recorded."""
        self.requests.append((method, url, headers, body))
        answer = self._inner.request(method, url, headers, body)
        self.responses.append(answer)
        return answer

    def form(self) -> tuple[str, dict[str, str], dict[str, str]]:
        """URL, headers and fields of the first form that was sent."""
        _, url, headers, body = next(request for request in self.requests if request[0] == "POST")
        fields = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        return url, headers, fields


class ChangingNetwork:
    """A phone in its owner's hands that changes the form before it is sent."""

    def __init__(self, **changes: str) -> None:
        self._changes = changes
        self._inner = HttpNetwork()

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """One exchange; a form gets the changes added."""
        if method == "POST":
            body += "".join(f"&{name}={value}" for name, value in self._changes.items()).encode()
        return self._inner.request(method, url, headers, body)


class RelayedCard:
    """A card that lies elsewhere: commands and responses go through a socket.

    `added_s` is the time that the relay adds to each exchange.
    """

    def __init__(self, far: Card, *, added_s: float) -> None:
        self._description = far.description
        self._near, far_end = socket.socketpair()
        self._thread = threading.Thread(
            target=self._far_side, args=(far_end, far, added_s), daemon=True
        )
        self._thread.start()
        self.took_ms = 0.0

    @property
    def description(self) -> CardDescription:
        """The description of the card at the far end."""
        return self._description

    def transceive(self, command: bytes) -> bytes:
        """Send the command to the card at the far end and return its response."""
        began = time.perf_counter()
        self._near.sendall(len(command).to_bytes(2) + command)
        answer = receive_exactly(self._near, int.from_bytes(receive_exactly(self._near, 2)))
        self.took_ms += (time.perf_counter() - began) * 1000
        return answer

    def close(self) -> None:
        """End the relay; safe to call twice."""
        self._near.close()
        self._thread.join(2)

    @staticmethod
    def _far_side(end: socket.socket, card: Card, added_s: float) -> None:
        with end, contextlib.suppress(OSError):
            while True:
                command = receive_exactly(end, int.from_bytes(receive_exactly(end, 2)))
                time.sleep(added_s)
                answer = card.transceive(command)
                end.sendall(len(answer).to_bytes(2) + answer)


@contextmanager
def phishing_page(forms: list[dict[str, str]]) -> Iterator[str]:
    """Serve a page that looks like a payer's page and appends what is typed to `forms`."""

    class _Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(
                "<form data-pay method=post action=''><input type=hidden name=submission value=x>"
                "<input type=radio name=payer value=unionpay-debit>"
                "<input name=pin></form>"
            )

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            forms.append({k: v[0] for k, v in parse_qs(body.decode()).items()})
            self._answer("<main data-outcome=paid>Paid</main>")

        def _answer(self, text: str) -> None:
            content = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
