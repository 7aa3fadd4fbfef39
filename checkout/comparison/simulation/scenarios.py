"""Places where people pay, one TOML file each: who comes, with what, how patient, at what cost."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from checkout.comparison.simulation.distributions import Distribution, TableError, read_distribution
from checkout.comparison.simulation.queues import Arrivals
from checkout.comparison.simulation.timing_models import Models, load_models
from checkout.money import CURRENCIES

SCENARIOS = Path(__file__).with_name("scenarios")

_KEYS = {
    "title",
    "story",
    "weight",
    "date",
    "currency",
    "tap_limit_minor",
    "code_limit_minor",
    "offline_floor_minor",
    "mcc",
    "qr_way",
    "nfc_ways",
    "terminal_penetration",
    "code_penetration",
    "counters",
    "skip",
    "abroad",
    "pin_pad",
    "arrivals",
    "basket",
    "patience",
    "carry",
    "online",
    "service",
    "cost",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Carry:
    """Shares of people who have each thing with them, independent of each other."""

    wallet: float
    card: float
    nfc_phone: float
    cash: float
    credit: float  # of the cards, those on credit


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One place and time; amounts in minor units of `currency`, times in seconds."""

    name: str
    title: str
    story: str
    weight: float  # share of a country's payments made in such places
    date: date  # whose rules hold
    currency: str
    tap_limit_minor: int
    code_limit_minor: int
    offline_floor_minor: int
    mcc: str
    qr_way: str
    nfc_ways: tuple[str, ...]
    terminal_penetration: float
    code_penetration: float
    counters: int
    skip: Mapping[str, frozenset[str]]
    abroad: bool
    pin_pad: bool  # without one a card over the tap limit is not taken
    arrivals: Arrivals
    basket_minor: Distribution
    price_step_minor: int  # prices end in whole steps of this
    patience_s: Distribution
    patience_while_paying: bool
    carry: Carry
    phone_online: float
    shop_online: float
    service_s: Mapping[str, Distribution]  # "common", and by mode what comes on top
    qr_day_minor: int
    nfc_day_minor: int


def scenario_names() -> tuple[str, ...]:
    """Names of the scenarios that come with the package."""
    return tuple(sorted(path.stem for path in SCENARIOS.glob("*.toml")))


def load_scenario(name: str) -> Scenario:
    """The scenario called `name`, or in the TOML file of that path.

    TableError names what is wrong and where.
    """
    path = Path(name) if name.endswith(".toml") else SCENARIOS / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(scenario_names())
        raise TableError("scenario", f"expected one of {known}, or a .toml file; got {name!r}")
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise TableError("scenario", f"{path.name} is not TOML: {error}") from None
    return read_scenario(path.stem, table)


def load_scenarios() -> tuple[Scenario, ...]:
    """Every scenario that comes with the package, by name."""
    return tuple(load_scenario(name) for name in scenario_names())


