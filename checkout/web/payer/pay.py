"""The page that a scanned code opens: who is paid, how much, from which account; then the result.

Works without JavaScript and over plain http. A code is looked up, never trusted: what the payer
confirms is what the shop's order says.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from checkout.errors import ShopError
from checkout.shop.orders.orders import CodeLookup
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.stickers import StaticCode
from checkout.web.access.guard import open_to_all
from checkout.web.context import current_context, current_shop
from checkout.web.idempotency import fingerprint
from checkout.web.payer import pay_sticker, phone_trace
from checkout.web.payer.accounts import (
    accounts,
    chosen_payer,
    known_payers,
    payment_of_receipt,
    receipt_path,
    remember_payer,
)
from checkout.web.problems import KINDS, Problem, as_response

if TYPE_CHECKING:
    from checkout.shop.payments.payments import Payment

blueprint = Blueprint("payer", __name__)

NO_BANK = "The bank cannot be reached right now. Nothing was charged; try again."
_PIN = re.compile(r"[0-9]{6}", re.ASCII)
_WRONG_PIN = {
    "55": "That PIN is wrong. Nothing was charged.",
    "75": "The PIN was wrong too often: this account is blocked. Choose another account.",
}
#: What makes one sending of a form the same as another.
SUBMISSION = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)


@blueprint.get("/p/<code>")
@blueprint.get("/P/<code>")
@open_to_all
def show(code: str) -> ResponseReturnValue:
    """What the code stands for now: pay it, or why it cannot be paid."""
    found = find_code(code)
    if isinstance(found, StaticCode):
        return pay_sticker.form(found)
    if found.status != "live":
        return _not_payable(found, code)
    phone_trace.opened(found.order)
    return _form(found.order, code)


@blueprint.post("/p/<code>")
@blueprint.post("/P/<code>")
@open_to_all
def pay(code: str) -> ResponseReturnValue:
    """Pay the order behind the code once, however often the form is sent."""
    submission = request.form.get("submission", "")
    if SUBMISSION.fullmatch(submission) is None:
        return redirect(url_for("payer.show", code=code), 303)
    payer = request.form.get("payer", "")[:64]
    mark = fingerprint(code.upper(), payer, request.form.get("amount", ""))
    return current_context().responses.once(
        "payer",
        submission,
        mark,
        lambda: make_response(_pay_once(code, payer, request.form.get("pin", ""))),
        patience_s=current_shop().config.clearing_timeout_s + 5,
    )


@blueprint.get("/p/<code>/fresh")
@blueprint.get("/P/<code>/fresh")
@open_to_all
def fresh(code: str) -> ResponseReturnValue:
    """Go from a code that has run out to a live one of the same order, while that is open."""
    found = find_code(code)
    if isinstance(found, StaticCode):
        return redirect(url_for("payer.show", code=code), 303)
    order = found.order
    if found.status == "expired" and order.state is OrderState.OPEN:
        shop = current_shop()
        live = order if order.code_expires_at > shop.orders.clock() else None
        code = (live or shop.orders.renew_code(order.id)).code
    return redirect(url_for("payer.show", code=code), 303)


@blueprint.get("/receipt/<sealed>")
@open_to_all
def receipt(sealed: str) -> ResponseReturnValue:
    """The result of one payment, for whoever holds its signed address."""
    payment_id = payment_of_receipt(sealed)
    if payment_id is None:
        raise Problem(kind="unknown-payment", detail="This receipt's address is not complete.")
    shop = current_shop()
    asked_at = shop.orders.clock()
    payment = shop.payments.get(payment_id)
    order = shop.orders.get(payment.order_id)
    again = None
    if str(payment.state) in ("declined", "reversed"):
        if order.static_code is not None:
            again = url_for("payer.show", code=order.static_code)
        elif order.state is OrderState.OPEN:
            again = url_for("payer.fresh", code=order.code)
    page = make_response(
        render_template("payer/result.html", payment=payment, order=order, again=again)
    )
    phone_trace.result_shown(payment, page, asked_at)
    return page


def find_code(code: str) -> CodeLookup | StaticCode:
    """The order or the sticker behind a code, at a pace that makes guessing hopeless."""
    guesses = current_context().rate_limits.codes
    wait_s = guesses.wait_s(request.remote_addr)
    if wait_s > 0:
        detail = "Too many unknown codes came from this address; wait a minute."
        raise Problem(kind="too-many-tries", detail=detail, retry_after_s=wait_s)
    try:
        return current_shop().static_codes.find(code) or current_shop().orders.resolve_code(code)
    except ShopError as error:
        if error.kind != "unknown-code":
            raise
        guesses.failed(request.remote_addr)
        raise Problem(
            kind="unknown-code",
            detail="This shop has given out no such code. If you scanned a sticker, ask the staff "
            "whether it is theirs: codes can be pasted over.",
            field="code",
        ) from None


def pin_trouble_of(payment: Payment) -> str | None:
    """What the page says beside the PIN when the account's issuer did not like it."""
    return _WRONG_PIN.get(payment.response_code or "")


