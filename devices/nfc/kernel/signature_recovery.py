"""Certificates and signatures of a card, recovered and checked (EMV Book 2, 5 and 6).

Pure functions. A check that fails raises `OdaFailed` with a stable reason; `oda.py` turns that into
a result. The checks come in the order of Book 2: length, trailer, header, format, hash, identity,
expiry, revocation, algorithm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from hmac import compare_digest
from typing import Final

from devices.nfc.emv.ber_tlv import TlvError, read_header
from devices.nfc.kernel.ca_keys import MAX_KEY_BYTES, CaKey, CaKeyRing

_HASH_BYTES: Final = 20  # SHA-1, the only hash of EMV's RSA signatures
_SHA_1: Final = 0x01
_RSA: Final = 0x01

#: The signed data format of a dynamic signature: EMV Book 2, table 15.
EMV_FORMAT: Final = frozenset((0x05,))
#: Visa's fDDA: current cards sign with 95, older ones with 05 (seen on live cards; Book C-3).
VISA_FDDA_FORMATS: Final = frozenset((0x05, 0x95))


class OdaFailed(Exception):
    """A check failed; `reason` is a stable word. It never leaves the kernels."""

    def __init__(self, reason: str, ca_key: CaKey | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.ca_key = ca_key


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A recovered public key and the CA key at the head of its certificate chain."""

    modulus: bytes
    exponent: int
    ca_key: CaKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRecord:
    """A record that the AFL marks as signed, as it was read, with its template."""

    sfi: int
    body: bytes


def static_data(records: Iterable[SignedRecord], card: Mapping[int, bytes]) -> bytes:
    """The data that the issuer signed (EMV Book 3, 10.3).

    Records of SFI 1 to 10 count without their template 70, others with it; the AIP follows where
    9F4A names it. Raises OdaFailed "static-data-template" or "static-data-tag-list".
    """
    parts: list[bytes] = []
    for record in records:
        if record.sfi > 10:
            parts.append(record.body)
            continue
        parts.append(_without_template(record.body))
    tag_list = card.get(0x9F4A)
    if tag_list is not None:
        if tag_list != b"\x82" or 0x82 not in card:
            raise OdaFailed("static-data-tag-list")
        parts.append(card[0x82])
    return b"".join(parts)


def _without_template(body: bytes) -> bytes:
    try:
        tag, _, start, stop = read_header(body, 0, len(body), "record")
    except (TlvError, IndexError):
        raise OdaFailed("static-data-template") from None
    if tag != 0x70:
        raise OdaFailed("static-data-template")
    return body[start:stop]


def recover_issuer_key(
    card: Mapping[int, bytes], *, rid: bytes, pan: str, ca_keys: CaKeyRing, today: date
) -> PublicKey:
    """The issuer's public key from 8F, 90, 92 and 9F32 (EMV Book 2, 5.2 and 5.3).

    Raises OdaFailed with the reason.
    """
    index = card.get(0x8F)
    if index is None or len(index) != 1:
        raise OdaFailed("ca-key-index-missing")
    ca_key = ca_keys.find(rid, index[0])
    if ca_key is None:
        raise OdaFailed("ca-key-missing")
    if len(ca_key.modulus) > MAX_KEY_BYTES:
        raise OdaFailed("ca-key-length")
    if ca_key.expires is not None and ca_key.expires < today:
        raise OdaFailed("ca-key-expired")
    what = "issuer-certificate"
    certificate = _required(card, 0x90, f"{what}-missing")
    exponent = _required(card, 0x9F32, "issuer-exponent-missing")
    body = _open(certificate, ca_key.modulus, ca_key.exponent, frozenset((0x02,)), what)
    remainder = card.get(0x92, b"")
    _check_hash(body[1:-21] + remainder + exponent, body, body[11], what)
    identifier = body[2:6].hex().upper().rstrip("F")
    if not (3 <= len(identifier) <= 8 and pan.startswith(identifier)):
        raise OdaFailed(f"{what}-identifier", ca_key)
    _check_expiry(body[6:8], today, what)
    if ca_keys.is_revoked(ca_key, body[8:11]):
        raise OdaFailed(f"{what}-revoked", ca_key)
    modulus = _modulus(body[15:-21], body[12], body[13], remainder, what)
    return PublicKey(modulus=modulus, exponent=_exponent(exponent, body[14], what), ca_key=ca_key)


def recover_icc_key(
    card: Mapping[int, bytes], *, issuer: PublicKey, signed: bytes, pan: str, today: date
) -> PublicKey:
    """The card's public key from 9F46, 9F47 and 9F48 (EMV Book 2, 6.4).

    `signed` is the static data. Raises OdaFailed with the reason.
    """
    what = "icc-certificate"
    certificate = _required(card, 0x9F46, f"{what}-missing")
    exponent = _required(card, 0x9F47, "icc-exponent-missing")
    body = _open(certificate, issuer.modulus, issuer.exponent, frozenset((0x04,)), what)
    remainder = card.get(0x9F48, b"")
    _check_hash(body[1:-21] + remainder + exponent + signed, body, body[17], what)
    if body[2:12].hex().upper().rstrip("F") != pan:
        raise OdaFailed(f"{what}-pan")
    _check_expiry(body[12:14], today, what)
    modulus = _modulus(body[21:-21], body[18], body[19], remainder, what)
    return PublicKey(
        modulus=modulus, exponent=_exponent(exponent, body[20], what), ca_key=issuer.ca_key
    )


