"""From an issuer's master key to the key of one card, and from that to the key of one tap."""

from __future__ import annotations

import hashlib

from checkout.clearing.hsm import tdes

_DIGITS_OF_LETTERS = str.maketrans("abcdef", "012345")


def derive_card_key(master_key: bytes, account: str, pan_sequence: str | None) -> bytes:
    """16-byte card master key: EMV Book 2, Annex A1.4.1 (option A).

    `account` is a PAN or payment token of 12 to 19 digits; of longer ones the last 14 digits
    count. `pan_sequence` is DE23 or tag 5F34 as digits, of which the last two count; None is 00.
    """
    return _two_halves(master_key, (account + _two_digits(pan_sequence))[-16:].zfill(16))


def derive_card_key_option_b(master_key: bytes, account: str, pan_sequence: str | None) -> bytes:
    """The same for account numbers of 17 digits and more: EMV Book 2, Annex A1.4.2 (option B)."""
    if len(account) <= 16:
        return derive_card_key(master_key, account, pan_sequence)
    digits = account + _two_digits(pan_sequence)
    digest = hashlib.sha1(bytes.fromhex("0" * (len(digits) % 2) + digits)).hexdigest()  # noqa: S324
    decimals = "".join(digit for digit in digest if digit.isdigit())
    letters = "".join(digit for digit in digest if digit.isalpha()).translate(_DIGITS_OF_LETTERS)
    return _two_halves(master_key, (decimals + letters)[:16])


def common_session_key(card_key: bytes, diversifier: bytes) -> bytes:
    """16-byte session key from an 8-byte diversifier, such as the ATC and six zero bytes.

    EMV Book 2, Annex A1.3 (common session key derivation).
    """
    return tdes.odd_parity(tdes.encrypt(card_key, session_input(diversifier)))


def session_input(diversifier: bytes) -> bytes:
    """The two blocks to encrypt for a session key: the third byte set to F0, then to 0F."""
    head, tail = diversifier[:2], diversifier[3:]
    return head + b"\xf0" + tail + head + b"\x0f" + tail


def limited_use_key(token_key: bytes, serial: int) -> bytes:
    """16-byte key number `serial` of an HCE phone, derived from its payment token's card key.

    The phone has only this key. The token service derives it again from the serial number in the
    phone's issuer application data. The diversifier is A5 four times, which no session key's is,
    then the serial; the common derivation overwrites the third byte, so the serial isn't there.
    """
    return common_session_key(token_key, b"\xa5\xa5\xa5\xa5" + serial.to_bytes(4))


def _two_halves(master_key: bytes, digits: str) -> bytes:
    half = bytes.fromhex(digits)
    return tdes.odd_parity(tdes.encrypt(master_key, half + tdes.xor(half, b"\xff" * 8)))


def _two_digits(pan_sequence: str | None) -> str:
    return (pan_sequence or "00")[-2:].zfill(2)
