"""The card's own state machine: what it refuses, with which status word, and in which state."""

from __future__ import annotations

import pytest

from devices.nfc.emulated import State
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
SELECT = f"00A4040008{AID}00"
GPO = gpo_command(Tap().pdol()).hex()
FCI_FIRST_BYTE = 0x6F


def test_directory_names_the_one_application(make_card):
    card = make_card()
    body, status = send(card, "00A404000E325041592E5359532E444446303100")
    assert status == "9000"
    found = flat(body)
    assert (found["84"], found["4F"].hex().upper()) == (b"2PAY.SYS.DDF01", AID)
    assert found["50"] == b"UnionPay Debit"
    assert card.state is State.DIRECTORY


def test_a_beginning_of_the_aid_selects_the_whole_application(make_card):
    assert select(make_card(), AID[:14])["84"].hex().upper() == AID


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("00A4040007A000000003101000", "6A82"),  # another scheme
        ("00A4040009A00000033301010101", "6A82"),  # longer than ours
        ("00A4040004A000000300", "6A82"),  # shorter than a RID
        ("00A4040208A00000033301010100", "6A82"),  # next occurrence: there is one only
        ("00A4000008A00000033301010100", "6A86"),  # not by name
        ("00A4040108A00000033301010100", "6A86"),
        ("00A404000AA00000033301010100", "6700"),  # Lc one too many
        ("00A4040007A00000033301010100FF", "6700"),  # Lc one too few
        (GPO, "6985"),  # before SELECT
        ("00B2010C00", "6985"),
        ("80AE800000", "6985"),
        ("80CA9F3600", "6985"),
        ("00880000041122334400", "6985"),
        ("00D6000000", "6D00"),  # unknown instruction
        ("80B2010C00", "6E00"),  # right instruction, wrong class
        ("90A8000000", "6E00"),
        ("C0A4040000", "6E00"),
        ("00A404", "6700"),
        ("", "6700"),
    ],
)
def test_an_idle_card_refuses(command, status, make_card):
    card = make_card()
    assert send(card, command) == (b"", status)
    assert card.state is State.IDLE


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("80A8000002830000", "6700"),  # no PDOL values
        (gpo_command(Tap().pdol()[:-1]).hex(), "6700"),
        (gpo_command(Tap().pdol() + b"\0").hex(), "6700"),
        ("80A80000058321AABBCC00", "6700"),  # fewer values than their length says
        ("80A80000", "6700"),
        ("80A8000023" + "85" + GPO[12:], "6A80"),  # not template 83
        ("80A80100" + GPO[8:], "6A86"),
        ("80A80001" + GPO[8:], "6A86"),
        ("00B2010C00", "6985"),  # before processing options
        ("80CA9F1700", "6A88"),
    ],
)
def test_a_selected_card_refuses(command, status, make_card):
    card = make_card()
    select(card, AID)
    assert send(card, command) == (b"", status)
    assert card.state is State.SELECTED
    assert card.atc == 0, "a refused command counts no transaction"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (GPO, "6985"),  # a second time
        ("00B2030C00", "6A82"),  # no file 1
        ("00B2091400", "6A83"),  # no such record in file 2
        ("00B2010000", "6A86"),
        ("00B2010D00", "6A86"),
        ("80AE800000", "6985"),  # qPBOC has no GENERATE AC here
        ("00880000041122334400", "6985"),
    ],
)
def test_an_initiated_card_refuses(command, status, make_card):
    card = make_card()
    quick_tap(card, AID)
    assert send(card, command) == (b"", status)
    assert card.state is State.INITIATED


def test_a_new_select_begins_a_new_transaction(make_card):
    card = make_card()
    first = quick_tap(card, AID).objects["9F36"]
    second = quick_tap(card, AID).objects["9F36"]
    assert int.from_bytes(second) == int.from_bytes(first) + 1


def test_selecting_the_directory_again_leaves_the_application(make_card):
    card = make_card()
    quick_tap(card, AID)
    send(card, "00A404000E325041592E5359532E444446303100")
    assert send(card, "00B2010C00")[1] == "6985"


def test_a_failed_select_keeps_the_selected_application(make_card):
    card = make_card()
    select(card, AID)
    assert send(card, "00A4040007A000000003101000")[1] == "6A82"
    assert send(card, GPO)[1] == "9000"


def test_processing_options_need_a_reader_for_quick_payments(make_card):
    card = make_card()
    select(card, AID)
    assert send(card, gpo_command(Tap(ttq="86804080").pdol()))[1] == "6985"


def test_amounts_that_are_not_decimal_are_refused(make_card):
    card = make_card()
    select(card, AID)
    values = bytearray(Tap(ttq="26004080").pdol())
    values[4] = 0xAB
    assert send(card, gpo_command(bytes(values)))[1] == "6A80"


def test_get_data_tells_the_counter(make_card):
    card = make_card()
    quick_tap(card, AID)
    assert flat(send(card, "80CA9F3600")[0]) == {"9F36": b"\x00\x01"}


def test_the_counter_never_passes_its_end(make_card):
    card = make_card()
    card._chip.memory.atc = 0xFFFE
    assert quick_tap(card, AID).objects["9F36"] == b"\xff\xff"
    select(card, AID)
    assert send(card, GPO)[1] == "6985"


MC = "A0000000041010"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("80AE900000", "6700"),  # no CDOL values
        ("80AE90002A" + "00" * 42 + "00", "6700"),
        ("80AED0002B" + "00" * 43 + "00", "6A86"),  # kind 11 is none
        ("80AE90012B" + "00" * 43 + "00", "6A86"),
    ],
)
def test_generate_ac_refuses(command, status, make_card):
    card = make_card("mastercard-abroad")
    select(card, MC)
    assert send(card, "80A8000002830000")[1] == "9000"
    assert send(card, command) == (b"", status)


def test_no_second_generate_ac_after_an_aac(make_card):
    card = make_card("mastercard-abroad")
    chip_tap(card, MC, p1=0x00)
    assert send(card, "80AE00001D" + "00" * 29 + "00")[1] == "6985"


def test_second_generate_ac_asks_for_no_arqc_and_happens_once(make_card):
    card = make_card("mastercard-abroad")
    chip_tap(card, MC)
    values = "00" * 29
    assert send(card, f"80AE80001D{values}00")[1] == "6985"
    assert send(card, f"80AE00001C{values[2:]}00")[1] == "6700"
    assert send(card, f"80AE00001D{values}00")[1] == "9000"
    assert send(card, f"80AE00001D{values}00")[1] == "6985"


def test_random_bytes_never_break_the_card(make_card):
    import random

    chance = random.Random(7)
    card = make_card()
    heads = [bytes.fromhex(one) for one in ("00A404", "80A800", "00B201", "80AE80", "80CA9F", "00")]
    for _ in range(3000):
        command = chance.choice(heads) + chance.randbytes(chance.randrange(0, 50))
        response = card.process(command)
        assert len(response) >= 2
        assert response[-2:] == b"\x90\x00" or len(response) == 2 or response[-2:] == b"\x62\x83"
