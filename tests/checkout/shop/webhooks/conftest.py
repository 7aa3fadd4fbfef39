"""A shop whose clock can be moved on, with its switch, and merchants' receivers on real sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from checkout.config import Config
from checkout.demo.payers import DEMO_PIN, DemoPayers
from checkout.shop.orders.states import Order
from checkout.shop.shop import Shop
from checkout.shop.webhooks.signing import verify
from checkout.shop.webhooks.worker import DeliveryWorker


class SetClock:
    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_s(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@dataclass
class Merchant:
    """A merchant's HTTP server: keeps what comes, answers what it is told to."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)  # then 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hold: threading.Event | None = None  # nobody is answered before it is set

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def verified(self, secret: str, now: datetime) -> list[str]:
        return [
            verify(body, headers, secrets=secret, now=now).event_id
            for headers, body in self.requests
        ]


@contextmanager
def open_merchant(path: str = "/hooks") -> Iterator[Merchant]:
    merchant = Merchant()

    class _Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            named = {name.lower(): text for name, text in self.headers.items()}
            merchant.requests.append((named, body))
            status = merchant.answers.pop(0) if merchant.answers else 200
            if merchant.hold is not None:
                merchant.hold.wait(30)
            self.send_response(status)
            for name, text in merchant.headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(merchant.body)))
            self.end_headers()
            self.wfile.write(merchant.body)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            """Standard error belongs to the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    merchant.url = f"http://127.0.0.1:{server.server_port}{path}"
    try:
        yield merchant
    finally:
        if merchant.hold is not None:
            merchant.hold.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    with open_merchant() as opened:
        yield opened


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def shop(tmp_path: Path, clock: SetClock) -> Iterator[Shop]:
    opened = Shop.open(
        Config(home=tmp_path / "home"), payers=DemoPayers(), own_switch=True, clock=clock
    )
    opened.clearing()  # starts the switch here, and not in a process that dies
    yield opened
    opened.close()


@pytest.fixture
def worker(shop: Shop) -> DeliveryWorker:
    return worker_of(shop)


def worker_of(shop: Shop, engine: Engine | None = None) -> DeliveryWorker:
    return DeliveryWorker(
        engine or shop.engine, seal=shop.seal, clock=shop.orders.clock, chance=lambda: 0.0
    )


@pytest.fixture
def sell(shop: Shop) -> Callable[..., Order]:
    return lambda **more: sale_in(shop, **more)


def sale_in(shop: Shop, *, pin: str = DEMO_PIN, preauthorise: bool = False) -> Order:
    order = shop.orders.create(amount_minor=1280, preauthorise=preauthorise, reference="tea")
    shop.code_payments.pay(order.code, payer="unionpay-debit", pin=pin)
    return shop.orders.get(order.id)
