"""Exchanges decoded tag by tag: lists filled in order, nothing sensitive shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from devices.nfc.emv.decoding import decode

SELECT_PPSE = bytes.fromhex("00A404000E325041592E5359532E444446303100")
#: FCI with a PDOL that asks for 9F02 (6 bytes) and 9F37 (4).
FCI = bytes.fromhex("6F148407A0000003330101A5099F38069F02069F37049000")
GPO = bytes.fromhex("80A800000C830A0000000012801122334400")


def test_the_values_of_a_command_are_named_by_the_list_that_the_card_sent_before() -> None:
    _, options = decode([(SELECT_PPSE, FCI), (GPO, bytes.fromhex("9000"))])
    values = options["command"]["values"]
    assert values["9F02"]["value"] == "000000001280"
    assert values["9F37"] == {"name": "Unpredictable number (UN)", "value": "11 22 33 44"}


def test_values_whose_list_was_never_seen_stay_bytes() -> None:
    (options,) = decode([(GPO, bytes.fromhex("9000"))])
    assert options["command"]["values"] == "00 00 00 00 12 80 11 22 33 44"


def test_a_list_is_told_entry_by_entry() -> None:
    (select,) = decode([(SELECT_PPSE, FCI)])
    assert select["command"]["name"] == "2PAY.SYS.DDF01"
    pdol = select["response"]["6F"]["value"]["A5"]["value"]["9F38"]["value"]
    assert pdol == ["9F02 Amount, authorised (numeric), 6 B", "9F37 Unpredictable number (UN), 4 B"]


def test_two_templates_of_one_kind_are_both_told() -> None:
    directory = bytes.fromhex("6F0E610550034F4E456105500354574F9000")
    (select,) = decode([(SELECT_PPSE, directory)])
    inside = select["response"]["6F"]["value"]
    assert [inside[key]["value"]["50"]["value"] for key in ("61", "61 (2)")] == ["ONE", "TWO"]


def test_a_format_1_answer_is_taken_apart_by_its_order() -> None:
    (options,) = decode([(GPO, bytes.fromhex("80062000080101009000"))])
    answer = options["response"]["80"]["value"]
    assert (answer["82"]["value"], answer["94"]["value"]) == ("20 00", "08 01 01 00")


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("5A", "9999011000000019"),
        ("57", "9999011000000019D30122010000012345678F"),
        ("9F6B", "9999011000000019D30122010000012345678F"),
    ],
)
def test_a_number_that_came_unmasked_is_masked_all_the_same(tag: str, value: str) -> None:
    inner = bytes.fromhex(tag) + bytes([len(value) // 2]) + bytes.fromhex(value)
    record = b"\x70" + bytes([len(inner)]) + inner + b"\x90\x00"
    (read,) = decode([(bytes.fromhex("00B2011400"), record)])
    assert read["response"]["70"]["value"][tag]["value"] == "999901******0019"
    assert read["command"]["file and record"] == "SFI 2, record 1"


@pytest.mark.parametrize("tag", ["5F20", "9F1F", "9F46", "56", "99"])
def test_what_else_is_sensitive_shows_its_length_only(tag: str) -> None:
    inner = bytes.fromhex(tag) + b"\x04WANG"
    record = b"\x70" + bytes([len(inner)]) + inner + b"\x90\x00"
    (read,) = decode([(bytes.fromhex("00B2011400"), record)])
    assert read["response"]["70"]["value"][tag]["value"] == "masked, 4 B"


def test_status_words_are_told_in_words() -> None:
    decoded = [decode([(SELECT_PPSE, bytes.fromhex(sw))])[0]["response"] for sw in ("6A82", "6C10")]
    assert [each["status"] for each in decoded] == [
        "6A82 file or application not found",
        "6C10 wrong Le, 16 bytes are there",
    ]
    assert decode([(SELECT_PPSE, b"")])[0]["response"] == {"answer": "none"}


@given(st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=60)), max_size=4))
def test_whatever_the_bytes_are_they_are_told(exchanges: list[tuple[bytes, bytes]]) -> None:
    decoded = decode(exchanges)
    assert len(decoded) == len(exchanges)
    json.dumps(decoded)
