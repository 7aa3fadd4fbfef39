"""Fees and limits by business date: which rule set holds, and who gets what of one payment."""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from difflib import get_close_matches
from enum import StrEnum
from fractions import Fraction
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from checkout.clearing.scheme.entry_mode_rules import EntryRule, by_entry_mode, parse_entry_rule
from checkout.clearing.scheme.participants import CardKind
from checkout.money import share_of

MILLION = 1_000_000
GENERAL = "general"
#: An operator's own rules, in the home folder.
RULES_FILE = "rules.toml"


class House(StrEnum):
    """Which of the two models clears a sale."""

    FOUR_PARTY = "four-party"
    THREE_PARTY = "three-party"


class AccountClass(StrEnum):
    """Class of a bank account, or of a wallet operator's account: two separate systems."""

    I = "I"  # noqa: E741
    II = "II"
    III = "III"


class RulesError(ValueError):
    """An entry of the rules' file that can't be used, or a date without a rule set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """Parts of the merchant's fee, in millionths of the amount, each with its cap in minor units.

    None as card or category means any; `place` is `home` (renminbi) or `abroad`.
    """

    category: str | None = None
    card: CardKind | None = None
    place: str = "home"
    issuer_ppm: int = 0
    issuer_cap_minor: int | None = None
    network_from_acquirer_ppm: int = 0
    network_from_acquirer_cap_minor: int | None = None
    network_from_issuer_ppm: int = 0
    network_from_issuer_cap_minor: int | None = None
    acquirer_ppm: int = 0
    acquirer_cap_minor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassLimits:
    """Limits of one account class in minor units; None means no limit."""

    balance_minor: int | None = None
    day_minor: int | None = None
    year_minor: int | None = None
    lifetime_minor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """The rules from `effective_from` until the next set; amounts in fen."""

    name: str
    effective_from: date
    source: str
    assumption: str
    quickpass_no_pin_minor: int
    network_takes_codes: bool
    bank_account: Mapping[AccountClass, ClassLimits]  # no entry: the class is not offered
    wallet_account: Mapping[AccountClass, ClassLimits]
    static_code_day_minor: int | None
    dynamic_code_day_minor: Mapping[str, int]  # by level B and C; A is by contract
    tariffs: tuple[Tariff, ...]
    wallet_operator_ppm: int
    wallet_bank_ppm: int
    entry: Mapping[str, tuple[EntryRule, ...]] = field(default_factory=dict)  # by entry mode
    _tariffs: dict[tuple[str, CardKind, str], Tariff] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def tariff(self, *, category: str, card: CardKind, place: str) -> Tariff:
        """The most specific tariff that fits; a category is more specific than a card."""
        key = (category, card, place)
        tariff = self._tariffs.get(key)
        if tariff is None:
            tariff = self._tariffs[key] = self._search(category, card, place)
        return tariff

    def _search(self, category: str, card: CardKind, place: str) -> Tariff:
        fitting = [
            tariff
            for tariff in self.tariffs
            if tariff.place == place
            and tariff.category in (None, category)
            and tariff.card in (None, card)
        ]
        if not fitting:
            raise RulesError(f"tariff: none of {self.name!r} fits {category}, {card}, {place}")
        return max(
            fitting, key=lambda tariff: (tariff.category is not None, tariff.card is not None)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Every rule set in order of its first day, and the merchant categories."""

    sets: tuple[RuleSet, ...]
    categories: Mapping[str, str]  # MCC -> category
    _by_date: dict[date, RuleSet] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def on(self, business_date: date) -> RuleSet:
        """The set that holds on a business date; RulesError before the first one."""
        rule_set = self._by_date.get(business_date)
        if rule_set is None:
            rule_set = self._by_date[business_date] = self._search(business_date)
        return rule_set

    def _search(self, business_date: date) -> RuleSet:
        at = bisect_right(self.sets, business_date, key=lambda rule_set: rule_set.effective_from)
        if at == 0:
            raise RulesError(f"rule set: none holds on {business_date.isoformat()}")
        return self.sets[at - 1]

    def category(self, mcc: str) -> str:
        """Merchant category of a four-digit code (DE18); `general` for what is not listed."""
        return self.categories.get(mcc, GENERAL)


@cache
def rules_of_china() -> Rules:
    """The rules of `rules_cn.toml`, read once."""
    return parse_rules(resources.files(__package__).joinpath("rules_cn.toml").read_text("utf-8"))


def rules_in(home: Path) -> Rules:
    """The rules of `rules.toml` in a home folder where there is one, else those of China.

    RulesError names the file and what is wrong with it.
    """
    path = home / RULES_FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return rules_of_china()
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return parse_rules(text)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise RulesError(f"{path}: {error}") from None


