"""The netting of a day with very many rows, inside a database engine: Ibis on DuckDB or Spark.

Needs the extra `netting` (or `spark`). The engine sums the rows, and can rate them by the rules of
their dates. Its results equal those of `fees` and `netting` to the minor unit.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.scheme.rules import GENERAL, MILLION, House, Rules, RulesError, Tariff
from checkout.clearing.settlement.netting import (
    DayClose,
    MerchantStatement,
    Movement,
    NetPosition,
    SettledPayment,
    assert_balanced,
    positions_of,
)

#: Columns of an unrated row: what the switch knows of a payment, one row each.
UNRATED = {
    "settlement_date": "date",
    "house": "string",
    "movement": "string",
    "amount_minor": "int64",
    "currency": "string",
    "card_kind": "string",
    "mcc": "string",
    "merchant": "string",
    "holder": "string",
    "network": "string",
    "acquirer": "string",  # empty in the three-party house
    "bank": "string",  # empty unless a linked bank pays
}
_FEES = (
    "interchange_minor",
    "network_from_acquirer_minor",
    "network_from_issuer_minor",
    "acquirer_minor",
    "operator_minor",
    "bank_minor",
)
_fees_of = attrgetter(*_FEES)
#: Columns of a rated row, which `close_day` takes.
RATED = {
    **{name: kind for name, kind in UNRATED.items() if name not in ("card_kind", "mcc")},
    **dict.fromkeys(_FEES, "int64"),
    "holder_currency": "string",  # that of the sale unless the holder settles in another
    "holder_amount_minor": "int64",  # what it settles, if in another
}
# Tariff columns beside the tariff's own field names: part, rate, cap.
_PARTS = (
    ("interchange_minor", "issuer_ppm", "issuer_cap_minor"),
    (
        "network_from_acquirer_minor",
        "network_from_acquirer_ppm",
        "network_from_acquirer_cap_minor",
    ),
    ("network_from_issuer_minor", "network_from_issuer_ppm", "network_from_issuer_cap_minor"),
    ("acquirer_minor", "acquirer_ppm", "acquirer_cap_minor"),
)
_NO_CAP = 2**62
# What one row moves: to the acquirer, to the network, from the holder, from a holder abroad in its
# own currency, from a linked bank to the operator.
_LEGS = ("paid", "retained", "owed", "abroad", "between")


class NettingUnavailable(Exception):
    """The extra `netting` is not installed."""


def is_installed() -> bool:
    """Whether the extra `netting` is there: Ibis, and DuckDB as its engine."""
    return all(importlib.util.find_spec(name) is not None for name in ("ibis", "duckdb"))


def rated_rows(payments: Iterable[SettledPayment]) -> Any:
    """Payments with their fees as an Ibis table in memory, in the columns of `RATED`."""
    rows = [_row(payment) for payment in payments]
    columns = list(zip(*rows, strict=True)) or [()] * len(RATED)
    return memory_table(dict(zip(RATED, columns, strict=True)), RATED)


def memory_table(columns: Mapping[str, Sequence[Any]], schema: Mapping[str, str]) -> Any:
    """Columns as an Ibis table in memory; `schema` as in `UNRATED` or `RATED`."""
    ibis = _ibis()
    arrow = importlib.import_module("pyarrow")
    types = {name: ibis.dtype(kind).to_pyarrow() for name, kind in schema.items()}
    return ibis.memtable(arrow.table(dict(columns), schema=arrow.schema(types)))


def rate(unrated: Any, rules: Rules) -> Any:
    """Add every fee to a table with the columns of `UNRATED`, by the rules of each row's date.

    Sales only: what goes back with a refund depends on its sale (`fees.returned`). Exact for
    amounts below 2**53 minor units. Returns a table with the columns of `RATED`; RulesError where
    a row fits no rule set, or its card is neither debit, credit nor wallet.
    """
    ibis = _ibis()
    categories = memory_table(
        {"mcc": list(rules.categories), "category": list(rules.categories.values())},
        {"mcc": "string", "category": "string"},
    )
    tariffs = memory_table(*_tariff_columns(rules))
    table = unrated.left_join(categories, "mcc")
    table = table.mutate(
        category=table.category.fill_null(GENERAL),
        place=ibis.ifelse(table.currency == "CNY", "home", "abroad"),
        rule_set=sum(
            (table.settlement_date >= rule_set.effective_from).cast("int64")
            for rule_set in rules.sets
        ),
    )
    joined = table.left_join(tariffs, ["rule_set", "category", "place", "card_kind"])
    unrated_rows = int(joined.filter(joined.wallet_operator_ppm.isnull()).count().execute())
    if unrated_rows:
        raise RulesError(f"tariff: {unrated_rows} rows fit no rule set and card")
    three = joined.house == House.THREE_PARTY.value
    parts: dict[str, Any] = {}
    for part, ppm, cap in _PARTS:
        capped = ibis.least(_part(ibis, joined.amount_minor, joined[ppm]), joined[cap])
        parts[part] = ibis.ifelse(three, 0, capped).cast("int64")
    fee = _part(ibis, joined.amount_minor, joined.wallet_operator_ppm)
    to_bank = ibis.least(_part(ibis, joined.amount_minor, joined.wallet_bank_ppm), fee)
    bank = ibis.ifelse(three & (joined.bank != ""), to_bank, 0)
    parts["bank_minor"] = bank.cast("int64")
    parts["operator_minor"] = ibis.ifelse(three, fee - bank, 0).cast("int64")
    parts["holder_currency"] = joined.currency
    parts["holder_amount_minor"] = ibis.literal(0, "int64")
    return joined.mutate(**parts).select(*RATED)


def close_day(rated: Any) -> DayClose:
    """Net a table with the columns of `RATED` in its engine, reading it once.

    The engine sums the rows by merchant and parties. Positions and statements both follow from
    those few sums.
    """
    groups = _totals(_ibis(), rated).to_pyarrow().to_pylist()
    positions = _positions(groups)
    assert_balanced(positions)
    return DayClose(positions=positions, statements=_statements(groups))


def _ibis() -> Any:
    try:
        return importlib.import_module("ibis")
    except ImportError:
        raise NettingUnavailable(
            "netting: install the extra, pip install checkout[netting]"
        ) from None


def _row(payment: SettledPayment) -> tuple[Any, ...]:
    """A payment in the order of `RATED`."""
    split = payment.split
    abroad = payment.holder_currency not in (None, payment.currency)
    return (
        payment.settlement_date,
        split.house.value,
        payment.movement.value,
        split.amount_minor,
        payment.currency,
        payment.merchant,
        payment.holder,
        payment.network,
        payment.acquirer or "",
        payment.bank or "",
        *_fees_of(split),
        payment.holder_currency if abroad else payment.currency,
        (payment.holder_amount_minor or 0) if abroad else 0,
    )


def _tariff_columns(rules: Rules) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Every rule set, category, place and card spelled out, for a join."""
    names = [name for _, ppm, cap in _PARTS for name in (ppm, cap)]
    rows: list[dict[str, Any]] = []
    categories = sorted({GENERAL, *rules.categories.values()})
    for number, rule_set in enumerate(rules.sets, start=1):
        for category in categories:
            for place in ("home", "abroad"):
                for card in (CardKind.DEBIT, CardKind.CREDIT, CardKind.WALLET):
                    tariff = Tariff()  # a wallet's rows take the wallet's fee alone
                    if card is not CardKind.WALLET:
                        tariff = rule_set.tariff(category=category, card=card, place=place)
                    rows.append(
                        {
                            "rule_set": number,
                            "category": category,
                            "place": place,
                            "card_kind": card.value,
                            "wallet_operator_ppm": rule_set.wallet_operator_ppm,
                            "wallet_bank_ppm": rule_set.wallet_bank_ppm,
                            **{
                                name: _NO_CAP if (held := getattr(tariff, name)) is None else held
                                for name in names
                            },
                        }
                    )
    text = ("category", "place", "card_kind")
    schema = {name: "string" if name in text else "int64" for name in rows[0]}
    return {name: [row[name] for row in rows] for name in schema}, schema


