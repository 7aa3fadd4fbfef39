"""Reading DE55 as BER-TLV, and refusing what isn't."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

from checkout.clearing.hsm.icc_data import (
    CardholderVerification,
    IccError,
    cardholder_verification,
    read_icc,
    write_icc,
)


def test_one_and_two_byte_tags_and_long_lengths_are_read() -> None:
    content = bytes.fromhex("9F2608112233445566778895050000000000") + b"\x72\x81\x80" + bytes(128)
    assert read_icc(content) == {
        0x9F26: bytes.fromhex("1122334455667788"),
        0x95: bytes(5),
        0x72: bytes(128),
    }


def test_zero_bytes_between_tags_are_filling() -> None:
    assert read_icc(bytes.fromhex("00009C010000")) == {0x9C: b"\x00"}


@pytest.mark.parametrize(
    ("content", "position"),
    [
        ("9F", 0),
        ("9C01009F", 3),
        ("9F26", 2),
        ("9F2608112233", 0),
        ("9C81", 1),
        ("9C80", 1),
        ("9C83000001AA", 1),
        ("9FFFFFFFFF0100", 0),
        ("9C01009C0101", 3),
    ],
)
def test_malformed_content_names_the_position(content: str, position: int) -> None:
    with pytest.raises(IccError) as fault:
        read_icc(bytes.fromhex(content))
    assert fault.value.position == position
    assert str(fault.value).startswith("DE55 ")


@given(
    st.dictionaries(
        st.sampled_from([0x82, 0x95, 0x9A, 0x9F02, 0x9F26, 0x9F36, 0xDF8101]),
        st.binary(max_size=300),
    )
)
def test_what_is_written_is_read_back(tags: dict[int, bytes]) -> None:
    assert read_icc(write_icc(tags)) == tags


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(IccError):
        read_icc(content)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ("1F0302", CardholderVerification.NONE),
        ("020302", CardholderVerification.ONLINE_PIN),
        ("420302", CardholderVerification.ONLINE_PIN),
        ("1E0300", CardholderVerification.SIGNATURE),
        ("010002", CardholderVerification.ON_DEVICE),
        ("0100", CardholderVerification.NONE),
        ("", CardholderVerification.NONE),
    ],
)
def test_cvm_results_say_how_the_payer_was_verified(
    results: str, expected: CardholderVerification
) -> None:
    assert cardholder_verification({0x9F34: bytes.fromhex(results)}) is expected
