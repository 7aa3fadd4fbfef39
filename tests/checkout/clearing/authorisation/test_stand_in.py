"""An issuer doesn't answer: stand-in decides by its rules, and the issuer is informed later."""

from __future__ import annotations

from datetime import date

import pytest

from checkout.clearing.authorisation.stand_in import (
    StandInError,
    StandInRule,
    StandInUsage,
    parse_stand_in,
    stand_in_decision,
    stand_in_rules,
)
from checkout.clearing.client.client import OperationFailed
from checkout.clearing.messages import EntryMode, Initiation, TransactionType
from checkout.clearing.switch.samples import CODE
from tests.checkout.clearing.network import (
    CREDIT,
    DEBIT,
    PIN,
    QUICK,
    VISA,
    WALLET,
    Network,
    running_network,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
RULE = StandInRule(
    participant="lane-bank", purchase_minor=10_000, account_count=3, account_minor=20_000
)
DAY = date(2026, 3, 2)


def _down(network: Network, participant: str = "lane-bank") -> None:
    network.client.operate("issuer-down", {"participant": participant})


def _up(network: Network, participant: str = "lane-bank") -> dict[str, int]:
    counts: dict[str, int] = network.client.operate("issuer-up", {"participant": participant})
    return counts


@pytest.mark.parametrize(
    ("amount", "before", "code"),
    [
        (10_000, StandInUsage(), "00"),
        (10_001, StandInUsage(), "91"),
        (1, StandInUsage(count=2, amount_minor=2), "00"),
        (1, StandInUsage(count=3, amount_minor=3), "91"),
        (5_000, StandInUsage(count=1, amount_minor=15_000), "00"),
        (5_001, StandInUsage(count=1, amount_minor=15_000), "91"),
    ],
)
def test_limits_hold_at_the_cap_and_one_fen_over(
    amount: int, before: StandInUsage, code: str
) -> None:
    from dataclasses import replace

    request = replace(CODE, amount_minor=amount, pin_block=None)
    assert stand_in_decision(RULE, request, before, on=DAY).response_code == code
    assert stand_in_decision(None, request, before, on=DAY).response_code == "91"


def test_small_purchases_are_approved_in_the_issuers_place_and_forwarded(network: Network) -> None:
    before = network.available()
    _down(network)
    assert network.code(network.tap(amount=5000, atc=1)) == "00"
    assert network.code(network.request(amount=6000)) == "00"
    assert network.code(network.request(amount=10_001)) == "91"
    block = network.client.encrypt_pin(PIN, DEBIT)
    assert network.code(network.request(amount=100, pin_block=block)) == "91"
    hold = network.request(amount=100, transaction_type=TransactionType.PREAUTHORISATION)
    assert network.code(hold) == "91"
    assert network.available() == before - 11_000
    assert _up(network) == {"delivered": 2, "disputed": 0, "reversed": 0}
    assert network.code(network.tap(amount=100, atc=1)) == "63"  # its counter was in the advice
    assert network.code(network.tap(amount=100, atc=2)) == "00"


def test_other_issuers_go_on_and_one_without_an_agreement_gets_91(network: Network) -> None:
    _down(network)
    assert network.code(network.request(CREDIT, 50_000)) == "00"
    _down(network, "bank-abroad-v")
    assert network.code(network.request(VISA, 100)) == "91"


def test_quick_payment_needs_the_linked_bank_and_a_stored_balance_does_not(
    network: Network,
) -> None:
    _down(network)
    for account, code in ((QUICK, "91"), (WALLET, "00")):
        block = network.client.encrypt_pin(PIN, account)
        assert network.code(network.request(account, 100, pin_block=block)) == code
    _up(network)
    block = network.client.encrypt_pin(PIN, QUICK)
    assert network.code(network.request(QUICK, 100, pin_block=block)) == "00"


@pytest.mark.parametrize("mode", [EntryMode.MANUAL, EntryMode.ECOMMERCE])
def test_number_alone_is_not_stood_in_for(network: Network, mode: EntryMode) -> None:
    _down(network)
    asked = network.request(amount=100, entry_mode=mode, initiation=Initiation.ONLINE)
    assert network.code(asked) == "91"


def test_wrong_cryptogram_is_found_when_the_issuer_is_back(network: Network) -> None:
    _down(network)
    spoilt = network.tap(amount=100, atc=1)
    assert spoilt.icc is not None
    icc = spoilt.icc[:3] + bytes((spoilt.icc[3] ^ 1,)) + spoilt.icc[4:]
    assert network.code(network.tap(amount=100, atc=1, icc=icc)) == "00"
    assert _up(network) == {"delivered": 0, "disputed": 1, "reversed": 0}
    advice = next(one for one in network.reader.messages() if one.kind == "stand-in-advice")
    assert (advice.response_code, advice.reason) == ("63", "cryptogram-mismatch")


def test_what_was_reversed_meanwhile_is_not_forwarded(network: Network) -> None:
    before = network.available()
    _down(network)
    sale = network.request(amount=100)
    assert network.code(sale) == "00"
    assert network.client.reverse(sale).response.response_code == "00"
    assert _up(network) == {"delivered": 0, "disputed": 0, "reversed": 1}
    assert network.available() == before


def test_outage_and_what_waits_survive_a_restart(tmp_path: object) -> None:
    from pathlib import Path

    home = Path(str(tmp_path))
    with running_network(home) as network:
        _down(network)
        assert network.code(network.request(amount=100)) == "00"
    with running_network(home) as network:
        network.numbers = iter(range(100, 200))
        assert network.code(network.request(amount=10_001)) == "91"
        assert _up(network) == {"delivered": 1, "disputed": 0, "reversed": 0}
        assert _up(network) == {"delivered": 0, "disputed": 0, "reversed": 0}
        assert network.code(network.request(amount=10_001)) == "00"


def test_only_who_keeps_accounts_can_be_down(network: Network) -> None:
    with pytest.raises(OperationFailed, match="keeps accounts"):
        _down(network, "market-acquirer")
    with pytest.raises(OperationFailed, match="participant is missing"):
        network.client.operate("issuer-down")


def test_rules_of_the_demo_are_readable_and_wrong_ones_are_named() -> None:
    assert {"lane-bank", "harbour-bank"} == set(stand_in_rules())
    with pytest.raises(StandInError, match="above zero"):
        parse_stand_in(
            '[[stand_in]]\nparticipant = "x"\npurchase_minor = 0\naccount_count = 1\n'
            "account_minor = 1"
        )
    with pytest.raises(StandInError, match="stand_in"):
        parse_stand_in('[[stand_in]]\nparticipant = "x"')
