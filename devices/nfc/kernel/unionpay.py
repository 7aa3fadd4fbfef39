"""The UnionPay contactless kernel: qPBOC, QuickPass, kernel 7 (EMV Contactless Book C-7).

A card answers GET PROCESSING OPTIONS with its cryptogram. One that sends no cryptogram but has a
CDOL1 in its records is processed as a full PBOC transaction with GENERATE AC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from devices.nfc.kernel import full_flow
from devices.nfc.kernel.application_data import initiate_application, read_records
from devices.nfc.kernel.oda import Method
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
from devices.nfc.kernel.result import Cryptogram, Cvm, Outcome
from devices.nfc.kernel.session import Ended, Session
from devices.nfc.kernel.signature_recovery import EMV_FORMAT

_FDDA: Final = Fdda(formats=EMV_FORMAT, bare_allowed=True, static_allowed=True)


def run(session: Session) -> None:
    """Take the card to its outcome. Always raises Ended or SelectNext."""
    for step in STEPS:
        step(session)


def take_full_flow(session: Session) -> None:
    """Change to the full flow where GPO gave no cryptogram and the records hold a CDOL1."""
    if 0x9F26 not in session.card and 0x8C in session.card:
        full_flow.run(session, methods=(Method.CDA, Method.DDA, Method.SDA))


def authenticate_offline(session: Session) -> None:
    """fDDA, version 01 or over the bare amount; SDA for cards that support only that.

    Format 05 alone is accepted: no contactless UnionPay card with public keys has shown another.
    """
    authenticate_fdda(session, _FDDA)


def verify_cardholder(session: Session) -> None:
    """The method that the card's CTQ asks for; else, over the limit, online PIN before signature.

    A debit account in China requires its PIN. Where the card leaves the choice to the terminal (no
    CTQ, or one without a method), a terminal with a PIN pad therefore asks for the PIN.
    """
    session.step = "cardholder-verification"
    if verify_by_qualifiers(session) or not terminal_offers(session, Ttq.CVM_REQUIRED):
        return
    if is_phone(session):
        raise Ended(Outcome.SEE_PHONE, "the payer must verify on the phone, then tap it again")
    if terminal_offers(session, Ttq.ONLINE_PIN) and session.cryptogram is Cryptogram.ARQC:
        session.cvm = Cvm.ONLINE_PIN
    elif terminal_offers(session, Ttq.SIGNATURE):
        session.cvm = Cvm.SIGNATURE
    else:
        raise Ended(Outcome.OFFLINE_DECLINED, "no way to verify the cardholder in common")


#: The transaction flow in its order.
STEPS: Final[tuple[Callable[[Session], None], ...]] = (
    initiate_application,
    read_records,
    take_full_flow,
    require_card_data,
    read_decision,
    restrict,
    authenticate_offline,
    Session.require_account,
    verify_cardholder,
    complete,
)
