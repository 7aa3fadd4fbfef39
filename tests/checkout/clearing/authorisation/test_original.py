"""What a follow-up has to have in common with the message that it names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from checkout.clearing.client.client import OperationFailed
from checkout.clearing.iso8583.field_map import SHAPES
from checkout.clearing.messages import (
    AuthorizationRequest,
    OriginalElements,
    Reversal,
    TransactionType,
)
from tests.checkout.clearing.network import CLASS_II, DEBIT, Network

_T = TransactionType
_CHANGES: dict[str, dict[str, Any]] = {
    "card": {"account": CLASS_II},
    "acquirer": {"acquirer": "90020002"},
    "terminal": {"terminal_id": "10000002"},
    "merchant": {"merchant_id": "999156058120002"},
    "currency": {"currency": "JPY"},
}


def reverse(network: Network, request: AuthorizationRequest, **changed: Any) -> str:
    """The code of a reversal of `request` with some of its fields changed."""
    named = OriginalElements(
        message_type=SHAPES[request.transaction_type][0],
        stan=request.stan,
        transmitted_at=request.transmitted_at,
        acquirer=request.acquirer,
        forwarder=request.forwarder,
    )
    asked = Reversal(request=replace(request, original=named, **changed))
    return network.client._financial(asked, asked.request.terminal_id, 10.0).response.response_code


@pytest.mark.parametrize("changed", _CHANGES.values(), ids=_CHANGES)
@pytest.mark.parametrize("kind", [_T.VOID, _T.REFUND], ids=str)
def test_follow_up_of_another_field_finds_no_original(
    network: Network, kind: TransactionType, changed: dict[str, Any]
) -> None:
    sale = network.request()
    before = network.available()
    assert network.code(sale) == "00"
    assert network.code(network.follow(sale, kind, **changed)) == "25"
    assert network.available() == before - sale.amount_minor
    assert network.code(network.follow(sale, kind)) == "00"


@pytest.mark.parametrize("changed", _CHANGES.values(), ids=_CHANGES)
@pytest.mark.parametrize("kind", [_T.COMPLETION, _T.PREAUTHORISATION_VOID], ids=str)
def test_follow_up_of_another_field_leaves_the_hold(
    network: Network, kind: TransactionType, changed: dict[str, Any]
) -> None:
    hold = network.request(transaction_type=_T.PREAUTHORISATION, condition="06")
    assert network.code(hold) == "00"
    assert network.code(network.follow(hold, kind, **changed)) == "25"
    assert network.code(network.follow(hold, kind)) == "00"


@pytest.mark.parametrize("changed", _CHANGES.values(), ids=_CHANGES)
def test_reversal_of_another_field_finds_no_original(
    network: Network, changed: dict[str, Any]
) -> None:
    sale = network.request()
    before = network.available()
    assert network.code(sale) == "00"
    assert reverse(network, sale, **changed) == "25"
    assert network.available() == before - sale.amount_minor
    assert reverse(network, sale) == "00"
    assert network.available() == before


@pytest.mark.parametrize("amount", [1, 1279, 1281])
def test_reversal_of_another_amount_leaves_the_sale(network: Network, amount: int) -> None:
    sale = network.request(amount=1280)
    before = network.available()
    assert network.code(sale) == "00"
    assert reverse(network, sale, amount_minor=amount) == "64"
    assert network.available() == before - 1280


@pytest.mark.parametrize("amount", [1, 640, 1281])
def test_void_of_part_of_a_hold_leaves_it(network: Network, amount: int) -> None:
    hold = network.request(transaction_type=_T.PREAUTHORISATION, condition="06")
    before = network.available()
    assert network.code(hold) == "00"
    assert network.code(network.follow(hold, _T.PREAUTHORISATION_VOID, amount)) == "64"
    assert network.available() == before - 1280


def test_reversal_ahead_of_a_sale_refuses_only_that_sale(network: Network) -> None:
    sale = network.request(amount=10_000)
    assert reverse(network, sale, amount_minor=1) == "25"
    assert network.code(sale) == "00"


@pytest.mark.parametrize(
    "changed",
    [{"amount_minor": 2}, {"rrn": "999999999999"}, {"mcc": "5411"}, {"merchant_name": "Another"}],
    ids=lambda changed: next(iter(changed)),
)
def test_advice_of_the_same_key_and_other_content_is_a_duplicate(
    network: Network, changed: dict[str, Any]
) -> None:
    sale = network.request()
    assert network.code(sale) == "00"
    refund = network.follow(sale, _T.REFUND, 1)
    assert network.code(refund) == "00"
    assert network.code(refund) == "00"
    assert network.code(replace(refund, **changed)) == "94"


def test_advice_of_the_same_key_about_another_sale_is_a_duplicate(network: Network) -> None:
    sale, other = network.request(), network.request()
    assert network.code(sale) == network.code(other) == "00"
    refund = network.follow(sale, _T.REFUND, 1)
    assert network.code(refund) == "00"
    elsewhere = replace(refund, original=network.follow(other, _T.REFUND, 1).original)
    assert network.code(elsewhere) == "94"


def test_dispute_names_one_sale_where_two_have_its_rrn(network: Network) -> None:
    first = network.request(amount=1000)
    second = network.request(
        amount=2000, rrn=first.rrn, merchant_id="999156058120002", account=DEBIT
    )
    assert network.code(first) == network.code(second) == "00"
    with pytest.raises(OperationFailed, match="2 sales have"):
        network.client.operate("charge-back", {"rrn": first.rrn})
    named = {"rrn": first.rrn, "merchant": second.merchant_id}
    assert network.client.operate("charge-back", named)["amount_minor"] == 2000
    with pytest.raises(OperationFailed, match="no sale"):
        network.client.operate("charge-back", {"rrn": first.rrn, "acquirer": "90020002"})


def test_hold_runs_out_by_the_clock_without_a_close(network: Network) -> None:
    hold = network.request(transaction_type=_T.PREAUTHORISATION, condition="06")
    before = network.available()
    assert network.code(hold) == "00"
    network.clock.advance(timedelta(days=30, seconds=-1))
    network.client.echo()
    assert network.available() == before - hold.amount_minor
    network.clock.advance(timedelta(seconds=2))
    network.client.echo()
    assert network.available() == before
    assert network.code(network.follow(hold, _T.PREAUTHORISATION_VOID)) == "12"
