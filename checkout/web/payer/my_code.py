"""The demo phone's own code: shown to the counter, new every minute; and the PIN it may ask for.

The page works without JavaScript: it then looks again by itself every few seconds.
"""

from __future__ import annotations

import base64
import secrets
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
from checkout.web.context import current_context, current_shop
from checkout.web.idempotency import fingerprint
from checkout.web.payer.accounts import chosen_payer, receipt_path
from checkout.web.payer.pay import NO_BANK
from checkout.web.problems import Problem, as_response
from devices.qr.symbol import rendering

if TYPE_CHECKING:
    from checkout.shop.payments.payer_codes import UserPaying
    from checkout.shop.payments.payers import Payer

blueprint = Blueprint("my_code", __name__, url_prefix="/wallet")

_CONFIRM = "confirm"
_LOOK_AGAIN_S = 4
#: A payment that began this long ago may still wait for this phone.
_LONGEST_WAIT = timedelta(minutes=5)


@blueprint.get("/code")
@open_to_all
def show() -> ResponseReturnValue:
    """The chosen account's code as symbol and barcode, or the PIN that it waits for."""
    payer = chosen_payer()
    since = _since()
    onward = _onward(payer, since)
    if onward is not None:
        return redirect(onward, 303)
    return render_template(
        "payer/my_code.html", payer=payer, look_again_s=_LOOK_AGAIN_S, **_code(payer)
    )


@blueprint.get("/code/part")
@open_to_all
def part() -> str:
    """The changing part of that page."""
    payer = chosen_payer()
    return render_template("payer/_my_code.html", payer=payer, **_code(payer))


@blueprint.get("/code/state")
@open_to_all
def state() -> Response:
    """Where the phone goes from here: to the PIN, to a receipt, or nowhere yet."""
    return jsonify({"go": _onward(chosen_payer(), _since())})


@blueprint.get("/confirm/<sealed>")
@open_to_all
def ask(sealed: str) -> ResponseReturnValue:
    """Who wants how much, and the PIN for it."""
    payment_id = _payment_of(sealed)
    waiting = current_shop().payer_codes.user_paying(payment_id)
    return redirect(receipt_path(payment_id), 303) if waiting is None else _form(sealed, waiting)


@blueprint.post("/confirm/<sealed>")
@open_to_all
def confirm(sealed: str) -> ResponseReturnValue:
    """Go on under this PIN, once, however often the form is sent."""
    payment_id = _payment_of(sealed)
    return current_context().responses.once(
        "confirm",
        request.form.get("submission", "")[:64] or secrets.token_urlsafe(18),
        fingerprint(payment_id),
        lambda: make_response(_confirm_once(sealed, payment_id)),
        patience_s=current_shop().config.clearing_timeout_s + 5,
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


def _onward(payer: Payer, since: int | None) -> str | None:
    waiting = waiting_path(payer)
    if waiting is not None or since is None:
        return waiting
    latest = current_shop().payer_codes.latest_of(payer.name, instant(since))
    if latest is None or latest.state is PaymentState.PENDING:
        return None
    return receipt_path(latest.id)


def _since() -> int | None:
    """When this page was first opened, in microseconds, as it says itself."""
    said = request.args.get("since", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) <= 16 else None


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
            said = "Type the six digits of the demo account's PIN."
            return _form(sealed, waiting, pin_trouble=said, status=422)
        if error.kind == "clearing-unavailable":
            return _form(sealed, waiting, pin_trouble=NO_BANK, status=503)
        if error.kind == "outcome-unknown":
            return as_response(error)
        if error.kind != "not-waiting":
            raise
    return redirect(receipt_path(payment_id), 303)


def _form(
    sealed: str, waiting: UserPaying, *, pin_trouble: str | None = None, status: int = 200
) -> Response:
    now = current_shop().orders.clock()
    page = render_template(
        "payer/confirm.html",
        waiting=waiting,
        order=waiting.order,
        sealed=sealed,
        submission=secrets.token_urlsafe(18),
        left_s=max((waiting.until - now).total_seconds(), 0.0),
        pin_trouble=pin_trouble,
    )
    return make_response(page, status)