def _part(ibis: Any, amount: Any, ppm: Any) -> Any:
    """`ppm` millionths, half up, in whole numbers: millions and the rest apart, so that the one
    division is of numbers that a double holds exactly."""
    rest = amount % MILLION
    millions = ((amount - rest) / MILLION).cast("int64")
    doubled = rest * ppm * 2 + MILLION
    return millions * ppm + ((doubled - doubled % (2 * MILLION)) / (2 * MILLION)).cast("int64")


def _totals(ibis: Any, rated: Any) -> Any:
    """Sums by merchant and parties: for each leg the amount in, the amount out and the count."""
    forward = [movement.value for movement in Movement if movement.sign > 0]
    sign = ibis.ifelse(rated.movement.isin(forward), 1, -1).cast("int64")
    owed = rated.amount_minor - rated.interchange_minor + rated.network_from_issuer_minor
    paid = rated.amount_minor - rated.interchange_minor - rated.network_from_acquirer_minor
    fee = sum(rated[name] for name in _FEES if name != "network_from_issuer_minor")
    table = rated.mutate(
        sign=sign,
        fee_minor=sign * fee,
        leg_paid=sign * paid,
        leg_retained=sign * (owed - paid),
        leg_owed=-sign * owed,
        leg_abroad=-sign * rated.holder_amount_minor,
        leg_between=sign * (rated.amount_minor - rated.bank_minor),
    )
    sums: dict[str, Any] = {
        "sales_count": (table.sign > 0).sum(),
        "sales_minor": _sum(table.amount_minor, table.sign > 0),
        "returns_count": (table.sign < 0).sum(),
        "returns_minor": _sum(table.amount_minor, table.sign < 0),
        "fees_minor": table.fee_minor.sum(),
    }
    for leg in _LEGS:
        amount = table[f"leg_{leg}"]
        sums[f"{leg}_in"] = _sum(amount, amount > 0)
        sums[f"{leg}_out"] = _sum(-amount, amount < 0)
        sums[f"{leg}_count"] = (amount != 0).sum()
    return table.group_by(
        "house",
        "merchant",
        "currency",
        "holder",
        "network",
        "acquirer",
        "holder_currency",
        linked_bank=table.bank,
    ).aggregate(**sums)


