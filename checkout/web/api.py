"""The REST API under `/api/v1`: orders, what follows them, payments with their steps.

Every POST carries an `Idempotency-Key`; every failure is problem details (RFC 9457).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from flask import Blueprint, Response, jsonify, make_response, request, url_for
from werkzeug.exceptions import HTTPException, NotFound, UnsupportedMediaType

from checkout.moments import SHOWN
from checkout.orders import Order, OrderState, ShopError
from checkout.payments import Payment
from checkout.presented import UserPaying
from checkout.web import codes, openapi, sources
from checkout.web.counter import with_live_code
from checkout.web.idempotency import KEY_LENGTH, fingerprint
from checkout.web.problems import KINDS, PROBLEM_TYPES, Problem, as_response
from checkout.web.streams import event_stream
from checkout.web.views import the_answers, the_shop

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")

_KEY = re.compile(rf"[\x21-\x7e]{{1,{KEY_LENGTH}}}", re.ASCII)
_LARGEST_JSON = 16 * 1024
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@blueprint.post("/orders")
def create_order() -> Response:
    """Open an order."""

    def work(body: dict[str, Any]) -> Response:
        order = the_shop().orders.create(
            amount_minor=_required(body, "amount_minor"),
            currency=_text(body, "currency", required=True) or "",
            reference=_text(body, "reference"),
            preauthorise=_flag(body, "preauthorise"),
        )
        response = make_response(jsonify(order_json(order)), 201)
        response.headers["Location"] = url_for("api.read_order", order_id=order.id)
        return response

    return _once(work, {"amount_minor", "currency", "reference", "preauthorise"})


@blueprint.get("/orders/<order_id>")
def read_order(order_id: str) -> Response:
    """An order as it stands, with a live code while it is open."""
    return jsonify(order_json(the_shop().orders.get(order_id)))


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
    config = the_shop().config
    order = with_live_code(the_shop().orders.get(order_id))
    if order.state is OrderState.OPEN:
        the_shop().moments.once(SHOWN, order.id)
    text = the_shop().emv_payload(order) if wanted == "emv" else codes.link_of(config, order)
    drawn = codes.picture(text, form)
    return Response(drawn.content, mimetype=drawn.media_type)


@blueprint.post("/orders/<order_id>/cancel")
def cancel_order(order_id: str) -> Response:
    """Close an order that nobody has paid, also while the payer's PIN is waited for."""
    return _once(lambda body: jsonify(order_json(the_shop().payments.cancel(order_id))), set())


@blueprint.post("/orders/<order_id>/refunds")
def refund_order(order_id: str) -> Response:
    """Give back all or part of a paid order."""

    def work(body: dict[str, Any]) -> Response:
        payment = the_shop().payments.refund(order_id, _required(body, "amount_minor"))
        return make_response(jsonify(payment_json(payment)), 201)

    return _once(work, {"amount_minor"})


@blueprint.post("/orders/<order_id>/capture")
def capture_order(order_id: str) -> Response:
    """Complete a preauthorised order, wholly or to the amount given."""

    def work(body: dict[str, Any]) -> Response:
        payment = the_shop().payments.capture(order_id, body.get("amount_minor"))
        return make_response(jsonify(payment_json(payment)), 201)

    return _once(work, {"amount_minor"})


@blueprint.post("/orders/<order_id>/payment-codes")
def take_payment_code(order_id: str) -> Response:
    """Pay the order by the code that the counter scanned from a payer's phone.

    202 while the phone asks its payer for the PIN: the payment is to be read again.
    """

    def work(body: dict[str, Any]) -> Response:
        text = _text(body, "text", required=True, longest=512) or ""
        paid = the_shop().present(order_id, text)
        if isinstance(paid, UserPaying):
            return _user_paying(paid)
        return make_response(jsonify(payment_json(paid)), 201)

    return _once(work, {"text"})


@blueprint.get("/static-codes")
def static_codes() -> Response:
    """The shop's printed stickers."""
    return jsonify({"static_codes": sources.static_codes(the_shop())})


