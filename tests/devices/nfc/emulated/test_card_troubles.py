"""The faulty cards have the fault of their name and no other."""

from __future__ import annotations

import pytest

from devices.nfc.contract import CardGone
from devices.nfc.emulated import Behaviour, Delay, Pull, in_process, load_profile, profile_names
from devices.nfc.emulated.air.iso14443_4 import CardLeft
from devices.nfc.emulated.profile import Trouble
from tests.devices.nfc.emulated.cards_independent import (
    Tap,
    chip_tap,
    flat,
    gpo_command,
    quick_tap,
    select,
    send,
)

AID = "A000000333010101"
PPSE = "00A404000E325041592E5359532E444446303100"


def test_a_blocked_application_warns_at_select_and_gives_no_cryptogram(make_card):
    card = make_card("blocked")
    body, status = send(card, f"00A4040008{AID}00")
    assert (flat(body)["84"].hex().upper(), status) == (AID, "6283")
    assert send(card, gpo_command(Tap().pdol()))[1] == "6985"
    assert card.atc == 0


def test_a_blocked_card_answers_nothing_at_all(make_card):
    card = make_card("blocked", trouble=Trouble(blocked="card"))
    assert send(card, PPSE) == (b"", "6A81")
    assert send(card, f"00A4040008{AID}00") == (b"", "6A81")


def test_an_expired_card_says_so_in_every_place(make_card):
    card = make_card("expired")
    objects = quick_tap(card, AID).objects
    assert objects["5F24"].hex() == "200131"
    assert "d2001" in objects["57"].hex()
    assert objects["9F6C"][0] & 0x08, "go online if expired"


def test_a_recorded_cryptogram_is_the_same_whatever_the_terminal_asks(make_card):
    card = make_card("replayed-cryptogram")
    first = quick_tap(card, AID, Tap(un=b"\1\2\3\4", amount=100))
    card.power_off()
    card.power_on()
    second = quick_tap(card, AID, Tap(un=b"\5\6\7\x08", amount=99900))
    assert first.answer == second.answer
    assert first.objects["9F36"] == b"\x00\x01"


def test_a_card_may_repeat_its_own_first_cryptogram(make_card):
    card = make_card(oda="none", trouble=Trouble(replay="first"))
    first = quick_tap(card, AID, Tap(un=b"\1\2\3\4"))
    again = quick_tap(card, AID, Tap(un=b"\5\6\7\x08"))
    assert first.answer == again.answer


def commands():
    tap = Tap()
    return [PPSE, f"00A4040008{AID}00", gpo_command(tap.pdol()).hex(), "00B2011400", "00B2021400"]


@pytest.mark.parametrize("step", range(1, 6))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_card_pulled_away_leaves_at_its_step_and_works_again(step, when, make_card):
    card = make_card()
    card.behaviour = Behaviour(pull_at=step, pull_when=when, pull_presentations=1)
    card.power_off()
    card.power_on()
    for command in commands()[: step - 1]:
        assert send(card, command)[1] == "9000"
    with pytest.raises(CardLeft):
        send(card, commands()[step - 1])
    counted = 1 if step > 3 or (step == 3 and when == "after") else 0
    assert card.atc == counted
    card.power_off()
    card.power_on()
    tap = quick_tap(card, AID)
    assert int.from_bytes(tap.objects["9F36"]) == counted + 1


def test_the_pulled_away_profile_tears_the_tap_at_the_cryptogram(make_card):
    card = make_card("pulled-away")
    reader = in_process(card)
    held = reader.wait_for_card(0)
    select_status = [held.transceive(bytes.fromhex(c))[-2:].hex() for c in commands()[:2]]
    assert select_status == ["9000", "9000"]
    with pytest.raises(CardGone):
        held.transceive(bytes.fromhex(commands()[2]))
    assert reader.wait_for_removal(0)


def test_a_slow_card_says_how_long_each_answer_waits(make_card):
    card = make_card("slow")
    assert card.before_response(3) == Delay(ms=1200)
    assert card.before_response(99) is None
    waited = []
    reader = in_process(card, wait=waited.append)
    held = reader.wait_for_card(0)
    for command in commands()[:3]:
        held.transceive(bytes.fromhex(command))
    assert waited == [0.12, 0.15, 1.2]


def test_behaviour_is_asked_for_by_step():
    behaviour = Behaviour(pull_at=2, delays_ms=(5,))
    assert behaviour.before_response(1) == Delay(ms=5)
    assert behaviour.before_response(2) == Pull(step=2)
    assert behaviour.before_response(3) is None


def test_type_b_has_a_pupi_and_no_ats(make_card):
    card = make_card("type-b")
    assert (card.technology, len(card.uid), card.ats) == ("B", 4, b"")
    assert quick_tap(card, AID).objects["9F27"] == b"\x80"
    assert in_process(card).wait_for_card(0).description.sak is None


def test_modelled_times_are_told_and_not_spent(make_card):
    card = make_card()
    select(card, AID)
    assert card.modelled_ms == card.profile.times.select
    assert card.delay_s == 0.0
    send(card, gpo_command(Tap().pdol()))
    assert card.modelled_ms == card.profile.times.gpo


def test_every_profile_taps_to_its_end_unless_it_is_meant_not_to(make_card):

    for name in profile_names():
        profile = load_profile(name)
        if profile.trouble.blocked != "no" or profile.behaviour.pull_at:
            continue
        walk = chip_tap if profile.scheme == "mastercard" else quick_tap
        assert walk(make_card(name), profile.aid).objects["9F27"] == b"\x80", name