def _sum(amount: Any, where: Any) -> Any:
    return amount.sum(where=where).fill_null(0)


def _positions(groups: Iterable[dict[str, Any]]) -> tuple[NetPosition, ...]:
    """The legs of every group, summed by participant and currency."""
    sums: dict[tuple[House, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for group in groups:
        house = House(group["house"])
        for participant, currency, leg, turned in _sides(house, group):
            received, owed = ("out", "in") if turned else ("in", "out")
            row = sums[house, participant, currency]
            row[0] += int(group[f"{leg}_{received}"])
            row[1] += int(group[f"{leg}_{owed}"])
            row[2] += int(group[f"{leg}_count"])
    return positions_of(sums)


def _sides(house: House, group: dict[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    """Participant, currency and leg of a group; True for whoever pays what the leg's owner gets."""
    here, there = group["currency"], group["holder_currency"]
    if house is House.THREE_PARTY:
        if group["linked_bank"]:
            yield group["holder"], here, "between", False
            yield group["linked_bank"], here, "between", True
        return
    yield group["acquirer"], here, "paid", False
    yield group["network"], here, "retained", False
    if here == there:
        yield group["holder"], here, "owed", False
        return
    yield group["network"], here, "owed", False
    yield group["holder"], there, "abroad", False
    yield group["network"], there, "abroad", True


def _statements(groups: Iterable[dict[str, Any]]) -> tuple[MerchantStatement, ...]:
    names = ("sales_count", "sales_minor", "returns_count", "returns_minor", "fees_minor")
    sums: dict[tuple[House, str, str], dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(names, 0)
    )
    for group in groups:
        if not group["merchant"]:
            continue  # top-ups
        row = sums[House(group["house"]), group["merchant"], group["currency"]]
        for name in names:
            row[name] += int(group[name])
    return tuple(
        MerchantStatement(
            house=house,
            merchant=merchant,
            currency=currency,
            **row,
            payout_minor=row["sales_minor"] - row["returns_minor"] - row["fees_minor"],
        )
        for (house, merchant, currency), row in sorted(sums.items())
    )
