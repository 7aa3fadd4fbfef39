"""The issuer's check of a card's application cryptogram, and its answer to the card.

Supported: UnionPay-style version 01 and, for limited-use keys, 02; Visa 10, 17 and 18 (hex 0A, 11
and 12) and hex 22; Mastercard 16, 17, 20 and 21. The UnionPay layout follows PBOC as far as that is
public, and has been checked against our own cards only. Published examples prove Visa 10 and 18 and
Mastercard 16 and 17; another implementation, all but Visa 17, of whose layout it confirms the MAC.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from checkout.clearing.hsm import tdes
from checkout.clearing.hsm.card_keys import limited_use_key, session_input
from checkout.clearing.hsm.icc_data import (
    CardholderVerification,
    IccError,
    cardholder_verification,
    read_icc,
    required_tag,
)
from checkout.clearing.messages import AuthorizationRequest
from checkout.clearing.scheme.participants import Scheme
from checkout.money import numeric_code

#: The ATC may rise by this much between two taps that reach the issuer. It counts the taps in
#: between as well: declined by the terminal, or broken off because the card was pulled away.
ATC_WINDOW = 1000

_KINDS = {0x00: "AAC", 0x40: "TC", 0x80: "ARQC"}
_SIGNED = ((0x9F02, 6), (0x9F03, 6), (0x9F1A, 2), (0x95, 5), (0x5F2A, 2), (0x9A, 3), (0x9C, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class CryptogramVerdict:
    """The issuer's verdict on one cryptogram.

    `reason` is empty where it is valid, else `cryptogram-mismatch`, `amount-differs`,
    `currency-differs`, `unknown-version`, or `cloud-payment-version` for Visa's hex 43, whose
    method is not public. `amount_minor` and `currency` are what the card signed (Visa 17 signs no
    currency: there it is what the terminal sent); `key_serial` names the limited-use key, None for
    a card's own key.
    """

    valid: bool
    reason: str
    kind: str  # "ARQC", "TC" or "AAC" by tag 9F27
    atc: int
    cvn: int
    tvr: bytes
    cvr: bytes
    unpredictable_number: bytes
    amount_minor: int
    currency: str  # numeric ISO 4217
    key_serial: int | None = None
    answer: Callable[[str], bytes] | None = field(default=None, repr=False, compare=False)

    def issuer_authentication(self, response_code: str) -> bytes:
        """Value of tag 91 that tells the card the issuer's answer (DE39); empty if not valid.

        Method 1 (8-byte ARPC and response code) or method 2 (4-byte ARPC and card status update),
        as the cryptogram version has it. EMV Book 2, 8.2 (issuer authentication).
        """
        return self.answer(response_code) if self.valid and self.answer is not None else b""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """What one cryptogram version is computed from, and under which key."""

    signed: Callable[[bytes], bytes]  # the part of tag 9F10 that the cryptogram covers
    amount_only: bool = False  # of the other tags it covers 9F02, 9F37 and 9F36 alone
    cvr: slice
    pad: Callable[[bytes], bytes]
    diversifier: Callable[[bytes, bytes], bytes] | None  # of ATC and unpredictable number
    answer_key: str  # "session" or "card"
    answer_method: int
    shortest: int  # of tag 9F10


def verify_arqc(
    icc: bytes | Mapping[int, bytes],
    *,
    scheme: Scheme,
    card_key: bytes,
    amount_minor: int | None = None,
    currency: str | None = None,
) -> CryptogramVerdict:
    """Check the cryptogram in DE55 under the card's own 16-byte key.

    `icc` is DE55 or its tags from `read_icc`. Given `amount_minor` (DE4) and `currency` (DE49,
    numeric), both must be what the card signed. A wrong cryptogram is a verdict; IccError is for a
    DE55 that can't be read or lacks a tag. EMV Book 2, 8.1 (application cryptogram generation).
    """
    tags = read_icc(icc) if isinstance(icc, bytes | bytearray) else icc
    parts = {tag: required_tag(tags, tag, length) for tag, length in _SIGNED if tag != 0x9F03}
    parts[0x9F03] = tags.get(0x9F03, bytes(6))
    un, aip, counter = (
        required_tag(tags, 0x9F37, 4),
        required_tag(tags, 0x82, 2),
        required_tag(tags, 0x9F36, 2),
    )
    cryptogram, iad = required_tag(tags, 0x9F26, 8), tags.get(0x9F10, b"")
    cvn, version = _version_of(scheme, iad)
    serial = _key_serial(iad) if (scheme, cvn) == _LIMITED_USE else None
    signed_amount, signed_currency = _bcd(parts[0x9F02], "9F02"), parts[0x5F2A].hex()[1:]
    answer: Callable[[str], bytes] | None = None
    if version is None:
        named = (scheme, cvn) == _CLOUD_PAYMENT
        reason = "cloud-payment-version" if named else "unknown-version"
    else:
        key = card_key if serial is None else limited_use_key(card_key, serial)
        if version.amount_only:
            signed = parts[0x9F02] + un + counter
        else:
            signed = b"".join(parts[tag] for tag, _ in _SIGNED) + un + aip + counter
        expected, answer = _computed(version, key, signed, iad, counter, un)
        reason = "" if hmac.compare_digest(expected, cryptogram) else "cryptogram-mismatch"
    if not reason and amount_minor is not None and amount_minor != signed_amount:
        reason = "amount-differs"
    if not reason and currency is not None and currency != signed_currency:
        reason = "currency-differs"
    return CryptogramVerdict(
        valid=not reason,
        reason=reason,
        kind=_KINDS.get(tags.get(0x9F27, b"\x80")[0] & 0xC0, "ARQC"),
        atc=int.from_bytes(counter),
        cvn=cvn,
        tvr=parts[0x95],
        cvr=iad[version.cvr] if version is not None else b"",
        unpredictable_number=un,
        amount_minor=signed_amount,
        currency=signed_currency,
        key_serial=serial,
        answer=answer,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AtcVerdict:
    """Whether a transaction counter is new: `reason` is empty, `replayed` or `out-of-window`."""

    fresh: bool
    reason: str = ""


def atc_verdict(last_atc: int | None, atc: int, *, window: int = ATC_WINDOW) -> AtcVerdict:
    """Compare a card's counter with the last one seen; None means that none was seen yet.

    A fresh counter is greater than the last one, by `window` at most.
    """
    if last_atc is not None and atc <= last_atc:
        return AtcVerdict(fresh=False, reason="replayed")
    if last_atc is not None and atc - last_atc > window:
        return AtcVerdict(fresh=False, reason="out-of-window")
    return AtcVerdict(fresh=True)


def arpc_method_1(key: bytes, arqc: bytes, response_code: bytes) -> bytes:
    """8-byte ARPC over ARQC and a 2-byte response code (EMV Book 2, 8.2.1)."""
    return tdes.encrypt(key, tdes.xor(arqc, response_code + bytes(6)))


def arpc_method_2(key: bytes, arqc: bytes, status_update: bytes, proprietary: bytes = b"") -> bytes:
    """4-byte ARPC over ARQC, card status update and up to 8 bytes more (EMV Book 2, 8.2.2)."""
    return tdes.mac_algorithm_3(key, tdes.pad_method_2(arqc + status_update + proprietary))[:4]


def status_update(response_code: str) -> bytes:
    """4-byte card status update for a response: byte 2 bit 8 is set where the issuer approved.

    EMV Book 3, Annex C (card status update of the common core definitions).
    """
    return b"\x00\x80\x00\x00" if response_code == "00" else b"\x00\x00\x00\x00"


def _computed(
    version: _Version, key: bytes, signed: bytes, iad: bytes, counter: bytes, un: bytes
) -> tuple[bytes, Callable[[str], bytes]]:
    session = key
    if version.diversifier is not None:
        blocks = session_input(version.diversifier(counter, un))
        session = tdes.odd_parity(tdes.encrypt_often(key, blocks))
    last_block = tdes.encryptor(session)
    cryptogram = tdes.mac_algorithm_3(
        session, version.pad(signed + version.signed(iad)), last_block=last_block
    )

    def answer(response_code: str) -> bytes:
        answer_key = session if version.answer_key == "session" else key
        if version.answer_method == 2:
            update = status_update(response_code)
            return arpc_method_2(answer_key, cryptogram, update) + update
        code = response_code.encode("ascii")
        block = tdes.xor(cryptogram, code + bytes(6))
        arpc = last_block(block) if answer_key is session else tdes.encrypt(answer_key, block)
        return arpc + code

    return cryptogram, answer


def _version_of(scheme: Scheme, iad: bytes) -> tuple[int, _Version | None]:
    """Cryptogram version number in tag 9F10, and its version of this scheme if it is supported.

    Visa's formats 0, 1 and 3 are length, key index, version; its format 2, of 32 bytes, is length
    (1F), version, key index.
    """
    format_2 = scheme is Scheme.VISA and len(iad) == 32 and iad[0] == 0x1F
    at = 1 if scheme is Scheme.MASTERCARD or format_2 else 2
    if len(iad) <= at:
        raise IccError("9F10", "missing or too short to name a cryptogram version")
    versions = _VISA_FORMAT_2 if format_2 else _VERSIONS
    version = versions.get((scheme, iad[at]))
    if version is not None and len(iad) < version.shortest:
        raise IccError("9F10", f"expected {version.shortest} bytes or more, got {len(iad)}")
    return iad[at], version


def _key_serial(iad: bytes) -> int:
    """Serial number of the limited-use key: 9F10 = 07 DKI 02 CVR(4) 04 serial(4)."""
    if len(iad) != 12 or iad[7] != 4:
        raise IccError("9F10", "expected 12 bytes ending in 04 and a key's serial number")
    return int.from_bytes(iad[8:12])


def _bcd(digits: bytes, tag: str) -> int:
    text = digits.hex()
    if not text.isdecimal():
        raise IccError(tag, "expected decimal digits")
    return int(text)


def _with_atc(counter: bytes, un: bytes) -> bytes:
    return counter + bytes(6)


def _with_atc_and_number(counter: bytes, un: bytes) -> bytes:
    return counter + bytes(2) + un


_EARLY_CVR, _MASTERCARD_CVR = slice(3, 7), slice(2, 8)
_VISA_FORMAT_2_CVR = slice(3, 8)
_UNIONPAY = _Version(
    signed=lambda iad: iad[_EARLY_CVR],
    cvr=_EARLY_CVR,
    pad=tdes.pad_method_2,
    diversifier=_with_atc,
    answer_key="session",
    answer_method=1,
    shortest=7,
)


def _mastercard(
    *, counters: bool, diversifier: Callable[[bytes, bytes], bytes], answer_key: str
) -> _Version:
    """M/Chip: with or without the offline counters that follow the two bytes after the CVR."""

    def signed(iad: bytes) -> bytes:
        return iad[2:8] + iad[10:] if counters else iad[2:8]

    return _Version(
        signed=signed,
        cvr=_MASTERCARD_CVR,
        pad=tdes.pad_method_2,
        diversifier=diversifier,
        answer_key=answer_key,
        answer_method=1,
        shortest=18 if counters else 8,
    )


#: Visa 17 is for contactless: the amount, the two numbers of the tap and byte 5 of 9F10, under the
#: card key itself and padded with zeros like version 10.
_VISA_17 = _Version(
    signed=lambda iad: iad[4:5],
    amount_only=True,
    cvr=_EARLY_CVR,
    pad=tdes.pad_method_1,
    diversifier=None,
    answer_key="card",
    answer_method=1,
    shortest=7,
)
_VISA_18 = _Version(
    signed=lambda iad: iad,
    cvr=_EARLY_CVR,
    pad=tdes.pad_method_2,
    diversifier=_with_atc,
    answer_key="session",
    answer_method=2,
    shortest=7,
)
_CLOUD_PAYMENT = (Scheme.VISA, 0x43)
#: Hex 22 is computed like 18; its 9F10 is always of format 2.
_VISA_FORMAT_2: dict[tuple[Scheme, int], _Version] = {
    (Scheme.VISA, 0x11): replace(_VISA_17, cvr=_VISA_FORMAT_2_CVR),
    (Scheme.VISA, 0x12): replace(_VISA_18, cvr=_VISA_FORMAT_2_CVR),
    (Scheme.VISA, 0x22): replace(_VISA_18, cvr=_VISA_FORMAT_2_CVR),
}
_LIMITED_USE = (Scheme.UNIONPAY, 0x02)
_VERSIONS: dict[tuple[Scheme, int], _Version] = {
    (Scheme.UNIONPAY, 0x01): _UNIONPAY,
    _LIMITED_USE: _UNIONPAY,
    (Scheme.VISA, 0x0A): _Version(
        signed=lambda iad: iad[_EARLY_CVR],
        cvr=_EARLY_CVR,
        pad=tdes.pad_method_1,
        diversifier=None,
        answer_key="card",
        answer_method=1,
        shortest=7,
    ),
    (Scheme.VISA, 0x11): _VISA_17,
    (Scheme.VISA, 0x12): _VISA_18,
    (Scheme.MASTERCARD, 0x10): _mastercard(
        counters=False, diversifier=_with_atc_and_number, answer_key="card"
    ),
    (Scheme.MASTERCARD, 0x11): _mastercard(
        counters=True, diversifier=_with_atc_and_number, answer_key="card"
    ),
    (Scheme.MASTERCARD, 0x14): _mastercard(
        counters=False, diversifier=_with_atc, answer_key="session"
    ),
    (Scheme.MASTERCARD, 0x15): _mastercard(
        counters=True, diversifier=_with_atc, answer_key="session"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipProof:
    """The issuer's check of DE55, without the check that its counter is new (`atc_verdict`)."""

    verdict: CryptogramVerdict
    cardholder: CardholderVerification


def chip_proof(request: AuthorizationRequest, scheme: Scheme, card_key: bytes) -> ChipProof:
    """Check the cryptogram of a request with DE55; IccError for one that can't be read."""
    assert request.icc is not None
    tags = read_icc(request.icc)
    verdict = verify_arqc(
        tags,
        scheme=scheme,
        card_key=card_key,
        amount_minor=request.amount_minor,
        currency=numeric_code(request.currency),
    )
    return ChipProof(verdict=verdict, cardholder=cardholder_verification(tags))
