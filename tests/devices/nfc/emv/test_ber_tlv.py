"""BER-TLV: reading, writing, and refusing bytes that are not BER-TLV."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from devices.nfc.emv.ber_tlv import (
    DolEntry,
    Node,
    TlvError,
    build,
    fill_dol,
    find,
    is_constructed,
    parse,
    parse_dol,
    walk,
)
from devices.nfc.emv.tags import SENSITIVE, TAGS, Format, format_of, name_of


def h(text: str) -> bytes:
    return bytes.fromhex(text)


def test_templates_are_taken_apart_and_duplicates_kept() -> None:
    nodes = parse(h("6F0E 8402 AABB A508 5001 41 5001 42 8700"))
    assert [node.tag for node in walk(nodes)] == [0x6F, 0x84, 0xA5, 0x50, 0x50, 0x87]
    assert find(nodes, 0x50) == b"A"
    assert find(nodes, 0x9F38) is None


def test_zero_bytes_between_objects_are_padding() -> None:
    assert [node.tag for node in parse(h("0000 5A01 12 00 5701 13 00"))] == [0x5A, 0x57]


def test_lengths_of_one_two_and_three_bytes_build_and_parse() -> None:
    for length in (0, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF):
        assert parse(build(0x9F46, bytes(length))) == (Node(0x9F46, bytes(length)),)


@pytest.mark.parametrize(
    ("raw", "position"),
    [
        ("5A", 1),
        ("5A0512", 2),
        ("9F", 0),
        ("9F8181815A01", 0),
        ("5A80", 1),
        ("5A8301020304", 1),
        ("5A8201", 2),
        ("5F", 0),
        ("7003 5A02 11", 4),
    ],
)
def test_broken_tlv_names_field_and_position(raw: str, position: int) -> None:
    with pytest.raises(TlvError) as caught:
        parse(h(raw), "record")
    assert (caught.value.field, caught.value.position) == ("record", position)


def test_nesting_without_end_is_refused() -> None:
    raw = b""
    for _ in range(60):
        raw = build(0x70, raw)
    with pytest.raises(TlvError):
        parse(raw)


def test_a_dol_parses_and_fills_in_its_order() -> None:
    entries = parse_dol(h("9F0206 9F3704 9F3704 DF0102"))
    assert entries[0] == DolEntry(0x9F02, 6)
    filled = fill_dol(entries, {0x9F02: h("000000001280"), 0x9F37: h("01020304")})
    assert filled.hex() == "000000001280" + "01020304" * 2 + "0000"


def test_a_length_in_a_dol_is_one_byte_even_over_127() -> None:
    assert parse_dol(h("9F4EB0 9F3704")) == (DolEntry(0x9F4E, 0xB0), DolEntry(0x9F37, 4))


@pytest.mark.parametrize("raw", ["9F02", "9F", "9F02069F8181", "5A"])
def test_a_dol_that_breaks_off_is_refused(raw: str) -> None:
    with pytest.raises(TlvError):
        parse_dol(h(raw), "PDOL")


@pytest.mark.parametrize(
    ("tag", "length", "value", "expected"),
    [
        (0x9F02, 4, "000000001280", "00001280"),  # numeric loses its left
        (0x9F02, 8, "000000001280", "0000000000001280"),
        (0x5A, 4, "9999990000000012", "99999900"),  # compressed numeric loses its right
        (0x5A, 10, "9999990000000012", "9999990000000012ffff"),
        (0x9F37, 2, "01020304", "0102"),  # binary loses its right
        (0x9F37, 6, "01020304", "010203040000"),
        (0x9F1C, 10, "3132333435363738", "31323334353637380000"),
        (0x9F02, 0, "000000001280", ""),
        (0x70, 3, "010203", "000000"),  # a template is not the terminal's to fill
        (0x9F5C, 3, None, "000000"),  # unknown to the terminal
    ],
)
def test_values_are_cut_and_padded_by_their_format(
    tag: int, length: int, value: str | None, expected: str
) -> None:
    values = {} if value is None else {tag: h(value)}
    assert fill_dol([DolEntry(tag, length)], values).hex() == expected


def test_the_dictionary_knows_what_it_is_asked() -> None:
    assert name_of(0x9F66).startswith("Terminal transaction qualifiers")
    assert name_of(0xDF7F) == "unknown"
    assert format_of(0x9F02) is Format.NUMERIC
    assert format_of(0xDF7F) is Format.BINARY
    assert {0x5A, 0x57, 0x9F6B, 0x56, 0x5F20, 0x9F1F, 0x9F46} <= SENSITIVE
    assert not {0x9F26, 0x90, 0x9F4B, 0x5F24} & SENSITIVE
    assert all(is_constructed(tag) == (TAGS[tag].format is Format.TEMPLATE) for tag in TAGS)


@given(
    st.lists(st.tuples(st.sampled_from([0x5A, 0x9F26, 0x5F24, 0x9F8101]), st.binary(max_size=300)))
)
def test_whatever_is_built_parses_back(objects: list[tuple[int, bytes]]) -> None:
    raw = b"".join(build(tag, value) for tag, value in objects)
    assert parse(raw) == tuple(Node(tag, value) for tag, value in objects)
