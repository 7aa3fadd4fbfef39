"""The REST API as its contract has it."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
import zxingcpp
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from checkout import create_app
from checkout.shop.orders.states import Order
from checkout.shop.shop import Shop
from checkout.web.api import orders_and_payments
from checkout.web.problems import KINDS
from devices.qr.codec import mpm

_KEYS = itertools.count(1)
Post = Callable[..., Any]


@pytest.fixture
def post(client: FlaskClient) -> Post:
    def send(path: str, body: object = None, *, key: str | None = None, **more: Any) -> Any:
        headers = {"Idempotency-Key": key or f"key-{next(_KEYS)}"}
        if body is None:
            return client.post(path, headers=headers, **more)
        return client.post(path, json=body, headers=headers, **more)

    return send


def new_order(post: Post, **fields: object) -> dict[str, Any]:
    body = {"amount_minor": 1280, "currency": "CNY", "reference": "table 4", **fields}
    return dict(post("/api/v1/orders", body).json)


def test_an_order_is_created_with_its_code_in_four_forms(client: FlaskClient, post: Post) -> None:
    answer = post("/api/v1/orders", {"amount_minor": 1280, "currency": "CNY", "reference": "t4"})
    assert answer.status_code == 201
    order = answer.json
    assert answer.headers["Location"] == f"/api/v1/orders/{order['id']}"
    assert (order["state"], order["amount_minor"], order["reference"]) == ("open", 1280, "t4")
    assert re.fullmatch(r"HTTP://[0-9A-Z.:\[\]]+/P/[A-Z2-7]{13}", order["qr"]["link"])
    reading = mpm.parse(order["qr"]["emv"])
    assert reading.verdict.value == "strict"
    assert reading.value("54") == "12.80"
    assert client.get(answer.headers["Location"]).json == order


@pytest.mark.parametrize(("form", "wanted"), [("png", "link"), ("png", "emv"), ("svg", "link")])
def test_the_pictures_hold_what_the_order_says(
    client: FlaskClient, post: Post, form: str, wanted: str, tmp_path
) -> None:
    order = new_order(post)
    answer = client.get(f"{order['qr'][form]}?format={wanted}")
    assert answer.status_code == 200
    if form == "svg":
        assert answer.mimetype == "image/svg+xml"
        assert answer.text.startswith("<svg")
        return
    file = tmp_path / "code.png"
    file.write_bytes(answer.data)
    (read,) = zxingcpp.read_barcodes(Image.open(file))
    assert read.text == order["qr"][wanted]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"amount_minor": 0, "currency": "CNY"}, "amount_minor"),
        ({"amount_minor": -5, "currency": "CNY"}, "amount_minor"),
        ({"amount_minor": 12.8, "currency": "CNY"}, "amount_minor"),
        ({"amount_minor": "12.80", "currency": "CNY"}, "amount_minor"),
        ({"amount_minor": True, "currency": "CNY"}, "amount_minor"),
        ({"amount_minor": None, "currency": "CNY"}, "amount_minor"),
        ({"amount_minor": 10**30, "currency": "CNY"}, "amount_minor"),
        ({"currency": "CNY"}, "amount_minor"),
        ({"amount_minor": 1280}, "currency"),
        ({"amount_minor": 1280, "currency": "XXX"}, "currency"),
        ({"amount_minor": 1280, "currency": 156}, "currency"),
        ({"amount_minor": 1280, "currency": "CNY", "reference": ""}, "reference"),
        ({"amount_minor": 1280, "currency": "CNY", "reference": "x" * 65}, "reference"),
        ({"amount_minor": 1280, "currency": "CNY", "preauthorise": "yes"}, "preauthorise"),
        ({"amount_minor": 1280, "currency": "CNY", "amount": 1}, "amount"),
    ],
)
def test_a_field_that_cannot_be_taken_is_named(post: Post, body: object, field: str) -> None:
    answer = post("/api/v1/orders", body)
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert answer.json["field"] == field
    assert "\n" not in answer.json["detail"]


def test_a_field_that_stands_twice_is_refused(client: FlaskClient) -> None:
    answer = client.post(
        "/api/v1/orders",
        data='{"amount_minor": 1, "amount_minor": 2, "currency": "CNY"}',
        content_type="application/json",
        headers={"Idempotency-Key": "twice"},
    )
    assert (answer.status_code, answer.json["field"]) == (422, "amount_minor")
    assert "twice" in answer.json["detail"]


@pytest.mark.parametrize("body", ["", "{", "[]", '"x"', "NaN", '{"amount_minor": NaN}', "[" * 9999])
def test_a_body_that_is_no_object_is_a_400(client: FlaskClient, body: str) -> None:
    answer = client.post(
        "/api/v1/orders",
        data=body,
        content_type="application/json",
        headers={"Idempotency-Key": f"key-{next(_KEYS)}"},
    )
    assert answer.status_code in (400, 422)
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("key", [None, "", " ", "a b", "ü", "k" * 256])
def test_every_post_needs_a_key(client: FlaskClient, order: Order, key: str | None) -> None:
    headers = {} if key is None else {"Idempotency-Key": key.encode().decode("latin-1")}
    for path in ("orders", f"orders/{order.id}/cancel", f"orders/{order.id}/refunds"):
        answer = client.post(f"/api/v1/{path}", json={}, headers=headers)
        assert answer.status_code == 400
        assert answer.json["type"].endswith("/idempotency-key")


def test_the_same_key_and_body_get_the_same_answer_without_new_work(post: Post, shop: Shop) -> None:
    body = {"amount_minor": 990, "currency": "CNY", "reference": "once"}
    first = post("/api/v1/orders", body, key="the-same")
    second = post("/api/v1/orders", dict(reversed(body.items())), key="the-same")
    assert first.status_code == second.status_code == 201
    assert first.data == second.data
    assert first.headers["Location"] == second.headers["Location"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert sum(each.reference == "once" for each in shop.orders.recent(50)) == 1


def test_the_answer_outlives_the_process(post: Post, shop: Shop) -> None:
    first = post("/api/v1/orders", {"amount_minor": 1, "currency": "CNY"}, key="durable")
    again = create_app(shop=shop).test_client()
    second = again.post(
        "/api/v1/orders",
        json={"amount_minor": 1, "currency": "CNY"},
        headers={"Idempotency-Key": "durable"},
    )
    assert second.data == first.data


def test_a_refusal_is_repeated_too(post: Post, shop: Shop) -> None:
    order = new_order(post)
    shop.orders.cancel(order["id"])
    path = f"/api/v1/orders/{order['id']}/cancel"
    first, second = (post(path, key="refused") for _ in range(2))
    assert first.status_code == second.status_code == 409
    assert second.mimetype == "application/problem+json"
    assert first.json == second.json


def test_a_key_used_for_something_else_is_refused(post: Post) -> None:
    post("/api/v1/orders", {"amount_minor": 1, "currency": "CNY"}, key="other-body")
    answer = post("/api/v1/orders", {"amount_minor": 2, "currency": "CNY"}, key="other-body")
    assert answer.status_code == 422
    assert answer.json["type"].endswith("/key-reused")
    order = new_order(post)
    elsewhere = post(f"/api/v1/orders/{order['id']}/cancel", key="other-body")
    assert elsewhere.status_code == 422


def test_one_key_sent_many_times_at_once_makes_one_order(app: Flask, shop: Shop) -> None:
    answers: list[int] = []

    def send() -> None:
        sent = app.test_client().post(
            "/api/v1/orders",
            json={"amount_minor": 77, "currency": "CNY", "reference": "at once"},
            headers={"Idempotency-Key": "at-once"},
        )
        answers.append(sent.status_code)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {201, 409}
    assert 201 in answers
    assert sum(each.reference == "at once" for each in shop.orders.recent(50)) == 1


def test_an_order_is_cancelled_once(client: FlaskClient, post: Post) -> None:
    order = new_order(post)
    answer = post(f"/api/v1/orders/{order['id']}/cancel", {})
    assert (answer.status_code, answer.json["state"], answer.json["qr"]) == (
        200,
        "cancelled",
        None,
    )
    assert post(f"/api/v1/orders/{order['id']}/cancel").status_code == 409


def test_a_paid_order_is_refunded_in_parts_and_never_beyond(
    client: FlaskClient, post: Post, order: Order, pay: Callable[..., Any]
) -> None:
    pay(order.code)
    path = f"/api/v1/orders/{order.id}/refunds"
    first = post(path, {"amount_minor": 1000}, key="refund-1")
    assert first.status_code == 201
    assert (first.json["kind"], first.json["state"]) == ("refund", "approved")
    assert post(path, {"amount_minor": 1000}, key="refund-1").data == first.data
    over = post(path, {"amount_minor": 281})
    assert (over.status_code, over.json["field"]) == (422, "amount_minor")
    assert post(path, {"amount_minor": 280}).status_code == 201
    seen = client.get(f"/api/v1/orders/{order.id}").json
    assert (seen["state"], seen["refunded_minor"]) == ("refunded", 1280)
    assert post(path, {"amount_minor": 1}).status_code == 409


def test_what_is_not_paid_is_neither_refunded_nor_captured(post: Post) -> None:
    order = new_order(post)
    refund = post(f"/api/v1/orders/{order['id']}/refunds", {"amount_minor": 1})
    assert (refund.status_code, refund.json["type"]) == (409, "/api/v1/problems/not-refundable")
    capture = post(f"/api/v1/orders/{order['id']}/capture", {})
    assert (capture.status_code, capture.json["type"]) == (409, "/api/v1/problems/not-capturable")


def test_a_preauthorised_order_is_captured(
    client: FlaskClient, post: Post, shop: Shop, pay: Callable[..., Any]
) -> None:
    order = new_order(post, preauthorise=True)
    pay(shop.orders.get(order["id"]).code)
    assert client.get(f"/api/v1/orders/{order['id']}").json["state"] == "preauthorised"
    answer = post(f"/api/v1/orders/{order['id']}/capture", {"amount_minor": 1000})
    assert answer.status_code == 201, answer.json
    assert client.get(f"/api/v1/orders/{order['id']}").json["captured_minor"] == 1000


def test_a_payment_is_read_with_its_steps_and_a_masked_number(
    client: FlaskClient, shop: Shop, order: Order, pay: Callable[..., Any]
) -> None:
    pay(order.code)
    payment_id = shop.orders.get(order.id).payment_id
    payment = client.get(f"/api/v1/payments/{payment_id}").json
    assert (payment["state"], payment["mode"], payment["order_id"]) == ("paid", "qr", order.id)
    assert payment["pan"] == "999901******0019"
    assert payment["timing_ms"]["total"] > 0
    last = payment["steps"][-1]
    assert (last["from"], last["to"]) == ("shop", "switch")
    assert last["bytes_sent"] > 100 and last["bytes_received"] > 50
    assert "9999011000000019" not in json.dumps(payment)
    assert not re.search(r"(?<![0-9.])9999[0-9]{12}(?![0-9])", json.dumps(payment))


def test_the_comparison_keeps_real_and_emulated_apart(
    client: FlaskClient, order: Order, pay: Callable[..., Any]
) -> None:
    pay(order.code)
    groups = client.get("/api/v1/comparison").json["groups"]
    assert {(group["mode"], group["emulated"]) for group in groups} == {("qr", False)}
    assert groups[0]["software_ms"]["median"] <= groups[0]["total_ms"]["median"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/orders/ord_none", 404),
        ("GET", "/api/v1/orders/ord_none/events", 404),
        ("GET", "/api/v1/orders/ord_none/qr.png", 404),
        ("GET", "/api/v1/payments/pay_none", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/api/nowhere", 404),
        ("GET", "/api/v1/settlements/yesterday", 422),
        ("GET", "/api/v1/settlements/2026-02-30", 422),
        ("GET", "/api/v1/settlements/2001-01-01", 404),
        ("DELETE", "/api/v1/orders", 405),
        ("PUT", "/api/v1/orders/ord_none", 405),
        ("GET", "/api/v1/problems/none", 404),
    ],
)
def test_every_failure_is_problem_details(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == status
    assert {"type", "title", "detail"} <= answer.json.keys()


def test_a_405_says_what_is_allowed(client: FlaskClient) -> None:
    assert "POST" in client.delete("/api/v1/orders").headers["Allow"]


def test_another_media_type_is_a_415(client: FlaskClient) -> None:
    answer = client.post(
        "/api/v1/orders",
        data="amount_minor=1",
        content_type="application/x-www-form-urlencoded",
        headers={"Idempotency-Key": "media"},
    )
    assert (answer.status_code, answer.mimetype) == (415, "application/problem+json")


def test_a_body_too_large_is_a_413(client: FlaskClient) -> None:
    answer = client.post(
        "/api/v1/orders",
        data=b"{" + b" " * 20_000 + b"}",
        content_type="application/json",
        headers={"Idempotency-Key": "large"},
    )
    assert (answer.status_code, answer.mimetype) == (413, "application/problem+json")


def test_a_fault_is_a_500_without_its_insides(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(orders_and_payments.figures, "comparison", broken)
    answer = app.test_client().get("/api/v1/comparison")
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert "GET /api/v1/comparison failed" in caplog.text


def test_every_problem_type_explains_itself(client: FlaskClient) -> None:
    for kind, (status, title) in KINDS.items():
        answer = client.get(f"/api/v1/problems/{kind}").json
        assert (answer["status"], answer["title"]) == (status, title)


def test_what_no_phone_of_ours_shows_pays_nothing(post: Post, shop: Shop, order: Order) -> None:
    for text in ("6212345678901234567", "hQVDUFYwMQ==", "x"):
        answer = post(f"/api/v1/orders/{order.id}/payment-codes", {"text": text})
        assert answer.status_code == 422
    assert shop.payments.of_order(order.id) == ()
