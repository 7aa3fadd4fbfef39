"""Netting inside an engine agrees with the plain Python one to the minor unit."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

import pytest

from checkout.clearing.scheme.fees import fees, returned
from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.scheme.rules import House, RulesError, rules_of_china
from checkout.clearing.settlement.netting import DayClose, Movement, SettledPayment, net, statements
from checkout.clearing.settlement.netting_engine import (
    RATED,
    UNRATED,
    close_day,
    memory_table,
    rate,
    rated_rows,
)

pytest.importorskip("ibis")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
MCCS = ["5812", "5999", "5411", "8062", "7013", "5111", "5511", "0000"]


def _unrated(rng: random.Random) -> dict[str, Any]:
    three = rng.random() < 0.4
    return {
        "settlement_date": date(2016, 8, 1) + timedelta(days=rng.randrange(0, 900)),
        "house": (House.THREE_PARTY if three else House.FOUR_PARTY).value,
        "movement": Movement.SALE.value,
        "amount_minor": rng.choice([rng.randint(1, 999), rng.randint(1, 10**6), 10**13 + 5]),
        "currency": rng.choice(["CNY", "CNY", "JPY"]),
        "card_kind": "wallet" if three else rng.choice(["debit", "credit"]),
        "mcc": rng.choice(MCCS),
        "merchant": rng.choice(["M1", "M2", "M3"]),
        "holder": "wallet-operator" if three else rng.choice(["lane-bank", "harbour-bank"]),
        "network": "network",
        "acquirer": "" if three else rng.choice(["market-acquirer", "square-acquirer"]),
        "bank": rng.choice(["", "lane-bank"]) if three else "",
    }


def _payment(row: dict[str, Any], number: int) -> SettledPayment:
    return SettledPayment(
        id=str(number),
        settlement_date=row["settlement_date"],
        movement=Movement(row["movement"]),
        split=fees(
            row["amount_minor"],
            card_kind=CardKind(row["card_kind"]),
            mcc=row["mcc"],
            on=row["settlement_date"],
            house=House(row["house"]),
            currency=row["currency"],
            linked=bool(row["bank"]),
        ),
        currency=row["currency"],
        merchant=row["merchant"],
        holder=row["holder"],
        network=row["network"],
        acquirer=row["acquirer"] or None,
        bank=row["bank"] or None,
    )


def _with_refunds(payments: list[SettledPayment], rng: random.Random) -> list[SettledPayment]:
    rows = list(payments)
    for one in payments:
        part = rng.randint(1, one.split.amount_minor)
        back = returned(one.split, refunded_before_minor=0, refund_minor=part)
        movement = rng.choice(list(Movement))
        changed = {name: getattr(one, name) for name in one.__dataclass_fields__}
        changed |= {"split": back, "movement": movement}
        if back.house is House.FOUR_PARTY and rng.random() < 0.3:
            changed |= {"holder_currency": "USD", "holder_amount_minor": rng.randint(0, 10**9)}
        rows.append(SettledPayment(**changed))
    return rows


def _table(rows: list[dict[str, Any]]) -> Any:
    columns = {name: [row[name] for row in rows] for name in UNRATED}
    return memory_table(columns, UNRATED)


def test_engine_nets_refunds_disputes_and_currencies_to_the_minor_unit() -> None:
    rng = random.Random(8583)
    sales = [_payment(_unrated(rng), number) for number in range(300)]
    rows = _with_refunds(sales, rng)
    table = rated_rows(rows)
    assert close_day(table) == DayClose(positions=net(rows), statements=statements(rows))


def test_engine_rates_every_row_by_the_rules_of_its_date() -> None:
    rng = random.Random(20160906)
    rows = [_unrated(rng) for _ in range(2_000)]
    table = rate(_table(rows), rules_of_china())
    assert set(table.columns) == set(RATED)
    payments = [_payment(row, number) for number, row in enumerate(rows)]
    assert close_day(table) == DayClose(positions=net(payments), statements=statements(payments))


@pytest.mark.parametrize("day", [date(2016, 9, 5), date(2016, 9, 6)])
def test_engine_rounds_and_caps_as_python_does_around_every_cap(day: date) -> None:
    base = _unrated(random.Random(1)) | {
        "settlement_date": day,
        "house": House.FOUR_PARTY.value,
        "currency": "CNY",
        "holder": "lane-bank",
        "acquirer": "market-acquirer",
        "bank": "",
    }
    edges = (371_286, 998_462, 666_612, 768_847, 454_319, 363_546, 311_875, 233_000, 100, 50)
    rows = [
        base | {"amount_minor": edge + off, "mcc": mcc, "card_kind": card, "merchant": f"{n}"}
        for n, (edge, off, mcc, card) in enumerate(
            (edge, off, mcc, card)
            for edge in edges
            for off in (-1, 0, 1)
            for mcc in MCCS
            for card in ("debit", "credit")
        )
    ]
    payments = [_payment(row, number) for number, row in enumerate(rows)]
    # A merchant a row: each statement shows that row's fees by themselves.
    found = close_day(rate(_table(rows), rules_of_china()))
    assert found.statements == statements(payments)
    assert found.positions == net(payments)


def test_empty_day_has_no_positions() -> None:
    assert close_day(rated_rows([])) == DayClose(positions=(), statements=())


@pytest.mark.parametrize(
    "changed", [{"card_kind": "token"}, {"settlement_date": date(2014, 12, 31)}]
)
def test_row_that_no_rule_fits_is_not_dropped_in_silence(changed: dict[str, Any]) -> None:
    rows = [_unrated(random.Random(2)), _unrated(random.Random(2)) | changed]
    with pytest.raises(RulesError, match="1 rows"):
        rate(_table(rows), rules_of_china())


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_spark_agrees_without_a_changed_expression() -> None:
    sql = pytest.importorskip("pyspark.sql")
    ibis = pytest.importorskip("ibis")
    session = (
        sql.SparkSession.builder.master("local[1]")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    ibis.set_backend(ibis.pyspark.connect(session))
    try:
        rng = random.Random(566)
        rows = [_unrated(rng) for _ in range(300)]
        payments = [_payment(row, number) for number, row in enumerate(rows)]
        expected = DayClose(positions=net(payments), statements=statements(payments))
        assert close_day(rate(_table(rows), rules_of_china())) == expected
    finally:
        session.stop()
        ibis.set_backend("duckdb")
