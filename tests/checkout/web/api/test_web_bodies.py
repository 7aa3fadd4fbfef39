"""Every body of the API against its type: what it answers, what it refuses, what webhooks carry."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema_rs import validator_for

from checkout.clearing.scheme.business_date import settlement_date
from checkout.shop.orders.states import Order
from checkout.shop.shop import Shop
from checkout.shop.webhooks.http import Outcome
from checkout.shop.webhooks.worker import DeliveryWorker
from checkout.web.api.description import document, operations
from checkout.web.problems import KINDS

_KEYS = itertools.count(1)
Pay = Callable[..., Any]


def closed_description() -> dict[str, Any]:
    """The description, with every object closed: a field that it does not have is an error."""
    description = deepcopy(document("http://localhost:8000"))
    for schema in description["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return description


class Checked:
    """A client that holds each response to its operation's description, and counts operations."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client
        self._description = closed_description()
        self._operations = {
            operation["operationId"]: (method, path, operation)
            for path, operations in self._description["paths"].items()
            for method, operation in operations.items()
            if method != "parameters"
        }
        self.answered: set[tuple[str, int]] = set()

    def __call__(self, operation_id: str, body: object = None, **path: str) -> Any:
        method, template, _ = self._operations[operation_id]
        headers = {"Idempotency-Key": f"body-{next(_KEYS)}"} if method == "post" else {}
        answer = self._client.open(
            template.format(**path), method=method.upper(), json=body, headers=headers
        )
        self.hold(operation_id, answer)
        return answer

    def hold(self, operation_id: str, answer: Any) -> None:
        described = self._operations[operation_id][2]["responses"][str(answer.status_code)]
        content = described.get("content", {})
        assert answer.mimetype in content or (not content and not answer.data)
        assert ("Location" in answer.headers) == ("Location" in described.get("headers", {}))
        if answer.mimetype.endswith("json"):
            self.validate(content[answer.mimetype]["schema"], answer.json)
        self.answered.add((operation_id, answer.status_code))

    def validate(self, schema: dict[str, Any], value: object) -> None:
        whole = schema | {"components": self._description["components"]}
        validator_for(whole, validate_formats=True).validate(value)


@pytest.fixture
def api(client: FlaskClient) -> Checked:
    return Checked(client)


@pytest.fixture
def sent(shop: Shop) -> Iterator[list[bytes]]:
    """The bodies of the webhooks that are delivered in this test."""
    bodies: list[bytes] = []
    yield bodies
    for each in shop.webhooks.endpoints.all():
        shop.webhooks.endpoints.remove(each.id)


def deliver(shop: Shop, sent: list[bytes]) -> None:
    def send(url: str, headers: dict[str, str], body: bytes) -> Outcome:
        sent.append(body)
        return Outcome(status=200, reason="HTTP 200", answer="ok")

    DeliveryWorker(shop.engine, seal=shop.seal, clock=shop.orders.clock, send=send).round()


def open_order(api: Checked, **more: object) -> dict[str, Any]:
    body = {"amount_minor": 1280, "currency": "CNY", **more}
    return dict(api("createOrder", body).json)


def test_every_response_keeps_to_its_type(
    api: Checked, shop: Shop, pay: Pay, sent: list[bytes]
) -> None:
    _webhooks_and_orders(api, shop, pay, sent)
    _payer_codes(api, shop)
    _reports(api, shop)
    api("description")
    api("problem", kind="already-paid")
    described = {
        (operation.id, status) for operation in operations() for status in operation.answers
    }
    # A stream of events has no end to wait for; another test reads it.
    assert api.answered >= described - {("orderEvents", 200)}
    schema = {"$ref": "#/components/schemas/WebhookEvent"}
    assert sent
    for body in sent:
        api.validate(schema, json.loads(body))


def _webhooks_and_orders(api: Checked, shop: Shop, pay: Pay, sent: list[bytes]) -> None:
    endpoint = api("createWebhookEndpoint", {"url": "http://127.0.0.1:9/hooks"}).json["id"]
    order = open_order(api, reference="by code")
    pay(shop.orders.get(order["id"]).code)
    paid = api("readOrder", order_id=order["id"]).json
    assert paid["state"] == "paid"
    payment = api("readPayment", payment_id=paid["payment_id"]).json
    assert any("detail" in step for step in payment["steps"])
    api("refundOrder", {"amount_minor": 280}, order_id=order["id"])
    held = open_order(api, preauthorise=True)
    pay(shop.orders.get(held["id"]).code)
    api("captureOrder", {}, order_id=held["id"])
    unpaid = open_order(api)
    api("orderPicture", order_id=unpaid["id"], form="svg")
    api("cancelOrder", order_id=unpaid["id"])
    api("cancelOrder", order_id=unpaid["id"])  # a refusal keeps to the description, too
    deliver(shop, sent)
    api("webhookEndpoints")
    api("readWebhookEndpoint", endpoint_id=endpoint)
    api("changeWebhookSecret", endpoint_id=endpoint)
    deliveries = api("webhookDeliveries", endpoint_id=endpoint).json["webhook_deliveries"]
    assert deliveries[0]["attempts"]
    api("replayWebhook", delivery_id=deliveries[0]["id"])
    api("removeWebhookEndpoint", endpoint_id=endpoint)


