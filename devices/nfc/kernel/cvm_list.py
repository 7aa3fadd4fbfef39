"""The card's CVM list, evaluated (EMV Book 3, 10.5; EMV Contactless Book C-2, CVM selection)."""

from __future__ import annotations

from typing import Final

from devices.nfc.kernel.result import Cvm, Outcome
from devices.nfc.kernel.session import Ended, Session, Tvr
from devices.nfc.kernel.transaction import CASHBACK

#: The methods that this terminal may support. Key: the lower six bits of a CV rule's first byte.
#: Value: the bit of 9F33 byte 2 that says so, and the method.
_METHODS: Final = {
    0x02: (0x40, Cvm.ONLINE_PIN),
    0x1E: (0x20, Cvm.SIGNATURE),
    0x1F: (0x08, Cvm.NONE),
}
_OFFLINE_PIN: Final = frozenset((0x01, 0x03, 0x04, 0x05))  # for contact cards only
_FAIL: Final = 0x00
_APPLY_NEXT: Final = 0x40  # bit 7 of a rule: where it fails, the next rule applies
#: CVM results where no rule could be used (EMV Book 4, their table; Book C-2, CVM.14 and CVM.25).
_NO_RULE_USED: Final = b"\x3f\x00\x01"


def verify_cardholder(session: Session) -> None:
    """Choose the cardholder verification and set CVM results (9F34), 9F33 and the TVR."""
    session.step = "cardholder-verification"
    terminal = session.terminal
    required = session.indicators.cvm_required
    supported = terminal.capabilities_cvm_required if required else terminal.capabilities_no_cvm
    capabilities = terminal.capabilities
    session.terminal_values[0x9F33] = bytes((capabilities[0], supported, capabilities[2]))
    aip = session.card[0x82][0]
    if aip & 0x02:  # the payer's device verifies the payer
        session.cvm = Cvm.ON_DEVICE if required else Cvm.NONE
        _conclude(session, b"\x01\x00\x02" if required else b"\x3f\x00\x02")
        return
    if not aip & 0x10:
        _conclude(session, b"\x3f\x00\x00")
        return
    rules = session.card.get(0x8E, b"")
    if len(rules) % 2 or 0 < len(rules) < 8:  # EMV Book 3, 7.5: a data object's format is wrong
        raise Ended(Outcome.TRY_ANOTHER_CARD, f"the CVM list (8E) has {len(rules)} bytes")
    if len(rules) < 10:  # no list, or a list without rules
        session.flag(Tvr.ICC_DATA_MISSING)
        _conclude(session, b"\x3f\x00\x00")
        return
    _walk(session, rules, supported)


def _walk(session: Session, rules: bytes, supported: int) -> None:
    """Apply the rules in order (Book C-2, CVM.9 to CVM.25).

    A rule whose method is "fail" stands in the CVM results; any other that can't be used does not.
    """
    amounts = int.from_bytes(rules[:4], "big"), int.from_bytes(rules[4:8], "big")
    failed = _NO_RULE_USED
    for at in range(8, len(rules), 2):
        rule, condition = rules[at], rules[at + 1]
        failed = _NO_RULE_USED
        if not _holds(session, condition, rule, supported, amounts):
            continue
        method = rule & 0x3F
        bit, cvm = _METHODS.get(method, (0, Cvm.NONE))
        if bit & supported:
            session.cvm = cvm
            if cvm is Cvm.ONLINE_PIN:
                session.flag(Tvr.ONLINE_PIN_ENTERED)
            # "unknown" for a PIN or signature: it is checked after this step
            _conclude(session, bytes((rule, condition, 2 if cvm is Cvm.NONE else 0)))
            return
        if method not in _METHODS and method not in _OFFLINE_PIN and method != _FAIL:
            session.flag(Tvr.UNRECOGNISED_CVM)
        if method == _FAIL:
            failed = bytes((rule, condition, 1))
        if not rule & _APPLY_NEXT:
            break
    session.flag(Tvr.CARDHOLDER_NOT_VERIFIED)
    _conclude(session, failed)


def _holds(
    session: Session, condition: int, rule: int, supported: int, amounts: tuple[int, int]
) -> bool:
    """Whether the rule's condition holds (EMV Book 3, Annex C3).

    Conditions 06 to 09 compare amounts in the application's currency (9F42): without it they do
    not hold (Book 3, 10.5).
    """
    transaction = session.transaction
    if condition == 0x00:
        return True
    if condition == 0x01:
        return transaction.is_cash and session.terminal.unattended
    if condition == 0x04:
        return transaction.is_cash and not session.terminal.unattended
    if condition == 0x02:
        return not transaction.is_cash and transaction.kind != CASHBACK
    if condition == 0x03:
        method = rule & 0x3F
        return method == _FAIL or bool(_METHODS.get(method, (0, Cvm.NONE))[0] & supported)
    if condition == 0x05:
        return transaction.kind == CASHBACK
    if condition not in (0x06, 0x07, 0x08, 0x09):
        return False
    if session.card.get(0x9F42) != session.terminal_values[0x5F2A]:
        return False
    bound = amounts[0] if condition < 0x08 else amounts[1]
    amount = transaction.amount_minor
    return amount < bound if condition in (0x06, 0x08) else amount > bound


def _conclude(session: Session, results: bytes) -> None:
    session.terminal_values[0x9F34] = results
