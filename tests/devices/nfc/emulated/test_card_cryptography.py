"""Certificates, signatures and cryptograms of every card, checked by other code than its own."""

from __future__ import annotations

import pytest

from devices.nfc.emulated import load_profile, profile_names
from tests.devices.nfc.emulated.cards_independent import (
    CARD_KEY,
    Tap,
    Wrong,
    check_cda,
    check_fdda,
    chip_tap,
    common_session_key,
    des3,
    flat,
    quick_tap,
    read_afl,
    recover,
    recover_icc,
    recover_issuer,
    retail_mac,
    select,
    send,
)

_PROFILES = [load_profile(name) for name in profile_names()]
_NORMAL = [p for p in _PROFILES if p.trouble.tamper == "no" and p.trouble.blocked == "no"]
FDDA = [p.name for p in _NORMAL if p.oda.startswith("fdda") and not p.behaviour.pull_at]


@pytest.mark.parametrize("name", FDDA)
def test_certificates_static_hash_and_fdda_verify_under_the_public_ca_key(name, make_card, ca_keys):
    card = make_card(name)
    tap = quick_tap(card, card.profile.aid, Tap(ttq="27804080"))
    dynamic = check_fdda(tap, ca_keys[card.profile.aid[:10]])
    assert dynamic == b"\x02" + tap.objects["9F36"]
    assert tap.objects["5A"].hex() == card.profile.pan


def test_version_00_signs_the_unpredictable_number_alone(make_card, ca_keys):
    card = make_card(oda="fdda-00")
    tap = quick_tap(card, card.profile.aid)
    assert "9F69" not in tap.objects
    check_fdda(tap, ca_keys["A000000333"])


def test_a_terminal_that_knows_version_00_only_gets_that(make_card, ca_keys):
    tap = quick_tap(make_card(), "A000000333010101", Tap(ttq="26804000"))
    assert "9F69" not in tap.objects
    check_fdda(tap, ca_keys["A000000333"])


def test_version_01_covers_the_amount(make_card, ca_keys):
    card = make_card()
    tap = quick_tap(card, card.profile.aid)
    tap.amount += 1
    with pytest.raises(Wrong, match="hash"):
        check_fdda(tap, ca_keys["A000000333"])


def test_the_signature_carries_the_same_qualifiers_as_the_answer(make_card):
    tap = quick_tap(make_card(), "A000000333010101", Tap(ttq="26C04080"))
    assert tap.objects["9F69"][0] == 1
    assert tap.objects["9F69"][5:] == tap.objects["9F6C"] == bytes.fromhex("8000")


def test_a_key_above_1024_bits_signs_in_the_last_record(make_card, ca_keys):
    card = make_card("unionpay-credit")
    tap = quick_tap(card, card.profile.aid)
    assert b"\x9f\x4b" not in tap.answer
    assert len(tap.objects["9F4B"]) == 144
    check_fdda(tap, ca_keys["A000000333"])


def test_every_answer_fits_a_short_response(make_card):
    for name in FDDA:
        card = make_card(name)
        tap = quick_tap(card, card.profile.aid, Tap(ttq="27C04080"))
        assert len(tap.answer) <= 256


def test_a_bit_in_the_card_certificate_breaks_its_recovery_alone(make_card, ca_keys):
    card = make_card("tampered-certificate")
    tap = quick_tap(card, card.profile.aid)
    recover_issuer(tap.objects, ca_keys["A000000333"], card.profile.pan)
    with pytest.raises(Wrong, match=r"frame|format|hash"):
        recover_icc(tap.objects, ca_keys["A000000333"], tap.static)


def test_data_altered_after_signing_breaks_the_static_hash(make_card, ca_keys):
    card = make_card("altered-data")
    tap = quick_tap(card, card.profile.aid)
    with pytest.raises(Wrong, match="hash"):
        recover_icc(tap.objects, ca_keys["A000000333"], tap.static)


@pytest.mark.parametrize("at", range(0, 41, 5))
def test_any_changed_byte_of_the_signed_record_is_noticed(at, make_card, ca_keys):
    tap = quick_tap(make_card(), "A000000333010101")
    check_fdda(tap, ca_keys["A000000333"])
    position = at % len(tap.static)
    tap.static = (
        tap.static[:position] + bytes((tap.static[position] ^ 1,)) + tap.static[position + 1 :]
    )
    with pytest.raises(Wrong, match="hash"):
        check_fdda(tap, ca_keys["A000000333"])


def test_signed_static_data_verify_on_a_card_without_a_key_pair(make_card, ca_keys):
    card = make_card("unionpay-class2", oda="sda")
    tap = quick_tap(card, card.profile.aid)
    assert tap.objects["82"][0] & 0x60 == 0x40, "SDA and no DDA"
    assert "9F46" not in tap.objects
    n, e = recover_issuer(tap.objects, ca_keys["A000000333"], card.profile.pan)
    covered = tap.static + tap.objects["82"]
    body = recover(n, e, tap.objects["93"], covered, 3)
    assert set(body[3:]) == {0xBB}
    with pytest.raises(Wrong, match="hash"):
        recover(n, e, tap.objects["93"], covered[:-1] + b"\x01", 3)


def test_mastercard_may_answer_processing_options_in_format_1(make_card):
    one, two = (make_card("mastercard-abroad", gpo_format=form) for form in (1, 2))
    for card in (one, two):
        select(card, "A0000000041010")
    plain, _ = send(one, "80A8000002830000")
    objects = flat(send(two, "80A8000002830000")[0])
    assert plain[0] == 0x80
    assert plain[2:] == objects["82"] + objects["94"]


