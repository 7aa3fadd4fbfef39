"""Webhooks by API and by the operator's page."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema_rs import validator_for
from sqlalchemy import select

from checkout.demo.payers import DemoPayers
from checkout.shop.orders.states import Order
from checkout.shop.shop import Shop
from checkout.shop.webhooks import tables
from checkout.shop.webhooks.events import EventType
from checkout.shop.webhooks.http import Outcome
from checkout.shop.webhooks.worker import DeliveryWorker
from checkout.web.api.description import document
from checkout.web.idempotency import answers

URL = "http://127.0.0.1:9/hooks"


@pytest.fixture(autouse=True)
def cleared(shop: Shop) -> Iterator[None]:
    yield
    for each in shop.webhooks.endpoints.all():
        shop.webhooks.endpoints.remove(each.id)


@pytest.fixture
def post(client: FlaskClient) -> Callable[..., Any]:
    def send(path: str, body: object = None, key: str | None = None) -> Any:
        headers = {"Idempotency-Key": key or os.urandom(12).hex()}
        return client.post(f"/api/v1{path}", json=body, headers=headers)

    return send


class Line:
    """Stands for the network: what was sent, and what comes back."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.sent: list[tuple[dict[str, str], bytes]] = []

    def __call__(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        self.sent.append((headers, body))
        return Outcome(status=self.status, reason=f"HTTP {self.status}", answer="thanks")


def deliver(shop: Shop, line: Line) -> int:
    return DeliveryWorker(shop.engine, seal=shop.seal, clock=shop.orders.clock, send=line).round()


def checked(schema: str, value: object) -> None:
    description = document("http://localhost:8000")
    whole = {"$ref": f"#/components/schemas/{schema}", "components": description["components"]}
    validator_for(whole, validate_formats=True).validate(value)


def test_a_secret_is_in_the_answer_that_made_it_and_nowhere_else(
    client: FlaskClient, post: Callable[..., Any], shop: Shop
) -> None:
    made = post("/webhook-endpoints", {"url": URL, "events": ["order.paid"]}, "make-one")
    assert made.status_code == 201
    secret = made.json["secret"]
    assert secret.startswith("whsec_")
    checked("WebhookEndpointSecret", made.json)
    assert client.get(made.headers["Location"]).json == {
        name: text for name, text in made.json.items() if name != "secret"
    }
    for path in ("/api/v1/webhook-endpoints", "/webhooks"):
        page = client.get(path)
        assert URL in page.text
        assert "whsec_" not in page.text
    again = post("/webhook-endpoints", {"url": URL, "events": ["order.paid"]}, "make-one")
    assert (again.status_code, again.json) == (201, made.json)
    with shop.engine.connect() as connection:
        stored = b"".join(
            bytes(each) for each in connection.execute(select(answers.c.body)).scalars()
        )
    assert secret.encode() not in stored


def test_an_endpoint_is_changed_and_removed(
    client: FlaskClient, post: Callable[..., Any], shop: Shop
) -> None:
    made = post("/webhook-endpoints", {"url": URL}).json
    assert made["events"] is None
    changed = post(f"/webhook-endpoints/{made['id']}/secret")
    assert changed.status_code == 200
    assert changed.json["secret"] != made["secret"]
    assert changed.json["old_secret_until"] is not None
    assert shop.webhooks.endpoints.secrets(made["id"]) == [changed.json["secret"], made["secret"]]
    path = f"/api/v1/webhook-endpoints/{made['id']}"
    assert client.delete(path).status_code == 204
    for answer in (client.delete(path), client.get(path), client.get(path + "/deliveries")):
        assert answer.status_code == 404
        assert answer.json["type"].endswith("/unknown-endpoint")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({}, 422, "field"),
        ({"url": 7}, 422, "field"),
        ({"url": "http://shop.example/"}, 422, "url"),
        ({"url": "https://me:pw@shop.example/"}, 422, "url"),
        ({"url": URL, "events": []}, 422, "events"),
        ({"url": URL, "events": "order.paid"}, 422, "events"),
        ({"url": URL, "events": ["order.paid", 1]}, 422, "events"),
        ({"url": URL, "events": ["order.eaten"]}, 422, "events"),
        ({"url": URL, "secret": "mine"}, 422, "field"),
    ],
)
def test_what_cannot_be_an_endpoint_is_told_by_its_field(
    post: Callable[..., Any], shop: Shop, body: dict[str, Any], status: int, kind: str
) -> None:
    answer = post("/webhook-endpoints", body)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert answer.json["type"].endswith(f"/{kind}")
    assert answer.json["field"] in answer.json["detail"]
    assert shop.webhooks.endpoints.all() == ()


