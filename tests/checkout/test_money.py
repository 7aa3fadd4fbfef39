"""Amounts are read exactly or refused by name."""

import pytest

from checkout.money import AmountError, Money, currency_of, mask_account, numeric_code, share_of


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.80", "CNY", 1280),
        ("12.8", "CNY", 1280),
        ("12", "CNY", 1200),
        (" 0.01 ", "CNY", 1),
        ("1280", "JPY", 1280),
        ("1.234", "KWD", 1234),
        ("999999999999.99", "CNY", 99999999999999),
    ],
)
def test_decimal_text_becomes_minor_units(text: str, currency: str, minor: int) -> None:
    assert Money.parse(text, currency).amount_minor == minor


@pytest.mark.parametrize(
    "text",
    ["-1", "0", "0.00", "-0.00", "", " ", "abc", "1,20", "1.", ".5", "1e3", "NaN", "１２.80", "+5"],
)
def test_what_is_no_positive_decimal_is_refused(text: str) -> None:
    with pytest.raises(AmountError, match=r"^amount: expected ") as caught:
        Money.parse(text)
    assert caught.value.field == "amount"


@pytest.mark.parametrize(
    ("text", "currency", "places"), [("12.801", "CNY", 2), ("1.0", "JPY", 0), ("1.2345", "KWD", 3)]
)
def test_more_decimals_than_the_currency_has_are_refused(
    text: str, currency: str, places: int
) -> None:
    with pytest.raises(AmountError, match=f"{currency} has {places} decimals"):
        Money.parse(text, currency)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12,80", "CNY", 1280),
        ("12,8", "CNY", 1280),
        ("1234,5", "CNY", 123450),
        ("1,23", "KWD", 1230),
        ("0,500", "KWD", 500),
        ("1234,567", "KWD", 1234567),
        ("1.234", "KWD", 1234),
        ("1234", "JPY", 1234),
    ],
)
def test_typed_comma_is_a_decimal_mark_where_it_can_be_nothing_else(
    text: str, currency: str, minor: int
) -> None:
    assert Money.parse_typed(text, currency).amount_minor == minor


@pytest.mark.parametrize("currency", ["KWD", "CNY", "JPY"])
@pytest.mark.parametrize("text", ["1,234", " 12,345 ", "999,000"])
def test_typed_comma_before_three_digits_is_asked_about_and_not_guessed(
    text: str, currency: str
) -> None:
    plain = text.strip()
    asked = f"{plain} can mean {plain.replace(',', '')} or {plain.replace(',', '.')}"
    with pytest.raises(AmountError, match=asked.replace(".", r"\.")):
        Money.parse_typed(text, currency)


@pytest.mark.parametrize("text", ["1,234,567", "1,234.50", "1.234,50", ",", "1,", ",5", "1，5"])
def test_typed_amount_with_two_marks_or_half_a_number_is_refused(text: str) -> None:
    with pytest.raises(AmountError, match=r"^amount: "):
        Money.parse_typed(text, "KWD")


def test_an_unknown_currency_is_refused_by_name() -> None:
    with pytest.raises(AmountError, match=r"^currency: expected one of CNY, "):
        Money.parse("1", "XYZ")
    with pytest.raises(AmountError, match="999"):
        currency_of("999")


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(1280, "CNY", "12.80"), (5, "CNY", "0.05"), (-5, "CNY", "-0.05"), (7, "JPY", "7")],
)
def test_minor_units_are_shown_with_the_currencys_decimals(
    minor: int, currency: str, text: str
) -> None:
    assert Money(amount_minor=minor, currency=currency).decimal() == text


def test_numeric_and_alphabetic_codes_lead_to_each_other() -> None:
    assert numeric_code("CNY") == "156"
    assert currency_of("156") == "CNY"


@pytest.mark.parametrize(
    ("account", "shown"),
    [
        ("9999011000000019", "999901******0019"),
        ("9999011000000000019", "999901*********0019"),
        ("123456789012", "**********12"),
        ("", ""),
    ],
)
def test_account_numbers_keep_six_and_four_digits_at_most(account: str, shown: str) -> None:
    assert mask_account(account) == shown


@pytest.mark.parametrize(
    ("amount", "part", "whole", "expected"),
    [(100, 1, 3, 33), (100, 2, 3, 67), (1, 1, 2, 1), (3, 1, 2, 2), (0, 1, 7, 0), (999, 7, 7, 999)],
)
def test_share_of_an_amount_is_rounded_half_up(
    amount: int, part: int, whole: int, expected: int
) -> None:
    assert share_of(amount, part, whole) == expected
