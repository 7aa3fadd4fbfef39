"""PIN blocks, what is stored of a PIN, and three tries."""

from __future__ import annotations

import pytest
from psec import des, pinblock

from checkout.clearing.hsm.pin import (
    PinBlockError,
    check_pin,
    decrypt_pin_block,
    encrypt_pin_block,
    pin_verification,
)

ACCOUNT = "9999011000000019"
KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
KEPT = pin_verification("123456", ACCOUNT, salt=bytes(16), pepper=b"pepper")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def test_block_is_the_one_psec_makes() -> None:
    expected = des.encrypt_tdes_ecb(KEY, pinblock.encode_pinblock_iso_0("123456", ACCOUNT))
    assert encrypt_pin_block("123456", ACCOUNT, KEY) == expected


def test_documented_block_is_read() -> None:
    # psec's documentation of format 0: PIN 1234, account 5544332211009966.
    clear = bytes.fromhex("041277CDDEEFF669")
    block = des.encrypt_tdes_ecb(KEY, clear)
    assert decrypt_pin_block(block, "5544332211009966", KEY) == "1234"


@pytest.mark.parametrize("pin", ["1234", "123456", "123456789012"])
def test_pin_comes_back_for_its_account_and_key(pin: str) -> None:
    assert decrypt_pin_block(encrypt_pin_block(pin, ACCOUNT, KEY), ACCOUNT, KEY) == pin


@pytest.mark.parametrize("pin", ["", "123", "1234567890123", "12345a", "１２３４５６"])
def test_pin_that_cannot_be_is_refused_without_repeating_it(pin: str) -> None:
    with pytest.raises(PinBlockError) as fault:
        encrypt_pin_block(pin, ACCOUNT, KEY)
    assert not pin or pin not in str(fault.value)


def test_block_under_another_key_or_of_another_length_is_refused() -> None:
    block = encrypt_pin_block("123456", ACCOUNT, KEY)
    with pytest.raises(PinBlockError):
        decrypt_pin_block(block, ACCOUNT, KEY[::-1])
    with pytest.raises(PinBlockError):
        decrypt_pin_block(block[:7], ACCOUNT, KEY)


def test_block_moved_to_another_account_gives_no_right_pin() -> None:
    block = encrypt_pin_block("123456", ACCOUNT, KEY)
    try:
        found = decrypt_pin_block(block, "9999031000000017", KEY)
    except PinBlockError:
        return
    assert found != "123456"


def test_nothing_kept_contains_the_pin_and_salt_account_and_pepper_count() -> None:
    assert b"123456" not in KEPT and len(KEPT) == 48
    others = {
        pin_verification("123456", ACCOUNT, salt=b"s" * 16, pepper=b"pepper"),
        pin_verification("123456", "9999031000000017", salt=bytes(16), pepper=b"pepper"),
        pin_verification("123456", ACCOUNT, salt=bytes(16), pepper=b"other"),
        pin_verification("123457", ACCOUNT, salt=bytes(16), pepper=b"pepper"),
    }
    assert len({one[16:] for one in others} | {KEPT[16:]}) == 5


def test_three_wrong_pins_block_and_the_right_one_no_longer_helps() -> None:
    left, codes = 3, []
    for pin in ("000000", "111111", "222222", "123456"):
        verdict = check_pin(pin, ACCOUNT, KEPT, pepper=b"pepper", tries_left=left)
        left = verdict.tries_left
        codes.append((verdict.response_code, left))
    assert codes == [("55", 2), ("55", 1), ("75", 0), ("75", 0)]


def test_right_pin_gives_all_tries_back() -> None:
    verdict = check_pin("123456", ACCOUNT, KEPT, pepper=b"pepper", tries_left=1)
    assert verdict.verified and verdict.tries_left == 3
