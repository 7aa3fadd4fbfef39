"""The Mastercard contactless kernel: M/Chip in EMV mode, kernel 2 (EMV Contactless Book C-2).

Mag-stripe mode is out of scope: a card that supports only that must use another interface.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from devices.nfc.kernel import full_flow
from devices.nfc.kernel.application_data import initiate_application, read_chip_records
from devices.nfc.kernel.cvm_list import verify_cardholder
from devices.nfc.kernel.generate_ac import analyse, generate
from devices.nfc.kernel.oda import Method
from devices.nfc.kernel.result import Outcome
from devices.nfc.kernel.session import Ended, SelectNext, Session, Tvr


def run(session: Session) -> None:
    """Take the card to its outcome. Always raises Ended or SelectNext."""
    for step in STEPS:
        step(session)


def begin(session: Session) -> None:
    """Set what the card may ask for before the records are read.

    9F33 names no CVM until the amount has been compared with the limit (Book C-2, S456.30). This
    kernel has no relay resistance protocol, which the TVR says whether or not the card has it.
    """
    capabilities = session.terminal.capabilities
    if 0x9F33 not in session.terminal.extra:
        session.terminal_values[0x9F33] = bytes((capabilities[0], 0x00, capabilities[2]))
    if session.indicators.application.relay_resistance_bits:
        session.flag(Tvr.RELAY_RESISTANCE_NOT_PERFORMED)


def initiate(session: Session) -> None:
    """GET PROCESSING OPTIONS; every refusal selects the next application (Book C-2, S3.8).

    So does an answer without an AFL: an application that lists no records can't be used.
    """
    initiate_application(session, refusals={})
    if not session.card.get(0x94):
        raise SelectNext("the application listed no records (AFL)")


def require_emv_mode(session: Session) -> None:
    """Refuse a card that has no CDOL1 but has the data of mag-stripe mode."""
    session.step = "choose-mode"
    if 0x8C not in session.card and (0x9F6B in session.card or 0x56 in session.card):
        raise Ended(
            Outcome.USE_ANOTHER_INTERFACE,
            "the card has mag-stripe mode only, the terminal EMV mode only",
        )


def authenticate_offline(session: Session) -> None:
    """CDA, or SDA for the first generation of PayPass M/Chip cards."""
    full_flow.authenticate(session, (Method.CDA, Method.SDA))


def request_cryptogram(session: Session) -> None:
    """Terminal action analysis and GENERATE AC; the answer ends the tap."""
    generate(session, analyse(session))


#: The transaction flow in its order.
STEPS: Final[tuple[Callable[[Session], None], ...]] = (
    begin,
    initiate,
    read_chip_records,
    require_emv_mode,
    full_flow.require_card_data,
    authenticate_offline,
    Session.require_account,
    full_flow.restrict,
    verify_cardholder,
    full_flow.manage_risk,
    request_cryptogram,
)
