"""Masks everything in an exchange that can name a person or a card, so that it may be shown.

Of a response only those values stay that are known to be harmless. Lengths and structure stay, so
that a masked exchange still parses and replays. The card's public key certificate (9F46) is masked
because anyone who has the CA's public key can read the card number in it, and so is the signed
static data (93): its hash covers the number, of which only a few digits would have to be guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from devices.nfc.emv.ber_tlv import TlvError, read_header
from devices.nfc.emv.tags import SENSITIVE, TAGS, Source

_BCD_PAN = frozenset({0x5A})
_TRACK_2 = frozenset({0x57, 0x9F6B})
_TEXT = frozenset({0x5F20, 0x9F0B, 0x56})
#: The card's values that are the same on every card of a product, or new in every tap, or amounts.
_HARMLESS_OF_CARD: Final = """
42 4F 50 5F24 5F25 5F28 5F2D 5F30 5F34 5F50 5F55 82 84 87 88 89 8C 8D 8E 8F 90 92 94 97 9D
9F07 9F08 9F0D 9F0E 9F0F 9F11 9F12 9F13 9F14 9F17 9F23 9F26 9F27 9F29 9F2A 9F2E 9F32 9F36 9F38
9F3B 9F42 9F43 9F44 9F45 9F47 9F49 9F4A 9F4B 9F4C 9F4D 9F4F 9F51 9F52 9F5A 9F5D 9F63 9F68 9F69
9F6C 9F74 9F77 9F78 9F79 DF4B
"""
#: These and the terminal's own values stay; every other value is masked.
_HARMLESS: Final = (
    frozenset(int(tag, 16) for tag in _HARMLESS_OF_CARD.split())
    | {entry.tag for entry in TAGS.values() if entry.source is Source.TERMINAL}
) - SENSITIVE
#: Values of which only the beginning has a meaning of its own; an issuer fills the rest at will.
#: 9F10: key index, cryptogram version and card verification results.
_HARMLESS_BEGINNING: Final = {0x9F10: 8}
_FORMAT_1, _FORM_FACTOR = 0x80, 0x9F6E
_FORM_FACTOR_BYTES: Final = 4  # Visa; Mastercard's third party data are longer
_GENERATE_AC_BYTES: Final = 11  # CID, ATC and cryptogram, before the issuer application data
#: Track 2 (number, D, expiry, service code: ISO/IEC 7813), or a number after its tag and length, in
#: hex. It is searched for in the whole body, because broken TLV hides the tag but not the digits.
_LOOSE: Final = re.compile(
    r"(?=(?P<track>[0-9]{12,19})D[0-9]{2}(?:0[1-9]|1[0-2])[0-9]{3}"
    r"|5A0[6-9A](?P<number>[0-9]{12,19})F?)"
)


def mask_pan(pan: str) -> str:
    """First six and last four digits, the rest as asterisks (PCI DSS 3.4)."""
    if len(pan) < 13:
        return "*" * len(pan)
    return f"{pan[:6]}{'*' * (len(pan) - 10)}{pan[-4:]}"


def pans_in(bodies: Iterable[bytes]) -> frozenset[str]:
    """Every card number in a 5A, 57 or 9F6B of these TLV bodies, also where the TLV is broken."""
    found: set[str] = set()
    loose: set[str] = set()
    for body in bodies:
        loose.update(_loose_numbers(body))
        for tag, start, stop in _primitives(body, 0, len(body)):
            digits = body[start:stop].hex().upper()
            if tag in _BCD_PAN:
                found.add(digits.rstrip("F"))
            elif tag in _TRACK_2:
                found.add(digits.partition("D")[0].rstrip("F"))
    pans = {pan for pan in found if len(pan) >= 8 and pan.isdigit()}
    return frozenset(pans | {each for each in loose if not any(pan in each for pan in pans)})


def mask_body(body: bytes, pans: Iterable[str]) -> bytes:
    """The body of a response with all that is not known to be harmless replaced, as long as before.

    A body that is not BER-TLV throughout becomes all zeros, because nothing in it can be located.
    """
    masked = bytearray(body)
    try:
        spans = list(_primitives(body, 0, len(body), strict=True))
    except TlvError:
        return bytes(len(body))
    for tag, start, stop in spans:
        masked[start:stop] = _mask_unknown(tag, bytes(body[start:stop]))
    return _sweep(bytes(masked), {*pans, *_loose_numbers(body)})


def mask_command(body: bytes, pans: Iterable[str]) -> bytes:
    """The body of a command with every card number and sensitive value replaced, as long as before.

    The terminal fills it with its own values, mostly without tags.
    """
    masked = bytearray(body)
    for tag, start, stop in _primitives(body, 0, len(body)):
        if tag in SENSITIVE:
            masked[start:stop] = _mask_value(tag, bytes(body[start:stop]))
    return _sweep(bytes(masked), {*pans, *_loose_numbers(body)})


def _mask_unknown(tag: int, value: bytes) -> bytes:
    if tag in _HARMLESS or (tag == _FORM_FACTOR and len(value) == _FORM_FACTOR_BYTES):
        return value
    kept = _HARMLESS_BEGINNING.get(tag, 0)
    if tag == _FORMAT_1:
        kept = len(value) if _is_aip_and_afl(value) else _GENERATE_AC_BYTES + 8
    return value[:kept] + bytes(len(value[kept:])) if kept else _mask_value(tag, value)


def _is_aip_and_afl(value: bytes) -> bool:
    """Whether a format 1 value answers GET PROCESSING OPTIONS (EMV Book 3, 6.5.8.4)."""
    entries = [value[at : at + 4] for at in range(2, len(value), 4)]
    return all(
        len(entry) == 4 and entry[0] & 0x07 == 0 and 0 < entry[1] <= entry[2] for entry in entries
    )


def _loose_numbers(body: bytes) -> Iterator[str]:
    """Digits that look like a card number; a length byte before them may be counted as digits."""
    end = 0
    for match in _LOOSE.finditer(body.hex().upper()):
        kind = "track" if match["track"] else "number"
        if match.start() % 2 == 0 and match.start() >= end:
            end = match.end(kind)
            yield match[kind]


def _primitives(
    body: bytes, at: int, end: int, *, strict: bool = False, depth: int = 0
) -> Iterator[tuple[int, int, int]]:
    while at < end:
        if body[at] == 0:
            at += 1
            continue
        try:
            tag, constructed, start, stop = read_header(body, at, end, "body")
        except TlvError:
            if strict:
                raise
            return
        if constructed and depth < 8:
            yield from _primitives(body, start, stop, strict=strict, depth=depth + 1)
        else:
            yield tag, start, stop
        at = stop


def _mask_value(tag: int, value: bytes) -> bytes:
    digits = value.hex().upper()
    if tag in _BCD_PAN:
        pan = digits.rstrip("F")
        return bytes.fromhex(_mask_digits(pan) + "F" * (len(digits) - len(pan)))
    if tag in _TRACK_2 and "D" in digits:
        pan, _, rest = digits.partition("D")
        # expiry and service code stay; the discretionary data can verify a card, so it goes
        secret = "".join("F" if char == "F" else "0" for char in rest[7:])
        return bytes.fromhex(f"{_mask_digits(pan)}D{rest[:7]}{secret}")
    if tag in _TEXT:
        return b"*" * len(value)
    return bytes(len(value))


def _mask_digits(pan: str) -> str:
    """First six and last four digits with zeros between; nines where that would be the number."""
    for digit in "09":
        first, last = (pan[:6], pan[-4:]) if len(pan) >= 13 else ("", "")
        masked = first + digit * (len(pan) - len(first + last)) + last
        if masked != pan:
            break
    return masked


def _sweep(body: bytes, pans: Iterable[str]) -> bytes:
    text = body.hex().upper()
    for pan in sorted(pans, key=lambda each: (-len(each), each)):
        for shown, masked in (
            (pan, _mask_digits(pan)),
            (pan.encode().hex(), _mask_digits(pan).encode().hex()),
        ):
            if shown != masked and shown in text:
                text = text.replace(shown, masked)
    return bytes.fromhex(text)
