"""The demo accounts on the phone's pages: which there are, which is chosen, their receipts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, request, url_for

from checkout.acceptance.contract import Mode
from checkout.web.access.signed_values import sign, verify
from checkout.web.context import current_context, current_shop

if TYPE_CHECKING:
    from checkout.shop.payments.payers import Payer

PAYER_COOKIE = "checkout_payer"
_RECEIPT = "receipt"


def accounts() -> dict[str, list[Payer]]:
    """The accounts that can pay by code: "usual" ones, and "trouble" ones that are made to fail."""
    groups: dict[str, list[Payer]] = {"usual": [], "trouble": []}
    for payer in current_shop().payers.all():
        if Mode.QR in payer.modes:
            groups["trouble" if payer.makes_trouble else "usual"].append(payer)
    return groups


def known_payers() -> dict[str, Payer]:
    """The accounts that can pay by code, by name."""
    return {each.name: each for group in accounts().values() for each in group}


def chosen_payer() -> Payer:
    """The account that this browser used last, else the first."""
    known = known_payers()
    return known.get(request.cookies.get(PAYER_COOKIE, "")) or next(iter(known.values()))


def remember_payer(response: Response, payer: str) -> None:
    """Remember the chosen account in a cookie for the next page of this browser."""
    response.set_cookie(
        PAYER_COOKIE,
        payer,
        max_age=30 * 86_400,
        httponly=True,
        secure=current_context().guard.is_encrypted(request),
        samesite="Lax",
    )


def receipt_path(payment_id: str) -> str:
    """The address of a receipt; it is signed, so nobody can invent one."""
    return url_for("payer.receipt", sealed=sign(_RECEIPT, payment_id))


def payment_of_receipt(sealed: str) -> str | None:
    """The payment that a receipt's address names; None where this shop did not sign it."""
    payment_id = verify(_RECEIPT, sealed)
    return payment_id if isinstance(payment_id, str) else None
