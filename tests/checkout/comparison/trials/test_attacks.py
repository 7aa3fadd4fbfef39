"""Every attack of the matrix is attempted; one that works is reported as working."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from checkout.acceptance.qr import signed_payload
from checkout.clearing.hsm import cryptogram
from checkout.clearing.iso8583 import mac
from checkout.clearing.issuing import account_store, decision
from checkout.clearing.issuing.account_store import AccountStore
from checkout.clearing.tokens import token_service
from checkout.comparison.results import CELL_MODES, Cell
from checkout.comparison.trials.attacks import ATTACKS
from checkout.comparison.trials.lab import Lab
from checkout.comparison.trials.trial import Trial, run_trial
from checkout.shop.payments.payer_codes import UsedPayerCodes
from checkout.shop.webhooks import signing
from checkout.shop.webhooks.signing import TakenIds

BY_NAME = {attack.name: attack for attack in ATTACKS}

STOPPED = [
    ("replay", "qr"),
    ("replay", "payer-code"),
    ("replay", "nfc"),
    ("other-domain", "qr"),
    ("other-domain", "payer-code"),
    ("other-domain", "nfc"),
    ("amount", "qr"),
    ("amount", "nfc"),
    ("eavesdropped", "nfc"),
    ("forged", "qr"),
    ("forged", "payer-code"),
    ("forged", "nfc"),
    ("paid-by-two", "qr"),
    ("paid-by-two", "payer-code"),
    ("paid-by-two", "nfc"),
    ("stolen", "qr"),
    ("brute-force", "qr"),
    ("brute-force", "payer-code"),
    ("brute-force", "nfc"),
    ("altered", "qr"),
    ("altered", "payer-code"),
    ("altered", "nfc"),
    ("webhook", "qr"),
    ("webhook", "payer-code"),
    ("webhook", "nfc"),
    ("wrong-key", "nfc"),
]

#: These work, here as in the world, and the matrix must say so.
WORKING = [
    ("amount", "payer-code"),
    ("relay", "payer-code"),
    ("relay", "nfc"),
    ("eavesdropped", "qr"),
    ("eavesdropped", "payer-code"),
    ("sticker", "qr"),
    ("phished", "qr"),
    ("phished", "payer-code"),
    ("stolen", "payer-code"),
    ("stolen", "nfc"),
    ("stolen-with-pin", "qr"),
    ("stolen-with-pin", "payer-code"),
    ("stolen-with-pin", "nfc"),
]


def cell_of(lab: Lab, name: str, mode: str) -> Cell:
    attack: Trial = BY_NAME[name]
    return next(cell for cell in run_trial(lab, attack).cells if cell.mode == mode)


@pytest.fixture(scope="module")
def cells(lab: Lab) -> dict[tuple[str, str], Cell]:
    return {
        (cell.name, cell.mode): cell for attack in ATTACKS for cell in run_trial(lab, attack).cells
    }


@pytest.mark.parametrize(("name", "mode"), STOPPED)
def test_it_is_stopped(cells: dict[tuple[str, str], Cell], name: str, mode: str) -> None:
    cell = cells[name, mode]
    assert cell.verdict == "declined", cell
    assert cell.stopped_by
    assert cell.loss == "nothing"


@pytest.mark.parametrize(("name", "mode"), WORKING)
def test_it_works_and_says_what_it_costs(
    cells: dict[tuple[str, str], Cell], name: str, mode: str
) -> None:
    cell = cells[name, mode]
    assert cell.verdict == "works", cell
    assert cell.loss


def test_every_cell_names_the_step(cells: dict[tuple[str, str], Cell]) -> None:
    assert all(cell.step for cell in cells.values())


def test_every_cell_is_told_of_here(cells: dict[tuple[str, str], Cell]) -> None:
    assert set(cells) == {*STOPPED, *WORKING}


def test_a_cell_that_cannot_be_says_why(cells: dict[tuple[str, str], Cell]) -> None:
    for attack in ATTACKS:
        for mode in CELL_MODES:
            assert ((attack.name, mode) in cells) != bool(attack.absent.get(mode)), attack.name


@pytest.mark.parametrize(
    ("name", "mode", "by", "because"),
    [
        ("replay", "qr", "the shop", "used"),
        ("replay", "payer-code", "the shop", "used-payer-code"),
        ("replay", "nfc", "the issuer", "atc-replayed"),
        ("other-domain", "payer-code", "the switch", "no-such-range"),
        ("other-domain", "nfc", "the token service", "token-outside-domain"),
        ("forged", "nfc", "the terminal", "fDDA failed"),
        ("brute-force", "qr", "the issuer", "pin-tries-exceeded"),
        ("brute-force", "payer-code", "the wallet operator", "pin-tries-exceeded"),
        ("altered", "nfc", "the switch", "message authentication failed"),
    ],
)
def test_the_party_that_stopped_it_gave_the_reason(
    cells: dict[tuple[str, str], Cell], name: str, mode: str, by: str, because: str
) -> None:
    cell = cells[name, mode]
    assert (cell.stopped_by, cell.because.startswith(because)) == (by, True), cell


def test_who_stopped_it_comes_from_the_run(
    lab_in_process: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Have another defence catch the same attack sooner: another party is named."""
    usual = cell_of(lab_in_process, "other-domain", "nfc")
    assert (usual.stopped_by, usual.step[-2:]) == ("the token service", "57")
    verify = mac.verify

    def stricter(message: bytes, *rest: Any) -> Any:
        return message[:4] != b"0200" and verify(message, *rest)

    monkeypatch.setattr(mac, "verify", stricter)
    sooner = cell_of(lab_in_process, "other-domain", "nfc")
    assert (sooner.stopped_by, sooner.step[-2:]) == ("the switch", "A0")


