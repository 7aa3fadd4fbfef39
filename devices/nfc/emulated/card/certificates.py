"""The signatures of the issuer on a card and of the card itself (EMV Book 2, chapters 5 and 6).

Every function builds and signs the block that a terminal recovers with the public key. The hash is
SHA-1, the only one that EMV Book 2 defines for RSA (indicator 01).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from devices.nfc.emulated.rsa import RsaKey

_HASH_SHA1 = 0x01
_ALGORITHM_RSA = 0x01


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A public key certificate, and the part of the key that did not fit into it.

    `remainder` is empty where the whole modulus fits; `exponent` has 1 or 3 bytes.
    """

    certificate: bytes
    remainder: bytes
    exponent: bytes


def issuer_certificate(
    *, ca: RsaKey, issuer: RsaKey, identifier: str, expiry_mmyy: str, serial: bytes
) -> Certificate:
    """The issuer's public key under the CA's (EMV Book 2, "Retrieval of Issuer Public Key").

    `identifier` is the leftmost 3 to 8 digits of the card number, `serial` 3 bytes.
    """
    head = (
        b"\x02"
        + bytes.fromhex(identifier.ljust(8, "F"))
        + bytes.fromhex(expiry_mmyy)
        + serial
        + bytes((_HASH_SHA1, _ALGORITHM_RSA, issuer.size, len(issuer.exponent)))
    )
    return _certify(ca, head, issuer, room=ca.size - 36, static=b"")


def icc_certificate(
    *, issuer: RsaKey, icc: RsaKey, pan: str, expiry_mmyy: str, serial: bytes, static: bytes
) -> Certificate:
    """The card's public key under the issuer's (EMV Book 2, "Retrieval of ICC Public Key").

    `static` is the static data to be authenticated: the bodies of the records that the AFL marks,
    then the values of the tags in 9F4A. Only its hash is in the certificate.
    """
    head = (
        b"\x04"
        + bytes.fromhex(pan.ljust(20, "F"))
        + bytes.fromhex(expiry_mmyy)
        + serial
        + bytes((_HASH_SHA1, _ALGORITHM_RSA, icc.size, len(icc.exponent)))
    )
    return _certify(issuer, head, icc, room=issuer.size - 42, static=static)


def signed_static_data(*, issuer: RsaKey, dac: bytes, static: bytes) -> bytes:
    """Tag 93 for SDA (EMV Book 2, "Verification of Signed Static Application Data").

    `dac` is the 2-byte data authentication code.
    """
    head = b"\x03" + bytes((_HASH_SHA1,)) + dac
    body = head + b"\xbb" * (issuer.size - 26)
    return _sign(issuer, body, body + static)


def signed_dynamic_data(
    *, icc: RsaKey, dynamic: bytes, terminal: bytes, data_format: int = 0x05
) -> bytes:
    """Tag 9F4B (EMV Book 2, "Dynamic Signature Generation").

    `dynamic` is the ICC dynamic data: for DDA and fDDA the length of the ICC dynamic number and
    the number; for CDA with CID, cryptogram and transaction data hash code after it. `terminal`
    is the terminal's dynamic data, of which only the hash is in the signature. `data_format` is
    the signed data format; Visa's fDDA has one of its own.
    """
    head = bytes((data_format, _HASH_SHA1, len(dynamic))) + dynamic
    body = head + b"\xbb" * (icc.size - 22 - len(head))
    return _sign(icc, body, body + terminal)


def serial_number(key: RsaKey) -> bytes:
    """A 3-byte certificate serial number that depends on the key alone."""
    return hashlib.sha256(key.modulus).digest()[:3]


def _certify(signer: RsaKey, head: bytes, key: RsaKey, *, room: int, static: bytes) -> Certificate:
    inside, remainder = key.modulus[:room], key.modulus[room:]
    body = head + inside + b"\xbb" * (room - len(inside))
    signature = _sign(signer, body, body + remainder + key.exponent + static)
    return Certificate(certificate=signature, remainder=remainder, exponent=key.exponent)


def _sign(signer: RsaKey, body: bytes, hashed: bytes) -> bytes:
    digest = hashlib.sha1(hashed, usedforsecurity=False).digest()
    return signer.sign(b"\x6a" + body + digest + b"\xbc")
