"""The steps of a dispute over a sale, and how each moves the money. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from checkout.clearing.settlement.netting import Movement

CHARGEBACK_DAYS = 180
#: Days from one step of a dispute within which the other side has to answer.
ANSWER_DAYS = 30


class DisputeState(StrEnum):
    """How far a dispute has come; the last two are final."""

    CHARGED_BACK = "charged-back"
    REPRESENTED = "represented"
    FINAL_FOR_PAYER = "final-for-payer"
    FINAL_FOR_MERCHANT = "final-for-merchant"


class DisputeReason(StrEnum):
    """Why the issuer charges back."""

    FRAUD = "fraud"
    NOT_RECEIVED = "not-received"
    CHARGED_TWICE = "charged-twice"
    AMOUNT_DIFFERS = "amount-differs"


class DisputeError(ValueError):
    """A step that doesn't follow from the dispute's state, or comes too late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """One dispute over all or part of a payment, in minor units of the payment's currency."""

    payment_id: str
    amount_minor: int
    reason: DisputeReason
    state: DisputeState
    answer_by: date | None  # None once it is final


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeStep:
    """A dispute after a step and how the step moves the money; None where it moves none."""

    dispute: Dispute
    movement: Movement | None


def dispute_as_json(dispute: Dispute) -> dict[str, Any]:
    """A dispute as the tables store it."""
    return {
        "payment_id": dispute.payment_id,
        "amount_minor": dispute.amount_minor,
        "reason": dispute.reason.value,
        "state": dispute.state.value,
        "answer_by": None if dispute.answer_by is None else dispute.answer_by.isoformat(),
    }


def dispute_from_json(fields: dict[str, Any]) -> Dispute:
    """The dispute that `dispute_as_json` wrote."""
    answer_by = fields["answer_by"]
    return Dispute(
        payment_id=fields["payment_id"],
        amount_minor=fields["amount_minor"],
        reason=DisputeReason(fields["reason"]),
        state=DisputeState(fields["state"]),
        answer_by=None if answer_by is None else date.fromisoformat(answer_by),
    )


def charge_back(
    payment_id: str,
    *,
    paid_minor: int,
    refunded_minor: int,
    amount_minor: int,
    reason: DisputeReason,
    sold_on: date,
    on: date,
) -> DisputeStep:
    """The issuer takes the money back for the payer; DisputeError where it can't."""
    if not 0 < amount_minor <= paid_minor - refunded_minor:
        raise DisputeError(f"amount: expected 1 to {paid_minor - refunded_minor}")
    if on < sold_on or on > sold_on + timedelta(days=CHARGEBACK_DAYS):
        raise DisputeError(f"date: a chargeback is taken for {CHARGEBACK_DAYS} days")
    dispute = Dispute(
        payment_id=payment_id,
        amount_minor=amount_minor,
        reason=reason,
        state=DisputeState.CHARGED_BACK,
        answer_by=on + timedelta(days=ANSWER_DAYS),
    )
    return DisputeStep(dispute=dispute, movement=Movement.CHARGEBACK)


def represent(dispute: Dispute, *, on: date) -> DisputeStep:
    """The acquirer answers with evidence and gets the money back for the merchant."""
    _expect(dispute, DisputeState.CHARGED_BACK, on)
    return DisputeStep(
        dispute=replace(
            dispute, state=DisputeState.REPRESENTED, answer_by=on + timedelta(days=ANSWER_DAYS)
        ),
        movement=Movement.REPRESENTMENT,
    )


def decide_finally(dispute: Dispute, *, for_payer: bool, on: date) -> DisputeStep:
    """The network decides a represented dispute; money moves only if the payer wins."""
    _expect(dispute, DisputeState.REPRESENTED, on)
    state = DisputeState.FINAL_FOR_PAYER if for_payer else DisputeState.FINAL_FOR_MERCHANT
    return DisputeStep(
        dispute=replace(dispute, state=state, answer_by=None),
        movement=Movement.CHARGEBACK if for_payer else None,
    )


def lapse(dispute: Dispute, *, on: date) -> DisputeStep:
    """Once the answer is overdue, the money stays where it is for good; nothing before that."""
    if dispute.answer_by is None or on <= dispute.answer_by:
        return DisputeStep(dispute=dispute, movement=None)
    charged = dispute.state is DisputeState.CHARGED_BACK
    state = DisputeState.FINAL_FOR_PAYER if charged else DisputeState.FINAL_FOR_MERCHANT
    return DisputeStep(dispute=replace(dispute, state=state, answer_by=None), movement=None)


def _expect(dispute: Dispute, state: DisputeState, on: date) -> None:
    if dispute.state is not state:
        raise DisputeError(f"state: expected {state}, is {dispute.state}")
    if dispute.answer_by is not None and on > dispute.answer_by:
        raise DisputeError(f"date: the answer was due by {dispute.answer_by.isoformat()}")
