"""Card, session and limited-use keys against published values and pyemv."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from pyemv import kd

from checkout.clearing.hsm import tdes
from checkout.clearing.hsm.card_keys import (
    common_session_key,
    derive_card_key,
    derive_card_key_option_b,
    limited_use_key,
)

MASTER = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def test_option_a_gives_the_published_card_key() -> None:
    # pyemv 1.5.0, documentation, key derivation.
    key = derive_card_key(MASTER, "99012345678901234", "45")
    assert key.hex().upper() == "67F8292358083E5EA7AB7FDA58D53B6B"


def test_option_b_gives_the_published_card_key() -> None:
    # pyemv 1.5.0, documentation, key derivation.
    key = derive_card_key_option_b(MASTER, "99012345678901234", "45")
    assert key.hex().upper() == "985EC4FD3EDF6162E31AF1C7D0543416"


def test_option_b_fills_up_from_letters_where_digits_run_out() -> None:
    # pyemv's test-suite, checked there against a security module: key check value DD73.
    key = derive_card_key_option_b(MASTER, "000000000000000005", "23")
    assert tdes.encrypt(key, bytes(8))[:2].hex().upper() == "DD73"


def test_common_session_key_is_the_published_one() -> None:
    # pyemv 1.5.0, documentation of derive_common_sk.
    session = common_session_key(MASTER, bytes.fromhex("001C000000000000"))
    assert session.hex().upper() == "E9FB384AF807B940FEDCEA613461B0C4"


@pytest.mark.parametrize("given_as", ["1", "01", "001"])
def test_pan_sequence_counts_by_its_last_two_digits(given_as: str) -> None:
    assert derive_card_key(MASTER, "9999011000000019", given_as) == derive_card_key(
        MASTER, "9999011000000019", "01"
    )


def test_no_pan_sequence_is_zero() -> None:
    account = "9999011000000019"
    assert derive_card_key(MASTER, account, None) == derive_card_key(MASTER, account, "000")


@given(
    master=st.binary(min_size=16, max_size=16),
    account=st.text("0123456789", min_size=12, max_size=19),
    psn=st.text("0123456789", min_size=2, max_size=2),
    diversifier=st.binary(min_size=8, max_size=8),
)
def test_derivations_agree_with_pyemv(
    master: bytes, account: str, psn: str, diversifier: bytes
) -> None:
    assert derive_card_key(master, account, psn) == kd.derive_icc_mk_a(master, account, psn)
    assert derive_card_key_option_b(master, account, psn) == kd.derive_icc_mk_b(
        master, account, psn
    )
    assert common_session_key(master, diversifier) == kd.derive_common_sk(master, diversifier)


@given(serial=st.integers(0, 2**32 - 1), atc=st.integers(0, 65535))
def test_limited_use_keys_differ_from_each_other_and_from_session_keys(
    serial: int, atc: int
) -> None:
    key = limited_use_key(MASTER, serial)
    assert key != limited_use_key(MASTER, serial ^ 1)
    assert key != common_session_key(MASTER, atc.to_bytes(2) + bytes(6))


def test_every_serial_gives_its_own_key() -> None:
    # The derivation replaces the third byte of the diversifier, which serials reach into.
    serials = [0, 1, 255, 256, 65535, 65536, 2**24, 2**32 - 1]
    assert len({limited_use_key(MASTER, serial) for serial in serials}) == len(serials)
