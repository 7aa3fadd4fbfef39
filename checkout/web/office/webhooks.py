"""Webhooks in the back office: where events are sent, what was sent, and sending it again."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from checkout.errors import ShopError
from checkout.shop.webhooks.events import EventType
from checkout.web.context import current_shop
from checkout.web.problems import KINDS

blueprint = Blueprint("webhooks", __name__, url_prefix="/webhooks")

_SHOWN = 30


@blueprint.get("/")
def home() -> str:
    """Every endpoint, a form for another, and the latest deliveries."""
    return _page()


@blueprint.get("/deliveries")
def deliveries() -> str:
    """The table of deliveries alone, for the page that updates it."""
    found = current_shop().webhooks.deliveries.recent(_SHOWN)
    return render_template("office/_deliveries.html", deliveries=found)


@blueprint.post("/")
def add() -> ResponseReturnValue:
    """Add an endpoint; only the response to this request shows its secret."""
    url, chosen = request.form.get("url", "").strip(), request.form.getlist("events")
    everything = not chosen or len(chosen) == len(EventType)
    try:
        endpoint, secret = current_shop().webhooks.endpoints.add(
            url, None if everything else chosen
        )
    except ShopError as error:
        page = _page(trouble=str(error), form={"url": url[:500], "events": chosen})
        return make_response(page, KINDS[error.kind][0])
    return _with_secret(endpoint.url, secret, 201)


@blueprint.post("/<endpoint_id>/secret")
def change_secret(endpoint_id: str) -> ResponseReturnValue:
    """Create a new secret and show it this once."""
    endpoint, secret = current_shop().webhooks.endpoints.new_secret(endpoint_id)
    return _with_secret(endpoint.url, secret, 200)


@blueprint.post("/<endpoint_id>/remove")
def remove(endpoint_id: str) -> ResponseReturnValue:
    """Remove an endpoint: nothing more is sent to it."""
    current_shop().webhooks.endpoints.remove(endpoint_id)
    return redirect(url_for("webhooks.home"), 303)


@blueprint.post("/deliveries/<delivery_id>/again")
def send_again(delivery_id: str) -> ResponseReturnValue:
    """Send a delivery again at once under the same event id."""
    current_shop().webhooks.deliveries.send_again(delivery_id)
    return redirect(url_for("webhooks.home"), 303)


def _with_secret(url: str, secret: str, status: int) -> Response:
    return make_response(_page(new_secret={"url": url, "secret": secret}), status)


def _page(
    *,
    new_secret: dict[str, str] | None = None,
    trouble: str | None = None,
    form: dict[str, Any] | None = None,
) -> str:
    webhooks = current_shop().webhooks
    return render_template(
        "office/webhooks.html",
        endpoints=webhooks.endpoints.all(),
        deliveries=webhooks.deliveries.recent(_SHOWN),
        event_types=[str(each) for each in EventType],
        new_secret=new_secret,
        trouble=trouble,
        form=form or {},
    )
