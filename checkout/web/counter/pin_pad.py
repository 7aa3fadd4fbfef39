"""The PIN pad on the counter's page: takes a demo PIN over loopback or https, and forgets it.

The PIN becomes an ISO 9564 block in the request that brings it. It is never kept, logged, or told
to anyone by an event.
"""

from __future__ import annotations

from flask import Blueprint, g, redirect, request, url_for
from flask.typing import ResponseReturnValue

from checkout.errors import ShopError
from checkout.shop.payments.payment_times import record_payer_knows
from checkout.shop.payments.pin_entry import Wait
from checkout.web.access.guard import Standing
from checkout.web.context import current_context, current_shop
from checkout.web.problems import Problem

blueprint = Blueprint("pin_pad", __name__)

#: What the order's page tells; `not-waiting` by what became of the payment.
_TOLD_BESIDE_THE_PAD = ("not-waiting", "clearing-unavailable", "pin")


def may_carry_a_pin() -> bool:
    """Whether nobody between this browser and this server can read along."""
    return g.standing is Standing.LOCAL or current_context().guard.is_encrypted(request)


@blueprint.post("/orders/<order_id>/pin")
def enter(order_id: str) -> ResponseReturnValue:
    """Go on with the payment that waits for this PIN."""
    if not may_carry_a_pin():
        detail = "A PIN is taken on this machine or over https only."
        raise Problem(kind="pin-in-the-open", detail=detail)
    wait = _wait_of(order_id)
    if wait is None:
        return _to_order(order_id)
    try:
        pin = request.form.get("pin", "")[:16]
        payment = current_shop().pin_entry.enter_pin(wait.payment_id, pin)
        # The answer to this request is the page that says so.
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
        if error.kind not in _TOLD_BESIDE_THE_PAD:
            raise
        return _to_order(order_id, trouble=None if error.kind == "not-waiting" else error.kind)
    return _to_order(order_id)


@blueprint.post("/orders/<order_id>/pin/cancel")
def cancel(order_id: str) -> ResponseReturnValue:
    """Let the payment go; the order is open again."""
    wait = _wait_of(order_id)
    if wait is not None:
        try:
            current_shop().pin_entry.cancel(wait.payment_id)
        except ShopError as error:
            if error.kind != "not-waiting":
                raise
    return _to_order(order_id)


def _wait_of(order_id: str) -> Wait | None:
    """The wait that the form was drawn for: one that came after it is not meant."""
    wait = current_shop().pin_entry.of_order(current_shop().orders.get(order_id).id)
    meant = request.form.get("payment")
    if wait is None or wait.place != "counter" or wait.payment_id != meant:
        return None
    return wait


def _to_order(order_id: str, *, trouble: str | None = None) -> ResponseReturnValue:
    return redirect(url_for("counter.show", order_id=order_id, pin=trouble), 303)
