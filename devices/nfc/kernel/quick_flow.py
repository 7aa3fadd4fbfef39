"""The flow of qPBOC and qVSDC: the card decides at GET PROCESSING OPTIONS.

The UnionPay and Visa kernels share these steps (EMV Contactless Books C-7 and C-3). The card
answers GPO with its cryptogram; once its records are read it may leave, and the terminal does
offline data authentication and cardholder verification without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from devices.nfc.kernel.oda import (
    Method,
    OdaResult,
    Verdict,
    authenticate_dynamic,
    authenticate_static,
    failure,
    not_performed,
)
from devices.nfc.kernel.result import Cryptogram, Cvm, Outcome
from devices.nfc.kernel.session import Ended, Session, Tvr
from devices.nfc.kernel.signature_recovery import OdaFailed

_CRYPTOGRAMS: Final = {0x00: Cryptogram.AAC, 0x40: Cryptogram.TC, 0x80: Cryptogram.ARQC}


class Ctq:
    """Bits of the card transaction qualifiers, 9F6C, as (byte, mask)."""

    ONLINE_PIN: Final = (0, 0x80)
    SIGNATURE: Final = (0, 0x40)
    ONLINE_IF_ODA_FAILED: Final = (0, 0x20)
    SWITCH_IF_ODA_FAILED: Final = (0, 0x10)  # UnionPay: terminate
    ONLINE_IF_EXPIRED: Final = (0, 0x08)
    SWITCH_FOR_CASH: Final = (0, 0x04)
    SWITCH_FOR_CASHBACK: Final = (0, 0x02)
    ON_DEVICE_PERFORMED: Final = (1, 0x80)


class Ttq:
    """Bits of the terminal transaction qualifiers, 9F66, as (byte, mask)."""

    CONTACT_CHIP: Final = (0, 0x10)
    OFFLINE_ONLY: Final = (0, 0x08)
    ONLINE_PIN: Final = (0, 0x04)
    SIGNATURE: Final = (0, 0x02)
    ODA_FOR_ONLINE: Final = (0, 0x01)
    ONLINE_CRYPTOGRAM_REQUIRED: Final = (1, 0x80)
    CVM_REQUIRED: Final = (1, 0x40)


def card_asks(session: Session, bit: tuple[int, int]) -> bool:
    """Whether the card's CTQ has the bit; False where it sent none."""
    ctq = session.card.get(0x9F6C, b"")
    return len(ctq) == 2 and bool(ctq[bit[0]] & bit[1])


def terminal_offers(session: Session, bit: tuple[int, int]) -> bool:
    """Whether the TTQ that was sent to the card has the bit."""
    ttq = session.indicators.ttq
    return ttq is not None and bool(ttq[bit[0]] & bit[1])


def online_capable(session: Session) -> bool:
    """Whether this terminal may take the transaction online."""
    return session.terminal.online_capable and not terminal_offers(session, Ttq.OFFLINE_ONLY)


def require_card_data(session: Session) -> None:
    """Check that the card sent what an authorisation needs: cryptogram, ATC, IAD.

    Raises Ended naming the first that is missing or has a wrong length.
    """
    session.step = "check-card-data"
    for tag, shortest, longest in ((0x9F26, 8, 8), (0x9F36, 2, 2), (0x9F10, 1, 32)):
        value = session.card.get(tag)
        if value is None:
            raise Ended(Outcome.TRY_ANOTHER_CARD, f"the card did not send tag {tag:X}")
        if not shortest <= len(value) <= longest:
            raise Ended(Outcome.TRY_ANOTHER_CARD, f"tag {tag:X} has {len(value)} bytes")


def read_decision(session: Session) -> None:
    """Read the card's decision from 9F27, or from the CVR in 9F10 where there is no 9F27.

    Raises Ended for an offline approval where the terminal required an online cryptogram, and for
    an online request where the terminal can't go online. A decline is authenticated first and
    ends the tap in `authenticate_fdda`.
    """
    session.step = "card-decision"
    cid = session.card.get(0x9F27)
    if cid is None:
        cid = bytes((_decision_in_iad(session.card[0x9F10]),))
        session.card[0x9F27] = cid
    cryptogram = _CRYPTOGRAMS.get(cid[0] & 0xC0) if len(cid) == 1 else None
    if cryptogram is None:
        raise Ended(Outcome.TRY_ANOTHER_CARD, f"cryptogram information {cid.hex().upper()}")
    session.cryptogram = cryptogram
    if cryptogram is Cryptogram.ARQC and not online_capable(session):
        raise Ended(Outcome.OFFLINE_DECLINED, "the card wants to go online, the terminal can't")
    if cryptogram is Cryptogram.TC and terminal_offers(session, Ttq.ONLINE_CRYPTOGRAM_REQUIRED):
        raise Ended(
            Outcome.OFFLINE_DECLINED, "the card approved offline what the terminal must ask online"
        )


