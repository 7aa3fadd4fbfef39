"""What the terminal read from a card becomes one AuthorizationRequest; the twin of the code's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from checkout.acceptance.contract import Merchant, Numbers
from checkout.clearing.messages import (
    AuthorizationRequest,
    EntryMode,
    Initiation,
    TransactionType,
)
from checkout.money import mask_account

Decision = Literal["online", "approved-offline", "declined"]

#: Account numbers of the demo world begin so (ISO/IEC 7812: 9 and a country that does not exist).
DEMO_RANGE = "9999"
#: The range whose numbers stand for real cards; no issuer has it, so each is declined (14).
SURROGATE_RANGE = "999999"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one tap left behind; `pan` and `icc` are whole and stay between kernel and message."""

    decision: Decision
    scheme: str
    pan: str | None = field(repr=False)
    expiry: str | None  # YYMM
    pan_sequence: str | None
    track2: str | None = field(repr=False)
    icc: bytes = field(repr=False)  # DE55
    no_pin: bool


def evidence_account(evidence: Evidence, fingerprint: Callable[[str], int]) -> tuple[str, str]:
    """The account number for DE2, and the number as people may see it.

    A number outside the demo's ranges is a real card's: what goes on is a surrogate made from a
    keyed hash, and the last four digits for people. `fingerprint` maps a number to a keyed integer.
    """
    pan = evidence.pan or ""
    if not pan:
        return "", ""
    if pan.startswith(DEMO_RANGE):
        return pan, mask_account(pan)
    digits = f"{SURROGATE_RANGE}{fingerprint(pan) % 10**9:09d}"
    return digits + _luhn_digit(digits), "*" * (len(pan) - 4) + pan[-4:]


def authorization(
    evidence: Evidence,
    *,
    account: str,
    amount_minor: int,
    currency: str,
    numbers: Numbers,
    merchant: Merchant,
    pin_block: bytes | None = None,
    preauthorise: bool = False,
) -> AuthorizationRequest:
    """The question to the backend, or the advice of what the card approved; DE22 is 07x."""
    real = account.startswith(SURROGATE_RANGE)
    if evidence.decision == "approved-offline":
        what = TransactionType.OFFLINE_ADVICE
    elif preauthorise:
        what = TransactionType.PREAUTHORISATION
    else:
        what = TransactionType.PURCHASE
    return AuthorizationRequest(
        transaction_type=what,
        account=account,
        expiry=None if real else evidence.expiry,
        pan_sequence=evidence.pan_sequence,
        amount_minor=amount_minor,
        currency=currency,
        stan=numbers.stan,
        rrn=numbers.rrn,
        transmitted_at=numbers.transmitted_at,
        entry_mode=EntryMode.CONTACTLESS_CHIP,
        initiation=Initiation.CARD,
        acquirer=merchant.acquirer,
        forwarder=merchant.forwarder,
        terminal_id=merchant.terminal_id,
        merchant_id=merchant.merchant_id,
        merchant_name=f"{merchant.name[:25]:<25}{merchant.city[:13]:<13}{merchant.country_alpha}",
        mcc=merchant.mcc,
        country=merchant.country,
        # Track 2 and ICC data of a real card say its number again; they stay in the terminal.
        track2=None if real else evidence.track2,
        icc=None if real else evidence.icc,
        pin_block=pin_block,
        no_pin=evidence.no_pin,
    )


def _luhn_digit(digits: str) -> str:
    """The check digit to append (ISO/IEC 7812-1, Annex B)."""
    total = sum(int(d) for d in digits[-2::-2])
    total += sum(2 * int(d) - 9 * (int(d) > 4) for d in digits[-1::-2])
    return str(-total % 10)
