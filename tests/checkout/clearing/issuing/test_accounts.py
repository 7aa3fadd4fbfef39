"""The accounts of the demo world, and participants and account files that can't be."""

from __future__ import annotations

import pytest

from checkout.clearing.issuing.accounts import (
    AccountsError,
    demo_accounts,
    luhn_valid,
    parse_accounts,
)
from checkout.clearing.scheme.participants import (
    CardKind,
    ParticipantsError,
    Role,
    demo_participants,
    parse_participants,
)

WORLD = demo_accounts()
ACCOUNT = """[[account]]
account = "9999011000000019"
payer = "one"
title = "t"
purpose = "p"
kind = "debit"
currency = "CNY"
expiry = "3012"
pin = "123456"
balance_minor = 0
"""


@pytest.mark.parametrize("number", [*WORLD.accounts, *WORLD.payment_tokens])
def test_no_demo_number_is_payable_by_a_real_network(number: str) -> None:
    assert number.startswith("9999") and luhn_valid(number)
    assert demo_participants().holder_of(number) is not None


def test_kind_and_currency_of_an_account_agree_with_its_range() -> None:
    network = demo_participants()
    for account in WORLD.accounts.values():
        held = network.range_of(account.account)
        assert held is not None and held.card_kind is account.kind
        assert network.by_id[held.participant].currency == account.currency


def test_payment_tokens_come_from_requestors_allowed_in_their_domain() -> None:
    network = demo_participants()
    for one in WORLD.payment_tokens.values():
        assert one.domain in network.token_requestors[one.requestor].domains
        held = network.range_of(one.payment_token)
        assert held is not None and held.card_kind is CardKind.TOKEN


def test_payers_are_found_by_name_and_named_once() -> None:
    names = [one.payer for one in (*WORLD.accounts.values(), *WORLD.payment_tokens.values())]
    assert len(names) == len(set(names))
    found = WORLD.by_payer("unionpay-debit")
    assert found is WORLD.accounts["9999011000000019"]
    assert WORLD.by_payer("nobody") is None


def test_neither_pin_nor_whole_number_is_shown() -> None:
    shown = repr(WORLD.accounts["9999011000000019"])
    assert "123456" not in shown and "9999011000000019" not in shown
    assert WORLD.accounts["9999011000000019"].masked == "999901******0019"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ACCOUNT + ACCOUNT, "stands twice"),
        (ACCOUNT.replace("0019", "0018"), "check digit"),
        (ACCOUNT.replace("9999011000000019", "4111111111111111"), "9999"),
        (ACCOUNT.replace("CNY", "XXX"), "currency"),
        (ACCOUNT.replace("debit", "gold"), "gold"),
        (ACCOUNT + "colour = 'red'", "colour"),
        (ACCOUNT + "linked_account = '9999021000000018'", "linked"),
        (ACCOUNT + "[[payment_token]]\nname='x'", "payment token"),
    ],
)
def test_account_file_that_cannot_be_is_told(text: str, said: str) -> None:
    with pytest.raises(AccountsError, match=said):
        parse_accounts(text)


def test_every_role_is_taken_and_institutions_differ() -> None:
    network = demo_participants()
    assert all(network.with_role(role) for role in Role)
    assert len(network.by_institution) == len(network.by_id)
    assert len(network.with_role(Role.ISSUER)) >= 2 and len(network.with_role(Role.ACQUIRER)) >= 2


def test_number_of_nobodys_range_belongs_to_nobody() -> None:
    assert demo_participants().range_of("6222021234567890") is None
    assert demo_participants().holder_of("") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[participant]]\nid='a'\nrole='issuer'", "participant"),
        ("[[participant]]\nid='a'\nrole='king'", "king"),
        (
            "[[range]]\nprefix='999901'\nparticipant='a'\ncard_kind='debit'\nscheme='visa'",
            "no participant",
        ),
    ],
)
def test_participants_file_that_cannot_be_is_told(text: str, said: str) -> None:
    with pytest.raises(ParticipantsError, match=said):
        parse_participants(text)
