"""Server-sent events: at once, in order, resumed, and ended when the shop closes."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from checkout import create_app
from checkout.config import Config
from checkout.demo.payers import DemoPayers
from checkout.shop.orders.states import Order
from checkout.shop.shop import Shop


class Listener:
    """Reads one stream in the background, block by block."""

    def __init__(self, client: FlaskClient, path: str, **headers: str) -> None:
        self.answer = client.get(path, headers=headers, buffered=False)
        self._lines: Iterator[bytes] = iter(self.answer.response)
        self._blocks: queue.Queue[str | None] = queue.Queue()
        self._left = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for chunk in self._lines:
            if self._left:  # a server notices only when it has something to say
                break
            for block in chunk.decode().split("\n\n"):
                if block:
                    self._blocks.put(block)
        self.answer.close()
        self._blocks.put(None)

    def block(self) -> str | None:
        return self._blocks.get(timeout=10)

    def event(self, kind: str) -> dict[str, Any]:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            block = self.block()
            assert block is not None, "the stream ended"
            fields = dict(line.split(": ", 1) for line in block.split("\n") if line[0] != ":")
            if fields.get("event") == kind:
                return {"id": fields.get("id"), **json.loads(fields["data"])}
        raise AssertionError(f"no {kind} came")

    def ended(self) -> bool:
        self._thread.join(5)
        return not self._thread.is_alive()

    def close(self) -> None:
        self._left = True
        assert self.ended()


@pytest.fixture
def listen(app: Flask) -> Iterator[Any]:
    opened: list[Listener] = []

    def start(path: str, **headers: str) -> Listener:
        opened.append(Listener(app.test_client(), path, **headers))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_a_stream_begins_with_the_order_as_it_stands(listen, order: Order) -> None:
    stream = listen(f"/api/v1/orders/{order.id}/events")
    assert stream.answer.mimetype == "text/event-stream"
    assert stream.answer.headers["Cache-Control"] == "no-store"
    assert stream.block() == "retry: 1000"
    assert stream.event("snapshot")["state"] == "open"
    assert "state" in stream.event("reader-state")


def test_what_happens_arrives_numbered_and_in_order(listen, shop: Shop, order: Order) -> None:
    stream = listen(f"/orders/{order.id}/events")
    stream.event("snapshot")
    shop.orders.renew_code(order.id)
    shop.orders.cancel(order.id)
    renewed = stream.event("code-renewed")
    cancelled = stream.event("order-cancelled")
    assert int(renewed["id"]) < int(cancelled["id"])
    assert cancelled["order_id"] == order.id


def test_an_orders_stream_is_silent_about_other_orders(listen, shop: Shop, order: Order) -> None:
    stream = listen(f"/orders/{order.id}/events")
    stream.event("snapshot")
    other = shop.orders.create(amount_minor=1, currency="CNY")
    shop.orders.cancel(other.id)
    shop.orders.cancel(order.id)
    assert stream.event("order-cancelled")["order_id"] == order.id


def test_a_reader_who_was_away_misses_nothing(listen, shop: Shop, order: Order) -> None:
    first = listen(f"/orders/{order.id}/events")
    first.event("snapshot")
    shop.orders.renew_code(order.id)
    seen = first.event("code-renewed")["id"]
    first.close()
    shop.orders.renew_code(order.id)
    shop.orders.cancel(order.id)
    again = listen(f"/orders/{order.id}/events", **{"Last-Event-ID": seen})
    assert int(again.event("code-renewed")["id"]) > int(seen)
    assert again.event("order-cancelled")["order_id"] == order.id


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 40, "１"])
def test_a_last_event_id_that_is_no_number_is_refused(
    client: FlaskClient, order: Order, after: str
) -> None:
    answer = client.get(f"/api/v1/orders/{order.id}/events?after={after}")
    assert answer.status_code == 400


def test_silence_is_broken_by_heartbeats(listen, order: Order) -> None:
    stream = listen(f"/orders/{order.id}/events")
    blocks = [stream.block() for _ in range(6)]
    assert ": still here" in blocks


def test_the_payment_of_a_phone_reaches_the_counter(listen, order: Order, pay) -> None:
    stream = listen(f"/orders/{order.id}/events")
    stream.event("snapshot")
    pay(order.code)
    assert stream.event("order-authorizing")["mode"] == "qr"
    paid = stream.event("order-paid")
    assert paid["mode"] == "qr"
    assert paid["total_ms"] > 0


def test_streams_end_when_the_shop_closes(tmp_path, password: str) -> None:
    own = Shop.open(Config(home=tmp_path, heartbeat_s=5), payers=DemoPayers(), own_switch=True)
    app = create_app(shop=own)
    order = own.orders.create(amount_minor=1, currency="CNY")
    streams = [Listener(app.test_client(), f"/orders/{order.id}/events") for _ in range(5)]
    for stream in streams:
        stream.event("snapshot")
    began = time.monotonic()
    own.close()
    assert all(stream.ended() for stream in streams)
    assert time.monotonic() - began < 4
    for stream in streams:
        stream.close()


def test_a_stream_that_is_left_gives_its_place_back(listen, shop: Shop, order: Order) -> None:
    stream = listen(f"/orders/{order.id}/events")
    stream.event("snapshot")
    before = len(shop.feed._subscriptions)
    stream.close()
    assert len(shop.feed._subscriptions) == before - 1
