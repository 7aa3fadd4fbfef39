"""Scenarios run in their worlds, and swept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from checkout.comparison.simulation.costs import fees_by_rules, no_fees
from checkout.comparison.simulation.country import run_country, worlds_as_they_stand
from checkout.comparison.simulation.places import Fates, run_place
from checkout.comparison.simulation.scenarios import Scenario, load_scenario, load_scenarios
from checkout.comparison.simulation.sweep import Sweep, sweep
from checkout.comparison.simulation.timing_models import load_models
from checkout.comparison.simulation.traffic import PARTIES, draw_people, draw_traffic, ways_of

FEW = 4_000


@pytest.fixture(scope="module")
def taxi() -> Scenario:
    return load_scenario("taxi")


@pytest.mark.parametrize("scenario", load_scenarios(), ids=lambda one: one.name)
def test_customers_and_money_add_up(scenario: Scenario) -> None:
    for world, result in run_place(scenario, seed=1, customers=FEW).worlds.items():
        lost = result.unable + result.abandoned + result.impatient
        assert result.served_total + lost == result.arrived, world
        assert sum(result.income_minor.values()) == result.sold_minor
        assert sum(result.modes.values()) == result.served_total


def test_a_place_is_the_same_with_the_same_seed(taxi: Scenario) -> None:
    first, again = (run_place(taxi, seed=4, customers=FEW) for _ in range(2))
    assert first == again
    assert run_place(taxi, seed=5, customers=FEW) != first


def test_only_what_the_shop_takes_is_used(taxi: Scenario) -> None:
    worlds = run_place(taxi, seed=1, customers=FEW).worlds
    assert "nfc" not in worlds["qr"].modes
    assert "qr" not in worlds["nfc"].modes
    assert worlds["neither"].electronic_total == 0
    assert worlds["both"].electronic_total > worlds["qr"].electronic_total


def test_slow_software_makes_longer_payments(taxi: Scenario) -> None:
    quick = run_place(taxi, seed=1, customers=FEW)
    slow = run_place(taxi, seed=1, customers=FEW, measured={"qr": [5_000.0], "nfc": [0.0]})
    way = taxi.qr_way
    added = slow.worlds["qr"].paying_s[way] - quick.worlds["qr"].paying_s[way]
    assert added == pytest.approx(5.0, abs=0.01)
    assert slow.worlds["nfc"] == quick.worlds["nfc"]


def test_without_a_network_only_offline_taps_are_taken() -> None:
    scenario = replace(load_scenario("vending-offline"), shop_online=0.0)
    worlds = run_place(scenario, seed=1, customers=FEW).worlds
    assert worlds["qr"].modes.get("qr", 0) == 0
    assert worlds["nfc"].modes["nfc"] > 0
    strict = run_place(replace(scenario, offline_floor_minor=0), seed=1, customers=FEW)
    assert strict.worlds["nfc"].modes.get("nfc", 0) == 0


def test_over_the_limit_a_place_without_pin_pads_takes_no_card() -> None:
    gate = replace(load_scenario("metro-gate"), tap_limit_minor=0)
    people = draw_people(gate, 1)
    traffic = draw_traffic(gate, "nfc", people, seed=1, fees=no_fees)
    cards = [index for index, way in enumerate(traffic.ways) if way.name == "nfc-card"]
    assert not np.isin(traffic.way, cards).any()


def test_in_both_the_quicker_way_comes_first() -> None:
    names = [way.name for way in ways_of(load_scenario("taxi"), "both", load_models())]
    assert names == ["nfc-phone", "nfc-card", "qr-static", "cash"]


@pytest.mark.parametrize("way", ["qr-static", "nfc-card", "cash"])
def test_shares_of_every_sale_add_up_to_it(taxi: Scenario, way: str) -> None:
    amounts = np.array([10, 1280, 1280, 999_990, 30_000_00])
    credit = np.array([False, True, False, True, False])
    shares = fees_by_rules(taxi, load_models().ways[way], amounts, credit)
    assert shares.shape == (len(PARTIES), len(amounts))
    assert (shares.sum(axis=0) == amounts).all()
    assert (shares >= 0).all()


@pytest.fixture(scope="module")
def swept(taxi: Scenario) -> Sweep:
    return sweep(taxi, seed=1, customers=FEW)


def test_a_sweep_says_where_taps_overtake(swept: Sweep, taxi: Scenario) -> None:
    sales = replace(swept.overtaking["sales"], code_penetration=0.5)
    at = sales.nearest(taxi.tap_limit_minor)
    needed = sales.penetration_at(at)
    assert needed is not None
    # At that penetration, by its own definition, taps and codes bring the same.
    assert needed * sales.taps[at] == pytest.approx(0.5 * sales.code)
    assert replace(sales, code_penetration=1.0, code=1.0).penetration_at(at) is None


def test_what_matters_most_stands_first(swept: Sweep) -> None:
    swings = [one.swing for one in swept.sensitivity]
    assert swings == sorted(swings, reverse=True)
    moved = {one.name for one in swept.sensitivity if one.swing > 0.01}
    assert {"carry.wallet", "carry.card", "terminal_penetration"} <= moved


def test_a_lead_moves_with_penetration_as_it_must(swept: Sweep, taxi: Scenario) -> None:
    one = next(each for each in swept.sensitivity if each.name == "terminal_penetration")
    taps = swept.overtaking["sales"].taps[swept.overtaking["sales"].nearest(taxi.tap_limit_minor)]
    assert one.lead_high - one.lead_low == pytest.approx(taps * (one.high - one.low), rel=1e-9)


def test_a_sweep_finds_what_a_run_of_its_own_finds(swept: Sweep, taxi: Scenario) -> None:
    alone = run_place(taxi, seed=1, customers=FEW).worlds["qr"]
    share = alone.electronic_total / alone.arrived
    assert swept.overtaking["sales"].code == pytest.approx(share, rel=1e-12)


def test_a_country_shares_its_shops_out_as_they_stand(taxi: Scenario) -> None:
    assert sum(worlds_as_they_stand(taxi).values()) == pytest.approx(1.0)
    day = run_country(seed=1, customers=400_000, fees=no_fees)
    assert day.fates.arrived == pytest.approx(400_000, rel=0.1)
    weights = [place.scenario.weight for place in day.places]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(1.0)


def test_every_customer_of_a_country_paid_or_was_lost() -> None:
    day = run_country(seed=1, customers=100_000, fees=no_fees)
    for fates in [day.fates, *(Fates.of(place.worlds.values()) for place in day.places)]:
        counts = fates.as_json()
        assert counts.pop("arrived") == sum(counts.values())
    shown = day.as_json()
    assert shown["all"] == day.fates.as_json()
    assert set(shown["places"]) == {place.scenario.name for place in day.places}  # type: ignore[call-overload]


@pytest.mark.long
def test_two_processes_find_the_same_country() -> None:
    alone = run_country(seed=1, customers=400_000, fees=no_fees)
    assert run_country(seed=1, customers=400_000, fees=no_fees, workers=2) == alone
