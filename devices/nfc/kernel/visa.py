"""The Visa contactless kernel: qVSDC, kernel 3 (EMV Contactless Book C-3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from devices.nfc.kernel.application_data import initiate_application, read_records
from devices.nfc.kernel.quick_flow import (
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
from devices.nfc.kernel.session import Ended, Session


def run(session: Session) -> None:
    """Take the card to its outcome. Always raises Ended or SelectNext."""
    for step in STEPS:
        step(session)


def authenticate_offline(session: Session) -> None:
    """fDDA, version 00 or 01; qVSDC has no SDA."""
    authenticate_fdda(session, tolerate_bare=False, static_allowed=False)


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
    initiate_application,
    read_records,
    require_card_data,
    read_decision,
    restrict,
    authenticate_offline,
    Session.require_account,
    verify_cardholder,
    complete,
)
