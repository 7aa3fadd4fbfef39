"""The PIN pad on the counter's page: it takes a demo PIN over loopback or https only.

The PIN becomes an ISO 9564 block within the request that brings it. It is never stored, logged or
put into an event.
"""

from __future__ import annotations

from flask import Blueprint, g, redirect, request, url_for
from flask.typing import ResponseReturnValue

from checkout.errors import ShopError
from checkout.shop.payments.payment_times import record_payer_knows
from checkout.shop.payments.pin_entry import Wait
from checkout.web.access.guard import Visitor
from checkout.web.context import current_context, current_shop
from checkout.web.problems import Problem

blueprint = Blueprint("pin_pad", __name__)

#: Refusals that the order's page shows; `not-waiting` as the outcome of the payment.
_SHOWN_BY_THE_ORDER = ("not-waiting", "clearing-unavailable", "pin")


def may_carry_pin() -> bool:
    """Whether nobody between this browser and this server can read the PIN."""
    return g.visitor is Visitor.LOCAL or current_context().guard.is_encrypted(request)


@blueprint.post("/orders/<order_id>/pin")
def enter(order_id: str) -> ResponseReturnValue:
    """Continue the payment that waits for this PIN."""
    if not may_carry_pin():
        detail = "A PIN is taken on this machine or over https only."
        raise Problem(kind="pin-in-the-open", detail=detail)
    wait = _wait_of(order_id)
    if wait is None:
        return _to_order(order_id)
    try:
        pin = request.form.get("pin", "")[:16]
        payment = current_shop().pin_entry.enter_pin(wait.payment_id, pin)
        # The response to this request is the page that shows the payer the outcome.
        record_payer_knows(
            payment,
            current_shop().payments,
            current_shop().milestones,
            source="counter",
            target="payer",
            what="shows: paid",
            asked_at=current_shop().orders.clock(),
        )
    except ShopError as error:
        if error.kind not in _SHOWN_BY_THE_ORDER:
            raise
        return _to_order(order_id, trouble=None if error.kind == "not-waiting" else error.kind)
    return _to_order(order_id)


@blueprint.post("/orders/<order_id>/pin/cancel")
def cancel(order_id: str) -> ResponseReturnValue:
    """Cancel the payment; the order is open again."""
    wait = _wait_of(order_id)
    if wait is not None:
        try:
            current_shop().pin_entry.cancel(wait.payment_id)
        except ShopError as error:
            if error.kind != "not-waiting":
                raise
    return _to_order(order_id)


def _wait_of(order_id: str) -> Wait | None:
    """The wait that the form was rendered for; None where another one has taken its place."""
    wait = current_shop().pin_entry.of_order(current_shop().orders.get(order_id).id)
    meant = request.form.get("payment")
    if wait is None or wait.place != "counter" or wait.payment_id != meant:
        return None
    return wait


def _to_order(order_id: str, *, trouble: str | None = None) -> ResponseReturnValue:
    return redirect(url_for("counter.show", order_id=order_id, pin=trouble), 303)
