"""What a payer confirms on a phone becomes one AuthorizationRequest.

Twin of `checkout.acceptance.nfc.authorization`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from checkout.acceptance.contract import Numbers
from checkout.clearing.messages import (
    AuthorizationRequest,
    EntryMode,
    Initiation,
    TransactionType,
)
from checkout.config import Merchant

CodeKind = Literal["static", "dynamic", "payer"]

_INITIATION = {
    "static": Initiation.STATIC_CODE,
    "dynamic": Initiation.DYNAMIC_CODE,
    "payer": Initiation.PAYER_CODE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a payer's confirmation gives: an account, and a PIN block where a PIN was typed.

    `expiry` is YYMM; `code_kind` is the kind of code that led to the confirmation.
    """

    account: str
    expiry: str | None
    pan_sequence: str | None
    code_kind: CodeKind
    pin_block: bytes | None = None


def authorization(
    evidence: Evidence,
    *,
    amount_minor: int,
    currency: str,
    numbers: Numbers,
    merchant: Merchant,
    preauthorise: bool = False,
) -> AuthorizationRequest:
    """The request to the clearing backend; DE22 is 03x, as integrators of QR payments use it."""
    return AuthorizationRequest(
        transaction_type=(
            TransactionType.PREAUTHORISATION if preauthorise else TransactionType.PURCHASE
        ),
        account=evidence.account,
        expiry=evidence.expiry,
        pan_sequence=evidence.pan_sequence,
        amount_minor=amount_minor,
        currency=currency,
        stan=numbers.stan,
        rrn=numbers.rrn,
        transmitted_at=numbers.transmitted_at,
        entry_mode=EntryMode.BARCODE,
        initiation=_INITIATION[evidence.code_kind],
        acquirer=merchant.acquirer,
        forwarder=merchant.forwarder,
        terminal_id=merchant.terminal_id,
        merchant_id=merchant.merchant_id,
        merchant_name=merchant.name_and_place,
        mcc=merchant.mcc,
        country=merchant.country,
        pin_block=evidence.pin_block,
        no_pin=evidence.pin_block is None,
    )
