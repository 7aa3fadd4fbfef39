"""The REST API described as OpenAPI 3.1; a test holds it against the routes."""

from __future__ import annotations

from functools import cache

from checkout.money import CURRENCIES
from checkout.shop.orders.states import OrderState
from checkout.shop.payments.pay_by_code import PaymentState
from checkout.web import openapi_webhooks
from checkout.web.openapi_parts import (
    Schema,
    answer,
    closed_object,
    content,
    created,
    in_path,
    parameter,
    posting,
    reading,
    ref,
    whole_object,
)


def document(server: str) -> Schema:
    """The whole description, for the API at `server`."""
    return {**_document(), "servers": [{"url": server}]}


@cache
def _document() -> Schema:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Checkout",
            "version": "1",
            "description": (
                "Orders of one shop, payable by a QR code and by an NFC tap. Amounts are whole "
                "minor units (fen, cents). A decline is an answer, not an error: read the "
                "payment's state."
            ),
        },
        "security": [{"merchantKey": []}],
        "paths": {**_paths(), **openapi_webhooks.paths()},
        "webhooks": openapi_webhooks.sent(),
        "components": {
            "securitySchemes": {"merchantKey": {"type": "http", "scheme": "bearer"}},
            "schemas": {**_schemas(), **openapi_webhooks.schemas()},
            "parameters": {**_parameters(), **openapi_webhooks.parameters()},
            "responses": {
                "Problem": {
                    "description": "What is wrong, as RFC 9457 problem details.",
                    "content": {"application/problem+json": {"schema": ref("Problem")}},
                }
            },
        },
    }


def _paths() -> Schema:
    order, payment = answer("The order.", "Order"), answer("The payment.", "Payment")
    return {
        "/api/v1/orders": {
            "post": posting("createOrder", "Open an order", "NewOrder", {"201": created(order)})
        },
        "/api/v1/orders/{order_id}": {
            "parameters": [parameter("orderId")],
            "get": reading("readOrder", "An order as it stands", order),
        },
        "/api/v1/orders/{order_id}/events": {
            "parameters": [parameter("orderId"), parameter("lastEventId")],
            "get": reading(
                "orderEvents", "What happens to the order", content("text/event-stream")
            ),
        },
        "/api/v1/orders/{order_id}/qr.{form}": {
            "parameters": [parameter("orderId"), parameter("form"), parameter("format")],
            "get": reading(
                "orderPicture",
                "The order's code as a picture",
                content("image/png", "image/svg+xml"),
            ),
        },
        "/api/v1/orders/{order_id}/cancel": {
            "parameters": [parameter("orderId")],
            "post": posting(
                "cancelOrder",
                "Close an order not paid yet, a wait for a PIN with it",
                "Empty",
                {"200": order},
            ),
        },
        "/api/v1/orders/{order_id}/refunds": {
            "parameters": [parameter("orderId")],
            "post": posting("refundOrder", "Give money back", "Amount", {"201": payment}),
        },
        "/api/v1/orders/{order_id}/capture": {
            "parameters": [parameter("orderId")],
            "post": posting(
                "captureOrder", "Complete a preauthorisation", "MaybeAmount", {"201": payment}
            ),
        },
        "/api/v1/orders/{order_id}/payment-codes": {
            "parameters": [parameter("orderId")],
            "post": posting(
                "payByPayerCode",
                "Pay by a code that a phone shows",
                "PayerCode",
                {
                    "201": payment,
                    "202": created(answer("The phone asks for the PIN.", "UserPaying")),
                },
            ),
        },
        "/api/v1/static-codes": {
            "get": reading("staticCodes", "Printed stickers", answer("All of them.", "StaticCodes"))
        },
        "/api/v1/payments/{payment_id}": {
            "parameters": [parameter("paymentId")],
            "get": reading("readPayment", "One payment with its steps", payment),
        },
        "/api/v1/comparison": {
            "get": reading(
                "comparison", "Code and tap side by side", answer("Figures.", "Comparison")
            )
        },
        "/api/v1/settlements/{day}": {
            "parameters": [parameter("day")],
            "get": reading("settlement", "A closed day", answer("Net positions.", "Settlement")),
        },
        "/api/v1/openapi.json": {
            "get": reading("description", "This description", content("application/json"))
        },
        "/api/v1/problems/{kind}": {
            "parameters": [parameter("kind")],
            "get": reading(
                "problem", "What a problem type means", answer("Its title.", "ProblemType")
            ),
        },
    }


