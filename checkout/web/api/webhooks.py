"""Webhooks in the API: where to send events, what was sent, and sending it again."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, make_response, url_for

from checkout.web.api.requests import once, required_field
from checkout.web.context import current_shop
from checkout.web.problems import Problem

blueprint = Blueprint("api_webhooks", __name__, url_prefix="/api/v1")


@blueprint.post("/webhook-endpoints")
def create_endpoint() -> Response:
    """Add an endpoint; its secret is in this answer only."""

    def work(body: dict[str, Any]) -> Response:
        url = required_field(body, "url")
        if not isinstance(url, str):
            raise Problem(kind="field", detail="url: expected a text", field="url")
        endpoint, secret = current_shop().webhooks.endpoints.add(url, _events(body))
        response = make_response(jsonify({**endpoint.as_json(), "secret": secret}), 201)
        response.headers["Location"] = url_for(
            "api_webhooks.read_endpoint", endpoint_id=endpoint.id
        )
        return response

    return once(work, {"url", "events"}, secret=True)


@blueprint.get("/webhook-endpoints")
def list_endpoints() -> Response:
    """Every endpoint."""
    found = current_shop().webhooks.endpoints.all()
    return jsonify({"webhook_endpoints": [each.as_json() for each in found]})


@blueprint.get("/webhook-endpoints/<endpoint_id>")
def read_endpoint(endpoint_id: str) -> Response:
    """One endpoint, without its secret."""
    return jsonify(current_shop().webhooks.endpoints.get(endpoint_id).as_json())


@blueprint.delete("/webhook-endpoints/<endpoint_id>")
def remove_endpoint(endpoint_id: str) -> Response:
    """Forget an endpoint and what was sent to it."""
    current_shop().webhooks.endpoints.remove(endpoint_id)
    return Response(status=204)


@blueprint.post("/webhook-endpoints/<endpoint_id>/secret")
def change_secret(endpoint_id: str) -> Response:
    """Make a new secret; for 24 h the one before signs as well."""

    def work(_body: dict[str, Any]) -> Response:
        endpoint, secret = current_shop().webhooks.endpoints.new_secret(endpoint_id)
        return jsonify({**endpoint.as_json(), "secret": secret})

    return once(work, set(), secret=True)


@blueprint.get("/webhook-endpoints/<endpoint_id>/deliveries")
def list_deliveries(endpoint_id: str) -> Response:
    """What was sent to an endpoint lately, each attempt with what came of it."""
    webhooks = current_shop().webhooks
    webhooks.endpoints.get(endpoint_id)
    found = webhooks.deliveries.of_endpoint(endpoint_id)
    return jsonify({"webhook_deliveries": [each.as_json() for each in found]})


@blueprint.post("/webhook-deliveries/<delivery_id>/replay")
def replay_delivery(delivery_id: str) -> Response:
    """Send it again at once: the same event id, a new timestamp and signature."""

    def work(_body: dict[str, Any]) -> Response:
        found = current_shop().webhooks.deliveries.send_again(delivery_id)
        return make_response(jsonify(found.as_json()), 202)

    return once(work, set())


def _events(body: dict[str, Any]) -> list[str] | None:
    events = body.get("events")
    if events is None:
        return None
    if not isinstance(events, list) or not all(isinstance(each, str) for each in events):
        raise Problem(kind="events", detail="events: expected a list of texts", field="events")
    return events
