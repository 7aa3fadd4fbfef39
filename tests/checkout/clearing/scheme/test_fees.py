"""Every fee rule at its date and the day before, at the cap and one minor unit either side."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from checkout.clearing.scheme.fees import FeeSplit, fees, returned
from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.scheme.rules import House

BEFORE, REFORM = date(2016, 9, 5), date(2016, 9, 6)
CATERING, GENERAL, LIVELIHOOD, WELFARE = "5812", "5999", "5411", "8062"
PROPERTY, CARS, WHOLESALE = "7013", "5511", "5111"
DEBIT, CREDIT = CardKind.DEBIT, CardKind.CREDIT


def split(amount: int, mcc: str, on: date, card: CardKind = DEBIT) -> FeeSplit:
    return fees(amount, card_kind=card, mcc=mcc, on=on)


# Ten thousand yuan at each category's rates: issuer, network, acquirer in fen.
@pytest.mark.parametrize(
    ("mcc", "issuer", "network", "acquirer"),
    [
        (CATERING, 90_00, 13_00, 22_00),
        ("7011", 90_00, 13_00, 22_00),
        (GENERAL, 55_00, 8_00, 15_00),
        (LIVELIHOOD, 26_00, 4_00, 8_00),
        ("5541", 26_00, 4_00, 8_00),
        (WELFARE, 0, 0, 0),
        (PROPERTY, 60_00, 10_00, 10_00),
        (CARS, 60_00, 10_00, 10_00),
        (WHOLESALE, 20_00, 2_50, 3_50),
    ],
)
@pytest.mark.parametrize("card", [DEBIT, CREDIT])
def test_before_the_reform_the_merchants_category_sets_the_fee(
    mcc: str, issuer: int, network: int, acquirer: int, card: CardKind
) -> None:
    found = split(10_000_00, mcc, BEFORE, card)
    assert (found.issuer_minor, found.network_minor, found.acquirer_minor) == (
        issuer,
        network,
        acquirer,
    )
    assert found.network_from_issuer_minor == 0


# Amount at which each cap is just reached: (mcc, part, amount, cap).
@pytest.mark.parametrize(
    ("mcc", "part", "amount", "cap"),
    [
        (PROPERTY, "interchange_minor", 666_612, 60_00),
        (PROPERTY, "network_from_acquirer_minor", 768_847, 10_00),
        (PROPERTY, "acquirer_minor", 454_319, 10_00),
        (WHOLESALE, "interchange_minor", 363_546, 20_00),
        (WHOLESALE, "network_from_acquirer_minor", 311_875, 2_50),
        (WHOLESALE, "acquirer_minor", 233_000, 3_50),
    ],
)
def test_caps_before_the_reform(mcc: str, part: str, amount: int, cap: int) -> None:
    assert getattr(split(amount - 1, mcc, BEFORE), part) == cap - 1
    assert getattr(split(amount, mcc, BEFORE), part) == cap
    assert getattr(split(amount + 1, mcc, BEFORE), part) == cap
    assert getattr(split(amount * 50, mcc, BEFORE), part) == cap


@pytest.mark.parametrize("mcc", [CATERING, GENERAL, LIVELIHOOD, PROPERTY, CARS, WHOLESALE])
@pytest.mark.parametrize(("card", "issuer"), [(DEBIT, 3_50), (CREDIT, 4_50)])
def test_from_the_reform_on_the_card_sets_the_fee(mcc: str, card: CardKind, issuer: int) -> None:
    found = split(1_000_00, mcc, REFORM, card)
    assert found.interchange_minor == issuer
    # 0.0325% of CNY 1,000 is 32.5 fen: rounded half up on each side.
    assert (found.network_from_acquirer_minor, found.network_from_issuer_minor) == (33, 33)


def test_public_welfare_pays_nothing_after_the_reform_either() -> None:
    assert split(1_000_00, WELFARE, REFORM, CREDIT).merchant_fee_minor == 0


def test_debit_cap_of_the_reform_to_the_fen() -> None:
    # 0.35% reaches 12.995 yuan, which rounds half up to the cap, at 371,285.7 fen.
    assert split(371_285, GENERAL, REFORM).interchange_minor == 12_99
    assert split(371_286, GENERAL, REFORM).interchange_minor == 13_00
    assert split(371_287, GENERAL, REFORM).interchange_minor == 13_00
    # The exact cap is at 371,428.6 fen; beyond it nothing is added.
    assert split(371_572, GENERAL, REFORM).interchange_minor == 13_00
    assert split(99_999_999_99, GENERAL, REFORM).interchange_minor == 13_00


def test_credit_has_no_cap_after_the_reform() -> None:
    assert split(1_000_000_00, GENERAL, REFORM, CREDIT).interchange_minor == 4_500_00


@pytest.mark.parametrize("card", [DEBIT, CREDIT])
def test_network_cap_of_the_reform_on_either_side(card: CardKind) -> None:
    for amount, fee in ((998_461, 3_24), (998_462, 3_25), (998_463, 3_25), (99_999_999, 3_25)):
        found = split(amount, GENERAL, REFORM, card)
        assert found.network_from_acquirer_minor == found.network_from_issuer_minor == fee


def test_wallet_takes_six_in_a_thousand_of_the_merchant() -> None:
    found = fees(100_00, card_kind=CardKind.WALLET, mcc=GENERAL, on=REFORM, house=House.THREE_PARTY)
    assert (found.operator_minor, found.merchant_minor, found.issuer_minor) == (60, 99_40, 0)


def test_linked_banks_part_comes_out_of_the_operators_fee() -> None:
    found = fees(
        100_00,
        card_kind=CardKind.WALLET,
        mcc=GENERAL,
        on=REFORM,
        house=House.THREE_PARTY,
        linked=True,
    )
    assert (found.operator_minor, found.bank_minor, found.merchant_minor) == (50, 10, 99_40)


def test_other_currencies_have_the_tariff_of_abroad_without_caps() -> None:
    found = fees(10_000_00, card_kind=DEBIT, mcc=GENERAL, on=REFORM, currency="THB")
    assert found.interchange_minor == 110_00


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_is_split_below_one_minor_unit(amount: int) -> None:
    with pytest.raises(ValueError, match="amount"):
        split(amount, GENERAL, REFORM)


_SPLITS = st.builds(
    fees,
    st.integers(1, 10**12),
    card_kind=st.sampled_from([DEBIT, CREDIT]),
    mcc=st.sampled_from([CATERING, GENERAL, LIVELIHOOD, WELFARE, PROPERTY, WHOLESALE]),
    on=st.dates(date(2015, 1, 1), date(2030, 12, 31)),
    house=st.sampled_from(list(House)),
    currency=st.sampled_from(["CNY", "JPY", "KWD"]),
    linked=st.booleans(),
)


@given(_SPLITS)
def test_parts_add_up_to_the_whole_and_nobody_pays_to_be_paid(found: FeeSplit) -> None:
    assert sum(found.shares().values()) == found.amount_minor
    assert all(share >= 0 for share in found.shares().values())


@given(st.integers(1, 10**12), st.sampled_from([DEBIT, CREDIT]))
def test_every_fee_is_within_half_a_fen_of_its_rate(amount: int, card: CardKind) -> None:
    found = split(amount, GENERAL, BEFORE, card)
    for part, rate in (
        (found.interchange_minor, Fraction(55, 10_000)),
        (found.network_minor, Fraction(8, 10_000)),
        (found.acquirer_minor, Fraction(15, 10_000)),
    ):
        assert -Fraction(1, 2) < part - amount * rate <= Fraction(1, 2)


@given(_SPLITS.filter(lambda found: found.amount_minor >= 4), st.data())
def test_refunds_that_add_up_to_the_payment_give_exactly_its_fees_back(
    found: FeeSplit, data: st.DataObject
) -> None:
    left, back = found.amount_minor, []
    while left:
        refund = left if len(back) == 3 else data.draw(st.integers(1, left))
        back.append(
            returned(found, refunded_before_minor=found.amount_minor - left, refund_minor=refund)
        )
        left -= refund
    totals = {name: sum(one.shares()[name] for one in back) for name in found.shares()}
    assert totals == found.shares()
    assert sum(one.merchant_fee_minor for one in back) == found.merchant_fee_minor


@pytest.mark.parametrize(("before", "refund"), [(0, 0), (0, -1), (0, 101), (60, 41), (-1, 1)])
def test_refund_beyond_the_payment_is_refused(before: int, refund: int) -> None:
    with pytest.raises(ValueError, match="refund"):
        returned(split(100, GENERAL, REFORM), refunded_before_minor=before, refund_minor=refund)
