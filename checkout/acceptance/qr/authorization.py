"""What a payer confirms on a phone becomes one AuthorizationRequest; the twin of the tap's."""

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
class Consent:
    """What a payer agreed to: which account, and the PIN block when a PIN was entered."""

    account: str
    expiry: str | None
    pan_sequence: str | None
    code_kind: CodeKind
    pin_block: bytes | None = None


def authorization(
    consent: Consent,
    *,
    amount_minor: int,
    currency: str,
    numbers: Numbers,
    merchant: Merchant,
    preauthorise: bool = False,
) -> AuthorizationRequest:
    """The question to the clearing backend; DE22 is 03x, as integrators of QR payments use it."""
    return AuthorizationRequest(
        transaction_type=(
            TransactionType.PREAUTHORISATION if preauthorise else TransactionType.PURCHASE
        ),
        account=consent.account,
        expiry=consent.expiry,
        pan_sequence=consent.pan_sequence,
        amount_minor=amount_minor,
        currency=currency,
        stan=numbers.stan,
        rrn=numbers.rrn,
        transmitted_at=numbers.transmitted_at,
        entry_mode=EntryMode.BARCODE,
        initiation=_INITIATION[consent.code_kind],
        acquirer=merchant.acquirer,
        forwarder=merchant.forwarder,
        terminal_id=merchant.terminal_id,
        merchant_id=merchant.merchant_id,
        merchant_name=merchant.name_and_place,
        mcc=merchant.mcc,
        country=merchant.country,
        pin_block=consent.pin_block,
        no_pin=consent.pin_block is None,
    )