def _parameters() -> Schema:
    identifier = {"type": "string", "pattern": "^[a-z]{3}_[0-9a-z]{16}$"}
    return {
        "orderId": in_path("order_id", identifier),
        "paymentId": in_path("payment_id", identifier),
        "form": in_path("form", {"enum": ["png", "svg"]}),
        "day": in_path("day", {"type": "string", "format": "date"}),
        "kind": in_path("kind", {"type": "string", "pattern": "^[a-z-]+$"}),
        "format": {"name": "format", "in": "query", "schema": {"enum": ["link", "emv"]}},
        "lastEventId": {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The number of the last event seen; the stream goes on after it.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
        },
        "idempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "Chosen by the client; the same key and body get the same answer again.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        },
    }


def _schemas() -> Schema:
    text, whole = {"type": "string"}, {"type": "integer"}
    amount = {"type": "integer", "minimum": 1, "description": "Minor units of the currency."}
    reference = {"type": "string", "minLength": 1, "maxLength": 64}
    instant = {"type": "string", "format": "date-time"}
    maybe = {"type": ["string", "null"]}
    return {
        "NewOrder": closed_object(
            {
                "amount_minor": amount,
                "currency": {"enum": sorted(CURRENCIES)},
                "reference": {"oneOf": [reference, {"type": "null"}]},
                "preauthorise": {"type": "boolean", "default": False},
            },
            required=("amount_minor", "currency"),
        ),
        "Amount": closed_object({"amount_minor": amount}, required=("amount_minor",)),
        "MaybeAmount": closed_object({"amount_minor": {"oneOf": [amount, {"type": "null"}]}}),
        "Empty": closed_object({}),
        "PayerCode": closed_object(
            {"text": {"type": "string", "minLength": 1, "maxLength": 512}}, required=("text",)
        ),
        "Order": whole_object(
            {
                "id": text,
                "reference": text,
                "amount_minor": whole,
                "currency": text,
                "state": {"enum": [str(state) for state in OrderState]},
                "created_at": instant,
                "expires_at": instant,
                "code_expires_at": instant,
                "payment_id": maybe,
                "captured_minor": whole,
                "refunded_minor": whole,
                "preauthorise": {"type": "boolean"},
                "qr": {
                    "oneOf": [
                        whole_object({"link": text, "emv": text, "png": text, "svg": text}),
                        {"type": "null"},
                    ]
                },
            }
        ),
        "Payment": _payment(text, whole, instant, maybe),
        "Step": _step(text, whole),
        "UserPaying": {
            "allOf": [
                ref("Payment"),
                whole_object(
                    {
                        "user_paying": whole_object(
                            {"query_at": instant, "revocable_at": instant, "until": instant}
                        )
                    }
                ),
            ]
        },
        "StaticCode": whole_object(
            {
                "code": text,
                "number": whole,
                "label": text,
                "currency": text,
                "amount_minor": {"type": ["integer", "null"]},
                "created_at": instant,
                "revoked": {"type": "boolean"},
                "link": text,
                "emv": text,
            }
        ),
        "StaticCodes": whole_object(
            {"static_codes": {"type": "array", "items": ref("StaticCode")}}
        ),
        "Comparison": whole_object(
            {
                "payments": whole,
                "groups": {"type": "array", "items": {"type": "object"}},
                "stickers": {"type": "array", "items": {"type": "object"}},
                "reference": {"type": "array", "items": {"type": "object"}},
            }
        ),
        "Settlement": {"type": "object"},
        "ProblemType": whole_object({"type": text, "title": text, "status": whole}),
        "Problem": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "format": "uri-reference"},
                "title": text,
                "status": whole,
                "detail": text,
                "field": text,
            },
            "required": ["type", "title", "status", "detail"],
        },
    }


def _payment(text: Schema, whole: Schema, instant: Schema, maybe: Schema) -> Schema:
    # "paid" is what an approved sale is called; a refund or a capture is "approved".
    states = sorted({"paid", *(str(state) for state in PaymentState)})
    return whole_object(
        {
            "id": text,
            "mode": {"enum": ["qr", "nfc"]},
            "scheme": text,
            "state": {"enum": states},
            "response_code": maybe,
            "approval_code": maybe,
            "rrn": text,
            "pan": {"type": "string", "description": "Masked: first six and last four digits."},
            "kind": {"enum": ["sale", "refund", "capture"]},
            "order_id": text,
            "amount_minor": whole,
            "emulated": {"type": "boolean"},
            "started_at": instant,
            "timing_ms": whole_object(
                {"total": {"type": "number"}, "modelled": {"type": "number"}}
            ),
            "steps": {"type": "array", "items": ref("Step")},
        }
    )


def _step(text: Schema, whole: Schema) -> Schema:
    step = whole_object(
        {
            "n": whole,
            "at_ms": {"type": "number"},
            "from": text,
            "to": text,
            "what": text,
            "bytes_sent": whole,
            "bytes_received": whole,
            "took_ms": {"type": "number"},
            "nature": {"enum": ["measured", "modelled", "waited"]},
        }
    )
    step["properties"]["detail"] = {"type": "object"}
    return step
