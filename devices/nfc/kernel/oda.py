"""Offline data authentication: SDA, DDA, fDDA and CDA (EMV Book 2, sections 5 and 6).

Pure functions from what a card sent to an `OdaResult`. A failed authentication is a value with a
stable reason such as "issuer-certificate-hash"; no card data makes a function here raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

from devices.nfc.kernel.ca_keys import CaKey, CaKeyRing
from devices.nfc.kernel.signature_recovery import (
    EMV_FORMAT,
    OdaFailed,
    PublicKey,
    SignedRecord,
    recover_icc_key,
    recover_issuer_key,
    static_data,
    verify_combined,
    verify_dynamic_signature,
    verify_static_signature,
)


class Method(StrEnum):
    """The method of authentication that was performed or chosen."""

    SDA = "SDA"
    DDA = "DDA"
    FDDA = "fDDA"
    CDA = "CDA"
    NONE = "none"


class Verdict(StrEnum):
    """How it ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_PERFORMED = "not-performed"


@dataclass(frozen=True, slots=True, kw_only=True)
class OdaResult:
    """How offline data authentication ended.

    `reason` is None where it passed; `ca_key` is the key that verified the issuer certificate;
    `recovered` holds the data objects inside the signature: 9F45, 9F4C, and for CDA 9F26.
    """

    method: Method
    verdict: Verdict
    reason: str | None = None
    ca_key: CaKey | None = None
    recovered: Mapping[int, bytes] = field(default_factory=dict, repr=False)

    @property
    def passed(self) -> bool:
        """Whether the card's data are authentic."""
        return self.verdict is Verdict.PASSED

    @property
    def data_missing(self) -> bool:
        """Whether it failed because the card sent too little (TVR byte 1 bit 6)."""
        return (
            self.reason is not None
            and self.reason.endswith("-missing")
            and (self.reason != "ca-key-missing")
        )


