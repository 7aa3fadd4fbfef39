"""The payer's code at the counter: scan it, wait for the PIN on the phone, give up on the phone.

The code comes as text (typed, or from a scanner that types), as a photo, or as frames of the
counter's own camera; the server reads the pictures.
"""

from __future__ import annotations

from flask import Blueprint, jsonify, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from checkout.acceptance.qr.payer_code import is_payer_code
from checkout.errors import ShopError
from checkout.web.context import current_context, current_shop
from checkout.web.payer import phone_trace
from checkout.web.problems import KINDS
from checkout.web.scanned_picture import NotReadable

blueprint = Blueprint("scan_payer_code", __name__)

#: Refusals shown beside the field; every other refusal has a page of its own.
_BESIDE_THE_FIELD = {
    "payer-code": "That is no payment code of this shop's demo wallet.",
    "expired-payer-code": "That payment code has run out; ask the customer to show the new one.",
    "used-payer-code": "That payment code has been used; ask the customer to show a new one.",
    "clearing-unavailable": "The bank cannot be reached right now. Nothing was charged; try again.",
}


@blueprint.post("/orders/<order_id>/payment-code")
def scan(order_id: str) -> ResponseReturnValue:
    """Pay the order by a typed code or by a photo of one."""
    current_shop().orders.get(order_id)
    typed = request.form.get("text", "").strip()[:512]
    try:
        texts = [typed] if typed else current_context().pictures.in_photo()
        trouble = _present(order_id, texts)
    except NotReadable as error:
        trouble = str(error)
    if trouble is None:
        return redirect(url_for("counter.show", order_id=order_id), 303)
    page = render_template("counter/scan_payer_code.html", order_id=order_id, trouble=trouble)
    return make_response(page, 422)


@blueprint.post("/orders/<order_id>/frame")
def frame(order_id: str) -> ResponseReturnValue:
    """Pay by the code in one frame of the counter's camera; the JSON says whether it was taken."""
    current_shop().orders.get(order_id)
    try:
        trouble = _present(order_id, current_context().pictures.in_frame())
    except NotReadable:
        return jsonify({"taken": False, "trouble": None})
    return jsonify({"taken": trouble is None, "trouble": trouble})


@blueprint.post("/orders/<order_id>/revoke")
def revoke(order_id: str) -> ResponseReturnValue:
    """Give up on the phone; no sooner than the query schedule allows."""
    try:
        current_shop().payer_codes.revoke(order_id)
    except ShopError as error:
        if error.kind not in ("too-soon", "order-busy"):
            raise
        return redirect(url_for("counter.show", order_id=order_id, refused=error.kind), 303)
    return redirect(url_for("counter.show", order_id=order_id), 303)


def _present(order_id: str, texts: list[str]) -> str | None:
    """Pay by the first of `texts` that is a payer's code; returns what is wrong, else None."""
    text = next((each for each in texts if is_payer_code(each)), texts[0])
    try:
        current_shop().payer_codes.present(order_id, text, emulated=phone_trace.is_emulated_phone())
    except ShopError as error:
        if error.kind in _BESIDE_THE_FIELD:
            return _BESIDE_THE_FIELD[error.kind]
        if KINDS.get(error.kind, (500, ""))[0] in (409, 410):
            return None  # paid otherwise or expired meanwhile: the order's page shows which
        raise
    return None
