"""Which limits hold when, and rule files that can't be."""

from __future__ import annotations

from datetime import date, timedelta
from importlib import resources
from pathlib import Path

import pytest

from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.scheme.rules import (
    AccountClass,
    ClassLimits,
    RulesError,
    parse_rules,
    part_of,
    rules_in,
    rules_of_china,
)

RULES = rules_of_china()
II, III = AccountClass.II, AccountClass.III


def _before(day: date) -> date:
    return day - timedelta(days=1)


def test_quickpass_without_pin_rises_from_300_to_1000() -> None:
    day = date(2018, 6, 1)
    assert RULES.on(_before(day)).quickpass_no_pin_minor == 300_00
    assert RULES.on(day).quickpass_no_pin_minor == 1_000_00


def test_barcode_limits_begin_on_their_day() -> None:
    day = date(2018, 4, 1)
    before, after = RULES.on(_before(day)), RULES.on(day)
    assert before.static_code_day_minor is None and not before.dynamic_code_day_minor
    assert after.static_code_day_minor == 500_00
    assert after.dynamic_code_day_minor == {"B": 5_000_00, "C": 1_000_00}


@pytest.mark.parametrize(
    ("day", "before", "after"),
    [
        (
            date(2018, 1, 1),
            ClassLimits(balance_minor=1_000_00, day_minor=5_000_00, year_minor=100_000_00),
            ClassLimits(balance_minor=2_000_00, day_minor=2_000_00, year_minor=50_000_00),
        ),
        (
            date(2016, 12, 1),
            ClassLimits(balance_minor=1_000_00),
            ClassLimits(balance_minor=1_000_00, day_minor=5_000_00, year_minor=100_000_00),
        ),
        (date(2016, 4, 1), None, ClassLimits(balance_minor=1_000_00)),
    ],
)
def test_class_iii_by_date(day: date, before: ClassLimits | None, after: ClassLimits) -> None:
    assert RULES.on(_before(day)).bank_account.get(III) == before
    assert RULES.on(day).bank_account.get(III) == after


def test_class_ii_has_a_day_and_a_year_from_december_2016() -> None:
    day = date(2016, 12, 1)
    assert RULES.on(_before(day)).bank_account[II] == ClassLimits(day_minor=10_000_00)
    limits = ClassLimits(day_minor=10_000_00, year_minor=200_000_00)
    assert RULES.on(day).bank_account[II] == limits
    assert RULES.on(date(2026, 1, 1)).bank_account[II] == limits


def test_operators_classes_begin_in_july_2016_and_are_not_the_banks() -> None:
    day = date(2016, 7, 1)
    assert RULES.on(_before(day)).wallet_account == {}
    found = RULES.on(day).wallet_account
    assert found[AccountClass.I] == ClassLimits(lifetime_minor=1_000_00)
    assert found[II] == ClassLimits(year_minor=100_000_00)
    assert found[III] == ClassLimits(year_minor=200_000_00)


def test_network_takes_codes_from_may_2017() -> None:
    day = date(2017, 5, 27)
    assert not RULES.on(_before(day)).network_takes_codes
    assert RULES.on(day).network_takes_codes


def test_reform_replaces_all_tariffs() -> None:
    day = date(2016, 9, 6)
    before, after = RULES.on(_before(day)), RULES.on(day)
    catering = {"category": "catering", "card": CardKind.DEBIT, "place": "home"}
    assert before.tariff(**catering).issuer_ppm == 9_000  # type: ignore[arg-type]
    assert after.tariff(**catering).issuer_ppm == 3_500  # type: ignore[arg-type]


def test_no_rules_hold_before_the_first_set() -> None:
    with pytest.raises(RulesError, match="2014-12-31"):
        RULES.on(date(2014, 12, 31))


@pytest.mark.parametrize(
    ("mcc", "category"),
    [("5811", "catering"), ("5814", "catering"), ("5815", "general"), ("0000", "general")],
)
def test_category_of_a_merchant_code(mcc: str, category: str) -> None:
    assert RULES.category(mcc) == category


