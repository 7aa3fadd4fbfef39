"""Top-ups of a stored balance through a real switch: both houses' books, limits, the way back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from checkout.clearing.client.client import SwitchClient
from checkout.clearing.ledger.ledger import Status
from checkout.clearing.messages import (
    AuthorizationRequest,
    EntryMode,
    Initiation,
    TransactionType,
)
from tests.checkout.clearing.network import DEBIT, NOON, PIN, QUICK, WALLET, Network, signed_on

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
_T = TransactionType


@pytest.fixture
def operator(network: Network) -> Iterator[SwitchClient]:
    with signed_on(network, "wallet-operator") as client:
        yield client


def _asked(
    network: Network, operator: SwitchClient, amount: int = 100_00, **changed: Any
) -> AuthorizationRequest:
    account = changed.pop("account", WALLET)
    given = {
        "transaction_type": _T.TOP_UP,
        "acquirer": "90030001",
        "forwarder": "90030001",
        "entry_mode": EntryMode.ECOMMERCE,
        "initiation": Initiation.ONLINE,
        "merchant_id": "LANE-WALLET",
        "mcc": "6540",
        "pin_block": operator.encrypt_pin(changed.pop("pin", PIN), account),
    }
    return network.request(account, amount, **(given | changed))


def _code(operator: SwitchClient, request: AuthorizationRequest) -> str:
    return operator.authorize(request).response.response_code


def _balances(network: Network) -> tuple[int, int]:
    return network.available(DEBIT), network.available(WALLET)


def _client_money(network: Network) -> tuple[int, int]:
    """What the operator keeps apart, and what its payers have stored with it."""
    (client_money,) = network.reader.accounts("client-money/wallet-operator/CNY")
    stored = [
        one.balance.posted
        for one in network.reader.accounts("payer/")
        if one.name.startswith("payer/999980")
    ]
    return -client_money.balance.posted, sum(stored)


def test_money_goes_from_bank_account_to_balance_in_both_books(
    network: Network, operator: SwitchClient
) -> None:
    bank, stored = _balances(network)
    request = _asked(network, operator, 250_00)
    answer = operator.authorize(request).response
    assert (answer.response_code, answer.settlement_date) == ("00", date(2026, 3, 2))
    assert _balances(network) == (bank - 250_00, stored + 250_00)
    drawn, credited = network.reader.postings(request.rrn)
    assert (drawn.credit, credited.debit) == (
        "position/lane-bank/CNY",
        "position/wallet-operator/CNY",
    )
    assert {drawn.status, credited.status} == {Status.POSTED}
    network.reader.trial_balance()


def test_topped_up_balance_can_be_spent_before_the_close(
    network: Network, operator: SwitchClient
) -> None:
    _, stored = _balances(network)
    block = network.client.encrypt_pin(PIN, WALLET)
    assert network.code(network.request(WALLET, stored + 1, pin_block=block)) == "51"
    assert _code(operator, _asked(network, operator, 1)) == "00"
    block = network.client.encrypt_pin(PIN, WALLET)
    assert network.code(network.request(WALLET, stored + 1, pin_block=block)) == "00"


def test_close_settles_it_between_the_houses_and_keeps_the_balance_apart(
    network: Network, operator: SwitchClient
) -> None:
    before, stored = _client_money(network)
    assert before == stored
    top_up = _asked(network, operator, 300_00)
    assert _code(operator, top_up) == "00"
    assert _code(operator, network.follow(top_up, _T.REFUND, 100_00)) == "00"
    block = network.client.encrypt_pin(PIN, WALLET)
    assert network.code(network.request(WALLET, 50_00, pin_block=block)) == "00"
    report = network.client.operate("settle")
    positions = {one["participant"]: one["net_minor"] for one in report["positions"]}
    assert positions == {"lane-bank": -200_00, "wallet-operator": 200_00}
    assert [one["sales_minor"] for one in report["merchants"]] == [50_00]
    assert report["client_money"] == [
        {"operator": "wallet-operator", "currency": "CNY", "moved_minor": 150_00}
    ]
    assert _client_money(network) == (before + 150_00, before + 150_00)
    lines = (network.home / "settlements" / "2026-03-02" / "participant-lane-bank.csv").read_text()
    assert "top-up,,CNY,-30000" in lines
    assert "top-up-return,,CNY,10000" in lines


def test_top_up_of_a_date_that_was_never_closed_is_settled_with_the_next(
    network: Network, operator: SwitchClient
) -> None:
    assert _code(operator, _asked(network, operator, 10_00)) == "00"
    network.clock.set_to(datetime(2026, 3, 5, 4, 0, tzinfo=UTC))
    report = network.client.operate("settle")
    assert (report["date"], report["posted"]) == ("2026-03-05", 1)
    assert {one["net_minor"] for one in report["positions"]} == {-10_00, 10_00}
    assert all(one.balance.posted == 0 for one in network.reader.accounts("position/"))


def test_void_takes_the_whole_back_on_its_day_only(
    network: Network, operator: SwitchClient
) -> None:
    before = _balances(network)
    top_up = _asked(network, operator)
    assert _code(operator, top_up) == "00"
    assert _code(operator, network.follow(top_up, _T.VOID, 1)) == "64"
    void = network.follow(top_up, _T.VOID)
    assert _code(operator, void) == "00"
    assert _code(operator, network.follow(top_up, _T.VOID)) == "12"
    assert _code(operator, network.follow(top_up, _T.REFUND)) == "61"
    assert network.available(WALLET) == before[1]
    another = _asked(network, operator)
    assert _code(operator, another) == "00"
    network.client.operate("settle")
    assert _balances(network) == (before[0] - 100_00, before[1] + 100_00)
    network.clock.set_to(datetime(2026, 3, 3, 4, 0, tzinfo=UTC))
    assert _code(operator, network.follow(another, _T.VOID)) == "12"
    assert _code(operator, network.follow(another, _T.REFUND, 60_00)) == "00"
    assert _code(operator, network.follow(another, _T.REFUND, 40_01)) == "61"
    assert _code(operator, network.follow(another, _T.REFUND, 40_00)) == "00"
    network.client.operate("settle")
    assert _balances(network) == before


def test_reversed_void_lets_the_top_up_stand_again(
    network: Network, operator: SwitchClient
) -> None:
    top_up = _asked(network, operator)
    assert _code(operator, top_up) == "00"
    before = network.available(WALLET)
    void = network.follow(top_up, _T.VOID)
    assert _code(operator, void) == "00"
    for _ in range(2):
        assert operator.reverse(void).response.response_code == "00"
    assert network.available(WALLET) == before
    assert _code(operator, network.follow(top_up, _T.VOID)) == "00"


def test_reversal_undoes_it_once_however_often_it_is_asked(
    network: Network, operator: SwitchClient
) -> None:
    before = _balances(network)
    top_up = _asked(network, operator)
    assert _code(operator, top_up) == "00"
    for _ in range(3):
        assert operator.reverse(top_up).response.response_code == "00"
    assert _code(operator, network.follow(top_up, _T.REFUND)) == "12"
    network.client.operate("settle")
    assert _balances(network) == before
    assert all(one.balance.posted == 0 for one in network.reader.accounts("position/"))


def test_what_is_spent_is_neither_given_back_nor_reversed(
    network: Network, operator: SwitchClient
) -> None:
    top_up = _asked(network, operator)
    assert _code(operator, top_up) == "00"
    everything = network.available(WALLET)
    block = network.client.encrypt_pin(PIN, WALLET)
    assert network.code(network.request(WALLET, everything - 99_99, pin_block=block)) == "00"
    assert _code(operator, network.follow(top_up, _T.VOID)) == "51"
    assert _code(operator, network.follow(top_up, _T.REFUND, 99_99)) == "00"
    assert operator.reverse(top_up).response.response_code == "12"
    assert network.available(WALLET) == 0


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"pin": "000000"}, "55"),
        ({"pin_block": None}, "05"),
        ({"account": QUICK}, "57"),
        ({"account": DEBIT}, "14"),
        ({"amount": 150_000_01}, "61"),
        ({"amount": 200_000_01}, "61"),
        ({"amount": 0}, "13"),
        ({"currency": "JPY"}, "57"),
    ],
)
def test_refused_top_up_moves_nothing(
    network: Network, operator: SwitchClient, changed: dict[str, Any], code: str
) -> None:
    before = network.reader.accounts()
    assert _code(operator, _asked(network, operator, **({"amount": 100_00} | changed))) == code
    assert network.reader.accounts() == before


def test_bank_decides_by_its_own_account(network: Network, operator: SwitchClient) -> None:
    funds = network.available(DEBIT)
    block = network.client.encrypt_pin(PIN, DEBIT)
    assert network.code(network.request(DEBIT, 4_990_00, pin_block=block)) == "00"
    assert network.available(DEBIT) == funds - 4_990_00
    network.client.operate("set-status", {"account": DEBIT, "status": "lost"})
    assert _code(operator, _asked(network, operator)) == "41"
    network.client.operate("set-status", {"account": DEBIT, "status": "active"})
    network.client.operate("issuer-down", {"participant": "lane-bank"})
    assert _code(operator, _asked(network, operator)) == "91"
    network.client.operate("issuer-up", {"participant": "lane-bank"})
    assert _code(operator, _asked(network, operator)) == "00"


def test_only_the_operator_itself_tops_up_and_gives_back(
    network: Network, operator: SwitchClient
) -> None:
    for changed in ({"acquirer": "90020001"}, {}):
        block = network.client.encrypt_pin(PIN, WALLET)
        given = {"forwarder": "90020001", "pin_block": block} | changed
        assert network.code(_asked(network, operator, **given)) == "12"
    top_up = _asked(network, operator)
    assert _code(operator, top_up) == "00"
    stolen = network.follow(top_up, _T.REFUND, forwarder="90020001")
    assert network.code(stolen) == "25"
    assert network.code(network.follow(top_up, _T.REFUND, acquirer="90020001")) == "12"
    as_acquirer = network.request(WALLET, acquirer="90030001", forwarder="90030001")
    assert _code(operator, as_acquirer) == "12"


def test_after_the_cut_off_it_takes_the_next_date(network: Network, operator: SwitchClient) -> None:
    network.clock.set_to(NOON.replace(hour=15))
    answer = operator.authorize(_asked(network, operator, 5_00)).response
    assert answer.settlement_date == date(2026, 3, 3)
    assert network.client.operate("settle", {"date": "2026-03-02"})["positions"] == []
    report = network.client.operate("settle", {"date": "2026-03-03"})
    assert len(report["positions"]) == 2
