"""Scenario files: read whole, and refused by the name of the wrong field."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from checkout.comparison.simulation.distributions import TableError
from checkout.comparison.simulation.scenarios import (
    SCENARIOS,
    load_scenario,
    load_scenarios,
    read_scenario,
    scenario_names,
)


def test_the_eight_places_are_there() -> None:
    assert set(scenario_names()) == {
        "metro-gate",
        "street-stall",
        "supermarket-rush",
        "restaurant-table",
        "taxi",
        "vending-offline",
        "shop-abroad",
        "online-shop",
    }


def test_their_weights_share_out_a_country() -> None:
    assert sum(scenario.weight for scenario in load_scenarios()) == pytest.approx(1.0)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(TableError, match=r"scenario: expected one of metro-gate.*got 'moon'"):
        load_scenario("moon")


def test_a_file_of_ones_own_is_taken(tmp_path: Path) -> None:
    text = (SCENARIOS / "taxi.toml").read_text().replace("counters = 1", "counters = 3")
    (tmp_path / "fleet.toml").write_text(text)
    scenario = load_scenario(str(tmp_path / "fleet.toml"))
    assert (scenario.name, scenario.counters) == ("fleet", 3)


def test_a_file_that_is_not_toml_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("counters = = 1")
    with pytest.raises(TableError, match=r"^scenario: broken.toml is not TOML"):
        load_scenario(str(tmp_path / "broken.toml"))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("counters",), 0, "counters: expected a whole number from 1 up, got 0"),
        (("counters",), 1.5, "counters: expected a whole number from 1 up, got 1.5"),
        (("terminal_penetration",), 1.2, "terminal_penetration: expected a share"),
        (("carry", "wallet"), "all", "carry.wallet: expected a share from 0 to 1, got 'all'"),
        (("currency",), "XXX", "currency: expected one of CNY"),
        (("date",), "2018", "date: expected a date such as 2018-06-01"),
        (("qr_way",), "nfc-card", "qr_way: expected one of qr-dynamic"),
        (("nfc_ways",), ["cash"], "nfc_ways: expected one of nfc-card"),
        (("arrivals", "per_hour"), [], r"arrivals.per_hour: expected a list of rates over zero"),
        (("arrivals", "open_h"), 30, "arrivals.open_h: expected hours from 0 to 24, got 30"),
        (("patience",), None, "patience: expected a table"),
        (("skip",), {"cash": ["jump"]}, "skip.cash: that way has no step 'jump'"),
        (("skip",), {"barter": []}, "skip.barter: no way to pay is called that"),
        (("service", "tea"), {}, "service.tea: expected common, qr, nfc or cash"),
        (("colour",), "red", "colour: no such field"),
        (("basket", "p95_minor"), 1, "basket.p95_minor: expected more than the median"),
    ],
)
def test_a_wrong_field_is_named(path: tuple[str, ...], value: Any, message: str) -> None:
    table = tomllib.loads((SCENARIOS / "taxi.toml").read_text())
    inner = table
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(TableError, match=message):
        read_scenario("taxi", table)