def read_scenario(name: str, table: Mapping[str, Any], *, models: Models | None = None) -> Scenario:
    """A scenario from its table; TableError names the field and what was expected."""
    known = models or load_models()
    for key in table:
        if key not in _KEYS:
            raise TableError(key, f"no such field; known are {', '.join(sorted(_KEYS))}")
    currency = _text(table, "currency")
    if currency not in CURRENCIES:
        raise TableError("currency", f"expected one of {', '.join(CURRENCIES)}, got {currency!r}")
    patience, basket = _table(table, "patience"), _table(table, "basket")
    online, cost = _table(table, "online"), _table(table, "cost")
    return Scenario(
        name=name,
        title=_text(table, "title"),
        story=_text(table, "story"),
        weight=_share(table, "weight"),
        date=_date(table, "date"),
        currency=currency,
        tap_limit_minor=_whole(table, "tap_limit_minor"),
        code_limit_minor=_whole(table, "code_limit_minor"),
        offline_floor_minor=_whole(table, "offline_floor_minor"),
        mcc=_text(table, "mcc"),
        qr_way=_way(known, table.get("qr_way"), "qr_way", "qr"),
        nfc_ways=tuple(_way(known, way, "nfc_ways", "nfc") for way in table.get("nfc_ways", ())),
        terminal_penetration=_share(table, "terminal_penetration"),
        code_penetration=_share(table, "code_penetration"),
        counters=_whole(table, "counters", least=1),
        skip=_skips(known, _table(table, "skip")),
        abroad=bool(table.get("abroad", False)),
        pin_pad=bool(table.get("pin_pad", True)),
        arrivals=_arrivals(_table(table, "arrivals")),
        basket_minor=read_distribution(basket, field="basket", unit="minor"),
        price_step_minor=_whole({"step_minor": 10, **basket}, "step_minor", "basket", least=1),
        patience_s=read_distribution(patience, field="patience", unit="s"),
        patience_while_paying=bool(patience.get("while_paying", False)),
        carry=_carry(_table(table, "carry")),
        phone_online=_share(online, "phone", "online"),
        shop_online=_share(online, "shop", "online"),
        service_s=_service(_table(table, "service")),
        qr_day_minor=_whole(cost, "qr_day_minor", "cost"),
        nfc_day_minor=_whole(cost, "nfc_day_minor", "cost"),
    )


def _carry(table: Mapping[str, Any]) -> Carry:
    return Carry(
        wallet=_share(table, "wallet", "carry"),
        card=_share(table, "card", "carry"),
        nfc_phone=_share(table, "nfc-phone", "carry"),
        cash=_share(table, "cash", "carry"),
        credit=_share(table, "credit", "carry"),
    )


def _service(table: Mapping[str, Any]) -> dict[str, Distribution]:
    for key in table:
        if key not in ("common", "qr", "nfc", "cash"):
            raise TableError(f"service.{key}", "expected common, qr, nfc or cash")
    if "common" not in table:
        raise TableError("service.common", "expected a distribution")
    return {
        key: read_distribution(value, field=f"service.{key}", unit="s")
        for key, value in table.items()
    }


def _skips(models: Models, table: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    skips = {}
    for way, steps in table.items():
        if way not in models.ways:
            raise TableError(f"skip.{way}", "no way to pay is called that")
        for step in steps:
            if step not in models.ways[way].steps:
                raise TableError(f"skip.{way}", f"that way has no step {step!r}")
        skips[way] = frozenset(steps)
    return skips


def _arrivals(table: Mapping[str, Any]) -> Arrivals:
    hours = table.get("open_h")
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= 24:
        raise TableError("arrivals.open_h", f"expected hours from 0 to 24, got {hours!r}")
    rates = table.get("per_hour")
    good = isinstance(rates, list) and rates
    if not good or not all(isinstance(rate, int | float) and rate > 0 for rate in rates or ()):
        raise TableError("arrivals.per_hour", f"expected a list of rates over zero, got {rates!r}")
    return Arrivals(open_s=hours * 3600.0, rates=tuple(float(rate) for rate in rates or ()))


def _way(models: Models, name: Any, field: str, mode: str) -> str:
    known = [way.name for way in models.ways.values() if way.mode == mode]
    if name not in known:
        raise TableError(field, f"expected one of {', '.join(known)}, got {name!r}")
    return str(name)


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key)
    if not isinstance(value, dict):
        raise TableError(key, "expected a table")
    return value


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise TableError(key, f"expected a text, got {value!r}")
    return value


def _date(table: Mapping[str, Any], key: str) -> date:
    value = table.get(key)
    if type(value) is not date:
        raise TableError(key, f"expected a date such as 2018-06-01, got {value!r}")
    return value


def _share(table: Mapping[str, Any], key: str, within: str = "") -> float:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        field = f"{within}.{key}" if within else key
        raise TableError(field, f"expected a share from 0 to 1, got {value!r}")
    return float(value)


def _whole(table: Mapping[str, Any], key: str, within: str = "", *, least: int = 0) -> int:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        field = f"{within}.{key}" if within else key
        raise TableError(field, f"expected a whole number from {least} up, got {value!r}")
    return value
