"""The shop's printed codes in the back office: create one, print it, take it out of use."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from checkout.errors import ShopError
from checkout.money import CURRENCIES, AmountError, Money
from checkout.shop.payments.stickers import StaticCode
from checkout.web import codes
from checkout.web.context import current_shop
from devices.qr.symbol import sticker_sheet
from devices.qr.symbol.sticker_sheet import FontError, Sticker

blueprint = Blueprint("stickers", __name__)

_ON_A_SHEET = 6


@blueprint.get("/stickers")
def home() -> str:
    """Every printed code in use, and a form for another."""
    return _page()


@blueprint.post("/stickers")
def create() -> ResponseReturnValue:
    """Create a printed code."""
    form = request.form
    currency, typed = form.get("currency", "CNY"), form.get("amount", "").strip()[:32]
    try:
        amount = Money.parse(typed, currency).amount_minor if typed else None
        current_shop().static_codes.create(form.get("label", ""), currency, amount_minor=amount)
    except (AmountError, ShopError) as error:
        return make_response(_page(trouble=str(error), form=form), 422)
    return redirect(url_for("stickers.home"), 303)


@blueprint.post("/stickers/<code>/revoke")
def revoke(code: str) -> ResponseReturnValue:
    """Take a printed code out of use for good."""
    current_shop().static_codes.revoke(code)
    return redirect(url_for("stickers.home"), 303)


@blueprint.get("/stickers/<code>.<form>")
def picture(code: str, form: str) -> Response:
    """One sticker as SVG or PNG, or a PDF sheet of six of it."""
    shop = current_shop()
    sticker = _sticker(shop.static_codes.get(code))
    if form == "svg":
        return Response(sticker_sheet.svg(sticker), mimetype="image/svg+xml")
    if form not in ("png", "pdf"):
        raise NotFound
    try:
        if form == "png":
            return Response(sticker_sheet.png(sticker), mimetype="image/png")
        sheet = sticker_sheet.sheet([sticker] * _ON_A_SHEET, made_at=shop.orders.clock())
    except FontError as error:
        return make_response(_page(trouble=str(error)), 422)
    return Response(sheet, mimetype="application/pdf")


def _sticker(code: StaticCode) -> Sticker:
    config = current_shop().config
    return Sticker(
        text=codes.link_to(config, code.code), payee=config.merchant.name, number=code.printed
    )


def _page(*, trouble: str | None = None, form: Any = None) -> str:
    all_stickers = current_shop().static_codes.all()
    return render_template(
        "office/stickers.html",
        stickers=[each for each in all_stickers if not each.revoked],
        revoked=[each for each in all_stickers if each.revoked],
        currencies=sorted(CURRENCIES, key=lambda code: code != "CNY"),
        trouble=trouble,
        form=form or {},
    )
