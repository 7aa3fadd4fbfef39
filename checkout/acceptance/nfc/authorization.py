"""What the terminal read from a card becomes one AuthorizationRequest.

Twin of `checkout.acceptance.qr.authorization`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from checkout.acceptance.contract import Numbers
from checkout.clearing.messages import (
    AuthorizationRequest,
    EntryMode,
    Initiation,
    TransactionType,
)
from checkout.config import Merchant

Decision = Literal["online", "approved-offline", "declined"]

#: Account numbers of the demo world begin so (ISO/IEC 7812: 9 and a country that does not exist).
DEMO_RANGE = "9999"
#: The range whose numbers stand for real cards. Whoever is not enrolled there is declined (14).
SURROGATE_RANGE = "999999"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a tap gives: the account for DE2 and, from a demo card, all that the issuer checks.

    `shown` is what people may see of the card's number. The `pan` of a `real` card is a surrogate,
    and no other answer of that card is in here.
    """

    decision: Decision
    scheme: str
    pan: str | None = field(repr=False)
    expiry: str | None = None  # YYMM
    pan_sequence: str | None = None
    track2: str | None = field(default=None, repr=False)
    icc: bytes = field(default=b"", repr=False)  # DE55
    no_pin: bool = False
    shown: str = ""
    real: bool = False


def is_real(pan: str) -> bool:
    """Whether a card number could belong to someone: it is outside the demo's ranges.

    A number in the range of surrogates counts as real too, since no card of the demo has one.
    """
    return not pan.startswith(DEMO_RANGE) or pan.startswith(SURROGATE_RANGE)


def surrogate(pan: str, fingerprint: Callable[[str], int]) -> str:
    """The account number that stands for a real card's; `fingerprint` is a keyed hash."""
    digits = f"{SURROGATE_RANGE}{fingerprint(pan) % 10**9:09d}"
    return digits + _luhn_digit(digits)


def last_four(pan: str) -> str:
    """A real card's number as people may see it: its last four digits."""
    return "*" * (len(pan) - 4) + pan[-4:]


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
    """The request to the clearing backend, or the advice of an offline approval; DE22 is 07x."""
    if evidence.decision == "approved-offline":
        what = TransactionType.OFFLINE_ADVICE
    elif preauthorise:
        what = TransactionType.PREAUTHORISATION
    else:
        what = TransactionType.PURCHASE
    return AuthorizationRequest(
        transaction_type=what,
        account=account,
        expiry=evidence.expiry,
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
        merchant_name=merchant.name_and_place,
        mcc=merchant.mcc,
        country=merchant.country,
        track2=evidence.track2,
        icc=evidence.icc or None,
        pin_block=pin_block,
        no_pin=evidence.no_pin,
    )


def _luhn_digit(digits: str) -> str:
    """The check digit to append (ISO/IEC 7812-1, Annex B)."""
    total = sum(int(d) for d in digits[-2::-2])
    total += sum(2 * int(d) - 9 * (int(d) > 4) for d in digits[-1::-2])
    return str(-total % 10)
