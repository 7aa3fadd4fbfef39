"""The payer's own code: the phone shows it to the counter, then may ask for the PIN.

Without JavaScript the page reloads itself every few seconds.
"""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flask import (
    Blueprint,
    Response,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue

from checkout.database import instant, micros
from checkout.errors import ShopError
from checkout.shop.payments.payments import PaymentState
from checkout.web.access.guard import open_to_all
from checkout.web.access.signed_values import sign, verify
from checkout.web.context import current_shop
from checkout.web.payer import form
from checkout.web.payer.accounts import chosen_payer, receipt_path
from checkout.web.problems import Problem, as_response
from devices.qr.symbol import rendering

if TYPE_CHECKING:
    from checkout.shop.payments.payer_codes import UserPaying
    from checkout.shop.payments.payers import Payer

blueprint = Blueprint("my_code", __name__, url_prefix="/wallet")

_CONFIRM = "confirm"
_RELOAD_S = 4
#: The oldest payment that may still wait for this phone.
_LONGEST_WAIT = timedelta(minutes=5)


@blueprint.get("/code")
@open_to_all
def show() -> ResponseReturnValue:
    """The chosen account's code as symbol and barcode, or the PIN that it waits for."""
    payer = chosen_payer()
    since = _since()
    next_path = _next_path(payer, since)
    if next_path is not None:
        return redirect(next_path, 303)
    return render_template("payer/my_code.html", payer=payer, reload_s=_RELOAD_S, **_code(payer))


@blueprint.get("/code/part")
@open_to_all
def part() -> str:
    """The changing part of the code's page."""
    payer = chosen_payer()
    return render_template("payer/_my_code.html", payer=payer, **_code(payer))


@blueprint.get("/code/state")
@open_to_all
def state() -> Response:
    """Where the phone goes next: to the PIN, to a receipt, or nowhere yet (null)."""
    return jsonify({"go": _next_path(chosen_payer(), _since())})


@blueprint.get("/confirm/<sealed>")
@open_to_all
def ask(sealed: str) -> ResponseReturnValue:
    """Show who wants how much, and ask for the PIN."""
    payment_id = _payment_of(sealed)
    waiting = current_shop().payer_codes.user_paying(payment_id)
    return redirect(receipt_path(payment_id), 303) if waiting is None else _page(sealed, waiting)


@blueprint.post("/confirm/<sealed>")
@open_to_all
def confirm(sealed: str) -> ResponseReturnValue:
    """Pay under this PIN, once, however often the form is sent."""
    payment_id = _payment_of(sealed)
    submission = request.form.get("submission", "")[:64] or form.new_submission()
    return form.once(
        "confirm", submission, (payment_id,), lambda: _confirm_once(sealed, payment_id)
    )


@blueprint.post("/confirm/<sealed>/refuse")
@open_to_all
def refuse(sealed: str) -> ResponseReturnValue:
    """Do not pay this."""
    payment_id = _payment_of(sealed)
    try:
        current_shop().pin_entry.cancel(payment_id)
    except ShopError as error:
        if error.kind != "not-waiting":
            raise
    return redirect(receipt_path(payment_id), 303)


def waiting_path(payer: Payer) -> str | None:
    """The page on which `payer` is asked for a PIN now, None where nothing waits for one."""
    shop = current_shop()
    latest = shop.payer_codes.latest_of(payer.name, shop.orders.clock() - _LONGEST_WAIT)
    if latest is None or shop.payer_codes.user_paying(latest.id) is None:
        return None
    return url_for("my_code.ask", sealed=sign(_CONFIRM, latest.id))


def _next_path(payer: Payer, since: int | None) -> str | None:
    waiting = waiting_path(payer)
    if waiting is not None or since is None:
        return waiting
    latest = current_shop().payer_codes.latest_of(payer.name, instant(since))
    if latest is None or latest.state is PaymentState.PENDING:
        return None
    return receipt_path(latest.id)


def _since() -> int | None:
    """When the page that asks was first opened: microseconds since the epoch, from its query."""
    text = request.args.get("since", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None


def _code(payer: Payer) -> dict[str, Any]:
    shop = current_shop()
    shown = shop.payer_codes.show(payer.name)
    now = shop.orders.clock()
    return {
        "code": shown,
        "symbol": _picture(rendering.svg(shown.emv)),
        "strip": _picture(rendering.code_128_svg(shown.digits)),
        "left_s": max((shown.shown_until - now).total_seconds(), 0.0),
        "since": _since() or micros(now),
        "no_pin_minor": shop.config.payer_code_no_pin_minor,
    }


def _picture(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")


def _payment_of(sealed: str) -> str:
    payment_id = verify(_CONFIRM, sealed)
    if not isinstance(payment_id, str):
        raise Problem(kind="unknown-payment", detail="This address is not complete.")
    return payment_id


def _confirm_once(sealed: str, payment_id: str) -> ResponseReturnValue:
    shop = current_shop()
    waiting = shop.payer_codes.user_paying(payment_id)
    if waiting is None:
        return redirect(receipt_path(payment_id), 303)
    try:
        shop.pin_entry.enter_pin(payment_id, request.form.get("pin", "")[:16])
    except ShopError as error:
        if error.kind == "pin":
            return _page(sealed, waiting, pin_trouble=form.NO_PIN, status=422)
        if error.kind == "clearing-unavailable":
            return _page(sealed, waiting, pin_trouble=form.NO_BANK, status=503)
        if error.kind == "outcome-unknown":
            return as_response(error)
        if error.kind != "not-waiting":
            raise
    return redirect(receipt_path(payment_id), 303)


def _page(
    sealed: str, waiting: UserPaying, *, pin_trouble: str | None = None, status: int = 200
) -> Response:
    now = current_shop().orders.clock()
    page = render_template(
        "payer/confirm.html",
        waiting=waiting,
        order=waiting.order,
        sealed=sealed,
        submission=form.new_submission(),
        left_s=max((waiting.until - now).total_seconds(), 0.0),
        pin_trouble=pin_trouble,
    )
    return make_response(page, status)
