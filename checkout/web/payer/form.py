"""What the payer's forms share: the PIN, a typed amount, paying once, the words of a refusal."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from flask import Response, make_response, request
from flask.typing import ResponseReturnValue

from checkout.errors import ShopError
from checkout.money import Money
from checkout.shop.payments.payments import Payment
from checkout.web.context import current_context, current_shop
from checkout.web.idempotency import fingerprint
from checkout.web.problems import Problem, as_response

NO_BANK = "The bank cannot be reached right now. Nothing was charged; try again."
NO_PIN = "Type the six digits of the demo account's PIN."
_WRONG_PIN = {
    "55": "That PIN is wrong. Nothing was charged.",
    "75": "The PIN was wrong too often: this account is blocked. Choose another account.",
}
_PIN_REFUSED = 403
_PIN = re.compile(r"[0-9]{6}", re.ASCII)
_SUBMISSION = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_CURRENCY_SIGN = re.compile(r"^[A-Z]{3}\s*")


def new_submission() -> str:
    """The hidden field of a new form: sent twice with the same value, the form counts once."""
    return secrets.token_urlsafe(18)


def submission() -> str | None:
    """The hidden field of the form that was sent; None where it is missing or malformed."""
    sent = request.form.get("submission", "")
    return sent if _SUBMISSION.fullmatch(sent) else None


def once(
    scope: str, submission: str, content: tuple[str, ...], work: Callable[[], ResponseReturnValue]
) -> Response:
    """Do `work` once, however often the form is sent; the form's `content` must stay the same.

    Nothing is stored for a form that was refused, except where a PIN was tried: strangers can send
    as many as they like. Problem(too-many-tries) for an address that sends too many of those.
    """
    refusals = current_context().rate_limits.forms
    wait_s = refusals.wait_s(request.remote_addr)
    if wait_s > 0:
        detail = "Too many forms from this address were refused; wait a minute."
        raise Problem(kind="too-many-tries", detail=detail, retry_after_s=wait_s)
    response = current_context().responses.once(
        scope,
        submission,
        fingerprint(*content),
        lambda: _answered(work),
        patience_s=current_shop().config.clearing_timeout_s + 5,
        refusals_stored=(_PIN_REFUSED,),
    )
    if 400 <= response.status_code < 500:
        refusals.failed(request.remote_addr)
    return response


def _answered(work: Callable[[], ResponseReturnValue]) -> Response:
    try:
        return make_response(work())
    except (Problem, ShopError) as refusal:
        return as_response(refusal)


def pin_trouble(pin: str) -> str | None:
    """What the page says of a PIN that cannot be one; None for six digits."""
    return NO_PIN if _PIN.fullmatch(pin) is None else None


def wrong_pin(payment: Payment) -> str | None:
    """What the page says where the issuer refused the PIN; None for any other outcome."""
    return _WRONG_PIN.get(payment.response_code or "")


def typed_amount(currency: str) -> Money:
    """The amount in the form, with or without the currency before it; AmountError."""
    typed = request.form.get("amount", "")[:32].strip()
    return Money.parse_typed(_CURRENCY_SIGN.sub("", typed), currency)


def without_field(error: Exception) -> str:
    """The message without the field's name: on the page the field is right above it."""
    message = str(error).partition(": ")[2] or str(error)
    return f"{message[:1].upper()}{message[1:]}."