def _payer_codes(api: Checked, shop: Shop) -> None:
    for payer, amount_minor, status in (
        ("unionpay-debit", 500, 201),
        ("unionpay-credit", 100_001, 202),
    ):
        order = open_order(api, amount_minor=amount_minor)
        text = shop.payer_codes.show(payer).emv
        answer = api("payByPayerCode", {"text": text}, order_id=order["id"])
        assert answer.status_code == status, answer.json


def _reports(api: Checked, shop: Shop) -> None:
    sticker = shop.static_codes.create("table 7")
    assert api("staticCodes").json["static_codes"][0]["code"] == sticker.code
    assert api("comparison").json["groups"]
    today = settlement_date(shop.orders.clock()).isoformat()
    shop.clearing().operate("settle", {"date": today})
    assert api("settlement", day=today).json["positions"]


def test_every_operation_says_what_it_is_and_what_it_refuses() -> None:
    description = document("http://localhost:8000")
    tags = {tag["name"] for tag in description["tags"]}
    for path in description["paths"].values():
        for method, operation in path.items():
            if method == "parameters":
                continue
            assert set(operation["tags"]) <= tags and operation["summary"]
            assert not operation["summary"].endswith(".")
            assert {"401", "4XX", "5XX"} <= operation["responses"].keys()
            for status, answer in operation["responses"].items():
                content = answer.get("content", {}).get("application/problem+json", {})
                for kind, example in content.get("examples", {}).items():
                    assert KINDS[kind] == (int(status), example["value"]["title"])
    ids = [operation.id for operation in operations()]
    assert len(ids) == len(set(ids))


def test_every_example_keeps_to_its_type(api: Checked) -> None:
    found = 0

    def look(node: object) -> None:
        nonlocal found
        if isinstance(node, list):
            for inner in node:
                look(inner)
        if not isinstance(node, dict):
            return
        if "schema" in node and "example" in node:
            api.validate(node["schema"], node["example"])
            found += 1
        for each in node.get("examples", {}).values() if "schema" in node else ():
            api.validate(node["schema"], each["value"])
            found += 1
        for inner in node.values():
            look(inner)

    description = document("http://localhost:8000")
    look([description["paths"], description["webhooks"]])
    assert found > 40


@pytest.mark.parametrize(
    ("body", "detail", "kind"),
    [
        ({"amount_minor": "1"}, "amount_minor: expected a whole number", "amount"),
        ({"amount_minor": 1.0}, "amount_minor: expected a whole number", "amount"),
        ({"amount_minor": None}, "amount_minor: expected a whole number", "amount"),
        ({"amount_minor": 0}, "amount_minor: expected more than zero", "amount"),
        ({"currency": 1}, "currency: expected a text of 1 to 64 characters", "field"),
        ({"reference": ""}, "reference: expected a text of 1 to 64 characters", "field"),
        ({"preauthorise": None}, "preauthorise: expected true or false", "field"),
        (
            {"tip": 1},
            "tip: no such field here, expected amount_minor, currency, preauthorise, reference",
            "field",
        ),
    ],
)
def test_a_refusal_names_the_field_and_what_was_expected(
    api: Checked, body: dict[str, object], detail: str, kind: str
) -> None:
    answer = api("createOrder", {"amount_minor": 1, "currency": "CNY"} | body)
    assert answer.json["detail"] == detail
    assert answer.json["type"] == f"/api/v1/problems/{kind}"
    assert answer.json["field"] == detail.partition(":")[0]


@pytest.mark.parametrize(
    ("operation_id", "body", "detail", "kind"),
    [
        ("createOrder", {"currency": "CNY"}, "amount_minor: it is missing", "field"),
        ("refundOrder", {}, "amount_minor: it is missing", "field"),
        ("captureOrder", {"amount_minor": "1"}, "amount_minor: expected a whole number", "amount"),
        ("payByPayerCode", {"text": ""}, "text: expected a text of 1 to 512 characters", "field"),
        ("createWebhookEndpoint", {"url": 1}, "url: expected a text", "field"),
        (
            "createWebhookEndpoint",
            {"url": "https://192.0.2.1/", "events": ["order.paid", 1]},
            "events: expected a list of texts",
            "events",
        ),
        ("cancelOrder", {"why": "x"}, "why: no such field here, expected no field", "field"),
    ],
)
def test_other_bodies_are_refused_in_the_same_words(
    api: Checked, order: Order, operation_id: str, body: object, detail: str, kind: str
) -> None:
    path = {} if operation_id.startswith("create") else {"order_id": order.id}
    answer = api(operation_id, body, **path)
    assert (answer.status_code, answer.json["detail"]) == (422, detail)
    assert answer.json["type"] == f"/api/v1/problems/{kind}"