def odd_pin(pin: str) -> str | None:
    """What the page says of a PIN that is none; None for six digits."""
    if _PIN.fullmatch(pin) is None:
        return "Type the six digits of the demo account's PIN."
    return None


def _pay_once(code: str, payer: str, pin: str) -> ResponseReturnValue:
    found = find_code(code)
    if isinstance(found, StaticCode):
        return pay_sticker.pay(found, payer, pin, pin_trouble=odd_pin(pin))
    if found.status != "live":
        return _not_payable(found, code)
    order = found.order
    if payer not in known_payers():
        return _form(order, code, trouble="Choose the account to pay from.", status=422)
    if odd_pin(pin):
        return _form(order, code, payer=payer, pin_trouble=odd_pin(pin), status=422)
    shop = current_shop()
    try:
        return phone_trace.told(
            lambda trace: shop.code_payments.pay(
                code,
                payer=payer,
                pin=pin,
                emulated=phone_trace.is_emulated_phone(),
                trace=trace,
            ),
            lambda payment: _answer(payment, order, code, payer),
        )
    except ShopError as error:
        return _refused(error, order, code, payer)


def _answer(payment: Payment, order: Order, code: str, payer: str) -> Response:
    said = pin_trouble_of(payment)
    if said is not None:
        return _form(order, code, payer=payer, pin_trouble=said, status=403)
    answer = make_response(redirect(receipt_path(payment.id), 303))
    remember_payer(answer, payer)
    return answer


def _refused(error: ShopError, order: Order, code: str, payer: str) -> ResponseReturnValue:
    if error.kind == "outcome-unknown":
        return as_response(error)
    if error.kind == "clearing-unavailable":
        return _form(order, code, payer=payer, trouble=NO_BANK, status=503)
    lookup = current_shop().orders.resolve_code(code)
    if lookup.status != "live":
        return _not_payable(lookup, code)
    status = KINDS.get(error.kind, (409, ""))[0]
    return _form(order, code, payer=payer, trouble=str(error), status=status)


def _form(
    order: Order,
    code: str,
    *,
    payer: str | None = None,
    trouble: str | None = None,
    pin_trouble: str | None = None,
    status: int = 200,
) -> Response:
    # An earlier code of the order runs out sooner than this says; its page offers a fresh one.
    left_s = (order.code_expires_at - current_shop().orders.clock()).total_seconds()
    return phone_trace.form_page(
        lambda opened: render_template(
            "payer/pay.html",
            order=order,
            code=code,
            accounts=accounts(),
            first=payer or chosen_payer().name,
            submission=secrets.token_urlsafe(18),
            opened=opened,
            trouble=trouble,
            pin_trouble=pin_trouble,
            left_s=max(left_s, 0),
        ),
        status,
    )


def _not_payable(lookup: CodeLookup, code: str) -> ResponseReturnValue:
    order = lookup.order
    renewable = lookup.status == "expired" and order.state is OrderState.OPEN
    page = render_template(
        "payer/not_payable.html",
        order=order,
        status=lookup.status,
        fresh=url_for("payer.fresh", code=code) if renewable else None,
    )
    return make_response(page, 410 if lookup.status == "expired" else 409)
