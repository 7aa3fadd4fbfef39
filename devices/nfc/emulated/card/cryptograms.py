"""Application cryptograms on the card's side, computed with pyemv and no code of the issuer.

The UnionPay cryptogram follows the published PBOC scheme: option A card keys, common session
keys, ISO 9797-1 algorithm 3 with padding method 2. No public vector with keys exists for it, so
only its primitives are checked against published values. The Visa (CVN 10) and Mastercard
(CVN 16) cryptograms are checked against published vectors.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cryptography.utils import CryptographyDeprecationWarning
from pyemv import ac, kd

_WARNINGS_LOCK = threading.Lock()

CDOL_TAGS = ("9F02", "9F03", "9F1A", "95", "5F2A", "9A", "9C", "9F37")


def unionpay_session_key(card_key: bytes, atc: int) -> bytes:
    """The session key of one ATC (EMV Book 2, Annex A1.3): 16 bytes from a 16-byte card key.

    A phone without a secure element gets session keys instead of the card key.
    """
    return _session_key(card_key, atc.to_bytes(2, "big") + bytes(6))


def limited_use_key(card_key: bytes, serial: int) -> bytes:
    """Limited-use key number `serial` of a phone: 16 bytes from the payment token's key.

    The diversifier is A5A5A5A5 and the serial number instead of ATC and zeros, so that no session
    key of the card itself can be equal.
    """
    return _session_key(card_key, b"\xa5" * 4 + serial.to_bytes(4, "big"))


def unionpay_cryptogram(
    session_key: bytes, terminal: Mapping[str, bytes], *, aip: bytes, atc: int, cvr: bytes
) -> bytes:
    """The 8-byte cryptogram of CVN 01 over CDOL_TAGS, AIP, ATC and the 4-byte CVR."""
    return _mac(session_key, _input(terminal, aip, atc) + cvr, ac.PaddingType.EMV)


def visa_cryptogram(
    card_key: bytes, terminal: Mapping[str, bytes], *, aip: bytes, atc: int, cvr: bytes
) -> bytes:
    """The 8-byte cryptogram of CVN 10: the card key itself, padding method 1, 4-byte CVR."""
    return _mac(card_key, _input(terminal, aip, atc) + cvr, ac.PaddingType.VISA)


def mastercard_cryptogram(
    card_key: bytes, terminal: Mapping[str, bytes], *, aip: bytes, atc: int, cvr: bytes
) -> bytes:
    """The 8-byte cryptogram of CVN 16: session key from ATC and 9F37, 6-byte CVR."""
    session_key = _session_key(card_key, atc.to_bytes(2, "big") + bytes(2) + terminal["9F37"])
    return _mac(session_key, _input(terminal, aip, atc) + cvr, ac.PaddingType.EMV)


def response_cryptogram(key: bytes, cryptogram: bytes, response_code: bytes) -> bytes:
    """The 8-byte ARPC of method 1 with which the issuer must answer (EMV Book 2, 8.2.1)."""
    with _deprecations_ignored():
        return ac.generate_arpc_1(key, cryptogram, response_code)


def _session_key(card_key: bytes, diversifier: bytes) -> bytes:
    with _deprecations_ignored():
        return kd.derive_common_sk(card_key, diversifier)


def _mac(key: bytes, message: bytes, padding: ac.PaddingType) -> bytes:
    with _deprecations_ignored():
        return ac.generate_ac(key, message, padding, 8)


@contextmanager
def _deprecations_ignored() -> Iterator[None]:
    """Ignore `cryptography`'s deprecation of TripleDES in the module where pyemv finds it.

    This project requires a release of `cryptography` that still has it there, so the warning
    tells the user nothing. The lock is needed because catch_warnings changes global state.
    """
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def _input(terminal: Mapping[str, bytes], aip: bytes, atc: int) -> bytes:
    return b"".join(terminal[tag] for tag in CDOL_TAGS) + aip + atc.to_bytes(2, "big")
