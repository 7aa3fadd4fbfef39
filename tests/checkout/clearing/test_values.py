"""The values that every payment makes: nothing of them can be changed, and none shows a secret."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from checkout.clearing.authorisation.context import Outcome, RequestContext
from checkout.clearing.hsm.decoded_proof import DecodedProof
from checkout.clearing.hsm.icc_data import CardholderVerification
from checkout.clearing.issuing.accounts import AccountState, demo_accounts
from checkout.clearing.issuing.decision import Evidence, Usage
from checkout.clearing.ledger.ledger import Balance
from checkout.clearing.ledger.postings import Parties
from checkout.clearing.messages import AuthorizationResponse
from checkout.clearing.scheme.fees import FeeSplit
from checkout.clearing.scheme.rules import House
from checkout.clearing.switch.samples import TAP
from tests.checkout.clearing.network import DEBIT

_RESPONSE = AuthorizationResponse(response_code="00", stan=1, rrn="000000000001")
_CONTEXT = RequestContext(
    seq=1_234_567,
    now=datetime(2026, 3, 2, 4, tzinfo=UTC),
    at_us=1,
    business_date=date(2026, 3, 2),
    request=TAP,
    pin_key=bytes(range(16)),
    proof=DecodedProof(
        valid=True,
        reason="",
        kind="ARQC",
        atc=1,
        cvn=1,
        tvr=bytes(5),
        cvr=b"",
        unpredictable_number=bytes(4),
        amount_minor=1280,
        currency="156",
        key_serial=None,
        approval=b"",
        cardholder=CardholderVerification.NONE,
    ),
)
_PARTIES = Parties(
    account=DEBIT,
    billing_currency="CNY",
    billing_minor=1280,
    holder="lane-bank",
    acquirer="market-acquirer",
    merchant="999156058120001",
    currency="CNY",
)
VALUES: list[tuple[Any, str]] = [
    (TAP, "amount_minor"),
    (_RESPONSE, "response_code"),
    (Outcome(response=_RESPONSE), "response"),
    (_CONTEXT, "request"),
    (_PARTIES, "billing_minor"),
    (FeeSplit(amount_minor=1280, house=House.FOUR_PARTY), "amount_minor"),
    (Balance(credits_posted=1), "credits_posted"),
    (Usage(day_minor=1), "day_minor"),
    (Evidence(), "unverifiable"),
    (AccountState(account=demo_accounts().accounts[DEBIT], balance_minor=1), "balance_minor"),
]


@pytest.mark.parametrize(("value", "name"), VALUES, ids=lambda one: type(one).__name__)
def test_nothing_of_a_value_can_be_changed(value: Any, name: str) -> None:
    before = getattr(value, name)
    with pytest.raises(AttributeError):
        setattr(value, name, None)
    with pytest.raises(AttributeError):
        delattr(value, name)
    with pytest.raises((AttributeError, TypeError)):
        value.no_such_field = 1
    assert getattr(value, name) is before


@pytest.mark.parametrize(("value", "name"), VALUES, ids=lambda one: type(one).__name__)
def test_a_field_that_is_unknown_is_refused(value: Any, name: str) -> None:
    with pytest.raises(TypeError):
        type(value)(**{name: getattr(value, name)}, no_such_field=1)


def test_values_of_the_same_fields_are_equal() -> None:
    assert Balance(credits_posted=1) == Balance(credits_posted=1) != Balance()
    assert hash(Balance(credits_posted=1)) == hash(Balance(credits_posted=1))


def test_a_request_context_shows_neither_account_nor_pin_key() -> None:
    shown = repr(_CONTEXT) + str(_CONTEXT)
    assert TAP.account not in shown
    assert repr(_CONTEXT.pin_key) not in shown


def test_a_context_that_asks_something_else_keeps_nothing_that_was_verified() -> None:
    other = _CONTEXT.with_request(TAP)
    assert (other.seq, other.now, other.pin_key) == (_CONTEXT.seq, _CONTEXT.now, _CONTEXT.pin_key)
    assert _CONTEXT.proof is not None and other.proof is None
    assert _CONTEXT.approval_code == "234567"
