"""The page that a scanned code opens: who is paid, how much, from which account; then the result.

Works without JavaScript and over plain http. A code is looked up, never trusted: what the payer
confirms is what the shop's order says.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import TYPE_CHECKING

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from checkout.acceptance.contract import Mode
from checkout.orders import CodeLookup, Order, OrderState, ShopError
from checkout.web import phone_trace
from checkout.web.access import open_to_all
from checkout.web.idempotency import fingerprint
from checkout.web.problems import KINDS, Problem
from checkout.web.views import is_encrypted, seal, the_answers, the_guesses, the_shop, unseal

if TYPE_CHECKING:
    from checkout.demo import Payer
    from checkout.payments import Payment

blueprint = Blueprint("payer", __name__)

PAYER_COOKIE = "checkout_payer"
_PIN = re.compile(r"[0-9]{6}", re.ASCII)
_SUBMISSION = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_WRONG_PIN, _PIN_BLOCKED = "55", "75"
_RECEIPT = "receipt"


@blueprint.get("/p/<code>")
@blueprint.get("/P/<code>")
@open_to_all
def show(code: str) -> ResponseReturnValue:
    """What the code stands for now: pay it, or why it cannot be paid."""
    lookup = find_code(code)
    if lookup.status != "live":
        return _not_payable(lookup, code)
    return _form(lookup.order, code)


@blueprint.post("/p/<code>")
@blueprint.post("/P/<code>")
@open_to_all
def pay(code: str) -> ResponseReturnValue:
    """Pay the order behind the code once, however often the form is sent."""
    submission = request.form.get("submission", "")
    if _SUBMISSION.fullmatch(submission) is None:
        return redirect(url_for("payer.show", code=code), 303)
    payer = request.form.get("payer", "")[:64]
    mark = fingerprint(code.upper(), payer)
    return the_answers().once(
        "payer",
        submission,
        mark,
        lambda: make_response(_pay_once(code, payer, request.form.get("pin", ""))),
        patience_s=the_shop().config.clearing_timeout_s + 5,
    )


@blueprint.get("/p/<code>/fresh")
@blueprint.get("/P/<code>/fresh")
@open_to_all
def fresh(code: str) -> ResponseReturnValue:
    """Go from a code that has run out to a live one of the same order, while that is open."""
    lookup = find_code(code)
    order = lookup.order
    if lookup.status == "expired" and order.state is OrderState.OPEN:
        shop = the_shop()
        live = order if order.code_expires_at > shop.orders.clock() else None
        code = (live or shop.orders.renew_code(order.id)).code
    return redirect(url_for("payer.show", code=code), 303)


@blueprint.get("/receipt/<sealed>")
@open_to_all
def receipt(sealed: str) -> ResponseReturnValue:
    """The result of one payment, for whoever holds its signed address."""
    payment_id = unseal(_RECEIPT, sealed)
    if not isinstance(payment_id, str):
        raise Problem(kind="unknown-payment", detail="This receipt's address is not complete.")
    return receipt_page(payment_id)


def receipt_page(payment_id: str) -> str:
    """The receipt of a payment as a page."""
    shop = the_shop()
    payment = shop.payments.get(payment_id)
    order = shop.orders.get(payment.order_id)
    again = order.state is OrderState.OPEN and str(payment.state) in ("declined", "reversed")
    return render_template(
        "payer/result.html", payment=payment, order=order, again=order.code if again else None
    )


def receipt_path(payment_id: str) -> str:
    """The address of a receipt; nobody can make one up."""
    return url_for("payer.receipt", sealed=seal(_RECEIPT, payment_id))


def find_code(code: str) -> CodeLookup:
    """The order behind a code, at a pace that makes guessing hopeless."""
    guesses = the_guesses()
    wait_s = guesses.wait_s(request.remote_addr)
    if wait_s > 0:
        detail = "Too many unknown codes came from this address; wait a minute."
        raise Problem(kind="too-many-tries", detail=detail, retry_after_s=wait_s)
    try:
        return the_shop().orders.resolve_code(code)
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


def _pay_once(code: str, payer: str, pin: str) -> ResponseReturnValue:
    lookup = find_code(code)
    if lookup.status != "live":
        return _not_payable(lookup, code)
    order = lookup.order
    if payer not in {each.name for group in accounts().values() for each in group}:
        return _form(order, code, trouble="Choose the account to pay from.", status=422)
    if _PIN.fullmatch(pin) is None:
        trouble = "Type the six digits of the demo account's PIN."
        return _form(order, code, payer=payer, pin_trouble=trouble, status=422)
    shop = the_shop()
    try:
        return phone_trace.told(
            lambda trace: shop.payments.pay_by_code(code, payer=payer, pin=pin, trace=trace),
            lambda payment: _answer(payment, order, code, payer),
        )
    except ShopError as error:
        return _refused(error, order, code, payer)


def _answer(payment: Payment, order: Order, code: str, payer: str) -> Response:
    if payment.response_code in (_WRONG_PIN, _PIN_BLOCKED):
        return _wrong_pin(payment.response_code, order, code, payer)
    answer = make_response(redirect(receipt_path(payment.id), 303))
    remember_payer(answer, payer)
    return answer


def _wrong_pin(response_code: str, order: Order, code: str, payer: str) -> Response:
    trouble = "That PIN is wrong. Nothing was charged."
    if response_code == _PIN_BLOCKED:
        trouble = "The PIN was wrong too often: this account is blocked. Choose another account."
    return _form(order, code, payer=payer, pin_trouble=trouble, status=403)


def _refused(error: ShopError, order: Order, code: str, payer: str) -> ResponseReturnValue:
    if error.kind in ("wrong-pin", "pin-tries-exceeded"):
        response_code = _WRONG_PIN if error.kind == "wrong-pin" else _PIN_BLOCKED
        return _wrong_pin(response_code, order, code, payer)
    if error.kind == "clearing-unavailable":
        trouble = "The bank cannot be reached right now. Nothing was charged; try again."
        return _form(order, code, payer=payer, trouble=trouble, status=503)
    lookup = find_code(code)
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
    shop = the_shop()
    left_s = (shop.orders.resolve_code(code).order.expires_at - shop.orders.clock()).total_seconds()
    if code.upper() == order.code:
        left_s = (order.code_expires_at - shop.orders.clock()).total_seconds()
    return phone_trace.form_page(
        lambda opened: render_template(
            "payer/pay.html",
            order=order,
            code=code,
            accounts=accounts(),
            chosen=payer or request.cookies.get(PAYER_COOKIE, ""),
            submission=secrets.token_urlsafe(18),
            opened=opened,
            trouble=trouble,
            pin_trouble=pin_trouble,
            left_s=max(left_s, 0),
        ),
        status,
    )


def accounts() -> dict[str, list[Payer]]:
    """Who can pay by code, those that pay as expected apart from those made to fail."""
    groups: dict[str, list[Payer]] = {"usual": [], "trouble": []}
    for payer in the_shop().payers():
        if Mode.QR in payer.modes:
            groups["trouble" if payer.makes_trouble else "usual"].append(payer)
    return groups


def _not_payable(lookup: CodeLookup, code: str) -> ResponseReturnValue:
    order = lookup.order
    mine = _own_payment(order)
    if mine is not None and lookup.status == "used":
        return redirect(receipt_path(mine.id), 303)
    renewable = lookup.status == "expired" and order.state is OrderState.OPEN
    page = render_template(
        "payer/not_payable.html",
        order=order,
        status=lookup.status,
        fresh=url_for("payer.fresh", code=code) if renewable else None,
    )
    return make_response(page, 410 if lookup.status == "expired" else 409)


def _own_payment(order: Order) -> Payment | None:
    """The payment of this order if this very form, sent twice, made it."""
    submission = request.form.get("submission", "")
    stored = the_answers().find("payer", submission) if submission else None
    if stored is None or order.payment_id is None:
        return None
    return the_shop().payments.get(order.payment_id)


def settled(payment_id: str, *, within_s: float = 0.3) -> Payment:
    """A payment with its times and steps, which are written a moment after its outcome."""
    until = time.monotonic() + within_s
    while True:
        payment = the_shop().payments.get(payment_id)
        if payment.finished_at is not None or time.monotonic() >= until:
            return payment
        time.sleep(0.01)


def remember_payer(response: Response, payer: str) -> None:
    """Keep the chosen demo account for the next page of this browser."""
    response.set_cookie(
        PAYER_COOKIE,
        payer,
        max_age=30 * 86_400,
        httponly=True,
        secure=is_encrypted(),
        samesite="Lax",
    )
