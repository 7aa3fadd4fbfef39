"""Exchange by date, with exponents of 0, 2 and 3, markup and stated rounding."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from checkout.clearing.scheme.fx import RateError, demo_rates, parse_rates
from checkout.money import CURRENCIES, Money

RATES = parse_rates("""
[[rates]]
effective_from = 2026-01-01
USD = "7.2"
JPY = "0.05"
KWD = "23.5"
[[rates]]
effective_from = 2026-02-01
USD = "7.0"
JPY = "0.05"
KWD = "23.5"
[markup]
abroad = "1.50%"
""")
JANUARY, FEBRUARY = date(2026, 1, 31), date(2026, 2, 1)


def cny(amount_minor: int) -> Money:
    return Money(amount_minor=amount_minor, currency="CNY")


@pytest.mark.parametrize(
    ("amount", "into", "expected"),
    [
        (cny(72_00), "USD", 10_00),
        (cny(1), "USD", 0),  # 0.0139 cents
        (cny(3), "USD", 0),  # 0.4167
        (cny(36), "USD", 5),
        (cny(100), "JPY", 20),
        (cny(2), "JPY", 0),  # 0.4 yen
        (cny(3), "JPY", 1),  # 0.6 yen
        (cny(23_50), "KWD", 1_000),
        (Money(amount_minor=1_000, currency="KWD"), "CNY", 23_50),
        (Money(amount_minor=1, currency="KWD"), "CNY", 2),  # 2.35 fen
        (Money(amount_minor=1, currency="JPY"), "CNY", 5),
        (Money(amount_minor=144, currency="JPY"), "USD", 100),
        (Money(amount_minor=1_000, currency="KWD"), "JPY", 470),
    ],
)
def test_conversion_minds_both_exponents_and_rounds_once(
    amount: Money, into: str, expected: int
) -> None:
    assert RATES.convert(amount, into, on=JANUARY).into.amount_minor == expected


def test_half_a_unit_is_rounded_up() -> None:
    # 18 fen at 7.2 is 2.5 cents.
    assert RATES.convert(cny(18), "USD", on=JANUARY).into.amount_minor == 3


def test_rate_changes_on_its_day() -> None:
    assert RATES.convert(cny(70_00), "USD", on=JANUARY).into.amount_minor == 9_72
    assert RATES.convert(cny(70_00), "USD", on=FEBRUARY).into.amount_minor == 10_00


def test_no_rate_before_the_first_day_nor_for_an_unlisted_currency() -> None:
    with pytest.raises(RateError, match="2025-12-31"):
        RATES.convert(cny(1), "USD", on=date(2025, 12, 31))
    with pytest.raises(RateError, match="THB"):
        RATES.convert(cny(1), "THB", on=JANUARY)


def test_billing_bears_the_markup_and_settlement_does_not() -> None:
    found = RATES.amounts(
        cny(72_00), settlement="USD", billing="USD", participant="abroad", on=JANUARY
    )
    assert found.transaction == cny(72_00)
    assert found.settlement.into.amount_minor == 10_00
    assert found.billing.into.amount_minor == 10_15
    assert (found.billing.markup_minor, found.settlement.markup_minor) == (15, 0)


def test_domestic_sale_is_the_same_in_all_three() -> None:
    found = RATES.amounts(
        cny(72_00), settlement="CNY", billing="CNY", participant="abroad", on=date(2015, 1, 1)
    )
    assert found.settlement.into == found.billing.into == cny(72_00)
    assert found.billing.markup_minor == 0


@pytest.mark.parametrize(
    ("amount", "into", "field"),
    [(cny(1), "USD", "71388889"), (cny(1), "JPY", "52000000"), (cny(1), "CNY", "61000000")],
)
def test_rate_field_has_decimals_first_and_seven_digits(
    amount: Money, into: str, field: str
) -> None:
    assert RATES.convert(amount, into, on=JANUARY).rate_field() == field


@given(
    st.integers(1, 10**10),
    st.sampled_from(sorted(CURRENCIES)),
    st.sampled_from(sorted(CURRENCIES)),
    st.dates(date(2015, 1, 1), date(2030, 1, 1)),
    st.sampled_from([Fraction(0), Fraction(15, 1000)]),
)
def test_every_pair_is_exact_to_half_a_minor_unit(
    amount_minor: int, source: str, into: str, on: date, markup: Fraction
) -> None:
    amount = Money(amount_minor=amount_minor, currency=source)
    found = demo_rates().convert(amount, into, on=on, markup=markup)
    if source == into:
        assert found.into == amount
        return
    scale = Fraction(10) ** (CURRENCIES[into][1] - CURRENCIES[source][1])
    exact = amount_minor * scale * demo_rates().rate(source, into, on) * (1 + markup)
    assert -Fraction(1, 2) < found.into.amount_minor - exact <= Fraction(1, 2)
    assert found.markup_minor >= 0 and len(found.rate_field()) == 8


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[markup]",
        "[[rates]]\nUSD = '1'\n[markup]",
        "[[rates]]\neffective_from = 2026-01-01\nUSD = '0'\n[markup]",
        "[[rates]]\neffective_from = 2026-01-01\nUSD = 'x'\n[markup]",
        "[[rates]]\neffective_from = 2026-01-02\n[[rates]]\neffective_from=2026-01-01\n[markup]",
    ],
)
def test_rate_file_that_cannot_be_is_told(text: str) -> None:
    with pytest.raises(RateError):
        parse_rates(text)
