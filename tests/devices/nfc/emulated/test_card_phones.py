"""Phones: payment tokens, on-device verification, keys that run out and come back."""

from __future__ import annotations

import json
from dataclasses import replace

from devices.nfc.emulated import LimitedUseKey, open_card, personalise
from devices.nfc.emulated.profile import Phone
from tests.devices.nfc.emulated.cards_independent import (
    CARD_KEY,
    Tap,
    gpo_command,
    quick_tap,
    select,
    send,
)

AID = "A000000333010101"
TTQ = "26C04080"


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def few_keys(count: int, *, uses: int = 1, life_h: int = 24) -> Phone:
    return Phone(
        token_requestor="99900000001",
        payment_account_reference="9" * 29,
        form_factor=bytes.fromhex("23800000"),
        limited_use_keys=count,
        key_uses=uses,
        key_life_h=life_h,
    )


def pay(card) -> str:
    select(card, AID)
    return send(card, gpo_command(Tap(ttq=TTQ).pdol()))[1]


def test_a_phone_shows_its_token_reference_and_verification(make_card):
    for name in ("hce-phone", "se-phone"):
        card = make_card(name)
        objects = quick_tap(card, card.profile.aid, Tap(ttq=TTQ)).objects
        assert objects["57"].hex().startswith(f"{card.profile.pan}d")
        assert objects["5A"].hex() == card.profile.pan
        assert card.profile.pan.startswith("999970")
        assert objects["9F6C"][1] & 0x80, "verified on the device"
        assert len(objects["9F24"]) == 29
        assert objects["9F19"].hex() == card.profile.phone.token_requestor.zfill(12)
        assert objects["9F6E"] == bytes.fromhex("23800000")


def test_an_hce_phone_goes_online_without_a_signature(make_card):
    tap = quick_tap(make_card("hce-phone"), AID, Tap(ttq="27004080", amount=1))
    assert tap.objects["9F27"] == b"\x80"
    assert not {"9F4B", "9F46", "90"} & set(tap.objects)
    assert tap.objects["82"] == bytes.fromhex("1C00"), "it claims no data authentication"


def test_an_hce_phone_holds_no_card_key(make_card, cards_home):
    card = make_card("hce-phone")
    content = (cards_home / "cards" / f"{card.name}.json").read_text()
    assert CARD_KEY.hex() not in content.lower()
    assert json.loads(content)["image"]["card_key"] == ""


def test_each_tap_spends_a_key_and_the_last_is_the_last(make_card):
    card = make_card("hce-phone", phone=few_keys(2))
    assert [pay(card) for _ in range(3)] == ["9000", "9000", "6985"]
    assert card.keys_left == 0
    assert card.atc == 2


def test_a_key_with_several_uses_lasts_as_long(make_card):
    card = make_card("hce-phone", phone=few_keys(1, uses=3))
    serials = [quick_tap(card, AID, Tap(ttq=TTQ)).objects["9F10"][8:] for _ in range(3)]
    assert serials == [b"\x00\x00\x00\x01"] * 3
    assert pay(card) == "6985"


def test_keys_expire(make_card):
    clock = Clock()
    card = make_card("hce-phone", phone=few_keys(5, life_h=24), clock=clock)
    assert pay(card) == "9000"
    clock.now += 24 * 3600
    assert card.keys_left == 0
    assert pay(card) == "6985"


def test_replenished_keys_are_used_by_serial_number(make_card, cards_home):
    card = make_card("hce-phone", phone=few_keys(1))
    assert pay(card) == "9000"
    assert pay(card) == "6985"
    card.power_off()
    more = [LimitedUseKey(serial=77, key=bytes(range(16)), expires_at=4_000_000_000, uses=1)]
    open_card(card.name, cards_home).replenish(more)
    card.power_on()
    assert quick_tap(card, AID, Tap(ttq=TTQ)).objects["9F10"][8:] == b"\x00\x00\x00\x4d"


def test_replenishing_works_while_the_phone_is_on_the_reader(make_card):
    card = make_card("hce-phone", phone=few_keys(1))
    assert pay(card) == "9000"
    card.replenish(
        [LimitedUseKey(serial=2, key=bytes(range(16)), expires_at=4_000_000_000, uses=2)]
    )
    assert card.keys_left == 2
    assert pay(card) == "9000"


def test_a_phone_off_the_reader_is_topped_up_when_it_runs_low(make_card, cards_home):
    card = make_card("hce-phone", phone=few_keys(3))
    assert pay(card) == "9000"
    personalise(card.profile, card_key=CARD_KEY, home=cards_home)
    assert card.keys_left == 2, "nothing happens while it is on a reader"
    card.power_off()
    personalise(card.profile, card_key=CARD_KEY, home=cards_home)
    card.power_on()
    assert card.keys_left == 5
    serials = [quick_tap(card, AID, Tap(ttq=TTQ)).objects["9F10"][11] for _ in range(5)]
    assert serials == [2, 3, 4, 5, 6], "no serial number is ever used for another key"


def test_a_phone_that_asks_its_holder_when_asked_wants_a_second_tap(make_card):
    phone = replace(few_keys(5), confirms="when-asked")
    card = make_card("hce-phone", phone=phone)
    assert quick_tap(card, AID, Tap(ttq="26804080")).objects["9F6C"] == b"\x00\x00"
    assert pay(card) == "6986"
    card.power_off()
    card.power_on()
    assert quick_tap(card, AID, Tap(ttq=TTQ)).objects["9F6C"] == b"\x00\x80"
    assert pay(card) == "6986", "one confirmation is for one payment"
    assert card.atc == 2, "see phone counts no transaction"


def test_phones_change_their_uid_at_every_presentation(make_card):
    card = make_card("hce-phone")
    seen = set()
    for _ in range(5):
        seen.add(card.uid)
        assert len(card.uid) == 4
        assert card.uid[0] == 0x08
        card.power_off()
        card.power_on()
    assert len(seen) == 5


def test_a_plastic_card_keeps_its_seven_byte_uid(make_card, cards_home):
    card = make_card()
    assert len(card.uid) == 7
    assert open_card(card.name, cards_home).uid == card.uid
