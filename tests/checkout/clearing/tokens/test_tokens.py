"""Payment tokens: their life, their domain, and what a stolen one is worth elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given, strategies as st

from checkout.clearing.issuing.accounts import (
    AccountState,
    AccountStatus,
    demo_accounts,
    luhn_valid,
)
from checkout.clearing.messages import (
    AuthorizationRequest,
    EntryMode,
    Initiation,
    TransactionType,
)
from checkout.clearing.scheme.participants import TokenRequestor, demo_participants
from checkout.clearing.tokens.token_service import (
    Detokenised,
    PaymentToken,
    TokenAction,
    TokenDomain,
    TokenError,
    TokenRefusal,
    TokenState,
    Verification,
    advance,
    detokenise,
    payment_account_reference,
    request_token,
    token_cryptogram,
    token_number,
    verify,
    verify_token_cryptogram,
)

TODAY = date(2026, 3, 2)
ACCOUNT = "9999011000000019"
KEY = bytes(range(16))
REQUESTOR = TokenRequestor(
    id="99900000001", name="app", title="", domains=tuple(TokenDomain), keys="limited-use"
)
TOKEN = PaymentToken(
    number="9999701000000015",
    account=ACCOUNT,
    requestor_id=REQUESTOR.id,
    domain=TokenDomain.CONTACTLESS,
    expiry="3012",
    reference="9999ABC",
    state=TokenState.ACTIVE,
    assurance="70",
)


def used(**changed: Any) -> AuthorizationRequest:
    return AuthorizationRequest(
        **{
            "transaction_type": TransactionType.PURCHASE,
            "account": TOKEN.number,
            "amount_minor": 12_80,
            "currency": "CNY",
            "stan": 1,
            "rrn": "000000000001",
            "transmitted_at": datetime(2026, 3, 2, tzinfo=UTC),
            "entry_mode": EntryMode.CONTACTLESS_CHIP,
            "initiation": Initiation.CARD,
            "acquirer": "90020001",
            "forwarder": "90020001",
            "terminal_id": "T0000001",
            "merchant_id": "M00000000000001",
            "merchant_name": "Tea",
            "mcc": "5814",
            "country": "156",
            "icc": b"\x9c\x01\x00",
            **changed,
        }
    )


TAP = used()
CODE = used(entry_mode=EntryMode.BARCODE, initiation=Initiation.DYNAMIC_CODE, icc=None)
PAYER_CODE = used(entry_mode=EntryMode.BARCODE, initiation=Initiation.PAYER_CODE)
ONLINE = used(
    entry_mode=EntryMode.ECOMMERCE,
    initiation=Initiation.ONLINE,
    icc=None,
    token_cryptogram=bytes(14),
)
TYPED = used(entry_mode=EntryMode.MANUAL, initiation=Initiation.ONLINE, icc=None)


def asked(domain: TokenDomain = TokenDomain.CONTACTLESS, **changed: Any) -> object:
    holder = AccountState(account=demo_accounts().accounts[ACCOUNT], balance_minor=0)
    return request_token(
        **{
            "number": TOKEN.number,
            "holder": holder,
            "requestor": REQUESTOR,
            "domain": domain,
            "expiry": "3012",
            "reference": "9999ABC",
            "on": TODAY,
            **changed,
        }
    )


@pytest.mark.parametrize(
    ("domain", "works_with"),
    [
        (TokenDomain.CONTACTLESS, [TAP]),
        (TokenDomain.CODE, [CODE, PAYER_CODE]),
        (TokenDomain.ONLINE, [ONLINE]),
        (TokenDomain.MERCHANT, [ONLINE]),
    ],
)
def test_payment_token_works_in_its_domain_and_a_stolen_one_nowhere_else(
    domain: TokenDomain, works_with: list[AuthorizationRequest]
) -> None:
    merchant = TAP.merchant_id if domain is TokenDomain.MERCHANT else None
    token = replace(TOKEN, domain=domain, merchant=merchant)
    for request in (TAP, CODE, PAYER_CODE, ONLINE, TYPED):
        found = detokenise(token, request, on=TODAY)
        if request in works_with:
            assert isinstance(found, Detokenised) and found.account == ACCOUNT
        else:
            assert found == TokenRefusal(response_code="57", reason="token-outside-domain")


@pytest.mark.parametrize(
    "changed",
    [
        {"icc": None},
        {"entry_mode": EntryMode.MANUAL},
        {"entry_mode": EntryMode.CONTACTLESS_MAGSTRIPE},
        {"entry_mode": EntryMode.CONTACT_CHIP},
        {"initiation": Initiation.ONLINE},
    ],
)
def test_almost_a_tap_is_none(changed: dict[str, Any]) -> None:
    found = detokenise(TOKEN, replace(TAP, **changed), on=TODAY)
    assert isinstance(found, TokenRefusal) and found.reason == "token-outside-domain"


@pytest.mark.parametrize("domain", [TokenDomain.ONLINE, TokenDomain.MERCHANT])
def test_online_number_without_a_cryptogram_is_refused(domain: TokenDomain) -> None:
    token = replace(TOKEN, domain=domain, merchant=TAP.merchant_id)
    found = detokenise(token, replace(ONLINE, token_cryptogram=None), on=TODAY)
    assert isinstance(found, TokenRefusal) and found.reason == "token-outside-domain"


def test_token_for_one_merchant_is_refused_at_another() -> None:
    token = replace(TOKEN, domain=TokenDomain.MERCHANT, merchant="M00000000000001")
    elsewhere = replace(ONLINE, merchant_id="M00000000000002")
    assert isinstance(detokenise(token, ONLINE, on=TODAY), Detokenised)
    assert isinstance(detokenise(token, elsewhere, on=TODAY), TokenRefusal)


def test_issuer_gets_the_account_and_all_about_the_token() -> None:
    found = detokenise(TOKEN, replace(TAP, token_requestor=REQUESTOR.id), on=TODAY)
    assert isinstance(found, Detokenised)
    assert (found.payment_token, found.assurance) == (TOKEN.number, "70")
    assert (found.reference, found.requestor_id) == ("9999ABC", REQUESTOR.id)
    assert ACCOUNT not in repr(found) and TOKEN.number not in repr(TOKEN)


@pytest.mark.parametrize(
    ("token", "code", "reason"),
    [
        (None, "14", "token-unknown"),
        (replace(TOKEN, state=TokenState.DELETED), "14", "token-unknown"),
        (replace(TOKEN, state=TokenState.SUSPENDED), "62", "token-suspended"),
        (replace(TOKEN, state=TokenState.REQUESTED), "62", "token-requested"),
        (replace(TOKEN, state=TokenState.VERIFIED), "62", "token-verified"),
        (replace(TOKEN, expiry="2602"), "54", "token-expired"),
        (replace(TOKEN, expiry="2603"), None, None),
    ],
)
def test_token_that_may_not_pay_is_refused(
    token: PaymentToken | None, code: str | None, reason: str | None
) -> None:
    found = detokenise(token, TAP, on=TODAY)
    if code is None or reason is None:
        assert isinstance(found, Detokenised)
    else:
        assert found == TokenRefusal(response_code=code, reason=reason)


def test_request_that_names_another_requestor_is_refused() -> None:
    found = detokenise(TOKEN, replace(TAP, token_requestor="99900000002"), on=TODAY)
    assert isinstance(found, TokenRefusal) and found.reason == "token-requestor-differs"


def test_life_from_request_to_deletion() -> None:
    token = asked()
    assert isinstance(token, PaymentToken) and token.state is TokenState.REQUESTED
    token = verify(token, Verification.ONE_TIME_CODE, passed=True)
    assert (token.state, token.assurance) == (TokenState.VERIFIED, "40")
    for action, state in (
        (TokenAction.ACTIVATE, TokenState.ACTIVE),
        (TokenAction.SUSPEND, TokenState.SUSPENDED),
        (TokenAction.RESUME, TokenState.ACTIVE),
        (TokenAction.DELETE, TokenState.DELETED),
    ):
        token = advance(token, action)
        assert token.state is state


ALLOWED = {
    (TokenAction.ACTIVATE, TokenState.VERIFIED),
    (TokenAction.SUSPEND, TokenState.ACTIVE),
    (TokenAction.RESUME, TokenState.SUSPENDED),
    (TokenAction.DELETE, TokenState.REQUESTED),
    (TokenAction.DELETE, TokenState.VERIFIED),
    (TokenAction.DELETE, TokenState.ACTIVE),
    (TokenAction.DELETE, TokenState.SUSPENDED),
}


@pytest.mark.parametrize(
    ("action", "state"), sorted(set(product(TokenAction, TokenState)) - ALLOWED)
)
def test_steps_out_of_order_are_faults(action: TokenAction, state: TokenState) -> None:
    with pytest.raises(TokenError):
        advance(replace(TOKEN, state=state), action)


def test_third_failed_verification_deletes_the_token() -> None:
    token = asked()
    assert isinstance(token, PaymentToken)
    states = []
    for _ in range(3):
        token = verify(token, Verification.ONE_TIME_CODE, passed=False)
        states.append(token.state)
    assert states == [TokenState.REQUESTED, TokenState.REQUESTED, TokenState.DELETED]
    with pytest.raises(TokenError):
        verify(token, Verification.BANK_APP, passed=True)


def test_surer_verification_earns_higher_assurance() -> None:
    token = asked()
    assert isinstance(token, PaymentToken)
    levels = [verify(token, method, passed=True).assurance for method in Verification]
    assert levels == sorted(levels) and len(set(levels)) == len(levels)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"requestor": replace(REQUESTOR, domains=("code",))}, "requestor-not-allowed-domain"),
        ({"merchant": "M00000000000001"}, "merchant-and-domain-disagree"),
        ({"domain": TokenDomain.MERCHANT}, "merchant-and-domain-disagree"),
        (
            {
                "holder": AccountState(
                    account=demo_accounts().accounts[ACCOUNT],
                    balance_minor=0,
                    status=AccountStatus.LOST,
                )
            },
            "account-lost",
        ),
        ({"on": date(2031, 1, 1)}, "expired"),
    ],
)
def test_token_is_not_given_to_whoever_asks(changed: dict[str, Any], reason: str) -> None:
    found = asked(**changed)
    assert isinstance(found, TokenRefusal) and found.reason == reason


@given(st.integers(0, 10**9 - 1))
def test_token_numbers_have_a_check_digit_and_the_services_range(serial: int) -> None:
    number = token_number(serial)
    assert len(number) == 16 and luhn_valid(number)
    held = demo_participants().range_of(number)
    assert held is not None and held.participant == "token-service"


def test_serial_beyond_the_range_is_a_fault() -> None:
    with pytest.raises(TokenError):
        token_number(10**9)


def test_account_reference_is_stable_and_tells_nothing_of_the_number() -> None:
    found = payment_account_reference(ACCOUNT, b"secret")
    assert found == payment_account_reference(ACCOUNT, b"secret")
    assert len(found) == 29 and found.isalnum() and found.isupper()
    assert ACCOUNT[6:] not in found
    assert found != payment_account_reference(ACCOUNT, b"other")
    assert found != payment_account_reference("9999031000000017", b"secret")


def test_online_cryptogram_pays_one_merchant_one_amount() -> None:
    signed = replace(ONLINE, token_cryptogram=token_cryptogram(KEY, ONLINE, 9, b"\1\2\3\4"))
    verdict = verify_token_cryptogram(KEY, signed)
    assert (verdict.valid, verdict.atc) == (True, 9)
    for changed in (
        {"amount_minor": 12_81},
        {"currency": "USD"},
        {"merchant_id": "M00000000000002"},
        {"account": "9999701000000023"},
        {"token_cryptogram": None},
        {"token_cryptogram": b"\0\x0a" + (signed.token_cryptogram or b"")[2:]},
    ):
        assert not verify_token_cryptogram(KEY, replace(signed, **changed)).valid  # type: ignore[arg-type]
    assert not verify_token_cryptogram(KEY[::-1], signed).valid
