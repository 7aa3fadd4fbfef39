"""What the card decides: approve alone, go online or decline, and how the holder is verified."""

from __future__ import annotations

import pytest

from devices.nfc.emulated.profile import OfflineLimits
from tests.devices.nfc.emulated.cards_independent import (
    CARD_KEY,
    Tap,
    chip_tap,
    common_session_key,
    des3,
    flat,
    gpo_command,
    quick_tap,
    select,
    send,
)

AID = "A000000333010101"
ARQC, TC, AAC = b"\x80", b"\x40", b"\x00"
MAY_OFFLINE = "26004080"  # qPBOC, online PIN, signature; online not required
OFFLINE_ONLY = "2E004080"


def kind(card, **tap) -> bytes:
    return quick_tap(card, card.profile.aid, Tap(**tap)).objects["9F27"]


def test_online_when_the_terminal_requires_it(make_card):
    assert kind(make_card(), ttq="26804080") == ARQC


def test_offline_within_its_limits_when_the_terminal_allows(make_card):
    tap = quick_tap(make_card(), AID, Tap(ttq=MAY_OFFLINE, amount=5000))
    assert tap.objects["9F27"] == TC
    assert tap.objects["9F10"][3:5] == b"\x03\x90"
    assert "9F4B" in tap.objects, "what is approved offline is signed"


def test_online_above_the_single_limit(make_card):
    assert kind(make_card(), ttq=MAY_OFFLINE, amount=5001) == ARQC


def test_online_for_zero_amount_and_another_currency(make_card):
    assert kind(make_card(), ttq=MAY_OFFLINE, amount=0) == ARQC
    assert kind(make_card(), ttq=MAY_OFFLINE, currency="0840") == ARQC


def test_a_card_without_offline_limits_always_goes_online(make_card):
    assert kind(make_card("unionpay-class2"), ttq=MAY_OFFLINE, amount=1) == ARQC


def test_offline_spending_accumulates_across_presentations(make_card):
    card = make_card(offline=OfflineLimits(single_minor=5000, cumulative_minor=9000))
    kinds = []
    for _ in range(3):
        kinds.append(kind(card, ttq=MAY_OFFLINE, amount=4500))
        card.power_off()
        card.power_on()
    assert kinds == [TC, TC, ARQC]


def test_an_offline_terminal_is_refused_beyond_the_limits(make_card):
    card = make_card()
    assert kind(card, ttq=OFFLINE_ONLY, amount=5000) == TC
    tap = quick_tap(card, AID, Tap(ttq=OFFLINE_ONLY, amount=5001))
    assert tap.objects["9F27"] == AAC
    assert tap.objects["9F10"][3:5] == b"\x03\x80"
    assert "94" not in tap.objects


def test_refunds_get_an_aac(make_card):
    assert kind(make_card(), kind="20") == AAC


def answer(card, tap, code=b"00", key=CARD_KEY) -> str:
    session = common_session_key(key, tap.objects["9F36"] + bytes(6))
    mixed = bytes(a ^ b for a, b in zip(tap.objects["9F26"], code + bytes(6), strict=True))
    return send(card, "008200000A" + (des3(session, mixed) + code).hex())[1]


def test_the_issuers_answer_resets_the_offline_counter_once(make_card):
    card = make_card(offline=OfflineLimits(single_minor=5000, cumulative_minor=5000))
    assert kind(card, ttq=MAY_OFFLINE, amount=5000) == TC
    tap = quick_tap(card, AID, Tap(ttq=MAY_OFFLINE, amount=5000))
    assert tap.objects["9F27"] == ARQC
    assert answer(card, tap) == "9000"
    assert answer(card, tap) == "6985"
    assert kind(card, ttq=MAY_OFFLINE, amount=5000) == TC


def test_a_wrong_answer_resets_nothing(make_card):
    card = make_card(offline=OfflineLimits(single_minor=5000, cumulative_minor=5000))
    kind(card, ttq=MAY_OFFLINE, amount=5000)
    tap = quick_tap(card, AID, Tap(ttq=MAY_OFFLINE, amount=5000))
    assert answer(card, tap, key=bytes(16)) == "6300"
    assert kind(card, ttq=MAY_OFFLINE, amount=5000) == ARQC


@pytest.mark.parametrize(
    ("cvms", "ttq", "ctq", "decided"),
    [
        (("online-pin", "signature"), "26404080", "8000", ARQC),
        (("signature", "online-pin"), "26404080", "4000", TC),
        (("online-pin",), "22404080", None, AAC),  # the terminal has no PIN pad
        (("online-pin",), "32404080", None, "6984"),  # but a contact slot
        (("none",), "22404080", "0000", TC),
        (("online-pin",), "26004080", "0000", TC),  # nothing required
    ],
)
def test_cardholder_verification(cvms, ttq, ctq, decided, make_card):
    card = make_card(cvms=cvms)
    select(card, AID)
    body, status = send(card, gpo_command(Tap(ttq=ttq).pdol()))
    if isinstance(decided, str):
        assert status == decided
        return

    objects = flat(body)
    assert objects["9F27"] == decided
    if ctq is not None:
        assert objects["9F6C"].hex() == ctq


def test_qualifiers_carry_the_issuers_choices(make_card):
    card = make_card(on_oda_failure="online", on_expiry="online")
    assert quick_tap(card, AID).objects["9F6C"] == bytes.fromhex("2800")


def test_signature_for_online_only_when_asked_if_the_profile_says_so(make_card):
    card = make_card("visa-abroad")
    plain = quick_tap(card, card.profile.aid, Tap(ttq="26804080"))
    assert "94" not in plain.objects
    assert "9F4B" not in plain.objects
    asked = quick_tap(card, card.profile.aid, Tap(ttq="27804080"))
    assert "94" in asked.objects
    assert "9F4B" in asked.objects


def test_mastercard_goes_online_when_asked_for_a_tc_beyond_its_limits(make_card):

    limits = OfflineLimits(single_minor=1280, cumulative_minor=2000)
    card = make_card("mastercard-abroad", offline=limits, currency="156")
    aid = card.profile.aid
    assert chip_tap(card, aid, p1=0x50).objects["9F27"] == TC
    assert chip_tap(card, aid, p1=0x50).objects["9F27"] == ARQC
