"""The REST API under `/api/v1`: orders, what follows them, payments with their steps.

Every POST carries an `Idempotency-Key`; every failure is problem details (RFC 9457).
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from flask import Blueprint, Response, jsonify, make_response, request, url_for
from werkzeug.exceptions import NotFound

from checkout.shop.orders.milestones import SHOWN
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.pay_by_code import Payment
from checkout.shop.payments.payer_codes import UserPaying
from checkout.shop.webhooks.events import payment_summary
from checkout.web import codes, figures, openapi
from checkout.web.api.requests import flag_field, once, required_field, text_field
from checkout.web.context import current_shop
from checkout.web.counter.counter import with_live_code
from checkout.web.event_stream import event_stream
from checkout.web.payer import phone_trace
from checkout.web.problems import KINDS, PROBLEM_TYPES, Problem

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@blueprint.post("/orders")
def create_order() -> Response:
    """Open an order."""

    def work(body: dict[str, Any]) -> Response:
        order = current_shop().orders.create(
            amount_minor=required_field(body, "amount_minor"),
            currency=text_field(body, "currency", required=True) or "",
            reference=text_field(body, "reference"),
            preauthorise=flag_field(body, "preauthorise"),
        )
        response = make_response(jsonify(order_json(order)), 201)
        response.headers["Location"] = url_for("api.read_order", order_id=order.id)
        return response

    return once(work, {"amount_minor", "currency", "reference", "preauthorise"})


@blueprint.get("/orders/<order_id>")
def read_order(order_id: str) -> Response:
    """An order as it stands, with a live code while it is open."""
    return jsonify(order_json(current_shop().orders.get(order_id)))


@blueprint.get("/orders/<order_id>/events")
def order_events(order_id: str) -> Response:
    """What happens to the order, as server-sent events."""
    return event_stream(order_id)


@blueprint.get("/orders/<order_id>/qr.<form>")
def order_picture(order_id: str, form: str) -> Response:
    """The order's code as a picture, PNG or SVG, of its link or its EMV payload."""
    if form not in ("png", "svg"):
        raise NotFound
    wanted = request.args.get("format", "link")
    if wanted not in ("link", "emv"):
        raise Problem(kind="field", detail="format: expected link or emv", field="format")
    config = current_shop().config
    order = with_live_code(current_shop().orders.get(order_id))
    if order.state is OrderState.OPEN:
        current_shop().moments.once(SHOWN, order.id)
    text = current_shop().emv_payload(order) if wanted == "emv" else codes.link_of(config, order)
    drawn = codes.picture(text, form)
    return Response(drawn.content, mimetype=drawn.media_type)


@blueprint.post("/orders/<order_id>/cancel")
def cancel_order(order_id: str) -> Response:
    """Close an order that nobody has paid, also while the payer's PIN is waited for."""
    return once(lambda body: jsonify(order_json(current_shop().payments.cancel(order_id))), set())


@blueprint.post("/orders/<order_id>/refunds")
def refund_order(order_id: str) -> Response:
    """Give back all or part of a paid order."""

    def work(body: dict[str, Any]) -> Response:
        payment = current_shop().payments.refund(order_id, required_field(body, "amount_minor"))
        return make_response(jsonify(payment_json(payment)), 201)

    return once(work, {"amount_minor"})


@blueprint.post("/orders/<order_id>/capture")
def capture_order(order_id: str) -> Response:
    """Complete a preauthorised order, wholly or to the amount given."""

    def work(body: dict[str, Any]) -> Response:
        payment = current_shop().payments.capture(order_id, body.get("amount_minor"))
        return make_response(jsonify(payment_json(payment)), 201)

    return once(work, {"amount_minor"})


@blueprint.post("/orders/<order_id>/payment-codes")
def take_payment_code(order_id: str) -> Response:
    """Pay the order by the code that the counter scanned from a payer's phone.

    202 while the phone asks its payer for the PIN: the payment is to be read again.
    """

    def work(body: dict[str, Any]) -> Response:
        text = text_field(body, "text", required=True, longest=512) or ""
        paid = current_shop().present(order_id, text, emulated=phone_trace.is_emulated_phone())
        if isinstance(paid, UserPaying):
            return _user_paying(paid)
        return make_response(jsonify(payment_json(paid)), 201)

    return once(work, {"text"})


@blueprint.get("/static-codes")
def static_codes() -> Response:
    """The shop's printed stickers."""
    return jsonify({"static_codes": figures.static_codes(current_shop())})


@blueprint.get("/payments/<payment_id>")
def read_payment(payment_id: str) -> Response:
    """One payment with its steps."""
    return jsonify(payment_json(current_shop().payments.get(payment_id)))


@blueprint.get("/comparison")
def comparison() -> Response:
    """Code and tap side by side, from the payments of this shop; real and emulated apart."""
    return jsonify(figures.comparison(current_shop()))


@blueprint.get("/settlements/<day>")
def settlement(day: str) -> Response:
    """The net positions of one settlement date."""
    try:
        wanted = date.fromisoformat(day) if _DATE.fullmatch(day) else None
    except ValueError:
        wanted = None
    if wanted is None:
        detail = f"date: expected a date such as 2026-01-31, got {day[:32]!r}"
        raise Problem(kind="date", detail=detail, field="date")
    found = figures.settlement(current_shop(), wanted)
    if found is None:
        raise Problem(kind="unknown-settlement", detail=f"date: {day} has not been closed yet.")
    return jsonify(found)


@blueprint.get("/openapi.json")
def description() -> Response:
    """This API as OpenAPI 3.1."""
    return jsonify(openapi.document(codes.local_url(current_shop().config)))


@blueprint.get("/problems/<kind>")
def problem(kind: str) -> Response:
    """What a problem type means."""
    if kind not in KINDS:
        raise NotFound
    status, title = KINDS[kind]
    return jsonify({"type": PROBLEM_TYPES + kind, "title": title, "status": status})


def order_json(order: Order) -> dict[str, Any]:
    """An order as the API shows it; `qr` is null once nobody can pay it."""
    order = with_live_code(order)
    shown = {**order.as_json(), "preauthorise": order.preauthorise, "qr": None}
    if order.state is OrderState.OPEN:
        config = current_shop().config
        base = request.host_url.rstrip("/")
        path = f"{base}/api/v1/orders/{order.id}/qr"
        shown["qr"] = {
            "link": codes.link_of(config, order),
            "emv": current_shop().emv_payload(order),
            "png": f"{path}.png",
            "svg": f"{path}.svg",
        }
    return shown


def payment_json(payment: Payment) -> dict[str, Any]:
    """A payment as the API shows it, with its steps."""
    return {
        **payment_summary(payment),
        "started_at": payment.started_at.isoformat(timespec="milliseconds"),
        "timing_ms": payment.timing_json(),
        "steps": [step.as_json() for step in payment.steps],
    }


def _user_paying(waiting: UserPaying) -> Response:
    shown = {**payment_json(waiting.payment), "user_paying": waiting.as_json()}
    response = make_response(jsonify(shown), 202)
    response.headers["Location"] = url_for("api.read_payment", payment_id=waiting.payment.id)
    return response
