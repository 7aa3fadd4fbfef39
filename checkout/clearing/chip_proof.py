"""What the chip proves about one payment: its cryptogram's verdict and who the payer is."""

from __future__ import annotations

from dataclasses import dataclass

from checkout.clearing.hsm.cryptogram import CryptogramVerdict, verify_arqc
from checkout.clearing.hsm.icc_data import CardholderVerification, cardholder_verification, read_icc
from checkout.clearing.messages import AuthorizationRequest
from checkout.clearing.scheme.participants import Scheme
from checkout.money import numeric_code


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipProof:
    """The issuer's check of DE55; it says nothing about whether the counter is new."""

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
