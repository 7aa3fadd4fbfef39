"""Webhooks in the API's description: the paths that manage them, and what is sent."""

from __future__ import annotations

from checkout.acceptance.contract import Mode
from checkout.shop.payments.pay_by_code import PaymentState
from checkout.shop.webhooks.deliveries import DELIVERED, GIVEN_UP, PENDING, STOPPED
from checkout.shop.webhooks.events import EventType
from checkout.shop.webhooks.signing import ID, SIGNATURE, TIMESTAMP
from checkout.shop.webhooks.tables import URL_LENGTH
from checkout.web.openapi_parts import (
    Schema,
    answer,
    closed_object,
    created,
    deleting,
    in_path,
    parameter,
    posting,
    reading,
    ref,
    whole_object,
)

_EVENT_TYPES = [str(each) for each in EventType]


def paths() -> Schema:
    """Endpoints and deliveries."""
    endpoint = answer("The endpoint.", "WebhookEndpoint")
    secret = answer("The endpoint and its secret, told here only.", "WebhookEndpointSecret")
    return {
        "/api/v1/webhook-endpoints": {
            "get": reading(
                "webhookEndpoints",
                "Where events are sent",
                answer("All of them.", "WebhookEndpoints"),
            ),
            "post": posting(
                "createWebhookEndpoint",
                "Send events to a URL",
                "NewWebhookEndpoint",
                {"201": created(secret)},
            ),
        },
        "/api/v1/webhook-endpoints/{endpoint_id}": {
            "parameters": [parameter("endpointId")],
            "get": reading("readWebhookEndpoint", "One endpoint", endpoint),
            "delete": deleting("removeWebhookEndpoint", "Send nothing more to it"),
        },
        "/api/v1/webhook-endpoints/{endpoint_id}/secret": {
            "parameters": [parameter("endpointId")],
            "post": posting(
                "changeWebhookSecret",
                "A new secret; the one before signs too for 24 h",
                "Empty",
                {"200": secret},
            ),
        },
        "/api/v1/webhook-endpoints/{endpoint_id}/deliveries": {
            "parameters": [parameter("endpointId")],
            "get": reading(
                "webhookDeliveries",
                "What was sent to it lately, each attempt with what came of it",
                answer("The newest first.", "WebhookDeliveries"),
            ),
        },
        "/api/v1/webhook-deliveries/{delivery_id}/replay": {
            "parameters": [parameter("deliveryId")],
            "post": posting(
                "replayWebhook",
                "Send it again at once: the same event id, signed anew",
                "Empty",
                {"202": answer("It is on its way.", "WebhookDelivery")},
            ),
        },
    }


def sent() -> Schema:
    """The requests that this shop makes, one for each event type."""
    headers = [
        _header(ID, "The event's id: the same however often it is sent."),
        _header(TIMESTAMP, "When this attempt was signed, in seconds since the epoch."),
        _header(SIGNATURE, "v1,<base64 of HMAC-SHA256 over id.timestamp.body>, space-separated."),
    ]
    taken = {"2XX": {"description": "Taken. 410 disables the endpoint; the rest is tried again."}}
    return {
        name: {
            "post": {
                "operationId": "on" + "".join(part.title() for part in name.split(".")),
                "summary": name,
                "parameters": headers,
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": ref("WebhookEvent")}},
                },
                "responses": taken,
                "security": [],
            }
        }
        for name in _EVENT_TYPES
    }


def parameters() -> Schema:
    """The ids in the paths."""
    identifier = {"type": "string", "pattern": "^[a-z]{3}_[0-9a-z]{16}$"}
    return {
        "endpointId": in_path("endpoint_id", identifier),
        "deliveryId": in_path("delivery_id", identifier),
    }


def schemas() -> Schema:
    """What is asked for, answered and sent."""
    text, instant = {"type": "string"}, {"type": "string", "format": "date-time"}
    maybe_instant = {"type": ["string", "null"], "format": "date-time"}
    events = {"type": "array", "items": {"enum": _EVENT_TYPES}, "minItems": 1}
    url = {
        "type": "string",
        "pattern": "^https?://[!-~]+$",
        "maxLength": URL_LENGTH,
        "description": "https, or http to a loopback or private address.",
    }
    endpoint = {
        "id": text,
        "url": text,
        "events": {"oneOf": [events, {"type": "null"}], "description": "null: all of them."},
        "state": {"enum": ["enabled", "disabled"]},
        "disabled_reason": {"type": ["string", "null"]},
        "created_at": instant,
        "old_secret_until": maybe_instant,
    }
    secret = {"type": "string", "pattern": "^whsec_[A-Za-z0-9+/]{32,}={0,2}$"}
    return {
        "NewWebhookEndpoint": closed_object(
            {"url": url, "events": {"oneOf": [events, {"type": "null"}]}}, required=("url",)
        ),
        "WebhookEndpoint": whole_object(endpoint),
        "WebhookEndpointSecret": whole_object({**endpoint, "secret": secret}),
        "WebhookEndpoints": _list("webhook_endpoints", "WebhookEndpoint"),
        "WebhookDelivery": _delivery(text, instant, maybe_instant),
        "WebhookDeliveries": _list("webhook_deliveries", "WebhookDelivery"),
        "WebhookEvent": _event(text, instant),
    }


def _delivery(text: Schema, instant: Schema, maybe_instant: Schema) -> Schema:
    attempt = whole_object(
        {
            "at": instant,
            "took_ms": {"type": "number"},
            "status": {"type": ["integer", "null"]},
            "reason": text,
            "said": {"type": "string", "description": "How the receiver's answer began."},
        }
    )
    return whole_object(
        {
            "id": text,
            "event_id": text,
            "type": {"enum": _EVENT_TYPES},
            "order_id": text,
            "endpoint_id": text,
            "state": {"enum": [PENDING, DELIVERED, GIVEN_UP, STOPPED]},
            "created_at": instant,
            "next_at": maybe_instant,
            "attempts": {"type": "array", "items": attempt},
        }
    )


def _event(text: Schema, instant: Schema) -> Schema:
    maybe = {"type": ["string", "null"]}
    payment = whole_object(
        {
            "id": text,
            "mode": {"enum": [str(mode) for mode in Mode]},
            "scheme": text,
            "state": {"enum": sorted({"paid", *(str(state) for state in PaymentState)})},
            "response_code": maybe,
            "approval_code": maybe,
            "rrn": text,
            "pan": {"type": "string", "description": "Masked: first six and last four digits."},
            "kind": {"enum": ["sale", "refund", "capture"]},
            "order_id": text,
            "amount_minor": {"type": "integer"},
            "emulated": {"type": "boolean"},
        }
    )
    return whole_object(
        {
            "type": {"enum": _EVENT_TYPES},
            "timestamp": {**instant, "description": "When it happened."},
            "data": whole_object(
                {"order": ref("Order"), "payment": {"oneOf": [payment, {"type": "null"}]}}
            ),
        }
    )


def _list(name: str, schema: str) -> Schema:
    return whole_object({name: {"type": "array", "items": ref(schema)}})


def _header(name: str, description: str) -> Schema:
    return {
        "name": name,
        "in": "header",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
    }
