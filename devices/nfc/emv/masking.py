"""Masks card number, track, name and card certificate in an exchange, so that it may be shown.

Lengths and structure stay, so that a masked exchange still parses and replays. The card's public
key certificate (9F46) is masked because anyone who has the CA's public key can read the card
number in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from devices.nfc.emv.ber_tlv import TlvError, read_header
from devices.nfc.emv.tags import SENSITIVE

_BCD_PAN = frozenset({0x5A})
_TRACK_2 = frozenset({0x57, 0x9F6B})
_TEXT = frozenset({0x5F20, 0x9F0B, 0x56})
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
    """A command or response body with everything sensitive replaced, byte for byte as long.

    A body that begins like a template but is broken inside becomes all zeros, because the
    sensitive values in it can't be located.
    """
    masked = bytearray(body)
    pans = {*pans, *_loose_numbers(body)}
    try:
        spans = list(
            _primitives(body, 0, len(body), strict=body[:1] in (b"\x6f", b"\x70", b"\x77"))
        )
    except TlvError:
        return bytes(len(body))
    for tag, start, stop in spans:
        if tag in SENSITIVE:
            masked[start:stop] = _mask_value(tag, bytes(body[start:stop]))
    return _sweep(bytes(masked), pans)


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