@blueprint.get("/payments/<payment_id>")
def read_payment(payment_id: str) -> Response:
    """One payment with its steps."""
    return jsonify(payment_json(the_shop().payments.get(payment_id)))


@blueprint.get("/comparison")
def comparison() -> Response:
    """Code and tap side by side, from the payments of this shop; real and emulated apart."""
    return jsonify(sources.comparison(the_shop()))


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
    found = sources.settlement(the_shop(), wanted)
    if found is None:
        raise Problem(kind="unknown-settlement", detail=f"date: {day} has not been closed yet.")
    return jsonify(found)


@blueprint.get("/openapi.json")
def description() -> Response:
    """This API as OpenAPI 3.1."""
    return jsonify(openapi.document(codes.local_url(the_shop().config)))


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
        config = the_shop().config
        base = request.host_url.rstrip("/")
        path = f"{base}/api/v1/orders/{order.id}/qr"
        shown["qr"] = {
            "link": codes.link_of(config, order),
            "emv": the_shop().emv_payload(order),
            "png": f"{path}.png",
            "svg": f"{path}.svg",
        }
    return shown


def payment_json(payment: Payment) -> dict[str, Any]:
    """A payment as the API shows it, with its steps."""
    return {
        **payment.as_json(),
        "kind": payment.kind,
        "order_id": payment.order_id,
        "amount_minor": payment.amount_minor,
        "emulated": payment.emulated,
        "started_at": payment.started_at.isoformat(timespec="milliseconds"),
        "timing_ms": payment.timing_json(),
        "steps": list(payment.steps),
    }


def _user_paying(waiting: UserPaying) -> Response:
    shown = {**payment_json(waiting.payment), "user_paying": waiting.as_json()}
    response = make_response(jsonify(shown), 202)
    response.headers["Location"] = url_for("api.read_payment", payment_id=waiting.payment.id)
    return response


def _once(work: Callable[[dict[str, Any]], Response], known: set[str]) -> Response:
    key = _idempotency_key()
    body = _body(known)
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))

    def guarded() -> Response:
        try:
            return work(body)
        except (Problem, ShopError, HTTPException) as refusal:
            return as_response(refusal)

    mark = fingerprint(request.method, request.path, canonical)
    return the_answers().once("api", key, mark, guarded)


def _idempotency_key() -> str:
    key = request.headers.get("Idempotency-Key", "")
    if _KEY.fullmatch(key) is None:
        detail = (
            f"Idempotency-Key: expected 1 to {KEY_LENGTH} visible ASCII characters of your choice."
        )
        raise Problem(kind="idempotency-key", detail=detail, field="Idempotency-Key")
    return key


def _body(known: set[str]) -> dict[str, Any]:
    request.max_content_length = _LARGEST_JSON
    raw = request.get_data()
    if not raw:
        return {}
    if not request.is_json:
        raise UnsupportedMediaType
    try:
        body = json.loads(raw, parse_constant=_no_constant, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        raise Problem(kind="body", detail="body: expected a JSON object.") from None
    if not isinstance(body, dict):
        raise Problem(kind="body", detail="body: expected a JSON object.")
    for name in body.keys() - known:
        expected = ", ".join(sorted(known)) or "no field"
        detail = f"{name[:64]}: no such field here, expected {expected}"
        raise Problem(kind="field", detail=detail, field=name[:64])
    return body


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name that stands twice leaves open which value is meant (RFC 8259, section 4)."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for n, (name, _) in enumerate(pairs) if name in dict(pairs[:n]))
        raise Problem(kind="field", detail=f"{twice[:64]}: it stands twice", field=twice[:64])
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _required(body: dict[str, Any], name: str) -> Any:
    if name not in body:
        raise Problem(kind="field", detail=f"{name}: it is missing", field=name)
    return body[name]


def _text(
    body: dict[str, Any], name: str, *, required: bool = False, longest: int = 64
) -> str | None:
    value = _required(body, name) if required else body.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        detail = f"{name}: expected a text of 1 to {longest} characters"
        raise Problem(kind="field", detail=detail, field=name)
    return value


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Problem(kind="field", detail=f"{name}: expected true or false", field=name)
    return value
