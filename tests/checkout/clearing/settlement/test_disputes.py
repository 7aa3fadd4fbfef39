"""Refunds within what was paid, and disputes from chargeback to the final word."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, strategies as st

from checkout.clearing.authorisation.refund_rules import REFUND_DAYS, refund_decision
from checkout.clearing.settlement.disputes import (
    ANSWER_DAYS,
    CHARGEBACK_DAYS,
    Dispute,
    DisputeError,
    DisputeReason,
    DisputeState,
    DisputeStep,
    charge_back,
    decide_finally,
    lapse,
    represent,
)
from checkout.clearing.settlement.netting import Movement

SOLD = date(2026, 3, 2)


def refunded(refund: int, *, before: int = 0, disputed: int = 0, on: date = SOLD) -> str:
    return refund_decision(
        paid_minor=100_00,
        refunded_minor=before,
        disputed_minor=disputed,
        refund_minor=refund,
        sold_on=SOLD,
        on=on,
    ).response_code


@pytest.mark.parametrize(
    ("refund", "before", "disputed", "code"),
    [
        (100_00, 0, 0, "00"),
        (100_01, 0, 0, "61"),
        (40_00, 60_00, 0, "00"),
        (40_01, 60_00, 0, "61"),
        (40_00, 0, 60_00, "00"),
        (40_01, 0, 60_00, "61"),
        (1, 100_00, 0, "61"),
        (0, 0, 0, "13"),
        (-1, 0, 0, "13"),
    ],
)
def test_no_more_is_refunded_than_was_paid_and_is_not_disputed(
    refund: int, before: int, disputed: int, code: str
) -> None:
    assert refunded(refund, before=before, disputed=disputed) == code


def test_refund_is_taken_for_a_year() -> None:
    last = SOLD + timedelta(days=REFUND_DAYS)
    assert refunded(1, on=last) == "00"
    assert refunded(1, on=last + timedelta(days=1)) == "57"
    assert refunded(1, on=SOLD - timedelta(days=1)) == "57"


def opened(amount: int = 100_00, *, refunded_minor: int = 0, on: date = SOLD) -> Dispute:
    step = charge_back(
        "p1",
        paid_minor=100_00,
        refunded_minor=refunded_minor,
        amount_minor=amount,
        reason=DisputeReason.FRAUD,
        sold_on=SOLD,
        on=on,
    )
    assert step.movement is Movement.CHARGEBACK
    return step.dispute


@pytest.mark.parametrize(("amount", "before"), [(100_01, 0), (40_01, 60_00), (0, 0), (-1, 0)])
def test_no_more_is_charged_back_than_is_left(amount: int, before: int) -> None:
    with pytest.raises(DisputeError, match="amount"):
        opened(amount, refunded_minor=before)


def test_chargeback_has_a_last_day() -> None:
    assert opened(on=SOLD + timedelta(days=CHARGEBACK_DAYS))
    with pytest.raises(DisputeError, match="date"):
        opened(on=SOLD + timedelta(days=CHARGEBACK_DAYS + 1))


def test_representment_gives_the_money_back_until_the_final_word() -> None:
    answered = represent(opened(), on=SOLD)
    assert answered.movement is Movement.REPRESENTMENT
    lost = decide_finally(answered.dispute, for_payer=True, on=SOLD)
    assert (lost.dispute.state, lost.movement) == (
        DisputeState.FINAL_FOR_PAYER,
        Movement.CHARGEBACK,
    )
    won = decide_finally(answered.dispute, for_payer=False, on=SOLD)
    assert (won.dispute.state, won.movement) == (DisputeState.FINAL_FOR_MERCHANT, None)


def test_silence_decides_after_the_last_day() -> None:
    late = SOLD + timedelta(days=ANSWER_DAYS + 1)
    dispute = opened()
    assert lapse(dispute, on=late - timedelta(days=1)).dispute is dispute
    assert lapse(dispute, on=late).dispute.state is DisputeState.FINAL_FOR_PAYER
    answered = represent(dispute, on=SOLD).dispute
    assert lapse(answered, on=late).dispute.state is DisputeState.FINAL_FOR_MERCHANT
    with pytest.raises(DisputeError, match="due"):
        represent(dispute, on=late)


def test_final_means_final() -> None:
    dispute = decide_finally(represent(opened(), on=SOLD).dispute, for_payer=True, on=SOLD).dispute
    for step in (represent, lambda one, on: decide_finally(one, for_payer=False, on=on)):
        with pytest.raises(DisputeError, match="state"):
            step(dispute, on=SOLD)
    assert lapse(dispute, on=SOLD + timedelta(days=999)).dispute is dispute


def _tried(name: str, dispute: Dispute, on: date) -> DisputeStep:
    if name == "represent":
        return represent(dispute, on=on)
    if name == "lapse":
        return lapse(dispute, on=on)
    return decide_finally(dispute, for_payer=name == "payer", on=on)


@given(st.lists(st.sampled_from(["represent", "payer", "merchant", "lapse"]), max_size=6))
def test_money_ends_with_payer_or_merchant_whatever_is_tried(steps: list[str]) -> None:
    dispute, with_payer, on = opened(), 100_00, SOLD
    for name in steps:
        on += timedelta(days=ANSWER_DAYS + 1 if name == "lapse" else 1)
        try:
            step = _tried(name, dispute, on)
        except DisputeError:
            continue
        dispute = step.dispute
        if step.movement is not None:
            with_payer -= step.movement.sign * dispute.amount_minor
        assert with_payer in (0, 100_00)
    holds_payer = dispute.state in (DisputeState.CHARGED_BACK, DisputeState.FINAL_FOR_PAYER)
    assert (with_payer == 100_00) is holds_payer
