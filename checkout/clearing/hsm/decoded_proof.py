"""A chip's proof as plain values, which one process can send to another."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from checkout.clearing.hsm.cryptogram import ChipProof, CryptogramVerdict
from checkout.clearing.hsm.icc_data import CardholderVerification


class DecodedProof(msgspec.Struct, frozen=True, array_like=True):
    """A `ChipProof` without keys, so with one ready answer to the card only: that of an approval.

    The fields are those of `CryptogramVerdict`; `approval` is the value of tag 91 for DE39 = 00.
    """

    valid: bool
    reason: str
    kind: str
    atc: int
    cvn: int
    tvr: bytes
    cvr: bytes
    unpredictable_number: bytes
    amount_minor: int
    currency: str
    key_serial: int | None
    approval: bytes
    cardholder: CardholderVerification


def decoded_proof(proof: ChipProof) -> DecodedProof:
    """The plain values of a proof."""
    verdict = proof.verdict
    return DecodedProof(
        valid=verdict.valid,
        reason=verdict.reason,
        kind=verdict.kind,
        atc=verdict.atc,
        cvn=verdict.cvn,
        tvr=verdict.tvr,
        cvr=verdict.cvr,
        unpredictable_number=verdict.unpredictable_number,
        amount_minor=verdict.amount_minor,
        currency=verdict.currency,
        key_serial=verdict.key_serial,
        approval=verdict.issuer_authentication("00"),
        cardholder=proof.cardholder,
    )


def chip_proof_of(decoded: DecodedProof, verify: Callable[[], ChipProof]) -> ChipProof:
    """The proof behind `decoded`; `verify` computes it anew where the answer is anything but 00."""

    def answer(response_code: str) -> bytes:
        if response_code == "00":
            return decoded.approval
        return verify().verdict.issuer_authentication(response_code)

    verdict = CryptogramVerdict(
        valid=decoded.valid,
        reason=decoded.reason,
        kind=decoded.kind,
        atc=decoded.atc,
        cvn=decoded.cvn,
        tvr=decoded.tvr,
        cvr=decoded.cvr,
        unpredictable_number=decoded.unpredictable_number,
        amount_minor=decoded.amount_minor,
        currency=decoded.currency,
        key_serial=decoded.key_serial,
        answer=answer,
    )
    return ChipProof(verdict=verdict, cardholder=decoded.cardholder)
