"""The page that a scanned code opens: who is paid, how much, from which account; then the result.

Works without JavaScript and over plain http. A code is looked up, never trusted: what the payer
confirms is what the shop's order says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from checkout.errors import ShopError
from checkout.shop.orders.orders import CodeLookup
from checkout.shop.orders.states import Order, OrderState
from checkout.shop.payments.stickers import StaticCode
from checkout.web.access.guard import open_to_all
from checkout.web.context import current_context, current_shop
from checkout.web.payer import form, pay_sticker, phone_trace
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


@blueprint.get("/p/<code>")
@blueprint.get("/P/<code>")
@open_to_all
def show(code: str) -> ResponseReturnValue:
    """The order or sticker behind the code, to be paid, or why it cannot be paid."""
    found = find_code(code)
    if isinstance(found, StaticCode):
        return pay_sticker.page(found)
    if found.status != "live":
        return _not_payable(found, code)
    phone_trace.record_opening(found.order)
    return _page(found.order, code)


@blueprint.post("/p/<code>")
@blueprint.post("/P/<code>")
@open_to_all
def pay(code: str) -> ResponseReturnValue:
    """Pay the order behind the code once, however often the form is sent."""
    submission = form.submission()
    if submission is None:
        return redirect(url_for("payer.show", code=code), 303)
    payer = request.form.get("payer", "")[:64]
    content = (code.upper(), payer, request.form.get("amount", ""))
    pin = request.form.get("pin", "")
    return form.once("payer", submission, content, lambda: _pay_once(code, payer, pin))


@blueprint.get("/p/<code>/fresh")
@blueprint.get("/P/<code>/fresh")
@open_to_all
def fresh(code: str) -> ResponseReturnValue:
    """Go from an expired code to a live one of the same order, while the order is open."""
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
    retry_path = None
    if str(payment.state) in ("declined", "reversed"):
        if order.static_code is not None:
            retry_path = url_for("payer.show", code=order.static_code)
        elif order.state is OrderState.OPEN:
            retry_path = url_for("payer.fresh", code=order.code)
    page = make_response(
        render_template("payer/result.html", payment=payment, order=order, retry_path=retry_path)
    )
    phone_trace.record_result_shown(payment, page, asked_at)
    return page


def find_code(code: str) -> CodeLookup | StaticCode:
    """The order or the sticker behind a code; Problem(unknown-code, too-many-tries)."""
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


def _pay_once(code: str, payer: str, pin: str) -> ResponseReturnValue:
    found = find_code(code)
    if isinstance(found, StaticCode):
        return pay_sticker.pay(found, payer, pin)
    if found.status != "live":
        return _not_payable(found, code)
    order = found.order
    if payer not in known_payers():
        return _page(order, code, trouble="Choose the account to pay from.", status=422)
    if form.pin_trouble(pin):
        return _page(order, code, payer=payer, pin_trouble=form.pin_trouble(pin), status=422)
    shop = current_shop()
    try:
        return phone_trace.pay_with_trace(
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
    trouble = form.wrong_pin(payment)
    if trouble is not None:
        return _page(order, code, payer=payer, pin_trouble=trouble, status=403)
    response = make_response(redirect(receipt_path(payment.id), 303))
    remember_payer(response, payer)
    return response


def _refused(error: ShopError, order: Order, code: str, payer: str) -> ResponseReturnValue:
    if error.kind == "outcome-unknown":
        return as_response(error)
    if error.kind == "clearing-unavailable":
        return _page(order, code, payer=payer, trouble=form.NO_BANK, status=503)
    lookup = current_shop().orders.resolve_code(code)
    if lookup.status != "live":
        return _not_payable(lookup, code)
    status = KINDS.get(error.kind, (409, ""))[0]
    return _page(order, code, payer=payer, trouble=str(error), status=status)


def _page(
    order: Order,
    code: str,
    *,
    payer: str | None = None,
    trouble: str | None = None,
    pin_trouble: str | None = None,
    status: int = 200,
) -> Response:
    # The code at hand may be an earlier one, which runs out sooner: its page offers a fresh one.
    left_s = (order.code_expires_at - current_shop().orders.clock()).total_seconds()
    return phone_trace.form_page(
        lambda opened: render_template(
            "payer/pay.html",
            order=order,
            code=code,
            accounts=accounts(),
            first=payer or chosen_payer().name,
            submission=form.new_submission(),
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
