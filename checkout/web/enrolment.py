"""The counter's button that gives a declined real card a demo account."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from checkout.web.problems import Problem
from checkout.web.context import the_shop

blueprint = Blueprint("enrolment", __name__)


@blueprint.post("/orders/<order_id>/enrol")
def enrol(order_id: str) -> ResponseReturnValue:
    """Enrol the card of a declined tap; the order stays open for it to be tapped again."""
    shop = the_shop()
    payment = shop.payments.get(request.form.get("payment", "")[:40])
    if payment.order_id != order_id:
        raise Problem(kind="unknown-payment", detail="payment: it is not this order's.")
    shop.enrolment.enrol(payment.id)
    return redirect(url_for("counter.show", order_id=order_id), 303)