def parse_rules(text: str) -> Rules:
    """Read rule sets from TOML; each changes the one before. RulesError names what is wrong."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"not TOML: {error}") from None
    _check_keys(tables, "")
    merged: dict[str, Any] = {}
    sets: list[RuleSet] = []
    for entry in tables.get("rule_set", ()):
        merged = _merged(merged, entry)
        sets.append(_rule_set({**merged, "assumption": entry.get("assumption", "")}))
    days = [rule_set.effective_from for rule_set in sets]
    if not sets or days != sorted(set(days)):
        raise RulesError("rule_set: expected at least one, in order of effective_from")
    return Rules(sets=tuple(sets), categories=_categories(tables.get("category", {})))


_CLASS_KEYS = frozenset(column.name for column in fields(ClassLimits))
_ACCOUNT_KEYS = frozenset(AccountClass) | {"classes"}
#: The keys of each table; tariffs and entries are checked where they are read.
_KEYS: Mapping[str, frozenset[str]] = {
    "": frozenset({"rule_set", "category"}),
    "rule_set": frozenset(
        {"name", "effective_from", "source", "limits", "barcode_day", "bank_account"}
        | {"wallet_account", "tariff", "wallet_fee", "entry"}
    ),
    "rule_set.limits": frozenset({"quickpass_no_pin_minor", "network_takes_codes"}),
    "rule_set.barcode_day": frozenset({"static_minor", "B_minor", "C_minor"}),
    "rule_set.wallet_fee": frozenset({"operator", "bank"}),
    "rule_set.bank_account": _ACCOUNT_KEYS,
    "rule_set.wallet_account": _ACCOUNT_KEYS,
    **{
        f"rule_set.{holder}.{name}": _CLASS_KEYS
        for holder in ("bank_account", "wallet_account")
        for name in AccountClass
    },
}


def _check_keys(table: Mapping[str, Any], place: str) -> None:
    """RulesError for a key that no table has there, which is a typo, or an odd amount."""
    for key, value in table.items():
        if key == "assumption":  # any table may state one
            continue
        if key not in _KEYS[place]:
            near = get_close_matches(key, _KEYS[place], 1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected {', '.join(_KEYS[place])}"
            raise RulesError(f"[{place}]: unknown key {key!r}; {hint}")
        if key.endswith("_minor") and (type(value) is not int or value < 0):
            raise RulesError(f"[{place}]: {key}: expected an amount in fen, got {value!r}")
        inner = f"{place}.{key}".lstrip(".")
        for each in value if isinstance(value, list) else [value]:
            if inner in _KEYS:
                if not isinstance(each, dict):
                    raise RulesError(f"[{place}]: {key}: expected a table, got {each!r}")
                _check_keys(each, inner)


def part_of(amount_minor: int, ppm: int, cap_minor: int | None = None) -> int:
    """`ppm` millionths of an amount, rounded half up to the minor unit, then capped."""
    part = share_of(amount_minor, ppm, MILLION)
    return part if cap_minor is None else min(part, cap_minor)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        both = isinstance(value, dict) and isinstance(under, dict)
        merged[key] = _merged(under, value) if both and under is not None else value
    return merged


def _rule_set(entry: dict[str, Any]) -> RuleSet:
    try:
        limits, barcode = entry["limits"], entry.get("barcode_day", {})
        return RuleSet(
            name=entry["name"],
            effective_from=entry["effective_from"],
            source=entry["source"],
            assumption=entry["assumption"],
            quickpass_no_pin_minor=limits["quickpass_no_pin_minor"],
            network_takes_codes=limits["network_takes_codes"],
            bank_account=_classes(entry["bank_account"]),
            wallet_account=_classes(entry["wallet_account"]),
            static_code_day_minor=barcode.get("static_minor"),
            dynamic_code_day_minor={
                key[0]: value for key, value in barcode.items() if key in ("B_minor", "C_minor")
            },
            tariffs=tuple(_tariff(table) for table in entry["tariff"]),
            wallet_operator_ppm=_ppm(entry["wallet_fee"]["operator"]),
            wallet_bank_ppm=_ppm(entry["wallet_fee"]["bank"]),
            entry=by_entry_mode(parse_entry_rule(table) for table in entry.get("entry", ())),
        )
    except KeyError as error:
        raise RulesError(f"rule set {entry.get('name')!r}: {error.args[0]} is missing") from None
    except RulesError:
        raise
    except (ValueError, TypeError, AttributeError) as error:
        raise RulesError(f"rule set {entry.get('name')!r}: {error}") from None


def _classes(entry: dict[str, Any]) -> dict[AccountClass, ClassLimits]:
    return {
        AccountClass(name): ClassLimits(**entry.get(name, {})) for name in entry.get("classes", ())
    }


def _tariff(entry: dict[str, Any]) -> Tariff:
    known = {column.name for column in fields(Tariff)}
    built: dict[str, Any] = {}
    for key, value in entry.items():
        if key == "assumption":
            continue
        name = f"{key}_ppm" if isinstance(value, str) and f"{key}_ppm" in known else key
        if name not in known:
            raise RulesError(f"tariff: unknown entry {key!r}")
        built[name] = _ppm(value) if name != key else value
    if "card" in built:
        built["card"] = CardKind(built["card"])
    return Tariff(**built)


def _ppm(rate: str) -> int:
    try:
        millionths = Fraction(rate.removesuffix("%")) * (MILLION // 100)
    except (ValueError, ZeroDivisionError):
        raise RulesError(f"rate: expected percent, got {rate!r}") from None
    if not rate.endswith("%") or millionths.denominator != 1 or not 0 <= millionths <= MILLION:
        raise RulesError(f"rate: expected percent with at most four decimals, got {rate!r}")
    return int(millionths)


def _categories(entry: dict[str, list[str]]) -> dict[str, str]:
    by_mcc: dict[str, str] = {}
    for category, spans in entry.items():
        for span in spans:
            first, _, last = span.partition("-")
            for mcc in range(int(first), int(last or first) + 1):
                if by_mcc.setdefault(f"{mcc:04}", category) != category:
                    raise RulesError(f"category: {mcc:04} stands in two")
    return by_mcc