@pytest.mark.parametrize(
    ("amount", "ppm", "cap", "part"),
    [
        (100, 4_999, None, 0),
        (100, 5_000, None, 1),
        (300, 5_000, None, 2),
        (1, 500_000, None, 1),
        (10**15, 325, None, 325 * 10**9),
        (10_000, 100_000, 1_000, 1_000),
        (10_005, 100_000, 1_000, 1_000),
    ],
)
def test_parts_are_rounded_half_up_then_capped(
    amount: int, ppm: int, cap: int | None, part: int
) -> None:
    assert part_of(amount, ppm, cap) == part


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one"),
        ("[[rule_set]]\nname = 'x'", "is missing"),
        ("[category]\na = ['5811']\nb = ['5810-5812']", "at least one"),
    ],
)
def test_rule_file_that_cannot_be_is_told(text: str, said: str) -> None:
    with pytest.raises(RulesError, match=said):
        parse_rules(text)


@pytest.mark.parametrize("rate", ["0.35", "0.00001%", "101%", "-1%", "x%", "1/0%"])
def test_rate_that_cannot_be_is_told(rate: str) -> None:
    text = (
        "[[rule_set]]\nname='x'\neffective_from=2015-01-01\nsource='y'\n"
        "[rule_set.limits]\nquickpass_no_pin_minor=1\nnetwork_takes_codes=true\n"
        "[rule_set.bank_account]\nclasses=[]\n[rule_set.wallet_account]\nclasses=[]\n"
        f"[rule_set.wallet_fee]\noperator='{rate}'\nbank='0%'\n[[rule_set.tariff]]\n"
    )
    with pytest.raises(RulesError, match="rate"):
        parse_rules(text)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("proofs=['pin']", "entry_modes"),
        ("entry_modes=['01']", "proofs"),
        ("entry_modes=['99']\nproofs=[]", "99"),
        ("entry_modes=['01']\nproofs=['faith']", "faith"),
        ("entry_modes='01'\nproofs=[]", "list of texts"),
        ("entry_modes=['01']\nproofs=[]\nmccs=['hotels']", "5411-5499"),
        ("entry_modes=['01']\nproofs=[]\ncards=['gold']", "gold"),
        ("entry_modes=['01']\nproofs=[]\nshops=['x']", "unknown 'shops'"),
    ],
)
def test_entry_rule_that_cannot_be_is_told(entry: str, said: str) -> None:
    text = resources.files("checkout.clearing.scheme").joinpath("rules_cn.toml").read_text("utf-8")
    first = text.index("[[rule_set.tariff]]")
    with pytest.raises(RulesError, match=said):
        parse_rules(f"{text[:first]}[[rule_set.entry]]\n{entry}\n{text[first:]}")


def test_rules_of_the_home_folder_take_the_place_of_chinas(tmp_path: Path) -> None:
    assert rules_in(tmp_path) is RULES
    text = resources.files("checkout.clearing.scheme").joinpath("rules_cn.toml").read_text("utf-8")
    mine = tmp_path / "rules.toml"
    mine.write_text(text.replace("quickpass_no_pin_minor = 1_000_00", "quickpass_no_pin_minor = 5"))
    assert rules_in(tmp_path).on(date(2026, 3, 2)).quickpass_no_pin_minor == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rule_set = 5",
        "[[rule_set]]\nlimits = 3",
        "not toml",
        "[[rule_set]]\neffective_from = 'today'",
        "[category]\na = 5\n",
        "\x00",
    ],
)
def test_rules_of_the_home_folder_that_cannot_be_are_told_in_one_line(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "rules.toml").write_text(text)
    with pytest.raises(RulesError, match=r"rules\.toml: ") as told:
        rules_in(tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("right", "typo", "message"),
    [
        (
            "quickpass_no_pin_minor",
            "quickpass_no_pin_minr",
            "mean 'quickpass_no_pin_minor'",
        ),
        ("[rule_set.limits]", "[rule_set.limit]", "did you mean 'limits'"),
        ("[category]", "[categories]", "did you mean 'category'"),
        ("B_minor", "b_minor", "unknown key 'b_minor'"),
        ("balance_minor = 1_000_00", "balance_minor = '1000'", "balance_minor: expected an amount"),
        ("year_minor", "yearly_minor", "did you mean 'year_minor'"),
        ("bank =", "banks =", "did you mean 'bank'"),
    ],
)
def test_a_typo_in_the_rules_of_the_home_folder_is_one_line_with_file_and_key(
    tmp_path: Path, right: str, typo: str, message: str
) -> None:
    text = resources.files("checkout.clearing.scheme").joinpath("rules_cn.toml").read_text("utf-8")
    assert right in text
    (tmp_path / "rules.toml").write_text(text.replace(right, typo), "utf-8")
    with pytest.raises(RulesError) as refusal:
        rules_in(tmp_path)
    assert "rules.toml: " in str(refusal.value)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
