"""The dispute of one sale in the back office: its state and the steps that may follow."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from checkout.clearing.client.client import NoAnswer, NotSent, OperationFailed
from checkout.clearing.queries import LoggedMessage, SaleDispute
from checkout.clearing.settlement.disputes import DisputeState
from checkout.money import AmountError, Money
from checkout.web import clearing_tables
from checkout.web.context import current_shop
from checkout.web.problems import Problem

blueprint = Blueprint("disputes", __name__, url_prefix="/network/messages")

_SALES = ("purchase", "completion", "completion-advice", "offline-advice")
#: Step -> the switch's operation and its arguments besides the reference.
_STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "charge-back": ("charge-back", {}),
    "represent": ("represent", {}),
    "for-payer": ("decide", {"for_payer": True}),
    "for-merchant": ("decide", {"for_payer": False}),
    "lapse": ("lapse", {}),
}
#: State of a dispute -> the steps that may follow, with the labels of their buttons.
_NEXT = {
    DisputeState.CHARGED_BACK: (("represent", "Acquirer: represent"), ("lapse", "Let it lapse")),
    DisputeState.REPRESENTED: (
        ("for-payer", "Network: for the payer"),
        ("for-merchant", "Network: for the merchant"),
        ("lapse", "Let it lapse"),
    ),
}


def all_disputes() -> tuple[SaleDispute, ...]:
    """Every dispute; none before the switch has run on this database."""
    return clearing_tables.read(current_shop().books.disputes, ())


def dispute_of(message: LoggedMessage) -> dict[str, Any] | None:
    """The dispute of a message and its next steps; None where there can't be one."""
    if message.kind not in _SALES or message.response_code != "00":
        return None
    found = next((each for each in all_disputes() if each.entry == message.seq), None)
    steps = () if found is None else _NEXT.get(found.state, ())
    return {"dispute": found, "steps": steps}


@blueprint.post("/<int:seq>/dispute")
def step(seq: int) -> ResponseReturnValue:
    """Take the next step of a dispute; Problem(dispute) where it can't be taken."""
    shop = current_shop()
    message = shop.books.message(seq) if seq < 2**62 else None
    if message is None:
        raise Problem(kind="unknown-message", detail="The switch has logged no such message.")
    wanted = _STEPS.get(request.form.get("step", ""))
    if wanted is None:
        detail = f"step: expected one of {', '.join(_STEPS)}"
        raise Problem(kind="dispute", detail=detail, field="step")
    operation, arguments = wanted
    arguments = arguments | {"rrn": message.rrn}
    if operation == "charge-back":
        arguments |= _claim(message)
    try:
        shop.clearing().operate(operation, arguments)
    except (NotSent, NoAnswer) as error:
        raise Problem(kind="clearing-unavailable", detail=f"clearing: {error}") from None
    except OperationFailed as error:
        raise Problem(kind="dispute", detail=f"dispute: {error}") from None
    shop.disputes.sweep()
    return redirect(url_for("network.message", seq=seq), 303)


def _claim(message: LoggedMessage) -> dict[str, Any]:
    """The reason of a charge-back, and the amount where it is not the whole sale."""
    claim: dict[str, Any] = {"reason": request.form.get("reason", "fraud")}
    typed = request.form.get("amount", "")[:32].strip()
    if typed:
        try:
            amount = Money.parse_typed(typed, message.currency)
        except AmountError as error:
            raise Problem(kind="dispute", detail=str(error), field="amount") from None
        claim["amount_minor"] = amount.amount_minor
    return claim
