"""A UnionPay card that the emulator did not personalise verifies under its own certificates."""

from __future__ import annotations

import pytest

from tests.devices.nfc.emulated.cards_independent import (
    Tap,
    Wrong,
    check_fdda,
    common_session_key,
    quick_tap,
    recover_icc,
    recover_issuer,
    retail_mac,
)
from tests.devices.nfc.emulated.cards_public import install_card
from tests.vectors.emv.cards import unionpay_cards


@pytest.fixture(params=list(unionpay_cards()), ids=lambda vector: vector.name)
def tapped(request, tmp_path):
    card, ca = install_card(request.param, tmp_path), request.param.ca_key
    card.power_on()
    tap = quick_tap(card, card.profile.aid, Tap(ttq="27804080"))
    card.power_off()
    return card, tap, ca


def test_its_certificates_static_data_and_fdda_verify(tapped):
    _, tap, ca = tapped
    assert check_fdda(tap, ca) == b"\x02\x00\x01"


def test_its_cryptogram_verifies_under_the_published_key(tapped):
    card, tap, _ = tapped
    session = common_session_key(card._chip.image.card_key, tap.objects["9F36"] + bytes(6))
    message = tap.signed_values() + tap.objects["9F10"][3:7]
    assert tap.objects["9F26"] == retail_mac(session, message, method=2)


def test_one_flipped_bit_anywhere_in_the_signed_record_fails(tapped):
    _, tap, ca = tapped
    signed = tap.static
    for at in range(len(signed)):
        tap.static = signed[:at] + bytes((signed[at] ^ 0x04,)) + signed[at + 1 :]
        with pytest.raises(Wrong, match="hash"):
            recover_icc(tap.objects, ca, tap.static)


@pytest.mark.parametrize("tag", ["90", "92", "9F32", "9F46", "9F47", "9F48"])
def test_one_flipped_bit_in_a_certificate_fails(tag, tapped):
    _, tap, ca = tapped
    value = tap.objects[tag]
    tap.objects[tag] = value[:-1] + bytes((value[-1] ^ 0x01,))
    with pytest.raises(Wrong):
        recover_icc(tap.objects, ca, tap.static)
    if tag.startswith("9F4"):
        recover_issuer(tap.objects, ca, tap.objects["5A"].hex())
