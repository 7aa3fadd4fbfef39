"""Webhooks in the API: where to send events, what was sent, and sending it again."""

from __future__ import annotations

from flask import Response, url_for

from checkout.shop.webhooks.deliveries import Delivery
from checkout.shop.webhooks.endpoints import Endpoint
from checkout.web.api import bodies
from checkout.web.api.operations import Answer, Operations, reply
from checkout.web.context import current_shop

api = Operations("api_webhooks", tag="Webhooks")
blueprint = api.blueprint

_SECRET = "The endpoint and its secret, which no later answer shows."  # noqa: S105 - a text
_ADD_PROBLEMS = ("url", "events", "endpoint-exists", "too-many-endpoints")


@api.post(
    "/webhook-endpoints",
    "createWebhookEndpoint",
    bodies.NewWebhookEndpoint,
    {201: Answer(description=_SECRET, body=bodies.WebhookEndpointSecret, located=True)},
    problems=_ADD_PROBLEMS,
    secret=True,
)
def create_endpoint(body: bodies.NewWebhookEndpoint) -> Response:
    """Add an endpoint; its secret is in this answer only."""
    endpoint, secret = current_shop().webhooks.endpoints.add(body.url, body.events)
    location = url_for("api_webhooks.read_endpoint", endpoint_id=endpoint.id)
    return reply(_with_secret(endpoint, secret), 201, location=location)


@api.get(
    "/webhook-endpoints",
    "webhookEndpoints",
    Answer(description="All of them.", body=bodies.WebhookEndpoints),
)
def list_endpoints() -> Response:
    """Every endpoint."""
    found = [_endpoint(each) for each in current_shop().webhooks.endpoints.all()]
    return reply(bodies.WebhookEndpoints(webhook_endpoints=found))


@api.get(
    "/webhook-endpoints/<endpoint_id>",
    "readWebhookEndpoint",
    Answer(description="The endpoint.", body=bodies.WebhookEndpoint),
    problems=("unknown-endpoint",),
)
def read_endpoint(endpoint_id: str) -> Response:
    """One endpoint, without its secret."""
    return reply(_endpoint(current_shop().webhooks.endpoints.get(endpoint_id)))


@api.delete(
    "/webhook-endpoints/<endpoint_id>",
    "removeWebhookEndpoint",
    Answer(description="It is gone."),
    problems=("unknown-endpoint",),
)
def remove_endpoint(endpoint_id: str) -> Response:
    """Remove an endpoint and the record of what was sent to it."""
    current_shop().webhooks.endpoints.remove(endpoint_id)
    return Response(status=204)


@api.post(
    "/webhook-endpoints/<endpoint_id>/secret",
    "changeWebhookSecret",
    bodies.NoFields,
    {200: Answer(description=_SECRET, body=bodies.WebhookEndpointSecret)},
    problems=("unknown-endpoint",),
    secret=True,
)
def change_secret(_body: bodies.NoFields, endpoint_id: str) -> Response:
    """Create a new secret; for 24 h the one before signs as well."""
    endpoint, secret = current_shop().webhooks.endpoints.new_secret(endpoint_id)
    return reply(_with_secret(endpoint, secret))


@api.get(
    "/webhook-endpoints/<endpoint_id>/deliveries",
    "webhookDeliveries",
    Answer(description="The newest first.", body=bodies.WebhookDeliveries),
    problems=("unknown-endpoint",),
)
def list_deliveries(endpoint_id: str) -> Response:
    """What was sent to an endpoint lately, each attempt with what came of it."""
    webhooks = current_shop().webhooks
    webhooks.endpoints.get(endpoint_id)
    found = [_delivery(each) for each in webhooks.deliveries.of_endpoint(endpoint_id)]
    return reply(bodies.WebhookDeliveries(webhook_deliveries=found))


@api.post(
    "/webhook-deliveries/<delivery_id>/replay",
    "replayWebhook",
    bodies.NoFields,
    {202: Answer(description="It is on its way.", body=bodies.WebhookDelivery)},
    problems=("unknown-delivery", "endpoint-disabled"),
)
def replay_delivery(_body: bodies.NoFields, delivery_id: str) -> Response:
    """Send it again at once: the same event id, a new timestamp and signature."""
    return reply(_delivery(current_shop().webhooks.deliveries.send_again(delivery_id)), 202)


def _endpoint(endpoint: Endpoint) -> bodies.WebhookEndpoint:
    return bodies.typed(bodies.WebhookEndpoint, endpoint.as_json())


def _with_secret(endpoint: Endpoint, secret: str) -> bodies.WebhookEndpointSecret:
    return bodies.typed(bodies.WebhookEndpointSecret, endpoint.as_json() | {"secret": secret})


def _delivery(delivery: Delivery) -> bodies.WebhookDelivery:
    return bodies.typed(bodies.WebhookDelivery, delivery.as_json())
