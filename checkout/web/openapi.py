"""The REST API described as OpenAPI 3.1; a test holds it against the routes."""

from __future__ import annotations

from functools import cache
from typing import Any

from checkout.money import CURRENCIES
from checkout.orders import OrderState
from checkout.payments import PaymentState

Schema = dict[str, Any]


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
        "paths": _paths(),
        "components": {
            "securitySchemes": {"merchantKey": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
            "parameters": _parameters(),
            "responses": {
                "Problem": {
                    "description": "What is wrong, as RFC 9457 problem details.",
                    "content": {"application/problem+json": {"schema": _ref("Problem")}},
                }
            },
        },
    }


def _paths() -> Schema:
    order, payment = _answer("The order.", "Order"), _answer("The payment.", "Payment")
    return {
        "/api/v1/orders": {
            "post": _post("createOrder", "Open an order", "NewOrder", {"201": _created(order)})
        },
        "/api/v1/orders/{order_id}": {
            "parameters": [_parameter("orderId")],
            "get": _get("readOrder", "An order as it stands", order),
        },
        "/api/v1/orders/{order_id}/events": {
            "parameters": [_parameter("orderId"), _parameter("lastEventId")],
            "get": _get("orderEvents", "What happens to the order", _content("text/event-stream")),
        },
        "/api/v1/orders/{order_id}/qr.{form}": {
            "parameters": [_parameter("orderId"), _parameter("form"), _parameter("format")],
            "get": _get(
                "orderPicture",
                "The order's code as a picture",
                _content("image/png", "image/svg+xml"),
            ),
        },
        "/api/v1/orders/{order_id}/cancel": {
            "parameters": [_parameter("orderId")],
            "post": _post(
                "cancelOrder",
                "Close an order not paid yet, a wait for a PIN with it",
                "Empty",
                {"200": order},
            ),
        },
        "/api/v1/orders/{order_id}/refunds": {
            "parameters": [_parameter("orderId")],
            "post": _post("refundOrder", "Give money back", "Amount", {"201": payment}),
        },
        "/api/v1/orders/{order_id}/capture": {
            "parameters": [_parameter("orderId")],
            "post": _post(
                "captureOrder", "Complete a preauthorisation", "MaybeAmount", {"201": payment}
            ),
        },
        "/api/v1/orders/{order_id}/payment-codes": {
            "parameters": [_parameter("orderId")],
            "post": _post(
                "payByPayerCode",
                "Pay by a code that a phone shows",
                "PayerCode",
                {
                    "201": payment,
                    "202": _created(_answer("The phone asks for the PIN.", "UserPaying")),
                },
            ),
        },
        "/api/v1/static-codes": {
            "get": _get("staticCodes", "Printed stickers", _answer("All of them.", "StaticCodes"))
        },
        "/api/v1/payments/{payment_id}": {
            "parameters": [_parameter("paymentId")],
            "get": _get("readPayment", "One payment with its steps", payment),
        },
        "/api/v1/comparison": {
            "get": _get(
                "comparison", "Code and tap side by side", _answer("Figures.", "Comparison")
            )
        },
        "/api/v1/settlements/{day}": {
            "parameters": [_parameter("day")],
            "get": _get("settlement", "A closed day", _answer("Net positions.", "Settlement")),
        },
        "/api/v1/openapi.json": {
            "get": _get("description", "This description", _content("application/json"))
        },
        "/api/v1/problems/{kind}": {
            "parameters": [_parameter("kind")],
            "get": _get(
                "problem", "What a problem type means", _answer("Its title.", "ProblemType")
            ),
        },
    }


def _parameters() -> Schema:
    identifier = {"type": "string", "pattern": "^[a-z]{3}_[0-9a-z]{16}$"}
    return {
        "orderId": _in_path("order_id", identifier),
        "paymentId": _in_path("payment_id", identifier),
        "form": _in_path("form", {"enum": ["png", "svg"]}),
        "day": _in_path("day", {"type": "string", "format": "date"}),
        "kind": _in_path("kind", {"type": "string", "pattern": "^[a-z-]+$"}),
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
        "NewOrder": _object(
            {
                "amount_minor": amount,
                "currency": {"enum": sorted(CURRENCIES)},
                "reference": {"oneOf": [reference, {"type": "null"}]},
                "preauthorise": {"type": "boolean", "default": False},
            },
            required=("amount_minor", "currency"),
        ),
        "Amount": _object({"amount_minor": amount}, required=("amount_minor",)),
        "MaybeAmount": _object({"amount_minor": {"oneOf": [amount, {"type": "null"}]}}),
        "Empty": _object({}),
        "PayerCode": _object(
            {"text": {"type": "string", "minLength": 1, "maxLength": 512}}, required=("text",)
        ),
        "Order": _whole_object(
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
                        _whole_object({"link": text, "emv": text, "png": text, "svg": text}),
                        {"type": "null"},
                    ]
                },
            }
        ),
        "Payment": _payment(text, whole, instant, maybe),
        "Step": _step(text, whole),
        "UserPaying": {
            "allOf": [
                _ref("Payment"),
                _whole_object(
                    {
                        "user_paying": _whole_object(
                            {"query_at": instant, "revocable_at": instant, "until": instant}
                        )
                    }
                ),
            ]
        },
        "StaticCode": _whole_object(
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
        "StaticCodes": _whole_object(
            {"static_codes": {"type": "array", "items": _ref("StaticCode")}}
        ),
        "Comparison": _whole_object(
            {
                "payments": whole,
                "groups": {"type": "array", "items": {"type": "object"}},
                "stickers": {"type": "array", "items": {"type": "object"}},
                "reference": {"type": "array", "items": {"type": "object"}},
            }
        ),
        "Settlement": {"type": "object"},
        "ProblemType": _whole_object({"type": text, "title": text, "status": whole}),
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
    return _whole_object(
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
            "timing_ms": _whole_object(
                {"total": {"type": "number"}, "modelled": {"type": "number"}}
            ),
            "steps": {"type": "array", "items": _ref("Step")},
        }
    )


def _step(text: Schema, whole: Schema) -> Schema:
    step = _whole_object(
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


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameter(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def _in_path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _object(properties: Schema, *, required: tuple[str, ...] = ()) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return {**schema, "required": list(required)} if required else schema


def _whole_object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _content(*media_types: str) -> Schema:
    schema = {"type": "object"} if media_types == ("application/json",) else {"type": "string"}
    return {
        "description": "As asked.",
        "content": {each: {"schema": schema} for each in media_types},
    }


def _answer(description: str, schema: str) -> Schema:
    return {
        "description": description,
        "content": {"application/json": {"schema": _ref(schema)}},
    }


def _created(answer: Schema) -> Schema:
    location = {"description": "Where it is read again.", "schema": {"type": "string"}}
    return {**answer, "headers": {"Location": location}}


def _get(operation: str, summary: str, answer: Schema) -> Schema:
    problem = {"$ref": "#/components/responses/Problem"}
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": answer, "4XX": problem, "5XX": problem},
    }


def _post(operation: str, summary: str, body: str, answers: Schema) -> Schema:
    problem = {"$ref": "#/components/responses/Problem"}
    needed = body not in ("Empty", "MaybeAmount")
    return {
        "operationId": operation,
        "summary": summary,
        "parameters": [_parameter("idempotencyKey")],
        "requestBody": {
            "required": needed,
            "content": {"application/json": {"schema": _ref(body)}},
        },
        "responses": {**answers, "4XX": problem, "5XX": problem},
    }