def test_ca_keys_have_the_lengths_that_certificates_must_cope_with(ca_keys):
    bits = {rid: len(key["modulus"]) * 4 for rid, key in ca_keys.items()}
    assert bits == {"A000000333": 1408, "A000000003": 1408, "A000000004": 1984}


@pytest.mark.parametrize(("p1", "kind"), [(0x90, 0x80), (0x50, 0x80)])
def test_combined_signature_verifies_and_hides_the_cryptogram(p1, kind, make_card, ca_keys):
    card = make_card("mastercard-abroad")
    tap = chip_tap(card, "A0000000041010", p1=p1)
    assert "9F26" not in tap.objects
    got, cryptogram = check_cda(tap, ca_keys["A000000004"])
    assert got == kind
    assert cryptogram == _mastercard_cryptogram(tap)


def test_without_combined_signature_the_cryptogram_is_in_the_clear(make_card):
    tap = chip_tap(make_card("mastercard-abroad"), "A0000000041010", p1=0x80)
    assert "9F4B" not in tap.objects
    assert tap.objects["9F26"] == _mastercard_cryptogram(tap)


def test_a_declined_mastercard_tap_gives_an_aac_without_signature(make_card):
    tap = chip_tap(make_card("mastercard-abroad"), "A0000000041010", p1=0x10)
    assert tap.objects["9F27"] == b"\x00"
    assert "9F4B" not in tap.objects
    assert tap.objects["9F26"] == _mastercard_cryptogram(tap)
    assert tap.objects["9F10"][2] & 0x30 == 0x00


def test_dda_by_internal_authenticate_verifies(make_card, ca_keys):
    card = make_card("mastercard-abroad")
    tap = Tap()
    chip_tap_without_cryptogram(card, tap)
    body, status = send(card, "0088000004DEADBEEF00")
    assert status == "9000"
    n, e = recover_icc(tap.objects, ca_keys["A000000004"], tap.static)
    opened = recover(n, e, flat(body)["9F4B"], bytes.fromhex("DEADBEEF"), 5)
    assert opened[1:3] == b"\x09\x08"  # length of the dynamic data, of the number in it


def test_unionpay_cryptogram_is_what_the_card_key_and_transaction_give(make_card):
    tap = quick_tap(make_card(), "A000000333010101")
    assert tap.objects["9F27"] == b"\x80"
    assert tap.objects["9F10"] == bytes.fromhex("07010103A0000001")
    session = common_session_key(CARD_KEY, tap.objects["9F36"] + bytes(6))
    expected = retail_mac(session, tap.signed_values() + tap.objects["9F10"][3:7], method=2)
    assert tap.objects["9F26"] == expected


def test_limited_use_key_cryptogram_names_its_key_by_serial_number(make_card):
    tap = quick_tap(make_card("hce-phone"), "A000000333010101", Tap(ttq="26C04080"))
    issuer_data = tap.objects["9F10"]
    assert issuer_data[:8] == bytes.fromhex("07010203A0000004")
    serial = issuer_data[8:]
    limited = common_session_key(CARD_KEY, b"\xa5" * 4 + serial)
    session = common_session_key(limited, tap.objects["9F36"] + bytes(6))
    expected = retail_mac(session, tap.signed_values() + issuer_data[3:7], method=2)
    assert tap.objects["9F26"] == expected


def test_visa_cryptogram_is_version_10(make_card):
    tap = quick_tap(make_card("visa-abroad"), "A0000000031010")
    assert tap.objects["9F10"] == bytes.fromhex("06010A03A00000")
    message = tap.signed_values() + tap.objects["9F10"][3:7]
    assert tap.objects["9F26"] == retail_mac(CARD_KEY, message, method=1)


def test_the_right_issuer_answer_makes_a_second_cryptogram_a_tc(make_card, ca_keys):
    card = make_card("mastercard-abroad")
    tap = chip_tap(card, "A0000000041010")
    _, arqc = check_cda(tap, ca_keys["A000000004"])
    code = b"00"
    mixed = bytes(a ^ b for a, b in zip(arqc, code + bytes(6), strict=True))
    values = des3(CARD_KEY, mixed) + code + code + bytes.fromhex(tap.tvr) + tap.un + bytes(8)
    body, status = send(card, bytes((0x80, 0xAE, 0x50, 0, len(values))) + values + b"\x00")
    assert status == "9000"
    tap.answer, tap.objects = body, tap.objects | flat(body)
    tap.cdol_values += values
    kind, cryptogram = check_cda(tap, ca_keys["A000000004"])
    assert kind == 0x40
    assert cryptogram == _mastercard_cryptogram(tap)


def test_a_wrong_issuer_answer_makes_the_second_cryptogram_an_aac(make_card):
    card = make_card("mastercard-abroad")
    tap = chip_tap(card, "A0000000041010")
    values = bytes(8) + b"0000" + bytes.fromhex(tap.tvr) + tap.un + bytes(8)
    body, status = send(card, bytes((0x80, 0xAE, 0x40, 0, len(values))) + values + b"\x00")
    assert (status, flat(body)["9F27"]) == ("9000", b"\x00")


def chip_tap_without_cryptogram(card, tap):
    tap.objects |= select(card, "A0000000041010")
    body, _ = send(card, "80A8000002830000")
    tap.objects |= flat(body)
    read_afl(card, tap)


def _mastercard_cryptogram(tap: Tap) -> bytes:
    session = common_session_key(CARD_KEY, tap.objects["9F36"] + bytes(2) + tap.un)
    return retail_mac(session, tap.signed_values() + tap.objects["9F10"][2:8], method=2)