def not_performed(reason: str, method: Method = Method.NONE) -> OdaResult:
    """The result where nothing was verified, with the reason."""
    return OdaResult(method=method, verdict=Verdict.NOT_PERFORMED, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardEvidence:
    """The input of SDA, DDA and fDDA: the card's data objects and its signed records."""

    card: Mapping[int, bytes] = field(repr=False)
    records: tuple[SignedRecord, ...] = field(repr=False)
    rid: bytes
    pan: str = field(repr=False)

    def issuer_key(self, ca_keys: CaKeyRing, today: date) -> PublicKey:
        """The issuer's key. Raises OdaFailed."""
        return recover_issuer_key(
            self.card, rid=self.rid, pan=self.pan, ca_keys=ca_keys, today=today
        )

    def icc_key(self, ca_keys: CaKeyRing, today: date) -> PublicKey:
        """The card's key, by the whole chain. Raises OdaFailed."""
        issuer = self.issuer_key(ca_keys, today)
        try:
            signed = static_data(self.records, self.card)
            return recover_icc_key(
                self.card, issuer=issuer, signed=signed, pan=self.pan, today=today
            )
        except OdaFailed as failed:
            raise OdaFailed(failed.reason, issuer.ca_key) from None


def authenticate_static(evidence: CardEvidence, ca_keys: CaKeyRing, today: date) -> OdaResult:
    """SDA from end to end (EMV Book 2, section 5)."""
    ca_key = None
    try:
        issuer = evidence.issuer_key(ca_keys, today)
        ca_key = issuer.ca_key
        signed = static_data(evidence.records, evidence.card)
        recovered = verify_static_signature(evidence.card, issuer=issuer, signed=signed)
    except OdaFailed as failed:
        return _failure(Method.SDA, failed, ca_key)
    return OdaResult(method=Method.SDA, verdict=Verdict.PASSED, ca_key=ca_key, recovered=recovered)


def authenticate_dynamic(
    evidence: CardEvidence,
    ca_keys: CaKeyRing,
    today: date,
    *,
    terminal_values: bytes,
    method: Method = Method.DDA,
    formats: frozenset[int] = EMV_FORMAT,
) -> OdaResult:
    """DDA or fDDA from end to end (EMV Book 2, 6.5; EMV Contactless Books C-3 and C-7).

    `terminal_values` are the values that the card signed besides its own: the filled DDOL, or for
    fDDA unpredictable number, amount, currency and 9F69. `formats`: see `verify_dynamic_signature`.
    """
    ca_key = None
    try:
        key = evidence.icc_key(ca_keys, today)
        ca_key = key.ca_key
        number, _ = verify_dynamic_signature(
            evidence.card.get(0x9F4B), key=key, terminal_values=terminal_values, formats=formats
        )
    except OdaFailed as failed:
        return _failure(method, failed, ca_key)
    return OdaResult(
        method=method, verdict=Verdict.PASSED, ca_key=ca_key, recovered={0x9F4C: number}
    )


def authenticate_combined(
    response: Mapping[int, bytes],
    *,
    key: PublicKey,
    unpredictable_number: bytes,
    transaction_values: bytes,
) -> OdaResult:
    """The last part of CDA, with the card's recovered key (EMV Book 2, 6.6)."""
    try:
        recovered = verify_combined(
            response,
            key=key,
            unpredictable_number=unpredictable_number,
            transaction_values=transaction_values,
        )
    except OdaFailed as failed:
        return _failure(Method.CDA, failed, key.ca_key)
    return OdaResult(
        method=Method.CDA, verdict=Verdict.PASSED, ca_key=key.ca_key, recovered=recovered
    )


def failure(method: Method, failed: OdaFailed) -> OdaResult:
    """The result for a recovery that failed."""
    return _failure(method, failed, failed.ca_key)


def _failure(method: Method, failed: OdaFailed, ca_key: CaKey | None) -> OdaResult:
    return OdaResult(
        method=method,
        verdict=Verdict.FAILED,
        reason=failed.reason,
        ca_key=ca_key or failed.ca_key,
    )


_SUBJECTS: Final = {
    "ca-key": "the certification authority's key",
    "issuer-certificate": "the issuer's certificate (90)",
    "issuer-exponent": "the issuer's exponent (9F32)",
    "icc-certificate": "the card's certificate (9F46)",
    "icc-exponent": "the card's exponent (9F47)",
    "static-signature": "the signed static data (93)",
    "static-data": "the records that the issuer signed",
    "dynamic-signature": "the card's signature (9F4B)",
    "transaction-values": "the values that card and terminal exchanged",
}
_FAULTS: Final = {
    "missing": "is missing",
    "index-missing": "is not named (8F)",
    "length": "has the wrong length",
    "trailer": "does not end in BC once opened: another key signed it, or it was altered",
    "header": "does not begin with 6A once opened: another key signed it, or it was altered",
    "format": "is not of the expected format once opened",
    "hash-algorithm": "names a hash that EMV does not use",
    "hash": "does not fit the hash inside: something signed was altered",
    "identifier": "names an issuer that the card number does not begin with",
    "pan": "was made for another card number",
    "date": "has no readable expiry",
    "expired": "has expired",
    "revoked": "was revoked",
    "key-algorithm": "names a key algorithm other than RSA",
    "key-length": "names a key longer or shorter than EMV allows",
    "remainder": "does not fit the key remainder that came with it",
    "exponent": "has an exponent other than 3 or 65537",
    "contents": "holds fields that do not fit",
    "cid": "signs another cryptogram type than the answer has",
    "template": "are not all in template 70",
    "tag-list": "are extended by a tag list other than the AIP alone (9F4A)",
}
_OTHER_REASONS: Final = {
    "masked": "the recording is masked, so nothing in it can be verified",
    "not-supported": "card and terminal have no method in common",
    "no-card-data": "the card gave no certificates to verify",
    "no-card": "no card data were read",
    "not-reached": "the tap ended before it",
    "not-asked-for-online": "the terminal leaves the check to the issuer when a tap goes online",
    "ddol-missing": "the card's list of what to sign (9F49) lacks the unpredictable number",
    "fdda-version-unknown": "the card signs by an unknown version of fDDA (9F69)",
    "fdda-amount-unsigned": "the card signs by version 00 of fDDA, which leaves out the amount",
    "fdda-values-missing": "the card named no version of fDDA (9F69), so its amount is not signed",
    "declined-unsigned": "the card declined, and a decline carries no signature",
}


def explain(reason: str) -> str:
    """A reason as a sentence for people."""
    if reason in _OTHER_REASONS:
        return _OTHER_REASONS[reason]
    for subject, words in _SUBJECTS.items():
        fault = _FAULTS.get(reason.removeprefix(f"{subject}-"))
        if reason.startswith(subject) and fault:
            return f"{words} {fault}"
    return reason