def _decision_in_iad(iad: bytes) -> int:
    """The type of the first cryptogram from the CVR, shifted to the CID's upper two bits.

    It stands in byte 5 of 9F10 in every format (Book C-3). Formats 0, 1 and 3 are length, key
    index, version, then the CVR after its own length; format 2 (length 1F) is length, version, key
    index, then a CVR of five bytes without a length.
    """
    return (iad[4] & 0x30) << 2 if len(iad) > 4 else 0x00


def restrict(session: Session) -> None:
    """Processing restrictions: cash services, and expiry where the card approved offline.

    An expired card that asks to go online goes online: the issuer decides (Books C-3 and C-7).
    """
    session.step = "processing-restrictions"
    kind = session.transaction.kind
    declined = session.cryptogram is Cryptogram.AAC
    cash = (kind == 0x01 and card_asks(session, Ctq.SWITCH_FOR_CASH)) or (
        kind == 0x09 and card_asks(session, Ctq.SWITCH_FOR_CASHBACK)
    )
    if cash and not declined:
        raise Ended(Outcome.USE_ANOTHER_INTERFACE, "the card allows cash by its contact chip only")
    today = session.transaction.day
    expiry = session.expiry
    expired = expiry is not None and _month(expiry) < (today.year, today.month)
    if expired:
        session.flag(Tvr.EXPIRED)
    if session.cryptogram is Cryptogram.TC and (expired or expiry is None):
        if not (card_asks(session, Ctq.ONLINE_IF_EXPIRED) and online_capable(session)):
            raise Ended(Outcome.OFFLINE_DECLINED, "the card has expired")
        session.cryptogram = Cryptogram.ARQC


