"""Pre-processing: the amount against each application's limits (EMV Contactless Book B, 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from devices.nfc.kernel.terminal import Application, Kernel, Limits, TerminalData
from devices.nfc.kernel.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicators:
    """The result of pre-processing for one application of the terminal."""

    application: Application
    limits: Limits
    not_allowed: str | None  # why contactless is not allowed, or None
    zero_amount: bool
    floor_exceeded: bool
    cvm_required: bool
    ttq: bytes | None  # 9F66 as it is sent to the card


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An application that card and terminal both support (Book B, candidate list)."""

    name: bytes  # ADF name, 4F
    terminal_aid: bytes
    indicators: Indicators
    priority: int  # 1 highest to 15; 16 where the card set none
    extended: bytes = b""  # 9F29, extended selection
    label: str | None = None


def pre_process(
    transaction: Transaction, terminal: TerminalData, application: Application
) -> Indicators:
    """Compare the amount with the limits in force and prepare the TTQ (Book B, 3.1.1)."""
    limits = application.limits_on(transaction.day, transaction.currency)
    amount = transaction.amount_minor
    # Book C-2, S456.14 and S456.30: an amount equal to a limit is not over it; Book B counts it
    counted = amount if application.kernel is not Kernel.MASTERCARD else amount - 1
    offline_only = bool(application.ttq and application.ttq[0] & 0x08)
    zero = amount == 0
    not_allowed = None
    if zero and (not application.zero_amount_allowed or offline_only):
        not_allowed = "an amount of zero is not accepted contactless"
    elif limits.contactless is not None and counted >= limits.contactless:
        not_allowed = "the amount is over the contactless limit"
    floor_exceeded = amount > limits.floor
    cvm_required = counted >= limits.cvm_required
    status_check = application.status_check and amount == 10**transaction.exponent
    online = floor_exceeded or status_check or zero
    ttq = application.ttq
    if ttq is not None:
        second = (ttq[1] & 0x3F) | (0x80 if online else 0) | (0x40 if cvm_required else 0)
        ttq = bytes((ttq[0], second, ttq[2], ttq[3]))
    return Indicators(
        application=application,
        limits=limits,
        not_allowed=not_allowed,
        zero_amount=zero,
        floor_exceeded=floor_exceeded,
        cvm_required=cvm_required,
        ttq=ttq,
    )
