"""Netting to zero and merchants' statements."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from typing import Any

import pytest
from hypothesis import given, strategies as st

from checkout.clearing.scheme.fees import fees, returned
from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.scheme.rules import House
from checkout.clearing.settlement.netting import (
    Movement,
    SettledPayment,
    holder_owes,
    legs,
    net,
    statements,
)

TODAY = date(2026, 3, 2)


def paid(amount: int, **changed: Any) -> SettledPayment:
    house = changed.pop("house", House.FOUR_PARTY)
    three = house is House.THREE_PARTY
    bank = changed.get("bank")
    split = changed.pop("split", None) or fees(
        amount,
        card_kind=CardKind.WALLET if three else CardKind.CREDIT,
        mcc="5814",
        on=TODAY,
        house=house,
        currency=changed.get("currency", "CNY"),
        linked=bank is not None,
    )
    return SettledPayment(
        **{
            "id": "p",
            "settlement_date": TODAY,
            "movement": Movement.SALE,
            "split": split,
            "currency": "CNY",
            "merchant": "M1",
            "holder": "wallet-operator" if three else "harbour-bank",
            "network": "network",
            "acquirer": None if three else "market-acquirer",
            **changed,
        }
    )


def nets(*payments: SettledPayment) -> dict[tuple[str, str], int]:
    return {(one.participant, one.currency): one.net_minor for one in net(payments)}


def test_four_party_sale_leaves_each_party_its_fee() -> None:
    # 1,000.00 by credit card: interchange 4.50, network 0.33 from each side.
    assert nets(paid(1_000_00)) == {
        ("harbour-bank", "CNY"): -(1_000_00 - 4_50 + 33),
        ("market-acquirer", "CNY"): 1_000_00 - 4_50 - 33,
        ("network", "CNY"): 66,
    }


def test_payment_from_a_wallets_balance_crosses_no_border() -> None:
    assert legs(paid(1_000_00, house=House.THREE_PARTY)) == ()


def test_quick_payment_is_between_bank_and_operator() -> None:
    found = nets(paid(1_000_00, house=House.THREE_PARTY, bank="lane-bank"))
    assert found == {("lane-bank", "CNY"): -999_00, ("wallet-operator", "CNY"): 999_00}


def test_full_refund_undoes_the_sale_with_its_fees() -> None:
    sale = paid(1_000_00)
    back = paid(1_000_00, movement=Movement.REFUND)
    assert set(nets(sale, back).values()) == {0}
    assert net([sale, back])[0].count == 2


def test_chargeback_and_representment_cancel_out() -> None:
    sale = paid(100_00)
    charged = paid(100_00, movement=Movement.CHARGEBACK)
    answered = paid(100_00, movement=Movement.REPRESENTMENT)
    assert nets(sale, charged, answered) == nets(sale)


def test_holder_abroad_settles_in_its_own_currency_and_the_network_changes_the_money() -> None:
    sale = paid(72_00, holder="bank-abroad-v", holder_currency="USD", holder_amount_minor=9_95)
    found = nets(sale)
    assert found["bank-abroad-v", "USD"] == -9_95
    assert found["network", "USD"] == 9_95
    assert found["market-acquirer", "CNY"] + found["network", "CNY"] == 0
    assert ("bank-abroad-v", "CNY") not in found


@pytest.mark.parametrize(
    "changed", [{"acquirer": None}, {"holder_currency": "USD", "holder_amount_minor": None}]
)
def test_row_that_lacks_what_it_needs_is_a_fault(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="payment p"):
        net([paid(100, **changed)])


@st.composite
def _day(draw: st.DrawFn) -> list[SettledPayment]:
    rows: list[SettledPayment] = []
    for number in range(draw(st.integers(0, 20))):
        house = draw(st.sampled_from(list(House)))
        amount = draw(st.integers(1, 10**9))
        currency = draw(st.sampled_from(["CNY", "JPY", "KWD"]))
        changed: dict[str, Any] = {"id": str(number), "house": house, "currency": currency}
        changed["merchant"] = draw(st.sampled_from(["M1", "M2"]))
        if house is House.THREE_PARTY:
            changed["bank"] = draw(st.sampled_from([None, "lane-bank"]))
        elif draw(st.booleans()):
            changed |= {
                "holder_currency": "USD",
                "holder_amount_minor": draw(st.integers(0, 10**9)),
            }
        sale = paid(amount, **changed)
        rows.append(sale)
        if draw(st.booleans()):
            refund = draw(st.integers(1, amount))
            part = returned(sale.split, refunded_before_minor=0, refund_minor=refund)
            movement = draw(st.sampled_from([Movement.REFUND, Movement.CHARGEBACK]))
            rows.append(paid(refund, **changed, split=part, movement=movement))
    return rows


@given(_day())
def test_positions_add_up_to_zero_in_each_house_and_currency(rows: list[SettledPayment]) -> None:
    totals: dict[tuple[House, str], int] = defaultdict(int)
    for one in net(rows):
        totals[one.house, one.currency] += one.net_minor
    assert set(totals.values()) <= {0}


@given(_day())
def test_statements_account_for_every_minor_unit(rows: list[SettledPayment]) -> None:
    found = statements(rows)
    for one in found:
        assert one.sales_minor - one.returns_minor == one.fees_minor + one.payout_minor
    assert sum(one.sales_count + one.returns_count for one in found) == len(rows)


def test_statement_of_a_sale_and_a_partial_refund() -> None:
    sale = paid(1_000_00)
    part = returned(sale.split, refunded_before_minor=0, refund_minor=400_00)
    (found,) = statements([sale, paid(400_00, split=part, movement=Movement.REFUND)])
    assert (found.sales_count, found.sales_minor) == (1, 1_000_00)
    assert (found.returns_count, found.returns_minor) == (1, 400_00)
    # Fees 4.50 + 0.33 + 2.00; two fifths come back: 1.80, 0.13 and 0.80.
    assert found.fees_minor == 6_83 - 2_73
    assert found.payout_minor == 600_00 - 4_10


def test_acquirer_pays_its_merchant_out_of_what_it_receives() -> None:
    sale = paid(1_000_00)
    (statement,) = statements([sale])
    received = nets(sale)["market-acquirer", "CNY"]
    assert received - statement.payout_minor == sale.split.acquirer_minor
    assert holder_owes(sale.split) == -nets(sale)["harbour-bank", "CNY"]
