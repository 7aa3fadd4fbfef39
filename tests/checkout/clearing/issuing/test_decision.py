"""The account holder's decision: each check at its limit and one fen beyond, by date."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from importlib import resources
from typing import Any

import pytest

from checkout.clearing.hsm.cryptogram import AtcVerdict, CryptogramVerdict
from checkout.clearing.hsm.icc_data import CardholderVerification
from checkout.clearing.hsm.pin import PinVerdict
from checkout.clearing.issuing.accounts import AccountState, AccountStatus, demo_accounts
from checkout.clearing.issuing.decision import (
    Decision,
    Evidence,
    Usage,
    decide,
    deposit_decision,
    expired,
)
from checkout.clearing.messages import (
    AuthorizationRequest,
    EntryMode,
    Initiation,
    TransactionType,
)
from checkout.clearing.scheme.rules import AccountClass, parse_rules, rules_of_china

TODAY = date(2026, 3, 2)
DEBIT, CREDIT = "9999011000000019", "9999031000000017"
CLASS_II, CLASS_III, WALLET = "9999021000000018", "9999021000000026", "9999801000000013"
TOKEN = "9999701000000015"
RIGHT_PIN = PinVerdict(response_code="00", tries_left=3)
GOOD = CryptogramVerdict(
    valid=True,
    reason="",
    kind="ARQC",
    atc=1,
    cvn=1,
    tvr=bytes(5),
    cvr=bytes(4),
    unpredictable_number=bytes(4),
    amount_minor=1280,
    currency="156",
)


def request(**changed: Any) -> AuthorizationRequest:
    return AuthorizationRequest(
        **{
            "transaction_type": TransactionType.PURCHASE,
            "account": DEBIT,
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
            **changed,
        }
    )


def state(account: str = DEBIT, **changed: Any) -> AccountState:
    agreed = {key: changed.pop(key) for key in list(changed) if key in _AGREED}
    held = replace(demo_accounts().accounts[account], **agreed)
    return AccountState(**{"account": held, "balance_minor": 10_000_000_00, **changed})


_AGREED = {
    "barcode_level",
    "barcode_contract_minor",
    "transaction_limit_minor",
    "day_count_limit",
    "account_class",
}


def answer(
    held: AccountState,
    asked: AuthorizationRequest,
    *,
    evidence: Evidence | None = None,
    usage: Usage | None = None,
    on: date = TODAY,
    billed: int | None = None,
) -> tuple[str, str]:
    found = decide(
        held,
        asked,
        usage=usage or Usage(),
        evidence=Evidence(cryptogram=GOOD) if evidence is None else evidence,
        rules=rules_of_china().on(on),
        business_date=on,
        billing_amount_minor=billed,
    )
    assert isinstance(found, Decision) and found.approved == (found.response_code == "00")
    return found.response_code, found.reason


CODE = {"entry_mode": EntryMode.BARCODE, "initiation": Initiation.DYNAMIC_CODE}
WITH_PIN = Evidence(pin=RIGHT_PIN, cryptogram=GOOD)


def test_small_tap_with_a_right_cryptogram_is_approved() -> None:
    assert answer(state(), request()) == ("00", "")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (AccountStatus.BLOCKED, "62"),
        (AccountStatus.LOST, "41"),
        (AccountStatus.STOLEN, "43"),
        (AccountStatus.CLOSED, "14"),
    ],
)
def test_account_that_may_not_pay_is_declined_by_its_status(
    status: AccountStatus, code: str
) -> None:
    assert answer(state(status=status), request()) == (code, f"account-{status}")


@pytest.mark.parametrize(
    ("expiry", "on", "over"),
    [
        ("3012", date(2030, 12, 31), False),
        ("3012", date(2031, 1, 1), True),
        ("2001", date(2020, 1, 31), False),
        ("2001", date(2020, 2, 1), True),
        ("3013", date(2026, 1, 1), True),
        ("30", date(2026, 1, 1), True),
        ("xx12", date(2026, 1, 1), True),
    ],
)
def test_card_is_good_until_the_last_day_of_its_month(expiry: str, on: date, over: bool) -> None:
    assert expired(expiry, on) is over
    assert (answer(state(), request(expiry=expiry), on=on)[0] == "54") is over


@pytest.mark.parametrize(
    ("held", "amount", "code"),
    [
        (AccountState(account=demo_accounts().accounts[DEBIT], balance_minor=1280), 1280, "00"),
        (AccountState(account=demo_accounts().accounts[DEBIT], balance_minor=1280), 1281, "51"),
        (
            AccountState(
                account=demo_accounts().accounts[DEBIT], balance_minor=1380, held_minor=101
            ),
            1280,
            "51",
        ),
        (
            AccountState(account=demo_accounts().accounts[CREDIT], balance_minor=-99_000_00),
            1_000_00,
            "00",
        ),
        (
            AccountState(account=demo_accounts().accounts[CREDIT], balance_minor=-99_000_00),
            1_000_01,
            "51",
        ),
    ],
)
def test_funds_and_credit_line_to_the_fen(held: AccountState, amount: int, code: str) -> None:
    assert answer(held, request(amount_minor=amount), evidence=WITH_PIN)[0] == code


@pytest.mark.parametrize("amount", [0, -1])
def test_amount_below_one_fen_is_invalid(amount: int) -> None:
    assert answer(state(), request(amount_minor=amount))[0] == "13"


@pytest.mark.parametrize(
    ("on", "amount", "code"),
    [
        (date(2018, 5, 31), 300_00, "00"),
        (date(2018, 5, 31), 300_01, "61"),
        (date(2018, 5, 31), 299_99, "00"),
        (date(2018, 6, 1), 300_01, "00"),
        (date(2018, 6, 1), 999_99, "00"),
        (date(2018, 6, 1), 1_000_00, "00"),
        (date(2018, 6, 1), 1_000_01, "61"),
    ],
)
def test_quickpass_without_pin(on: date, amount: int, code: str) -> None:
    asked = request(amount_minor=amount)
    assert answer(state(), asked, on=on)[0] == code
    assert answer(state(), asked, on=on, evidence=WITH_PIN)[0] == "00"


def test_phones_own_check_counts_for_a_payment_token_and_not_for_a_plastic_card() -> None:
    seen = Evidence(cryptogram=GOOD, cardholder=CardholderVerification.ON_DEVICE)
    asked = request(amount_minor=5_000_00)
    assert answer(state(), replace(asked, account=TOKEN), evidence=seen)[0] == "00"
    assert answer(state(), asked, evidence=seen) == ("61", "over-no-pin-limit")


def test_signature_is_enough_for_credit_and_not_for_debit() -> None:
    seen = Evidence(cryptogram=GOOD, cardholder=CardholderVerification.SIGNATURE)
    over = request(amount_minor=1_000_01)
    assert answer(state(CREDIT), replace(over, account=CREDIT), evidence=seen)[0] == "00"
    assert answer(state(), over, evidence=seen)[0] == "61"


def test_claimed_online_pin_without_a_pin_is_none() -> None:
    seen = Evidence(cryptogram=GOOD, cardholder=CardholderVerification.ONLINE_PIN)
    assert answer(state(), request(amount_minor=1_000_01), evidence=seen)[0] == "61"


@pytest.mark.parametrize(("code", "reason"), [("55", "wrong-pin"), ("75", "pin-tries-exceeded")])
def test_wrong_pin_is_answered_before_anything_about_money(code: str, reason: str) -> None:
    seen = Evidence(pin=PinVerdict(response_code=code, tries_left=0), cryptogram=GOOD)
    assert answer(state(balance_minor=0), request(), evidence=seen) == (code, reason)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (Evidence(), ("05", "cryptogram-missing")),
        (
            Evidence(cryptogram=replace(GOOD, valid=False, reason="cryptogram-mismatch")),
            ("63", "cryptogram-mismatch"),
        ),
        (
            Evidence(cryptogram=GOOD, atc=AtcVerdict(fresh=False, reason="replayed")),
            ("63", "atc-replayed"),
        ),
        (Evidence(cryptogram=replace(GOOD, kind="AAC")), ("05", "card-declined")),
        (Evidence(cryptogram=GOOD, limited_key_reason="key-used-up"), ("05", "key-used-up")),
        (Evidence(cryptogram=GOOD, atc=AtcVerdict(fresh=True)), ("00", "")),
    ],
)
def test_tap_stands_and_falls_with_its_cryptogram(
    evidence: Evidence, expected: tuple[str, str]
) -> None:
    assert answer(state(), request(), evidence=evidence) == expected


@pytest.mark.parametrize(
    ("tvr", "code"),
    [
        ("4000000000", "05"),
        ("1000000000", "05"),
        ("0800000000", "05"),
        ("0400000000", "05"),
        ("8000000000", "00"),
        ("0000800000", "00"),
    ],
)
def test_failed_offline_authentication_is_not_overlooked(tvr: str, code: str) -> None:
    seen = Evidence(cryptogram=replace(GOOD, tvr=bytes.fromhex(tvr)))
    assert answer(state(), request(), evidence=seen)[0] == code


def test_token_cryptogram_of_an_online_shop_decides() -> None:
    asked = request(
        account=TOKEN,
        amount_minor=2_000_00,
        entry_mode=EntryMode.ECOMMERCE,
        initiation=Initiation.ONLINE,
    )
    assert answer(state(), asked, evidence=Evidence(token_cryptogram_valid=True))[0] == "00"
    assert answer(state(), asked, evidence=Evidence(token_cryptogram_valid=False))[0] == "63"


@pytest.mark.parametrize(
    ("on", "initiation", "level", "before", "amount", "code"),
    [
        (date(2018, 3, 31), Initiation.STATIC_CODE, "C", 0, 500_01, "00"),
        (date(2018, 4, 1), Initiation.STATIC_CODE, "C", 0, 499_99, "00"),
        (date(2018, 4, 1), Initiation.STATIC_CODE, "C", 0, 500_00, "00"),
        (date(2018, 4, 1), Initiation.STATIC_CODE, "C", 0, 500_01, "61"),
        (date(2018, 4, 1), Initiation.STATIC_CODE, "A", 0, 500_01, "61"),
        (date(2018, 4, 1), Initiation.STATIC_CODE, "C", 400_00, 100_00, "00"),
        (date(2018, 4, 1), Initiation.STATIC_CODE, "C", 400_00, 100_01, "61"),
        (date(2018, 3, 31), Initiation.DYNAMIC_CODE, "C", 0, 1_000_01, "00"),
        (date(2018, 4, 1), Initiation.DYNAMIC_CODE, "C", 0, 1_000_00, "00"),
        (date(2018, 4, 1), Initiation.DYNAMIC_CODE, "C", 0, 1_000_01, "61"),
        (date(2018, 4, 1), Initiation.PAYER_CODE, "C", 0, 1_000_01, "61"),
        (date(2018, 4, 1), Initiation.DYNAMIC_CODE, "B", 0, 5_000_00, "00"),
        (date(2018, 4, 1), Initiation.DYNAMIC_CODE, "B", 0, 5_000_01, "61"),
        (date(2018, 4, 1), Initiation.DYNAMIC_CODE, "B", 4_999_99, 2, "61"),
        (date(2018, 4, 1), Initiation.DYNAMIC_CODE, "A", 0, 20_000_00, "00"),
        (date(2018, 4, 1), Initiation.DYNAMIC_CODE, "A", 0, 20_000_01, "61"),
    ],
)
def test_barcode_limits_per_customer_and_day(
    on: date, initiation: Initiation, level: str, before: int, amount: int, code: str
) -> None:
    static = initiation is Initiation.STATIC_CODE
    usage = Usage(
        static_code_day_minor=before if static else 0,
        dynamic_code_day_minor=0 if static else before,
    )
    held = state(barcode_level=level, barcode_contract_minor=20_000_00)
    asked = request(amount_minor=amount, entry_mode=EntryMode.BARCODE, initiation=initiation)
    assert answer(held, asked, usage=usage, on=on, evidence=WITH_PIN)[0] == code


def test_what_was_paid_by_static_code_does_not_count_for_dynamic_ones() -> None:
    usage = Usage(static_code_day_minor=500_00)
    held = state(barcode_level="C")
    asked = request(amount_minor=1_000_00, **CODE)
    assert answer(held, asked, usage=usage, evidence=WITH_PIN)[0] == "00"


def test_network_took_no_codes_before_may_2017() -> None:
    asked = request(**CODE)
    assert answer(state(), asked, on=date(2017, 5, 26), evidence=WITH_PIN) == (
        "57",
        "codes-not-taken-yet",
    )
    assert answer(state(), asked, on=date(2017, 5, 27), evidence=WITH_PIN)[0] == "00"
    assert answer(state(WALLET), asked, on=date(2017, 5, 26), evidence=WITH_PIN)[0] == "00"


# account, date, spent today, spent this year, amount, expected
@pytest.mark.parametrize(
    ("account", "on", "day", "year", "amount", "code"),
    [
        (CLASS_II, date(2016, 12, 1), 0, 0, 10_000_00, "00"),
        (CLASS_II, date(2016, 12, 1), 0, 0, 10_000_01, "61"),
        (CLASS_II, TODAY, 9_999_99, 9_999_99, 1, "00"),
        (CLASS_II, TODAY, 9_999_99, 9_999_99, 2, "61"),
        (CLASS_II, date(2016, 12, 1), 0, 190_000_00, 10_000_00, "00"),
        (CLASS_II, date(2016, 12, 1), 0, 190_000_01, 10_000_00, "61"),
        (CLASS_II, date(2016, 11, 30), 0, 190_000_01, 10_000_00, "00"),
        (CLASS_II, date(2016, 11, 30), 0, 0, 10_000_01, "61"),
        (CLASS_III, date(2016, 11, 30), 0, 0, 5_000_01, "00"),
        (CLASS_III, date(2016, 12, 1), 0, 0, 5_000_00, "00"),
        (CLASS_III, date(2016, 12, 1), 0, 0, 5_000_01, "61"),
        (CLASS_III, date(2016, 12, 1), 0, 99_999_99, 1, "00"),
        (CLASS_III, date(2016, 12, 1), 0, 99_999_99, 2, "61"),
        (CLASS_III, date(2017, 12, 31), 0, 0, 2_000_01, "00"),
        (CLASS_III, date(2018, 1, 1), 0, 0, 2_000_00, "00"),
        (CLASS_III, date(2018, 1, 1), 0, 0, 2_000_01, "61"),
        (CLASS_III, date(2018, 1, 1), 0, 49_999_99, 1, "00"),
        (CLASS_III, date(2018, 1, 1), 0, 49_999_99, 2, "61"),
        (DEBIT, TODAY, 9_000_000_00, 9_000_000_00, 500_000_00, "00"),
        (CREDIT, TODAY, 9_000_000_00, 9_000_000_00, 500_000_00, "00"),
    ],
)
def test_classes_of_bank_accounts(
    account: str, on: date, day: int, year: int, amount: int, code: str
) -> None:
    usage = Usage(day_minor=day, year_minor=year)
    asked = request(account=account, amount_minor=amount)
    assert answer(state(account), asked, usage=usage, on=on, evidence=WITH_PIN)[0] == code


@pytest.mark.parametrize("account", [CLASS_II, CLASS_III])
def test_class_ii_and_iii_did_not_exist_before_april_2016(account: str) -> None:
    asked = request(account=account)
    assert answer(state(account), asked, on=date(2016, 3, 31)) == ("57", "class-not-offered")
    assert answer(state(account), asked, on=date(2016, 4, 1))[0] == "00"
    assert answer(state(), request(), on=date(2016, 3, 31))[0] == "00"


# class, date, spent in all, spent this year, amount, expected
@pytest.mark.parametrize(
    ("graded", "on", "spent", "year", "amount", "code"),
    [
        ("I", date(2016, 6, 30), 0, 0, 1_000_01, "00"),
        ("I", date(2016, 7, 1), 0, 0, 1_000_00, "00"),
        ("I", date(2016, 7, 1), 0, 0, 1_000_01, "61"),
        ("I", date(2016, 7, 1), 999_99, 0, 1, "00"),
        ("I", date(2016, 7, 1), 999_99, 0, 2, "61"),
        ("II", date(2016, 6, 30), 0, 100_000_00, 1, "00"),
        ("II", date(2016, 7, 1), 0, 99_999_99, 1, "00"),
        ("II", date(2016, 7, 1), 0, 99_999_99, 2, "61"),
        ("III", date(2016, 7, 1), 0, 100_000_00, 1, "00"),
        ("III", date(2016, 7, 1), 0, 199_999_99, 1, "00"),
        ("III", date(2016, 7, 1), 0, 199_999_99, 2, "61"),
    ],
)
def test_classes_of_the_operators_payment_accounts(
    graded: str, on: date, spent: int, year: int, amount: int, code: str
) -> None:
    held = state(WALLET, account_class=AccountClass(graded), spent_minor=spent)
    asked = request(account=WALLET, amount_minor=amount, **CODE)
    usage = Usage(year_minor=year)
    assert answer(held, asked, usage=usage, on=on, evidence=WITH_PIN)[0] == code


@pytest.mark.parametrize(
    ("account", "on", "balance", "amount", "code"),
    [
        (CLASS_III, date(2016, 3, 31), 0, 1, "57"),
        (CLASS_III, date(2016, 4, 1), 0, 1_000_00, "00"),
        (CLASS_III, date(2017, 12, 31), 999_99, 1, "00"),
        (CLASS_III, date(2017, 12, 31), 999_99, 2, "61"),
        (CLASS_III, date(2018, 1, 1), 999_99, 2, "00"),
        (CLASS_III, date(2018, 1, 1), 0, 2_000_00, "00"),
        (CLASS_III, date(2018, 1, 1), 0, 2_000_01, "61"),
        (CLASS_II, TODAY, 0, 10_000_000_00, "00"),
        (DEBIT, TODAY, 0, 10_000_000_00, "00"),
        (DEBIT, TODAY, 0, 0, "13"),
    ],
)
def test_class_iii_holds_only_so_much(
    account: str, on: date, balance: int, amount: int, code: str
) -> None:
    held = state(account, balance_minor=balance)
    found = deposit_decision(held, amount_minor=amount, rules=rules_of_china().on(on))
    assert found.response_code == code


def test_blocked_account_takes_no_deposit() -> None:
    held = state(status=AccountStatus.BLOCKED)
    rules = rules_of_china().on(TODAY)
    assert deposit_decision(held, amount_minor=1, rules=rules).response_code == "62"


def test_demo_accounts_keep_the_balance_limit_of_their_class() -> None:
    rules = rules_of_china().on(TODAY)
    for account in demo_accounts().accounts.values():
        if account.account_class is not None and account.balance_minor:
            empty = AccountState(account=account, balance_minor=0)
            found = deposit_decision(empty, amount_minor=account.balance_minor, rules=rules)
            assert found.approved or account.status is not AccountStatus.ACTIVE


def test_holders_own_limits_on_amount_and_count() -> None:
    held = state(transaction_limit_minor=50_00, day_count_limit=3)
    assert answer(held, request(amount_minor=50_00))[0] == "00"
    assert answer(held, request(amount_minor=50_01)) == ("61", "over-transaction-limit")
    assert answer(held, request(), usage=Usage(day_count=2))[0] == "00"
    assert answer(held, request(), usage=Usage(day_count=3)) == ("65", "over-day-count")


def test_limits_are_answered_before_funds() -> None:
    held = state(CLASS_III, balance_minor=0)
    asked = request(account=CLASS_III, amount_minor=2_000_01)
    assert answer(held, asked, evidence=WITH_PIN) == ("61", "over-day-limit")


def test_account_in_another_currency_is_charged_what_was_billed() -> None:
    abroad = demo_accounts().accounts["9999041000000016"]
    held = AccountState(account=abroad, balance_minor=-4_990_00)
    asked = request(account=abroad.account, amount_minor=72_00)
    assert answer(held, asked, billed=10_00)[0] == "00"
    assert answer(held, asked, billed=10_01)[0] == "51"


def test_no_pin_limit_counts_renminbi_on_either_side() -> None:
    asked = request(amount_minor=10_000, currency="JPY")
    assert answer(state(), asked, billed=1_000_00)[0] == "00"
    assert answer(state(), asked, billed=1_000_01)[0] == "61"


def online(amount_minor: int = 12_80, **changed: Any) -> AuthorizationRequest:
    given = {"entry_mode": EntryMode.ECOMMERCE, "initiation": Initiation.ONLINE, "expiry": "3012"}
    return request(amount_minor=amount_minor, **(given | changed))


TYPED = {"entry_mode": EntryMode.MANUAL, "initiation": Initiation.CARD}
STRIPE = {"entry_mode": EntryMode.CONTACTLESS_MAGSTRIPE, "initiation": Initiation.CARD}
PIN_ALONE = Evidence(pin=RIGHT_PIN)


@pytest.mark.parametrize("on", [date(2015, 10, 1), TODAY])
@pytest.mark.parametrize(
    ("changed", "evidence", "code", "reason"),
    [
        ({}, Evidence(), "57", "number-alone-proves-nothing"),
        ({}, PIN_ALONE, "57", "number-alone-proves-nothing"),
        ({}, Evidence(token_cryptogram_valid=True), "00", ""),
        ({}, Evidence(token_cryptogram_valid=False), "63", "token-cryptogram-mismatch"),
        ({}, Evidence(cryptogram=GOOD), "00", ""),
        ({}, Evidence(mandate=True), "00", ""),
        (TYPED, Evidence(), "57", "entry-mode-not-permitted"),
        (TYPED, PIN_ALONE, "57", "entry-mode-not-permitted"),
        (STRIPE, Evidence(), "57", "entry-mode-not-permitted"),
    ],
)
def test_number_and_expiry_alone_pay_nothing(
    on: date, changed: dict[str, Any], evidence: Evidence, code: str, reason: str
) -> None:
    assert answer(state(), online(1, **changed), evidence=evidence, on=on) == (code, reason)


AGREED = """
[[rule_set.entry]]
entry_modes = ["01"]
cards = ["credit"]
ranges = ["999903"]
acquirers = ["90020001"]
countries = ["156"]
merchants = ["999156058120001"]
mccs = ["7011", "3501-3999"]
proofs = ["expiry", "pin"]
"""


@pytest.mark.parametrize(
    ("changed", "evidence", "code"),
    [
        ({}, Evidence(), "00"),
        ({"mcc": "3501"}, Evidence(), "00"),
        ({"mcc": "3999"}, Evidence(), "00"),
        ({"mcc": "4000"}, Evidence(), "57"),
        ({"mcc": "7012"}, Evidence(), "57"),
        ({"expiry": "3101"}, Evidence(), "57"),
        ({"expiry": None}, Evidence(), "57"),
        ({"expiry": None}, PIN_ALONE, "00"),
        ({"acquirer": "90020002"}, Evidence(), "57"),
        ({"country": "764"}, Evidence(), "57"),
        ({"merchant_id": "ANOTHER"}, Evidence(), "57"),
        ({"entry_mode": EntryMode.ECOMMERCE}, Evidence(), "57"),
    ],
)
def test_agreement_lets_one_kind_of_shop_type_cards_in(
    changed: dict[str, Any], evidence: Evidence, code: str
) -> None:
    given = {"mcc": "7011", "acquirer": "90020001", "country": "156"}
    given |= {"merchant_id": "999156058120001"} | TYPED
    asked = replace(online(account=CREDIT, **given), **changed)
    text = resources.files("checkout.clearing.scheme").joinpath("rules_cn.toml").read_text("utf-8")
    first = text.index("[[rule_set.tariff]]")
    rules = parse_rules(text[:first] + AGREED + text[first:]).on(TODAY)
    for account, expected in ((CREDIT, code), (DEBIT, "57")):
        held = AccountState(account=demo_accounts().accounts[account], balance_minor=9_000_00)
        found = decide(
            held,
            replace(asked, account=account),
            usage=Usage(),
            evidence=evidence,
            rules=rules,
            business_date=TODAY,
        )
        assert found.response_code == expected