def test_one_url_has_one_endpoint_and_there_is_an_end_to_them(
    post: Callable[..., Any], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checkout.shop.webhooks.endpoints.MOST_ENDPOINTS", 2)
    assert post("/webhook-endpoints", {"url": URL}).status_code == 201
    assert post("/webhook-endpoints", {"url": URL}).json["type"].endswith("/endpoint-exists")
    assert post("/webhook-endpoints", {"url": URL + "2"}).status_code == 201
    answer = post("/webhook-endpoints", {"url": URL + "3"})
    assert (answer.status_code, answer.json["type"][-18:]) == (409, "too-many-endpoints")
    assert len(shop.webhooks.endpoints.all()) == 2


def test_what_is_sent_keeps_to_its_description_and_to_the_api_s_order(
    client: FlaskClient,
    post: Callable[..., Any],
    shop: Shop,
    order: Order,
    pay: Callable[..., object],
) -> None:
    post("/webhook-endpoints", {"url": URL})
    pay(order.code)
    pay(shop.orders.create(amount_minor=100).code, pin="000000")
    shop.orders.cancel(shop.orders.create(amount_minor=100).id)
    line = Line()
    assert deliver(shop, line) == 3
    for _, body in line.sent:
        checked("WebhookEvent", json.loads(body))
    (shown,) = [
        data["order"]
        for data in (json.loads(body)["data"] for _, body in line.sent)
        if data["order"]["id"] == order.id
    ]
    assert shown == client.get(f"/api/v1/orders/{order.id}").json


def test_every_event_type_is_described() -> None:
    described = document("http://localhost:8000")["webhooks"]
    assert described.keys() == {str(each) for each in EventType}


def test_attempts_are_told_and_one_can_be_sent_again(
    client: FlaskClient,
    post: Callable[..., Any],
    shop: Shop,
    order: Order,
    pay: Callable[..., object],
) -> None:
    endpoint = post("/webhook-endpoints", {"url": URL}).json
    pay(order.code)
    line = Line(500)
    deliver(shop, line)
    path = f"/api/v1/webhook-endpoints/{endpoint['id']}/deliveries"
    shown = client.get(path).json
    checked("WebhookDeliveries", shown)
    (delivery,) = shown["webhook_deliveries"]
    assert delivery["state"] == "pending"
    assert delivery["next_at"] > delivery["created_at"]
    assert [each["reason"] for each in delivery["attempts"]] == ["HTTP 500"]
    line.status = 200
    again = post(f"/webhook-deliveries/{delivery['id']}/replay")
    assert again.status_code == 202
    checked("WebhookDelivery", again.json)
    assert deliver(shop, line) == 1
    (delivery,) = client.get(path).json["webhook_deliveries"]
    assert delivery["state"] == "delivered"
    assert line.sent[0][0]["webhook-id"] == line.sent[1][0]["webhook-id"] == delivery["event_id"]
    assert post("/webhook-deliveries/whd_0/replay").json["type"].endswith("/unknown-delivery")


# The operator's page.


def test_strangers_see_nothing_of_it(stranger: FlaskClient, shop: Shop) -> None:
    lan = "http://192.0.2.10:8000"
    assert stranger.get("/webhooks", base_url=lan).status_code == 303
    assert stranger.post("/webhooks", base_url=lan, data={"url": URL}).status_code == 401
    assert stranger.get("/api/v1/webhook-endpoints", base_url=lan).status_code == 401
    assert shop.webhooks.endpoints.all() == ()


def test_the_page_adds_one_shows_its_secret_once_and_removes_it(
    client: FlaskClient, shop: Shop
) -> None:
    made = client.post("/webhooks", data={"url": URL, "events": ["order.paid", "order.refunded"]})
    assert made.status_code == 201
    (endpoint,) = shop.webhooks.endpoints.all()
    assert endpoint.events == ("order.paid", "order.refunded")
    (secret,) = re.findall(r"whsec_[A-Za-z0-9+/=]+", made.text)
    assert shop.webhooks.endpoints.secrets(endpoint.id) == [secret]
    assert made.headers["Cache-Control"] == "no-store"
    assert "whsec_" not in client.get("/webhooks").text
    assert client.post("/webhooks", data={"url": URL}).status_code == 409
    changed = client.post(f"/webhooks/{endpoint.id}/secret")
    assert secret not in changed.text
    assert "whsec_" in changed.text
    assert client.post(f"/webhooks/{endpoint.id}/remove").status_code == 303
    assert shop.webhooks.endpoints.all() == ()


def test_the_page_says_what_is_wrong_with_a_url(client: FlaskClient, shop: Shop) -> None:
    answer = client.post("/webhooks", data={"url": "http://shop.example/<b>"})
    assert answer.status_code == 422
    assert "plain http goes to loopback and private addresses only" in answer.text
    assert "shop.example/&lt;b&gt;" in answer.text
    assert shop.webhooks.endpoints.all() == ()


def test_the_page_shows_deliveries_and_sends_one_again(
    client: FlaskClient, shop: Shop, order: Order, pay: Callable[..., object]
) -> None:
    shop.webhooks.endpoints.add(URL)
    pay(order.code)
    line = Line(503)
    deliver(shop, line)
    for path in ("/webhooks", "/webhooks/deliveries"):
        page = client.get(path).text
        assert "order.paid" in page
        assert page.count("HTTP 503") == 1
        assert "pending" in page
    (delivery,) = shop.webhooks.deliveries.recent(1)
    line.status = 204
    assert client.post(f"/webhooks/deliveries/{delivery.id}/again").status_code == 303
    assert deliver(shop, line) == 1
    assert "delivered" in client.get("/webhooks").text


def test_what_a_receiver_says_cannot_be_a_page(
    client: FlaskClient, shop: Shop, order: Order, pay: Callable[..., object]
) -> None:
    shop.webhooks.endpoints.add(URL)
    pay(order.code)

    def send(url: str, headers: dict[str, str], body: bytes) -> Outcome:
        return Outcome(status=500, reason="HTTP 500", answer="<script>alert(1)</script>")

    DeliveryWorker(shop.engine, seal=shop.seal, clock=shop.orders.clock, send=send).round()
    page = client.get("/webhooks").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_unused_tables_cost_no_old_database_anything(app: Flask, shop: Shop) -> None:
    """The tables were added to databases that had none."""
    with shop.engine.begin() as connection:
        for table in (tables.attempts, tables.deliveries, tables.messages, tables.endpoints):
            table.drop(connection)
    Shop.open(shop.config, payers=DemoPayers()).close()
    assert app.test_client().get("/webhooks").status_code == 200