def test_an_honest_sale_is_charged_once_whatever_is_tried(
    cells: dict[tuple[str, str], Cell],
) -> None:
    assert all(cell.taken_twice_minor == 0 for cell in cells.values())


# A cell must depend on its defence: without it, the same attack succeeds.


def test_without_the_counter_a_replayed_cryptogram_is_approved(
    lab_in_process: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(AccountStore, "last_counter", lambda *_: None)
    assert cell_of(lab_in_process, "replay", "nfc").verdict == "works"


def test_without_the_rule_of_entry_number_and_expiry_pay_online(
    lab_in_process: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decision, "needed_proofs", lambda *_given, **_named: None)
    assert cell_of(lab_in_process, "eavesdropped", "nfc").verdict == "works"


def test_without_the_domain_a_copied_token_pays_by_code(
    lab_in_process: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_service, "_within_domain", lambda *_: True)
    assert cell_of(lab_in_process, "other-domain", "nfc").verdict == "works"


def test_without_a_memory_of_used_codes_a_payers_code_pays_twice(
    lab_in_process: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(UsedPayerCodes, "of_digits", lambda *_: None)
    monkeypatch.setattr(UsedPayerCodes, "insert", lambda *_: None)
    assert cell_of(lab_in_process, "replay", "payer-code").verdict == "works"


def test_without_the_mac_an_altered_amount_is_taken(
    lab_in_process: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mac, "verify", lambda *_: True)
    assert cell_of(lab_in_process, "altered", "qr").verdict == "works"


def test_without_the_signature_a_rewritten_code_is_believed(
    lab_in_process: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class _Credulous:
        compare_digest = staticmethod(lambda *_: True)
        new = staticmethod(hmac.new)
        digest = staticmethod(hmac.digest)

    monkeypatch.setattr(signed_payload, "hmac", _Credulous)
    assert cell_of(lab_in_process, "amount", "qr").verdict == "works"


def test_without_the_signed_amount_the_terminal_takes_more(
    lab_in_process: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = cryptogram.verify_arqc

    def blind(*given: Any, **named: Any) -> Any:
        return judge(*given, **(named | {"amount_minor": None}))

    monkeypatch.setattr(cryptogram, "verify_arqc", blind)
    assert cell_of(lab_in_process, "amount", "nfc").verdict == "works"


def test_without_the_count_the_right_pin_is_found(
    lab_in_process: Lab,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check = account_store.check_pin

    def patient(*given: Any, **named: Any) -> Any:
        return check(*given, **(named | {"tries_left": 1_000}))

    monkeypatch.setattr(account_store, "check_pin", patient)
    assert cell_of(lab_in_process, "brute-force", "qr").verdict == "works"


@pytest.mark.parametrize("mode", ["qr", "nfc"])
def test_each_way_to_replay_a_webhook_is_stopped_by_the_check_that_is_for_it(
    cells: dict[tuple[str, str], Cell], mode: str
) -> None:
    cell = cells["webhook", mode]
    assert cell.stopped_by == "the merchant's receiver"
    assert cell.step == (
        "event id: again at once; "
        "signature: with another order's reference, with a fresh timestamp; "
        "timestamp: again after 301 s, again after 7 days"
    )
    assert "order.paid delivered" in cell.shop_saw
    assert "5 tries, goods released once" in cell.shop_saw
    assert cell.holds == "the shop, once"


def test_without_the_event_ids_a_replayed_webhook_brings_goods(
    lab_in_process: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TakenIds, "take", lambda *_: True)
    cell = cell_of(lab_in_process, "webhook", "qr")
    assert cell.verdict == "works"
    assert cell.stopped_by == "nobody: again at once"
    assert cell.loss == "goods of CNY 12.80 each time"


def test_without_the_timestamp_an_old_webhook_brings_goods_once_its_id_is_forgotten(
    lab_in_process: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "_check_age", lambda *_: None)
    cell = cell_of(lab_in_process, "webhook", "nfc")
    assert cell.verdict == "works"
    assert cell.stopped_by == "nobody: again after 7 days"
    assert "event id: again at once, again after 301 s" in cell.step


def test_without_the_signature_any_order_is_believed_to_be_paid(
    lab_in_process: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    class _Credulous:
        compare_digest = staticmethod(lambda *_: True)
        digest = staticmethod(hmac.digest)

    monkeypatch.setattr(signing, "hmac", _Credulous)
    monkeypatch.setattr(TakenIds, "take", lambda *_: True)
    cell = cell_of(lab_in_process, "webhook", "qr")
    assert "with another order's reference" in cell.stopped_by
    assert "signature" not in cell.step
