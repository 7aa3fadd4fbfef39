"""The side-by-side run: repeatable, counted at both ends, adding up to the fen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checkout.clearing.switch.switch import Switch
from checkout.commands.pay_qr import payer_pages
from checkout.comparison import compare as command
from checkout.comparison.compare import compare
from checkout.comparison.report.json_report import as_json
from checkout.comparison.results import Column, Comparison
from checkout.comparison.sales.baskets import HOLDS, PEOPLE, draw_baskets
from checkout.comparison.sales.runs import WAYS, run_way
from checkout.comparison.simulation.distributions import TableError
from checkout.comparison.simulation.scenarios import load_scenario
from checkout.demo.payers import payers
from devices.nfc.emulated.card.card import EmulatedCard
from devices.phone import HttpNetwork

SALES = 10


def run() -> Comparison:
    return compare(
        payments=SALES,
        seed=3,
        scenario="taxi",
        serve_pages=payer_pages,
        matrices=False,
        simulated=False,
    )


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return run()


def test_the_same_seed_gives_the_same_but_for_measured_times(comparison: Comparison) -> None:
    first, second = as_json(comparison), as_json(run())
    assert first.pop("measured") != second.pop("measured")
    assert first == second


def test_incomes_and_the_merchants_net_add_up_to_each_sale(comparison: Comparison) -> None:
    for column in comparison.columns:
        assert column.approved
        for sale in column.approved:
            assert sum(sale.shares_minor.values()) == sale.amount_minor
            assert sale.shares_minor["merchant"] < sale.amount_minor
        assert sum(column.income_minor.values()) == column.sold_minor


def test_the_books_hold_approved_sales_once_and_no_others(comparison: Comparison) -> None:
    for column in comparison.columns:
        assert [sale.booked for sale in column.sales] == [
            int(sale.outcome == "approved") for sale in column.sales
        ]


def test_a_wallet_goes_through_three_parties_and_a_card_through_four(
    comparison: Comparison,
) -> None:
    houses = {column.name: {s.house for s in column.approved} for column in comparison.columns}
    assert houses == {
        "code-wallet": {"three-party"},
        "code-bank": {"four-party"},
        "code-payer": {"three-party"},
        "tap-card": {"four-party"},
        "tap-phone": {"four-party"},
    }
    wallet = comparison.columns[0].income_minor
    card = comparison.columns[3].income_minor
    assert wallet["operator"] > 0 == wallet["issuer"]
    assert card["issuer"] > 0 == card["operator"]


def test_both_modes_pay_the_same_baskets(comparison: Comparison) -> None:
    amounts = [[sale.amount_minor for sale in column.sales] for column in comparison.columns]
    faults = [[sale.fault for sale in column.sales] for column in comparison.columns]
    assert all(one == amounts[0] for one in amounts)
    assert all(one == faults[0] for one in faults)


def test_the_shop_is_certain_before_all_is_over(comparison: Comparison) -> None:
    for column in comparison.columns:
        for sale in column.approved:
            assert sale.certain_shop_ms is not None
            assert 0 < sale.certain_shop_ms < sale.whole_ms


class Counted:
    """Counts messages where they arrive: at the card, at the switch, at the phone's network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: Counter[str] = Counter()
        for kind, owner, name in (
            ("card", EmulatedCard, "process"),
            ("switch", Switch, "receive"),
            ("shop", HttpNetwork, "request"),
        ):
            monkeypatch.setattr(owner, name, self._counting(kind, getattr(owner, name)))

    def _counting(self, kind: str, original: Any) -> Any:
        def counting(this: Any, *given: Any, **named: Any) -> Any:
            financial = kind != "switch" or given[0][:2] in (b"02", b"04")
            self.seen[kind] += financial
            return original(this, *given, **named)

        return counting


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    yield Counted(monkeypatch)


@pytest.mark.parametrize("name", ["code-bank", "code-payer", "tap-card"])
def test_messages_in_the_trace_are_those_seen_at_the_other_end(
    name: str, counted: Counted, tmp_path: Path
) -> None:
    scenario = load_scenario("taxi")
    way = next(one for one in WAYS if one.name == name)
    clean = [basket for basket in draw_baskets(scenario, 12, 3) if basket.fault is None]
    column, _ = run_way(way, clean, scenario, home=tmp_path, serve_pages=payer_pages, seed=3)
    told = sum((Counter(sale.round_trips) for sale in column.sales), Counter())
    assert told == counted.seen
    assert sum(sale.messages for sale in column.sales) == 2 * sum(counted.seen.values())


def test_faults_befall_some_and_are_resolved(comparison: Comparison, tmp_path: Path) -> None:
    scenario = load_scenario("taxi")
    faulty = [one for one in draw_baskets(scenario, 400, 3) if one.fault][:8]
    assert {one.fault for one in faulty} >= {"payer-gone", "wrong-pin"}
    way = WAYS[1]
    column, _ = run_way(way, faulty, scenario, home=tmp_path, serve_pages=payer_pages, seed=3)
    lost = [s for s in column.sales if s.fault in ("answer-lost", "request-lost")]
    assert all(s.resolved in ("reversed, then paid again", "reversed") for s in lost)
    assert all(s.booked == (s.outcome == "approved") for s in column.sales)


def test_every_person_holds_something_by_every_way() -> None:
    known = {payer.name for payer in payers()}
    assert sum(PEOPLE.values()) == pytest.approx(1.0)
    for way in WAYS:
        assert set(HOLDS[way.name]) == set(PEOPLE)
        assert set(HOLDS[way.name].values()) <= known


def test_more_baskets_leave_the_first_ones_as_they_were() -> None:
    scenario = load_scenario("taxi")
    assert draw_baskets(scenario, 50, 9)[:20] == draw_baskets(scenario, 20, 9)
    assert draw_baskets(scenario, 20, 9) != draw_baskets(scenario, 20, 10)


def test_nothing_to_pay_is_said_by_name() -> None:
    with pytest.raises(TableError, match="payments: expected one or more, got 0"):
        compare(payments=0, seed=1, serve_pages=payer_pages)


def test_the_command_writes_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("checkout.comparison.compare.run_faults", lambda *_, **__: ())
    monkeypatch.setattr("checkout.comparison.compare.run_attacks", lambda *_, **__: ())
    json_file, html_file = tmp_path / "a.json", tmp_path / "a.html"
    command.run(
        payments=2,
        seed=1,
        scenario="taxi",
        json_file=json_file,
        html_file=html_file,
        serve_pages=payer_pages,
    )
    shown = json.loads(json_file.read_text("utf-8"))
    assert shown["ways"]["tap-card"]["sales"] == 2
    assert html_file.read_text("utf-8").startswith("<!doctype html>")
    out = capsys.readouterr().out
    assert "Tap, card" in out
    assert "every approved sale stands once" in out


def test_a_folder_that_is_not_there_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"html: the folder .*none does not exist"):
        command.run(
            payments=2,
            seed=1,
            scenario="taxi",
            json_file=None,
            html_file=tmp_path / "none" / "a.html",
            serve_pages=payer_pages,
        )


def test_an_empty_column_has_no_figures() -> None:
    column = Column(name="code", title="Code", mode="qr", sales=())
    assert column.software_ms is None
    assert column.cost_share == 0
