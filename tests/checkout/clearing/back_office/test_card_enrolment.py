"""Demo accounts for real cards: opened once, paid from within limits without a cryptogram."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checkout.clearing.client.client import OperationFailed
from checkout.clearing.messages import EntryMode, Initiation, TransactionType
from tests.checkout.clearing.network import DEBIT, Network, running_network

CARD = "9999991234567893"  # a surrogate with its check digit
OTHER = "9999990000000006"


def enrol(network: Network, account: str = CARD, **more: Any) -> dict[str, Any]:
    return network.client.operate("enrol", {"account": account, "last_four": "4321"} | more)


def tap(network: Network, account: str = CARD, amount: int = 1280, **more: Any) -> str:
    return network.code(
        network.request(
            account,
            amount,
            entry_mode=EntryMode.CONTACTLESS_CHIP,
            initiation=Initiation.CARD,
            **more,
        )
    )


def test_a_card_that_is_not_enrolled_is_declined(network: Network) -> None:
    assert tap(network) == "14"
    enrol(network)
    assert tap(network, OTHER) == "14"


def test_an_enrolled_card_pays_from_its_own_account(network: Network) -> None:
    told = enrol(network)
    assert told == {
        "enrolled": True,
        "title": "Enrolled card ending in 4321",
        "balance_minor": 100_000,
        "currency": "CNY",
        "account_class": "II",
    }
    assert tap(network) == "00"
    assert network.available(CARD) == 100_000 - 1280
    assert tap(network, amount=99_000) == "51"
    network.reader.trial_balance()


def test_its_approval_says_that_nobody_verified_a_cryptogram(network: Network) -> None:
    enrol(network)
    tap(network)
    newest = network.reader.messages(limit=1)[0]
    assert (newest.response_code, newest.reason) == ("00", "cryptogram-unverifiable")


def test_whatever_is_sent_as_its_cryptogram_is_not_taken_for_one(network: Network) -> None:
    enrol(network)
    assert tap(network, icc=bytes.fromhex("9F2608" + "00" * 8)) == "00"
    assert network.reader.messages(limit=1)[0].reason == "cryptogram-unverifiable"


def test_a_card_of_the_demo_still_needs_its_cryptogram(network: Network) -> None:
    assert tap(network, DEBIT) == "05"


def test_over_the_limit_without_a_pin_it_is_declined(network: Network) -> None:
    enrol(network, balance_minor=500_000)
    assert tap(network, amount=100_001) == "61"


def test_no_pin_is_ever_its_pin(network: Network) -> None:
    enrol(network, balance_minor=500_000)
    for pin in ("0000", "123456"):
        block = network.client.encrypt_pin(pin, CARD)
        assert tap(network, amount=200_000, pin_block=block) == "55"


def test_enrolled_twice_it_keeps_one_account(network: Network) -> None:
    enrol(network)
    tap(network)
    again = enrol(network, balance_minor=9_000_000)
    assert (again["enrolled"], again["balance_minor"]) == (False, 100_000 - 1280)


def test_it_is_still_there_after_a_restart(tmp_path: Path) -> None:
    with running_network(tmp_path) as first:
        enrol(first, account_class="III", balance_minor=50_000)
        assert tap(first) == "00"
        assert first.reader.is_enrolled(CARD)
        assert not first.reader.is_enrolled(OTHER)
    with running_network(tmp_path) as second:
        assert tap(second, stan=7) == "00"
        assert second.available(CARD) == 50_000 - 2 * 1280
        assert enrol(second)["account_class"] == "III"


def test_it_can_be_given_its_money_back(network: Network) -> None:
    enrol(network)
    sale = network.request(
        CARD, 1280, entry_mode=EntryMode.CONTACTLESS_CHIP, initiation=Initiation.CARD
    )
    assert network.code(sale) == "00"
    assert network.code(network.follow(sale, TransactionType.REFUND, 1280)) == "00"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"account": DEBIT}, "account"),
        ({"account": "9999991234567894"}, "account"),
        ({"account": "999999123456"}, "account"),
        ({"account": "6200000000000005"}, "account"),
        ({"last_four": "12"}, "last_four"),
        ({"account_class": "IV"}, "account_class"),
        ({"balance_minor": -1}, "balance_minor"),
        ({"balance_minor": 200_001, "account_class": "III"}, "balance_minor"),
        ({"balance_minor": 10**9}, "balance_minor"),
    ],
)
def test_what_cannot_be_enrolled_is_named(
    network: Network, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(OperationFailed, match=said):
        network.client.operate("enrol", {"account": CARD, "last_four": "4321"} | given)
    assert tap(network) == "14"
