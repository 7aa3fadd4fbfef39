"""The Visa contactless kernel: qVSDC, kernel 3 (EMV Contactless Book C-3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from devices.nfc.emv import ber_tlv
from devices.nfc.kernel.application_data import initiate_application, read_records
from devices.nfc.kernel.quick_flow import (
    Fdda,
    Ttq,
    authenticate_fdda,
    complete,
    is_phone,
    read_decision,
    require_card_data,
    restrict,
    terminal_offers,
    verify_by_qualifiers,
)
from devices.nfc.kernel.result import Cvm, Outcome
from devices.nfc.kernel.session import Ended, SelectNext, Session
from devices.nfc.kernel.signature_recovery import VISA_FDDA_FORMATS

_FDDA: Final = Fdda(formats=VISA_FDDA_FORMATS, bare_allowed=False, static_allowed=False)


def run(session: Session) -> None:
    """Take the card to its outcome. Always raises Ended or SelectNext."""
    for step in STEPS:
        step(session)


def require_qualifiers_in_pdol(session: Session) -> None:
    """Give the application up unless its PDOL asks for 9F66 (Book B, 3.3.3.6). Raises SelectNext.

    Without the terminal's qualifiers the card can't decide as qVSDC does.
    """
    session.step = "select-application"
    try:
        entries = ber_tlv.parse_dol(session.card.get(0x9F38, b""), "PDOL")
    except ber_tlv.TlvError as error:
        raise SelectNext(f"the application's PDOL can't be read: {error}") from None
    if not any(entry.tag == 0x9F66 and entry.length for entry in entries):
        raise SelectNext("the application's PDOL does not ask for the terminal's qualifiers (9F66)")


def require_track2(session: Session) -> None:
    """Check that the card sent track 2, which qVSDC requires (Book C-3, 5.4). Raises Ended."""
    session.step = "check-card-data"
    if not session.card.get(0x57):
        raise Ended(Outcome.TRY_ANOTHER_CARD, "the card did not send tag 57")


def authenticate_offline(session: Session) -> None:
    """fDDA, version 01; qVSDC has no SDA."""
    authenticate_fdda(session, _FDDA)


def verify_cardholder(session: Session) -> None:
    """The method that the card's CTQ asks for; without a CTQ signature, or else online PIN."""
    session.step = "cardholder-verification"
    if verify_by_qualifiers(session) or not terminal_offers(session, Ttq.CVM_REQUIRED):
        return
    if 0x9F6C not in session.card:
        if terminal_offers(session, Ttq.SIGNATURE):
            session.cvm = Cvm.SIGNATURE
            return
        if terminal_offers(session, Ttq.ONLINE_PIN):
            session.cvm = Cvm.ONLINE_PIN
            return
    if is_phone(session):
        raise Ended(Outcome.SEE_PHONE, "the payer must verify on the phone, then tap it again")
    raise Ended(Outcome.OFFLINE_DECLINED, "no way to verify the cardholder in common")


#: The transaction flow in its order.
STEPS: Final[tuple[Callable[[Session], None], ...]] = (
    require_qualifiers_in_pdol,
    initiate_application,
    read_records,
    require_card_data,
    require_track2,
    read_decision,
    restrict,
    authenticate_offline,
    Session.require_account,
    verify_cardholder,
    complete,
)