def _month(yymm: str) -> tuple[int, int]:
    year = int(yymm[:2])
    return (2000 if year < 50 else 1900) + year, int(yymm[2:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fdda:
    """What a scheme's kernel accepts as offline data authentication after GPO.

    `formats` are the signed data formats of 9F4B. `bare_allowed`: a card without 9F69 may have
    signed number, amount and currency. `static_allowed`: SDA where the card has no better.
    """

    formats: frozenset[int]
    bare_allowed: bool
    static_allowed: bool


def fdda_values(session: Session, rules: Fdda) -> bytes:
    """The terminal's values that the card must have signed, by the fDDA version in 9F69.

    Version 01: unpredictable number, amount, currency, 9F69. Version 00 covers the number alone:
    such a signature can be had for one amount and shown for another, so it proves nothing here.
    Raises OdaFailed.
    """
    related = session.card.get(0x9F69)
    terminal = session.terminal_values
    bound = terminal[0x9F37] + terminal[0x9F02] + terminal[0x5F2A]
    if not related:
        if rules.bare_allowed:
            return bound
        raise OdaFailed("fdda-values-missing")
    if related[0] != 0x01:
        unsigned = related[0] == 0x00
        raise OdaFailed("fdda-amount-unsigned" if unsigned else "fdda-version-unknown")
    return bound + related


def authenticate_fdda(session: Session, rules: Fdda) -> None:
    """Offline data authentication once all data are read: fDDA, else SDA.

    It is always done where the card approved offline; for an online request only if the TTQ says
    so. A decline stands whatever the result, but the signature is checked and reported.
    """
    session.step = "offline-data-authentication"
    if session.cryptogram is Cryptogram.AAC:
        if 0x9F4B in session.card:
            session.record_oda(_authenticate(session, rules))
        raise Ended(Outcome.OFFLINE_DECLINED, "the card declined")
    session.record_oda(_authenticate(session, rules))
    if session.oda.passed or session.masked:
        return
    unknown = session.oda.verdict is Verdict.NOT_PERFORMED or session.oda.reason == "ca-key-missing"
    if session.cryptogram is Cryptogram.ARQC and unknown:
        return  # the terminal can't check the card, the issuer will
    if card_asks(session, Ctq.ONLINE_IF_ODA_FAILED) and online_capable(session):
        session.cryptogram = Cryptogram.ARQC
        return
    reason = f"offline data authentication: {session.oda.reason}"
    if card_asks(session, Ctq.SWITCH_IF_ODA_FAILED) and terminal_offers(session, Ttq.CONTACT_CHIP):
        raise Ended(Outcome.USE_ANOTHER_INTERFACE, reason)
    raise Ended(Outcome.OFFLINE_DECLINED, reason)


def _authenticate(session: Session, rules: Fdda) -> OdaResult:
    if session.masked:
        return not_performed("masked", Method.FDDA)
    online = session.cryptogram is Cryptogram.ARQC
    if online and not terminal_offers(session, Ttq.ODA_FOR_ONLINE):
        return not_performed("not-asked-for-online")
    card, aip = session.card, session.card[0x82][0]
    dynamic = 0x9F4B in card or (aip & 0x20 and not online)
    static = rules.static_allowed and aip & 0x40 and (0x93 in card or not online)
    if not dynamic and static:
        return authenticate_static(session.evidence(), session.ca_keys, session.transaction.day)
    if not dynamic:  # an online answer need not carry what the terminal could verify
        return not_performed("no-card-data" if online else "not-supported")
    evidence, today = session.evidence(), session.transaction.day
    try:
        evidence.icc_key(session.ca_keys, today)
        values = fdda_values(session, rules)
    except OdaFailed as failed:
        return failure(Method.FDDA, failed)
    return authenticate_dynamic(
        evidence,
        session.ca_keys,
        today,
        terminal_values=values,
        method=Method.FDDA,
        formats=rules.formats,
    )


def verify_by_qualifiers(session: Session) -> bool:
    """Cardholder verification where the card sent a CTQ (Book C-3, 5.7; C-7 alike).

    Returns whether a method was found. Raises Ended where the card claims on-device verification
    and did not sign that claim.
    """
    if card_asks(session, Ctq.ONLINE_PIN) and terminal_offers(session, Ttq.ONLINE_PIN):
        session.cvm = Cvm.ONLINE_PIN
    elif card_asks(session, Ctq.ON_DEVICE_PERFORMED):
        related = session.card.get(0x9F69)
        if related is not None and related[5:7] != session.card[0x9F6C]:
            raise Ended(
                Outcome.OFFLINE_DECLINED, "the card's signed qualifiers differ from those it sent"
            )
        if related is None and session.cryptogram is not Cryptogram.ARQC:
            raise Ended(
                Outcome.OFFLINE_DECLINED,
                "the card did not sign its on-device verification",
            )
        session.cvm = Cvm.ON_DEVICE
    elif card_asks(session, Ctq.SIGNATURE) and terminal_offers(session, Ttq.SIGNATURE):
        session.cvm = Cvm.SIGNATURE
    else:
        return False
    return True


def is_phone(session: Session) -> bool:
    """Whether 9F6E names a phone or another device that can verify its holder (Book C-3).

    The lower five bits of its first byte are the form factor; 0 to 2 are cards.
    """
    indicator = session.card.get(0x9F6E, b"")
    return len(indicator) == 4 and (indicator[0] & 0x1F) > 2


def complete(session: Session) -> None:
    """End the tap with an online request or an offline approval. Always raises Ended."""
    session.step = "outcome"
    if session.cvm is Cvm.ONLINE_PIN:  # only the issuer can check a PIN
        session.cryptogram = Cryptogram.ARQC
    session.card[0x9F34] = CVM_RESULTS[session.cvm]
    if session.cryptogram is Cryptogram.TC:
        raise Ended(Outcome.OFFLINE_APPROVED, "card and terminal approved offline")
    raise Ended(Outcome.ONLINE_REQUEST, "the issuer is to decide")


#: 9F34 for messages that need it, although this flow evaluates no CVM list (EMV Book 4, A4).
CVM_RESULTS: Final = {
    Cvm.NONE: b"\x1f\x03\x02",
    Cvm.ONLINE_PIN: b"\x02\x03\x00",
    Cvm.SIGNATURE: b"\x1e\x03\x00",
    Cvm.ON_DEVICE: b"\x01\x00\x02",
}
