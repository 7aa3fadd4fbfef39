"""A printed code's page on the payer's phone: the payer types the amount, unless it is fixed."""

from __future__ import annotations

from flask import Response, make_response, redirect, render_template, request

from checkout.errors import ShopError
from checkout.money import AmountError
from checkout.shop.payments.payments import Payment
from checkout.shop.payments.stickers import StaticCode
from checkout.web.context import current_shop
from checkout.web.payer import form, phone_trace
from checkout.web.payer.accounts import (
    accounts,
    chosen_payer,
    known_payers,
    receipt_path,
    remember_payer,
)
from checkout.web.problems import KINDS, as_response


def page(
    sticker: StaticCode,
    *,
    payer: str | None = None,
    trouble: str | None = None,
    amount_trouble: str | None = None,
    pin_trouble: str | None = None,
    status: int = 200,
) -> Response:
    """The sticker's page; a sticker out of use says so and takes nothing."""
    if sticker.revoked:
        gone = render_template("payer/sticker_gone.html", sticker=sticker)
        return make_response(gone, 410)
    return phone_trace.form_page(
        lambda opened: render_template(
            "payer/pay_sticker.html",
            sticker=sticker,
            accounts=accounts(),
            first=payer or chosen_payer().name,
            typed=request.form.get("amount", "")[:16],
            submission=form.new_submission(),
            opened=opened,
            trouble=trouble,
            amount_trouble=amount_trouble,
            pin_trouble=pin_trouble,
        ),
        status,
    )


def pay(sticker: StaticCode, payer: str, pin: str) -> Response:
    """Pay the typed amount to the shop whose sticker it is."""
    if payer not in known_payers():
        return page(sticker, trouble="Choose the account to pay from.", status=422)
    try:
        amount = sticker.amount or form.typed_amount(sticker.currency)
    except AmountError as error:
        return page(sticker, payer=payer, amount_trouble=form.without_field(error), status=422)
    if form.pin_trouble(pin):
        return page(sticker, payer=payer, pin_trouble=form.pin_trouble(pin), status=422)
    try:
        return phone_trace.pay_with_trace(
            lambda trace: current_shop().static_codes.pay(
                sticker.code,
                payer=payer,
                amount_minor=amount.amount_minor,
                pin=pin,
                emulated=phone_trace.is_emulated_phone(),
                opened_at=phone_trace.opened_at(),
                trace=trace,
            ),
            lambda payment: _answer(payment, sticker, payer),
        )
    except ShopError as error:
        return _refused(error, sticker, payer)


def _answer(payment: Payment, sticker: StaticCode, payer: str) -> Response:
    trouble = form.wrong_pin(payment)
    if trouble is not None:
        return page(sticker, payer=payer, pin_trouble=trouble, status=403)
    response = make_response(redirect(receipt_path(payment.id), 303))
    remember_payer(response, payer)
    return response


def _refused(error: ShopError, sticker: StaticCode, payer: str) -> Response:
    if error.kind == "outcome-unknown":
        return as_response(error)
    if error.kind == "revoked-code":
        return page(current_shop().static_codes.get(sticker.code))
    status = KINDS.get(error.kind, (409, ""))[0]
    if error.kind == "clearing-unavailable":
        return page(sticker, payer=payer, trouble=form.NO_BANK, status=status)
    if error.kind == "amount":
        return page(sticker, payer=payer, amount_trouble=form.without_field(error), status=status)
    return page(sticker, payer=payer, trouble=str(error), status=status)
