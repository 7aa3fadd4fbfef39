"""A printed code's page on the payer's phone: the payer types the amount, unless it is fixed."""

from __future__ import annotations

import re
import secrets

from flask import Response, make_response, redirect, render_template, request

from checkout.errors import ShopError
from checkout.money import AmountError, Money
from checkout.shop.payments.payments import Payment
from checkout.shop.payments.stickers import StaticCode
from checkout.web.context import current_shop
from checkout.web.payer import pay as payer_pages, phone_trace
from checkout.web.payer.accounts import (
    accounts,
    chosen_payer,
    known_payers,
    receipt_path,
    remember_payer,
)
from checkout.web.problems import KINDS, as_response

_CURRENCY_SIGN = re.compile(r"^[A-Z]{3}\s*")


def form(
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
        page = render_template("payer/sticker_gone.html", sticker=sticker)
        return make_response(page, 410)
    return phone_trace.form_page(
        lambda opened: render_template(
            "payer/pay_sticker.html",
            sticker=sticker,
            accounts=accounts(),
            first=payer or chosen_payer().name,
            typed=request.form.get("amount", "")[:16],
            submission=secrets.token_urlsafe(18),
            opened=opened,
            trouble=trouble,
            amount_trouble=amount_trouble,
            pin_trouble=pin_trouble,
        ),
        status,
    )


def pay(sticker: StaticCode, payer: str, pin: str, *, pin_trouble: str | None) -> Response:
    """Pay the typed amount to the shop whose sticker it is."""
    if payer not in known_payers():
        return form(sticker, trouble="Choose the account to pay from.", status=422)
    try:
        amount = sticker.amount or _typed(sticker.currency)
    except AmountError as error:
        return form(sticker, payer=payer, amount_trouble=said(error), status=422)
    if pin_trouble is not None:
        return form(sticker, payer=payer, pin_trouble=pin_trouble, status=422)
    try:
        return phone_trace.told(
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


def _typed(currency: str) -> Money:
    # Phones set to some languages offer a comma on their number pad, and no point.
    typed = request.form.get("amount", "")[:32].strip().replace(",", ".")
    return Money.parse(_CURRENCY_SIGN.sub("", typed), currency)


def said(error: Exception) -> str:
    """The message without the field's name: the field is right above it."""
    said = str(error).partition(": ")[2] or str(error)
    return f"{said[:1].upper()}{said[1:]}."


def _answer(payment: Payment, sticker: StaticCode, payer: str) -> Response:
    trouble = payer_pages.pin_trouble_of(payment)
    if trouble is not None:
        return form(sticker, payer=payer, pin_trouble=trouble, status=403)
    answer = make_response(redirect(receipt_path(payment.id), 303))
    remember_payer(answer, payer)
    return answer


def _refused(error: ShopError, sticker: StaticCode, payer: str) -> Response:
    if error.kind == "outcome-unknown":
        return as_response(error)
    if error.kind == "revoked-code":
        return form(current_shop().static_codes.get(sticker.code))
    status = KINDS.get(error.kind, (409, ""))[0]
    if error.kind == "clearing-unavailable":
        return form(sticker, payer=payer, trouble=payer_pages.NO_BANK, status=status)
    if error.kind == "amount":
        return form(sticker, payer=payer, amount_trouble=said(error), status=status)
    return form(sticker, payer=payer, trouble=str(error), status=status)
