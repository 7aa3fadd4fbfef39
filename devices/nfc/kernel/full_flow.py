"""The full EMV flow: the terminal checks and decides first, then asks for a cryptogram.

These are the steps of EMV Book 3, chapter 10, as EMV Contactless Book C-2 runs them in EMV mode:
restrictions, cardholder verification, risk management, GENERATE AC. The Mastercard kernel consists
of them; the UnionPay kernel falls back on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from devices.nfc.emv import ber_tlv
from devices.nfc.emv.apdu import internal_authenticate
from devices.nfc.kernel.cvm_list import verify_cardholder
from devices.nfc.kernel.generate_ac import analyse, generate
from devices.nfc.kernel.oda import (
    Method,
    Verdict,
    authenticate_dynamic,
    authenticate_static,
    failure,
    not_performed,
)
from devices.nfc.kernel.result import Outcome
from devices.nfc.kernel.session import Ended, Session, Tvr
from devices.nfc.kernel.signature_recovery import OdaFailed
from devices.nfc.kernel.transaction import CASHBACK, PURCHASE

_AIP_BIT: Final = {Method.SDA: 0x40, Method.DDA: 0x20, Method.CDA: 0x01}
_DEFAULT_DDOL: Final = bytes.fromhex("9F3704")


def run(session: Session, *, methods: Sequence[Method]) -> None:
    """Take a card whose records are read to its outcome. Always raises Ended.

    `methods` are the kernel's methods of offline data authentication, best first.
    """
    require_card_data(session)
    authenticate(session, methods)
    session.require_account()
    restrict(session)
    verify_cardholder(session)
    manage_risk(session)
    generate(session, analyse(session))


def require_card_data(session: Session) -> None:
    """Check for expiry, account number and CDOL1 (EMV Book 3, 7.2; C-2, S456.16). Raises Ended."""
    session.step = "check-card-data"
    for tag in (0x5F24, 0x5A, 0x8C):
        if tag not in session.card:
            raise Ended(Outcome.TRY_ANOTHER_CARD, f"the card did not send tag {tag:X}")


def authenticate(session: Session, methods: Sequence[Method]) -> None:
    """Offline data authentication by the best method of card and terminal (EMV Book 3, 10.3).

    SDA and DDA are done here. For CDA only the card's key is recovered; where that fails, the TVR
    says so and GENERATE AC asks for no signature.
    """
    session.step = "offline-data-authentication"
    aip = session.card[0x82][0]
    method = next((method for method in methods if aip & _AIP_BIT[method]), None)
    if method is None:
        session.record_oda(not_performed("not-supported"))
    elif session.masked is not None:
        _repeat_masked(session, method)
    elif method is Method.SDA:
        result = authenticate_static(session.evidence(), session.ca_keys, session.transaction.day)
        session.terminal_values.update(result.recovered)
        session.record_oda(result)
    elif method is Method.DDA:
        _challenge(session)
    else:
        _prepare_combined(session)


def _prepare_combined(session: Session) -> None:
    try:
        session.icc_key = session.evidence().icc_key(session.ca_keys, session.transaction.day)
        session.combined = True
    except OdaFailed as failed:
        session.record_oda(failure(Method.CDA, failed))


def _challenge(session: Session) -> None:
    """DDA: let the card sign the filled DDOL (EMV Book 2, 6.5; Book 3, 6.5.9)."""
    try:
        entries = ber_tlv.parse_dol(session.card.get(0x9F49, _DEFAULT_DDOL), "DDOL")
    except ber_tlv.TlvError:
        session.record_oda(failure(Method.DDA, OdaFailed("ddol-missing")))
        return
    values = ber_tlv.fill_dol(entries, session.dol_values())
    if len(values) > 255 or all(entry.tag != 0x9F37 for entry in entries):
        session.record_oda(failure(Method.DDA, OdaFailed("ddol-missing")))
        return
    response = session.send(internal_authenticate(values), "INTERNAL AUTHENTICATE")
    if not response.ok:
        raise Ended(Outcome.TRY_ANOTHER_CARD, f"INTERNAL AUTHENTICATE answered {response.sw:04X}")
    try:
        nodes = ber_tlv.parse(response.body, "INTERNAL AUTHENTICATE answer")
    except ber_tlv.TlvError as error:
        raise Ended(Outcome.TRY_ANOTHER_CARD, f"broken TLV: {error}") from None
    signature = ber_tlv.find(nodes, 0x9F4B) or ber_tlv.find(nodes, 0x80)
    if signature is not None:
        session.card[0x9F4B] = signature
    result = authenticate_dynamic(
        session.evidence(), session.ca_keys, session.transaction.day, terminal_values=values
    )
    session.terminal_values.update(result.recovered)
    session.record_oda(result)


def _repeat_masked(session: Session, method: Method) -> None:
    """Repeat the recorded tap's result, because masked data can't be verified."""
    recorded = session.masked
    assert recorded is not None
    early = recorded.reason is None or not recorded.reason.startswith(
        ("dynamic-signature", "transaction-values")
    )
    if recorded.verdict is not Verdict.PASSED and early:
        session.record_oda(recorded)
    session.combined = method is Method.CDA and not (
        recorded.verdict is not Verdict.PASSED and early
    )
    session.oda = not_performed("masked", method)


def restrict(session: Session) -> None:
    """Processing restrictions: version, usage, dates (EMV Book 3, 10.4). Sets the TVR."""
    session.step = "processing-restrictions"
    card, terminal = session.card, session.terminal_values
    if card.get(0x9F08, terminal[0x9F09]) != terminal[0x9F09]:
        session.flag(Tvr.VERSIONS_DIFFER)
    usage = card.get(0x9F07)
    if usage is not None and len(usage) == 2 and not _usage_allows(session, usage):
        session.flag(Tvr.SERVICE_NOT_ALLOWED)
    today = _sortable(terminal[0x9A])
    if 0x5F25 in card and _sortable(card[0x5F25]) > today:
        session.flag(Tvr.NOT_YET_EFFECTIVE)
    if _sortable(card[0x5F24]) < today:
        session.flag(Tvr.EXPIRED)


def _usage_allows(session: Session, usage: bytes) -> bool:
    """Application usage control against terminal, country and type.

    EMV Book 3, 10.4.2; Book C-2, PRE.9 to PRE.24. A cashback amount needs its own permission,
    whatever the type; a purchase with cashback is a purchase too.
    """
    first = usage[0]
    if not first & (0x02 if session.terminal.is_atm else 0x01):
        return False
    country = session.card.get(0x5F28)
    if country is None:
        return True
    domestic = country == session.terminal_values[0x9F1A]
    transaction = session.transaction
    if transaction.is_cash and not first & (0x80 if domestic else 0x40):
        return False
    sells = transaction.kind in (PURCHASE, CASHBACK)
    if sells and not first & (0x28 if domestic else 0x14):  # goods or services
        return False
    return not transaction.other_minor or bool(usage[1] & (0x80 if domestic else 0x40))


def _sortable(yymmdd: bytes) -> str:
    digits = yymmdd.hex()
    return ("20" if digits[:2] < "50" else "19") + digits


def manage_risk(session: Session) -> None:
    """Terminal risk management: the floor limit (EMV Book 3, 10.6.1; Book C-2)."""
    session.step = "terminal-risk-management"
    if session.indicators.floor_exceeded:
        session.flag(Tvr.FLOOR_LIMIT_EXCEEDED)