def verify_static_signature(
    card: Mapping[int, bytes], *, issuer: PublicKey, signed: bytes
) -> dict[int, bytes]:
    """Check 93 over the static data; returns the data authentication code 9F45 (Book 2, 5.4).

    Raises OdaFailed with the reason.
    """
    what = "static-signature"
    signature = _required(card, 0x93, f"{what}-missing")
    body = _open(signature, issuer.modulus, issuer.exponent, frozenset((0x03,)), what)
    _check_hash(body[1:-21] + signed, body, body[2], what)
    return {0x9F45: body[3:5]}


def verify_dynamic_signature(
    signature: bytes | None,
    *,
    key: PublicKey,
    terminal_values: bytes,
    formats: frozenset[int] = EMV_FORMAT,
) -> tuple[bytes, bytes]:
    """Check 9F4B over the terminal's dynamic data (EMV Book 2, 6.5.2 and 6.6.2).

    `formats` are the accepted signed data formats; the hash covers the one that the card used.
    Returns the ICC dynamic number and the bytes after it. Raises OdaFailed with the reason.
    """
    what = "dynamic-signature"
    if signature is None:
        raise OdaFailed(f"{what}-missing")
    body = _open(signature, key.modulus, key.exponent, formats, what)
    _check_hash(body[1:-21] + terminal_values, body, body[2], what)
    length = body[3]
    if length > len(body) - 25 or length < 1:
        raise OdaFailed(f"{what}-contents")
    dynamic = body[4 : 4 + length]
    number_length = dynamic[0]
    if not 2 <= number_length <= 8 or 1 + number_length > length:
        raise OdaFailed(f"{what}-contents")
    return dynamic[1 : 1 + number_length], dynamic[1 + number_length :]


def verify_combined(
    response: Mapping[int, bytes],
    *,
    key: PublicKey,
    unpredictable_number: bytes,
    transaction_values: bytes,
) -> dict[int, bytes]:
    """Check 9F4B of a GENERATE AC answer; returns 9F4C and 9F26 (EMV Book 2, 6.6.2).

    `transaction_values` are the bytes of the PDOL values, the CDOL values and the answer's objects
    without 9F4B, as they were sent. Raises OdaFailed with the reason.
    """
    number, rest = verify_dynamic_signature(
        response.get(0x9F4B), key=key, terminal_values=unpredictable_number
    )
    if len(rest) < 29:
        raise OdaFailed("dynamic-signature-contents")
    if rest[:1] != response.get(0x9F27):
        raise OdaFailed("dynamic-signature-cid")
    expected = hashlib.sha1(transaction_values, usedforsecurity=False).digest()
    if not compare_digest(rest[9:29], expected):
        raise OdaFailed("transaction-values-hash")
    return {0x9F4C: number, 0x9F26: rest[1:9]}


def _required(card: Mapping[int, bytes], tag: int, reason: str) -> bytes:
    value = card.get(tag)
    if not value:
        raise OdaFailed(reason)
    return value


def _open(
    signature: bytes, modulus: bytes, exponent: int, formats: frozenset[int], what: str
) -> bytes:
    """Recover a signature and check its length, trailer, header and format (Book 2, A2.1)."""
    if len(signature) != len(modulus):
        raise OdaFailed(f"{what}-length")
    recover = _recover_cached if what == "issuer-certificate" else _recover
    body = recover(signature, modulus, exponent)
    if body[-1] != 0xBC:
        raise OdaFailed(f"{what}-trailer")
    if body[0] != 0x6A:
        raise OdaFailed(f"{what}-header")
    if body[1] not in formats:
        raise OdaFailed(f"{what}-format")
    return body


def _recover(signature: bytes, modulus: bytes, exponent: int) -> bytes:
    number = pow(int.from_bytes(signature, "big"), exponent, int.from_bytes(modulus, "big"))
    return number.to_bytes(len(modulus), "big")


#: Many cards share one issuer certificate, and it holds no card number: it may be cached.
_recover_cached = lru_cache(maxsize=64)(_recover)


def _check_hash(covered: bytes, body: bytes, algorithm: int, what: str) -> None:
    if algorithm != _SHA_1:
        raise OdaFailed(f"{what}-hash-algorithm")
    digest = hashlib.sha1(covered, usedforsecurity=False).digest()
    if not compare_digest(body[-1 - _HASH_BYTES : -1], digest):
        raise OdaFailed(f"{what}-hash")


def _check_expiry(mmyy: bytes, today: date, what: str) -> None:
    digits = mmyy.hex()
    if not digits.isdigit() or not 1 <= int(digits[:2]) <= 12:
        raise OdaFailed(f"{what}-date")
    year = int(digits[2:])
    year += 2000 if year < 50 else 1900  # EMV Book 4, date management
    if (year, int(digits[:2])) < (today.year, today.month):
        raise OdaFailed(f"{what}-expired")


def _modulus(field: bytes, algorithm: int, length: int, remainder: bytes, what: str) -> bytes:
    """The key's leftmost digits and its remainder, joined (Book 2, tables 6 and 14)."""
    if algorithm != _RSA:
        raise OdaFailed(f"{what}-key-algorithm")
    if not 32 <= length <= MAX_KEY_BYTES:
        raise OdaFailed(f"{what}-key-length")
    if length <= len(field):
        return _odd(field[:length], what)
    if len(remainder) != length - len(field):
        raise OdaFailed(f"{what}-remainder")
    return _odd(field + remainder, what)


def _odd(modulus: bytes, what: str) -> bytes:
    if not modulus[-1] & 1:
        raise OdaFailed(f"{what}-key-length")
    return modulus


def _exponent(value: bytes, length: int, what: str) -> int:
    exponent = int.from_bytes(value, "big")
    if len(value) != length or exponent not in (3, 65537):
        raise OdaFailed(f"{what}-exponent")
    return exponent
