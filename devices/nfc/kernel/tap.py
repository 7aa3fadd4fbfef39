"""One tap from the card in the field to its outcome: the public entry of the kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from devices.nfc.contract import Card, CardGone, TransportError
from devices.nfc.emv import ber_tlv
from devices.nfc.emv.apdu import ApduError, Exchanger
from devices.nfc.kernel import mastercard, unionpay, visa
from devices.nfc.kernel.ca_keys import CaKeyRing
from devices.nfc.kernel.entry_point import (
    direct_candidate,
    list_candidates,
    select_application,
)
from devices.nfc.kernel.oda import OdaResult
from devices.nfc.kernel.pre_processing import Candidate, Indicators, pre_process
from devices.nfc.kernel.result import ICC_TAGS, Cvm, Outcome, Resume, TapResult
from devices.nfc.kernel.session import Ended, SelectNext, Session
from devices.nfc.kernel.terminal import Kernel, TerminalData
from devices.nfc.kernel.transaction import Transaction

_KERNELS: Final[dict[Kernel, Callable[[Session], None]]] = {
    Kernel.UNIONPAY: unionpay.run,
    Kernel.VISA: visa.run,
    Kernel.MASTERCARD: mastercard.run,
}


def run_tap(
    card: Card,
    *,
    transaction: Transaction,
    terminal: TerminalData,
    ca_keys: CaKeyRing,
    random_bytes: Callable[[int], bytes],
    clock: Callable[[], float],
    resume: Resume | None = None,
    direct_aid: bytes | None = None,
    masked: OdaResult | None = None,
) -> TapResult:
    """Take a card through entry point and kernel to a TapResult; no card makes it raise.

    `random_bytes(n)` provides the unpredictable number, `clock()` the seconds of a monotonic clock.
    `ca_keys` are added to those of the terminal data. `resume` comes from a torn tap and shows
    whether the same card came back. `direct_aid` selects that application without a directory.
    `masked` is the recorded result of authentication, for the replay of a masked recording.
    """
    session = Session(
        exchanger=Exchanger(card, clock),
        transaction=transaction,
        terminal=terminal,
        ca_keys=terminal.ca_keys.merged(ca_keys),
        unpredictable_number=transaction.unpredictable_number or random_bytes(4),
        masked=masked,
    )
    torn: Resume | None = None
    try:
        _walk(session, direct_aid)
        raise AssertionError("a kernel ended without an outcome")
    except Ended as ended:
        outcome, reason = ended.outcome, ended.reason
    except CardGone as gone:
        outcome, reason = Outcome.TRY_AGAIN, f"present the same card again: {gone}"
        torn = session.resume(random_bytes)
    except TransportError as error:
        outcome, reason = Outcome.COMMUNICATION_ERROR, str(error)
    except ApduError as error:
        outcome, reason = Outcome.COMMUNICATION_ERROR, f"the card's answer is no APDU: {error}"
    return _result(session, outcome, reason, torn, resume)


def _walk(session: Session, direct_aid: bytes | None) -> None:
    allowed = _pre_process(session)
    if direct_aid is None:
        candidates = list_candidates(session, allowed)
    else:
        candidates = direct_candidate(direct_aid, allowed)
    refused = "the card refused every application"
    for candidate in candidates:
        try:
            _try_candidate(session, candidate)
        except SelectNext as given_up:
            refused = given_up.reason
    raise Ended(Outcome.TRY_ANOTHER_CARD, refused)


def _try_candidate(session: Session, candidate: Candidate) -> None:
    select_application(session, candidate)
    _KERNELS[candidate.indicators.application.kernel](session)


def _pre_process(session: Session) -> list[Indicators]:
    """Check the amount against every application's limits (Book B, 3.1); raises Ended."""
    processed = [
        pre_process(session.transaction, session.terminal, application)
        for application in session.terminal.applications
    ]
    allowed = [indicators for indicators in processed if indicators.not_allowed is None]
    if not allowed:
        reason = processed[0].not_allowed if processed else "the terminal has no application"
        raise Ended(Outcome.USE_ANOTHER_INTERFACE, str(reason))
    return allowed


def _result(
    session: Session,
    outcome: Outcome,
    reason: str,
    torn: Resume | None,
    resumed: Resume | None,
) -> TapResult:
    card, candidate = session.card, session.candidate
    track2 = session.track2_digits.replace("D", "=")
    kernel = candidate.indicators.application.kernel if candidate else None
    approved = outcome in (Outcome.ONLINE_REQUEST, Outcome.OFFLINE_APPROVED)
    known = session.fingerprint(resumed.salt) if resumed else None
    expected = resumed.fingerprint if resumed else None
    psn = card.get(0x5F34, b"").hex()
    atc = card.get(0x9F36, b"")
    return TapResult(
        outcome=outcome,
        reason=reason,
        kernel=kernel,
        aid=card.get(0x84),
        label=session.label,
        pan=session.pan,
        psn=psn if len(psn) == 2 else None,
        expiry=session.expiry,
        track2=track2 or None,
        cryptogram=session.cryptogram,
        atc=atc if len(atc) == 2 else None,
        tvr=bytes(session.tvr),
        cvm=session.cvm,
        oda=session.oda,
        icc=_icc(session) if session.cryptogram is not None else None,
        no_pin=(
            approved
            and session.cvm is Cvm.NONE
            and candidate is not None
            and not candidate.indicators.cvm_required
        ),
        torn=torn is not None,
        resume=torn,
        same_card=None if None in (known, expected) else known == expected,
        step=session.step,
        exchanges=tuple(session.exchanger.exchanges),
        card=MappingProxyType(dict(card)),
        transaction=replace(session.transaction, unpredictable_number=session.unpredictable_number),
        terminal=session.terminal,
    )


def _icc(session: Session) -> bytes:
    """DE55: the data that the issuer checks the cryptogram with, as the card received them."""
    values = session.dol_values()
    return b"".join(ber_tlv.build(tag, values[tag]) for tag in ICC_TAGS if tag in values)
