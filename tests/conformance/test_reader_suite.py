"""The suite that every reader passes, whatever the transport below it (`--reader` for hardware)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from devices.nfc.contract import (
    Card,
    CardGone,
    ReaderGone,
    SeveralCards,
    TransportError,
)
from tests.conformance.conformance_cards import PPSE, UNKNOWN_AID, CardSpec, echo, give, given
from tests.conformance.conformance_rigs import (
    AIR,
    ANY_CARD,
    DESELECT,
    REMOVAL,
    STAYS,
    TWO_CARDS,
    TYPE_B,
    UNPLUG,
    Rig,
)

WALK = (PPSE, UNKNOWN_AID, echo(b"\x01"), give(20), give(300), echo(bytes(80)))


def tap(rig: Rig) -> Card:
    """The card that lies on the reader, activated."""
    card = rig.reader.wait_for_card(3.0)
    assert card is not None
    return card


def test_a_card_is_found_and_described(rig: Rig) -> None:
    rig.present(CardSpec())
    description = tap(rig).description
    assert description.technology in ("A", "B", "transcript")
    assert len(description.uid) in ((0,) if description.technology == "transcript" else (4, 7, 10))


def test_select_ppse_is_answered_with_a_directory(rig: Rig) -> None:
    rig.present(CardSpec())
    answer = tap(rig).transceive(PPSE)
    assert answer[0] == 0x6F
    assert answer[-2:] == b"\x90\x00"


def test_a_refusal_is_an_answer(rig: Rig) -> None:
    rig.present(CardSpec())
    card = tap(rig)
    card.transceive(PPSE)
    assert card.transceive(UNKNOWN_AID)[-2:] == b"\x6a\x82"


@pytest.mark.needs(STAYS)
def test_a_released_card_is_found_again(rig: Rig) -> None:
    rig.present(CardSpec())
    for _ in range(3):
        assert tap(rig).transceive(PPSE)[0] == 0x6F
        rig.reader.release()


@pytest.mark.needs(DESELECT)
def test_a_released_card_answers_no_more(rig: Rig) -> None:
    rig.present(CardSpec())
    card = tap(rig)
    rig.reader.release()
    rig.reader.release()
    with pytest.raises(CardGone):
        card.transceive(PPSE)


def test_closing_twice_does_no_harm(rig: Rig) -> None:
    rig.reader.close()
    rig.reader.close()
    rig.reader.release()
    rig.reader.signal("success")


def test_every_signal_is_taken(rig: Rig) -> None:
    rig.present(CardSpec())
    for result in ("ready", "success", "failure", "off"):
        rig.reader.signal(result)  # type: ignore[arg-type]
    assert tap(rig).transceive(PPSE)[0] == 0x6F


@pytest.mark.needs(REMOVAL)
def test_no_card_is_none(rig: Rig) -> None:
    assert rig.reader.wait_for_card(0) is None
    assert rig.reader.wait_for_card(0.1) is None


@pytest.mark.needs(REMOVAL)
def test_removal_is_noticed_and_waiting_for_it_ends(rig: Rig) -> None:
    rig.present(CardSpec())
    tap(rig)
    rig.reader.release()
    assert not rig.reader.wait_for_removal(0.05)
    rig.remove()
    assert rig.reader.wait_for_removal(3.0)
    assert rig.reader.wait_for_card(0) is None


@pytest.mark.needs(REMOVAL)
def test_a_card_taken_away_between_two_commands_is_gone(rig: Rig) -> None:
    rig.present(CardSpec())
    card = tap(rig)
    card.transceive(PPSE)
    rig.remove()
    with pytest.raises(CardGone):
        card.transceive(PPSE)
    rig.reader.release()
    rig.present(CardSpec())
    assert tap(rig).transceive(PPSE)[0] == 0x6F


@pytest.mark.needs(ANY_CARD)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, len(WALK) + 1))
def test_a_card_pulled_away_at_any_command_is_gone_and_the_next_tap_works(
    rig: Rig, step: int, before: bool
) -> None:
    rig.present(CardSpec(leave_at=step, leave_before=before))
    card = tap(rig)
    for command in WALK[: step - 1]:
        assert card.transceive(command)
    with pytest.raises(CardGone):
        card.transceive(WALK[step - 1])
    rig.reader.release()
    rig.remove()
    rig.present(CardSpec())
    card = tap(rig)
    assert all(card.transceive(command) for command in WALK)


@pytest.mark.needs(UNPLUG)
@pytest.mark.parametrize("step", range(1, len(WALK) + 1))
def test_a_reader_unplugged_at_any_command_is_gone_and_works_when_it_is_back(
    rig: Any, step: int
) -> None:
    rig.present(CardSpec(), lambda number: rig.unplug() if number == step else None)
    card = tap(rig)
    for command in WALK[: step - 1]:
        assert card.transceive(command)
    with pytest.raises(ReaderGone):
        card.transceive(WALK[step - 1])
    rig.reader.release()
    with pytest.raises(ReaderGone):
        rig.reader.wait_for_card(0)
    rig.plug()
    rig.present(CardSpec())
    assert tap(rig).transceive(PPSE)[0] == 0x6F


@pytest.mark.needs(UNPLUG)
def test_a_reader_unplugged_while_it_waits_is_gone(rig: Any) -> None:
    assert rig.reader.wait_for_card(0) is None
    rig.unplug()
    with pytest.raises(ReaderGone):
        rig.reader.wait_for_card(0)
    with pytest.raises(ReaderGone):
        rig.reader.wait_for_removal(0)


@pytest.mark.needs(ANY_CARD, AIR)
@pytest.mark.parametrize("uid", ["01020304", "04112233445566", "04112233445566778899"])
def test_uids_of_every_length_are_read_whole(rig: Rig, uid: str) -> None:
    rig.present(CardSpec(uid=uid))
    card = tap(rig)
    assert card.description.uid.hex() == uid
    assert card.transceive(PPSE)[0] == 0x6F


@pytest.mark.needs(ANY_CARD, AIR)
@pytest.mark.parametrize("sak", [0x20, 0x28, 0x60])
def test_phones_are_cards_whatever_else_their_sak_says(rig: Rig, sak: int) -> None:
    rig.present(CardSpec(uid="08010203", sak=sak))
    card = tap(rig)
    assert card.description.sak == sak
    assert card.transceive(PPSE)[0] == 0x6F


@pytest.mark.needs(ANY_CARD, AIR)
@pytest.mark.parametrize(
    "ats",
    ["01", "0202", "0328C1", "04687102", "0578807102", "067880710280"],
    ids=["empty", "T0", "TB1-only", "no-TA1", "usual", "historical"],
)
def test_an_answer_to_select_may_leave_out_what_it_likes(rig: Rig, ats: str) -> None:
    rig.present(CardSpec(ats=ats))
    card = tap(rig)
    assert card.description.ats.hex().upper() == ats
    assert card.transceive(echo(bytes(100)))[-2:] == b"\x90\x00"


@pytest.mark.needs(ANY_CARD, AIR)
def test_a_card_without_iso_14443_4_is_named_as_no_payment_card(rig: Rig) -> None:
    rig.present(CardSpec(uid="01020304", sak=0x08))
    with pytest.raises(TransportError) as raised:
        rig.reader.wait_for_card(1.0)
    assert raised.value.reason == "unsupported-card"


@pytest.mark.needs(TYPE_B, AIR)
def test_type_b_cards_are_read(rig: Rig) -> None:
    rig.present(CardSpec(technology="B", uid="11223344"))
    card = tap(rig)
    assert card.description.technology == "B"
    assert card.description.uid.hex() == "11223344"
    assert card.description.sak is None
    assert card.transceive(echo(bytes(250)))[:2] == b"\x80\xec"


@pytest.mark.needs(ANY_CARD)
@pytest.mark.parametrize("technology", ["A", "B"])
def test_long_commands_and_responses_arrive_whole(rig: Rig, technology: str) -> None:
    rig.present(CardSpec(technology=technology, uid="11223344"))  # type: ignore[arg-type]
    card = tap(rig)
    for size in (0, 1, 28, 29, *range(245, 262), 600, 2000):
        command = echo(bytes(i & 0xFF for i in range(size)))
        assert card.transceive(command) == command + b"\x90\x00", size
        assert card.transceive(give(size)) == given(size), size


@pytest.mark.needs(ANY_CARD, AIR)
def test_a_card_with_small_frames_gets_small_frames(rig: Rig) -> None:
    rig.present(CardSpec(ats="0570807102"))  # FSCI 0: 16 bytes
    card = tap(rig)
    command = echo(bytes(range(200)))
    assert card.transceive(command) == command + b"\x90\x00"


@pytest.mark.needs(ANY_CARD, AIR)
def test_a_slow_card_gets_the_time_that_it_asks_for(rig: Rig) -> None:
    rig.present(CardSpec(ats="0578801002", delay_s=0.06))  # FWI 1: 0.6 ms, so several extensions
    card = tap(rig)
    started = time.perf_counter()
    assert card.transceive(PPSE)[0] == 0x6F
    assert time.perf_counter() - started >= 0.06


@pytest.mark.needs(TWO_CARDS)
def test_two_cards_at_once_are_told_from_one(rig: Rig) -> None:
    rig.present(CardSpec(uid="01020304"))
    rig.present(CardSpec(uid="04112233445566"))
    with pytest.raises(SeveralCards):
        rig.reader.wait_for_card(1.0)
    rig.reader.release()
    rig.remove()
    rig.present(CardSpec())
    assert tap(rig).transceive(PPSE)[0] == 0x6F
