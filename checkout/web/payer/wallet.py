"""The demo wallet: the chosen account, its payments, and scanning by camera or photo.

Live scanning needs a secure context (https or this machine itself); a photo, which the server
reads, works on plain http too.
"""

from __future__ import annotations

from flask import Blueprint, jsonify, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from checkout.acceptance.qr import link
from checkout.acceptance.qr.signed_payload import CodeRefused
from checkout.shop.payments.payments import Payment
from checkout.web import codes
from checkout.web.access.guard import open_to_all
from checkout.web.context import current_context, current_shop
from checkout.web.payer import top_up
from checkout.web.payer.accounts import (
    accounts,
    chosen_payer,
    known_payers,
    receipt_path,
    remember_payer,
)
from checkout.web.payer.my_code import waiting_path
from checkout.web.problems import Problem
from checkout.web.scanned_picture import NotReadable

blueprint = Blueprint("wallet", __name__, url_prefix="/wallet")

_SEARCHED = 400
_HISTORY = 6


@blueprint.get("/")
@open_to_all
def home() -> str:
    """The chosen account, its ways to pay and its latest payments."""
    payer, wallet = chosen_payer(), top_up.fundable()
    return render_template(
        "payer/wallet.html",
        chosen=payer,
        waiting=waiting_path(payer),
        accounts=accounts(),
        wallet=wallet,
        stored=None if wallet is None else top_up.stored_minor(wallet),
        topped=() if wallet is None else current_shop().top_ups.recent(payer.name, _HISTORY),
        history=[
            {"payment": each, "path": receipt_path(each.id), "currency": _currency(each)}
            for each in _history(payer.name)
        ],
    )


@blueprint.post("/account")
@open_to_all
def choose() -> ResponseReturnValue:
    """Choose another demo account."""
    wanted = request.form.get("payer", "")
    if wanted not in known_payers():
        raise Problem(kind="payer", detail="payer: no demo account has that name.", field="payer")
    answer = make_response(redirect(url_for("wallet.home"), 303))
    remember_payer(answer, wanted)
    return answer


@blueprint.get("/scan")
@open_to_all
def scan() -> str:
    """Scan by live camera where the browser allows it, else by a photo."""
    return render_template("payer/scan.html", trouble=None)


@blueprint.post("/scan")
@open_to_all
def read_photo() -> ResponseReturnValue:
    """Read the code in a photo or a pasted text, and go to its page."""
    _check_pace()
    pasted = request.form.get("text", "").strip()[:1024]
    try:
        texts = [pasted] if pasted else current_context().pictures.in_photo()
        return redirect(target_of(texts), 303)
    except (NotReadable, NotOurs) as trouble:
        return make_response(render_template("payer/scan.html", trouble=str(trouble)), 422)


@blueprint.post("/frame")
@open_to_all
def read_frame() -> ResponseReturnValue:
    """Read one frame of the live camera: the page of the code in it, or null."""
    _check_pace()
    try:
        return jsonify(
            {
                "target": target_of(current_context().pictures.in_frame()),
                "trouble": None,
            }
        )
    except NotReadable:
        return jsonify({"target": None, "trouble": None})
    except NotOurs as trouble:
        return jsonify({"target": None, "trouble": str(trouble)})


def _check_pace() -> None:
    """Problem(too-many-tries) for a phone that sends more pictures than live scanning does."""
    wait_s = current_context().rate_limits.pictures.take(request.remote_addr)
    if wait_s > 0:
        detail = "Too many pictures came from this address; wait a little."
        raise Problem(kind="too-many-tries", detail=detail, retry_after_s=wait_s)


class NotOurs(ValueError):
    """The scanned text is no code of this shop."""


def target_of(texts: list[str]) -> str:
    """The page of this shop that the first code of ours opens; NotOurs where there is none.

    The address is never taken from the picture: a stranger's sticker opens nothing.
    """
    for text in texts:
        code = _code_in(text)
        if code is not None:
            return url_for("payer.show", code=code)
    raise NotOurs(
        "That is not a code of this shop, so nothing was opened. If it stood on the counter, "
        "tell the staff: someone may have pasted it over theirs."
    )


def _code_in(text: str) -> str | None:
    config = current_shop().config
    own = (codes.base_url(config), codes.local_url(config), request.host_url)
    try:
        found = link.parse_link(text)
    except link.LinkError:
        return _code_in_emv(text)
    return found.code if link.belongs_to(found, own) else None


def _code_in_emv(text: str) -> str | None:
    try:
        return codes.code_in_emv(text, current_shop().code_key)
    except CodeRefused as refused:
        raise NotOurs(f"Nothing was opened: {refused}. Tell the staff.") from None


def _history(payer: str) -> list[Payment]:
    found = [each for each in current_shop().payments.recent(_SEARCHED) if each.payer == payer]
    return found[:_HISTORY]


def _currency(payment: Payment) -> str:
    return current_shop().orders.get(payment.order_id).currency
