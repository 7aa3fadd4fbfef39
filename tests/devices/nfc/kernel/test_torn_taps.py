"""Cards that leave and readers that die, at every command of every profile."""

from __future__ import annotations

from datetime import datetime

import pytest

from devices.nfc.contract import CardGone, ReaderGone, SeveralCards, TransportError
from devices.nfc.kernel import Outcome, TapResult
from tests.devices.nfc.kernel.kernel_cards import PAN, UNIONPAY, entry, ppse, quick_card, tap
from tests.devices.nfc.kernel.kernel_rig import PROFILES, Breaking, Presented, ring

NOW = datetime.now().replace(microsecond=0)
CALM = tuple(name for name in PROFILES if name != "pulled-away")


def whole(name: str, **changes: object) -> TapResult:
    with Presented(name) as card:
        return tap(card, ring=ring(), at=NOW, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("received", [False, True], ids=["command-lost", "answer-lost"])
@pytest.mark.parametrize("name", CALM)
def test_torn_at_any_command_the_same_card_is_asked_for_and_the_next_tap_works(
    name: str, received: bool, record_property: pytest.RecordProperty
) -> None:
    expected = whole(name)
    total = len(expected.exchanges)
    for at in range(1, total + 1):
        with Presented(name) as card:
            torn = tap(Breaking(card, at, CardGone(), received), ring=ring(), at=NOW)
        assert torn.outcome is Outcome.TRY_AGAIN, (name, at)
        assert (torn.torn, torn.icc) == (True, None)
        assert torn.resume is not None
        assert torn.resume.exchanges == at == len(torn.exchanges)
        assert torn.exchanges[-1].response == b""
        assert torn.as_json()["outcome"] == "try-again"
        again = whole(name, resume=torn.resume)
        assert again.outcome in (expected.outcome, Outcome.ONLINE_REQUEST), (name, at)
        assert again.same_card in (True, None)
    record_property("torn taps", total)


@pytest.mark.parametrize("fault", [ReaderGone(), SeveralCards(), TransportError("air", "noise")])
def test_a_reader_that_fails_at_any_command_is_a_communication_error(fault: TransportError) -> None:
    for name in ("unionpay-debit", "mastercard-abroad"):
        total = len(whole(name).exchanges)
        for at in range(1, total + 1):
            with Presented(name) as card:
                failed = tap(Breaking(card, at, fault), ring=ring(), at=NOW)
            assert failed.outcome is Outcome.COMMUNICATION_ERROR
            assert (failed.reason, failed.torn, failed.resume) == (str(fault), False, None)


def test_the_profile_that_is_pulled_away_ends_in_try_again() -> None:
    assert whole("pulled-away").outcome is Outcome.TRY_AGAIN


def test_another_card_on_the_second_tap_is_told_from_the_same() -> None:
    early = tap(quick_card(leaves_at=3))
    assert early.resume is not None
    assert early.resume.fingerprint is None
    assert tap(quick_card(), resume=early.resume).same_card is None
    card = quick_card(directory=ppse(entry(UNIONPAY)))
    with_records = card.options
    assert isinstance(with_records, bytes)
    card.options = (
        b"\x77"
        + bytes((len(with_records) - 2 + 6,))
        + with_records[2:]
        + bytes.fromhex("940408010100")
    )
    card.leaves_at = 4
    torn = tap(card)
    assert torn.resume is not None
    assert torn.resume.fingerprint is not None
    assert torn.resume.cryptogram_asked
    assert PAN not in repr(torn.resume)
    assert tap(quick_card(), resume=torn.resume).same_card is True
    other = with_records.replace(bytes.fromhex(PAN), bytes.fromhex("9999990000000020"))
    assert tap(quick_card(UNIONPAY, other), resume=torn.resume).same_card is False


@pytest.mark.parametrize("answer", [b"", b"\x90", bytes(300)])
def test_an_answer_of_impossible_length_is_a_communication_error(answer: bytes) -> None:
    class Broken:
        description = quick_card().description

        def transceive(self, command: bytes) -> bytes:
            return answer

    result = tap(Broken())
    assert result.outcome is Outcome.COMMUNICATION_ERROR
