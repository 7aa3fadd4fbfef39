"""The operator's own decisions and books."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from checkout.clearing.hsm.pin import PinVerdict
from checkout.clearing.issuing.accounts import AccountState, AccountStatus, demo_accounts
from checkout.clearing.issuing.decision import Decision, Evidence, Usage
from checkout.clearing.messages import (
    AuthorizationRequest,
    EntryMode,
    Initiation,
    TransactionType,
)
from checkout.clearing.scheme.rules import AccountClass, rules_of_china
from checkout.clearing.wallet_operator import (
    Source,
    decide_wallet_payment,
    top_up_decision,
)

TODAY = date(2026, 3, 2)
BALANCE, QUICK, BANK = "9999801000000013", "9999801000000021", "9999011000000019"
CLASS_III_BANK = "9999021000000026"
PIN = Evidence(pin=PinVerdict(response_code="00", tries_left=3))


def held(account: str, balance: int, **changed: Any) -> AccountState:
    return AccountState(account=demo_accounts().accounts[account], balance_minor=balance, **changed)


def request(account: str, amount_minor: int, **changed: Any) -> AuthorizationRequest:
    return AuthorizationRequest(
        **{
            "transaction_type": TransactionType.PURCHASE,
            "account": account,
            "amount_minor": amount_minor,
            "currency": "CNY",
            "stan": 1,
            "rrn": "000000000001",
            "transmitted_at": datetime(2026, 3, 2, tzinfo=UTC),
            "entry_mode": EntryMode.BARCODE,
            "initiation": Initiation.DYNAMIC_CODE,
            "acquirer": "90030001",
            "forwarder": "90030001",
            "terminal_id": "T0000001",
            "merchant_id": "M00000000000001",
            "merchant_name": "Tea",
            "mcc": "5814",
            "country": "156",
            **changed,
        }
    )


def decide(state: AccountState, asked: AuthorizationRequest, **changed: Any) -> tuple[str, Source]:
    on = changed.pop("on", TODAY)
    found = decide_wallet_payment(
        state,
        asked,
        **{
            "usage": Usage(),
            "evidence": PIN,
            "rules": rules_of_china().on(on),
            "business_date": on,
            **changed,
        },
    )
    assert found.approved == (found.decision.response_code == "00")
    return found.decision.response_code, found.source


def test_balance_pays_to_the_fen() -> None:
    asked = request(BALANCE, 12_80)
    assert decide(held(BALANCE, 12_80), asked) == ("00", Source.BALANCE)
    assert decide(held(BALANCE, 12_79), asked) == ("51", Source.BALANCE)


def test_quick_payment_draws_on_the_linked_bank_and_not_on_the_balance() -> None:
    asked = request(QUICK, 12_80)
    bank = held(BANK, 12_80)
    assert decide(held(QUICK, 0), asked, linked=bank) == ("00", Source.LINKED_BANK)
    poor = replace(bank, balance_minor=12_79)
    assert decide(held(QUICK, 10_000_00), asked, linked=poor) == ("51", Source.LINKED_BANK)


@pytest.mark.parametrize(
    ("status", "code"), [(AccountStatus.BLOCKED, "62"), (AccountStatus.CLOSED, "14")]
)
def test_either_sides_blocked_account_stops_a_quick_payment(
    status: AccountStatus, code: str
) -> None:
    asked = request(QUICK, 12_80)
    good = held(BANK, 100_00)
    assert decide(held(QUICK, 0), asked, linked=replace(good, status=status))[0] == code
    assert decide(held(QUICK, 0, status=status), asked, linked=good)[0] == code


def test_bank_that_is_missing_or_another_one_is_unavailable() -> None:
    asked = request(QUICK, 12_80)
    assert decide(held(QUICK, 0), asked)[0] == "91"
    assert decide(held(QUICK, 0), asked, linked=held(CLASS_III_BANK, 100_00))[0] == "91"


def test_banks_class_limits_hold_for_quick_payment_and_the_operators_do_not() -> None:
    state = held(QUICK, 0)
    linked = replace(
        held(BANK, 10_000_000_00),
        account=replace(demo_accounts().accounts[BANK], account_class=AccountClass.III),
    )
    asked = request(QUICK, 2_000_00)
    assert decide(state, asked, linked=linked)[0] == "00"
    over = decide(state, asked, linked=linked, linked_usage=Usage(day_minor=1))
    assert over[0] == "61"
    spent = Usage(year_minor=200_000_00)  # the operator's class II ends at 100,000 a year
    assert decide(state, asked, linked=linked, usage=spent)[0] == "00"


def test_barcode_limit_counts_at_the_operator() -> None:
    asked = request(QUICK, 1, initiation=Initiation.STATIC_CODE)
    usage = Usage(static_code_day_minor=500_00)
    assert decide(held(QUICK, 0), asked, linked=held(BANK, 100_00), usage=usage)[0] == "61"


def test_wrong_pin_reaches_no_bank() -> None:
    wrong = Evidence(pin=PinVerdict(response_code="55", tries_left=2))
    found = decide(held(QUICK, 0), request(QUICK, 1), linked=held(BANK, 100), evidence=wrong)
    assert found[0] == "55"


def test_wallet_worked_before_the_network_took_codes() -> None:
    asked = request(BALANCE, 12_80)
    assert decide(held(BALANCE, 100_00), asked, on=date(2015, 10, 1))[0] == "00"
    quick = request(QUICK, 12_80)
    found = decide(held(QUICK, 0), quick, linked=held(BANK, 100_00), on=date(2015, 10, 1))
    assert found[0] == "00"


def test_tap_and_foreign_account_are_not_the_operators() -> None:
    assert decide(held(BALANCE, 100), request(BALANCE, 1, initiation=Initiation.CARD))[0] == "57"
    assert decide(held(BANK, 100), request(BANK, 1))[0] == "14"


@pytest.mark.parametrize(
    ("account", "amount", "bank", "code"),
    [
        (BALANCE, 1_00, "00", "00"),
        (BALANCE, 0, "00", "13"),
        (BALANCE, 1_00, "51", "51"),
        (BANK, 1_00, "00", "14"),
    ],
)
def test_topping_up_follows_the_bank(account: str, amount: int, bank: str, code: str) -> None:
    found = top_up_decision(
        held(account, 0),
        Decision(response_code=bank),
        amount_minor=amount,
        rules=rules_of_china().on(TODAY),
    )
    assert found.response_code == code


@pytest.mark.parametrize(
    ("account_class", "stored", "spent", "amount", "code"),
    [
        (AccountClass.I, 0, 0, 1_000_00, "00"),
        (AccountClass.I, 0, 0, 1_000_01, "61"),
        (AccountClass.I, 400_00, 500_00, 100_00, "00"),
        (AccountClass.I, 400_00, 500_00, 100_01, "61"),
        (AccountClass.II, 0, 0, 100_000_00, "00"),
        (AccountClass.II, 0, 0, 100_000_01, "61"),
        (AccountClass.III, 199_999_99, 5_000_000_00, 1, "00"),
        (AccountClass.III, 199_999_99, 0, 2, "61"),
    ],
)
@pytest.mark.parametrize("on", [date(2016, 6, 30), date(2016, 7, 1)])
def test_balance_never_grows_beyond_what_its_class_may_pay_out(
    account_class: AccountClass, stored: int, spent: int, amount: int, code: str, on: date
) -> None:
    state = held(BALANCE, stored, spent_minor=spent)
    state = replace(state, account=replace(state.account, account_class=account_class))
    rules = rules_of_china().on(on)
    found = top_up_decision(state, Decision(response_code="00"), amount_minor=amount, rules=rules)
    assert found.response_code == (code if on >= date(2016, 7, 1) else "00")


def test_account_that_may_not_be_used_takes_no_money() -> None:
    blocked = held(BALANCE, 0, status=AccountStatus.LOST)
    rules = rules_of_china().on(TODAY)
    found = top_up_decision(blocked, Decision(response_code="00"), amount_minor=1, rules=rules)
    assert found.response_code == "41"
