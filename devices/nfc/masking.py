"""What of an exchange may be shown: card number, track, name and card certificate blotted out.

Lengths and structure stay, so that a masked exchange still parses and replays. The card's public
key certificate (9F46) is blotted out because anyone with the CA's public key reads the card
number out of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from devices.nfc.tags import SENSITIVE
from devices.nfc.tlv import TlvError, read_header

_BCD_PAN = frozenset({0x5A})
_TRACK_2 = frozenset({0x57, 0x9F6B})
_TEXT = frozenset({0x5F20, 0x9F0B, 0x56})


def mask_pan(pan: str) -> str:
    """First six and last four digits, the rest as asterisks (PCI DSS 3.4)."""
    if len(pan) < 13:
        return "*" * len(pan)
    return f"{pan[:6]}{'*' * (len(pan) - 10)}{pan[-4:]}"


def pans_in(bodies: Iterable[bytes]) -> frozenset[str]:
    """Every card number that stands in a 5A, 57 or 9F6B of these TLV bodies."""
    found: set[str] = set()
    for body in bodies:
        for tag, start, stop in _primitives(body, 0, len(body)):
            digits = body[start:stop].hex().upper()
            if tag in _BCD_PAN:
                found.add(digits.rstrip("F"))
            elif tag in _TRACK_2:
                found.add(digits.partition("D")[0].rstrip("F"))
    return frozenset(pan for pan in found if len(pan) >= 8 and pan.isdigit())


def mask_body(body: bytes, pans: Iterable[str]) -> bytes:
    """A command or response body with everything sensitive replaced, byte for byte as long.

    A body that begins like a template but is broken inside is blanked whole, since what is
    sensitive in it can't be found.
    """
    masked = bytearray(body)
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
    """First six and last four digits with zeros between, or nines where that was the number."""
    for digit in "09":
        kept = (pan[:6], pan[-4:]) if len(pan) >= 13 else ("", "")
        masked = kept[0] + digit * (len(pan) - len(kept[0] + kept[1])) + kept[1]
        if masked != pan:
            break
    return masked


def _sweep(body: bytes, pans: Iterable[str]) -> bytes:
    text = body.hex().upper()
    for pan in pans:
        for shown, masked in (
            (pan, _mask_digits(pan)),
            (pan.encode().hex(), _mask_digits(pan).encode().hex()),
        ):
            if shown != masked and shown in text:
                text = text.replace(shown, masked)
    return bytes.fromhex(text)
