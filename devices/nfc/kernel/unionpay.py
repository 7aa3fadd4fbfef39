"""The UnionPay contactless kernel: qPBOC, QuickPass, kernel 7 (EMV Contactless Book C-7).

A card answers GET PROCESSING OPTIONS with its cryptogram; one that does not, but leaves a CDOL1 in
its records, is walked as a full PBOC transaction with GENERATE AC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from devices.nfc.kernel import full_flow
from devices.nfc.kernel.application_data import initiate_application, read_records
from devices.nfc.kernel.oda import Method
from devices.nfc.kernel.quick_flow import (
    Ttq,
    authenticate_fast,
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


def run(session: Session) -> None:
    """Walk the card to its outcome. Always raises Ended or SelectNext."""
    for step in STEPS:
        step(session)


def take_full_flow(session: Session) -> None:
    """Leave for the full flow where GPO brought no cryptogram and the records bring a CDOL1."""
    if 0x9F26 not in session.card and 0x8C in session.card:
        full_flow.run(session, methods=(Method.CDA, Method.DDA, Method.SDA))


def authenticate_offline(session: Session) -> None:
    """fDDA, version 00 or 01; SDA for cards that can do no more."""
    authenticate_fast(session, tolerate_bare=True, static_allowed=True)


def verify_cardholder(session: Session) -> None:
    """What the card asks by its CTQ; else, over the limit, online PIN before signature.

    A debit account in China is held to its PIN, so a card that leaves the choice to the terminal
    (no CTQ, or one with no method in it) is asked for the PIN where there is a PIN pad.
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
