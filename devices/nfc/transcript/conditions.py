"""The conditions of a recorded tap: pinned in the recording, or inferred from its commands.

GET PROCESSING OPTIONS carries the values that the card's PDOL asked for, GENERATE AC those of its
CDOL1. Together they give date, amount, unpredictable number and terminal data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, time
from typing import Any, Final

from devices.nfc.emv import ber_tlv
from devices.nfc.emv.apdu import ApduError, Command
from devices.nfc.kernel.oda import OdaResult
from devices.nfc.kernel.terminal import Application, TerminalData
from devices.nfc.kernel.terminal_file import parse_pinned
from devices.nfc.kernel.transaction import CURRENCIES, Transaction

#: Values that the kernel computes itself, so that a recording does not pin them.
_COMPUTED: Final = frozenset((0x95, 0x9B, 0x9F34, 0x9F37, 0x9F45, 0x9F4C, 0x9F66, 0x9F33))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The arguments of `run_tap` in a replay, except card, keys, random bytes and clock."""

    transaction: Transaction
    terminal: TerminalData
    direct_aid: bytes | None
    masked: OdaResult | None

    def arguments(self) -> dict[str, Any]:
        """The conditions as keyword arguments of `run_tap`."""
        return {
            "transaction": self.transaction,
            "terminal": self.terminal,
            "direct_aid": self.direct_aid,
            "masked": self.masked,
        }


def pinned(
    text: str,
    pairs: Sequence[tuple[bytes, bytes]],
    direct_aid: bytes | None,
    masked: OdaResult | None,
    terminal: TerminalData,
) -> Conditions:
    """Conditions from the `# terminal:` lines, with the CA keys of `terminal`."""
    recorded, transaction = parse_pinned(text)
    sent, _ = _sent_values(pairs)
    applications = tuple(
        replace(application, relay_resistance_bits=_has_relay_resistance_bits(sent))
        for application in recorded.applications
    )
    return Conditions(
        transaction=transaction,
        terminal=replace(recorded, applications=applications, ca_keys=terminal.ca_keys),
        direct_aid=direct_aid,
        masked=masked,
    )


def infer(
    pairs: Sequence[tuple[bytes, bytes]],
    direct_aid: bytes | None,
    masked: OdaResult | None,
    transaction: Transaction,
    terminal: TerminalData,
) -> Conditions:
    """Conditions from commands and responses; the arguments provide what these lack."""
    sent, control = _sent_values(pairs)
    if sent:
        transaction = _transaction(sent, transaction)
        terminal = _terminal(sent, control, transaction, terminal)
    return Conditions(
        transaction=transaction, terminal=terminal, direct_aid=direct_aid, masked=masked
    )


def _sent_values(pairs: Iterable[tuple[bytes, bytes]]) -> tuple[dict[int, bytes], int | None]:
    """Values by tag that the commands carry, and the control byte of GENERATE AC."""
    sent: dict[int, bytes] = {}
    card: dict[int, bytes] = {}
    control = None
    for raw, response in pairs:
        with suppress(ApduError, ber_tlv.TlvError):
            command = Command.parse(raw)
            if (command.cla, command.ins) == (0x80, 0xA8):
                values = ber_tlv.find(ber_tlv.parse(command.body), 0x83) or b""
                _split(card.get(0x9F38, b""), values, sent)
            elif (command.cla, command.ins) == (0x80, 0xAE) and control is None:
                control = command.p1
                _split(card.get(0x8C, b""), command.body, sent)
        with suppress(ber_tlv.TlvError):
            for node in ber_tlv.walk(ber_tlv.parse(response[:-2])):
                if node.tag in (0x9F38, 0x8C):
                    card[node.tag] = node.value
    return sent, control


def _split(dol: bytes, values: bytes, sent: dict[int, bytes]) -> None:
    entries = ber_tlv.parse_dol(dol)
    if sum(entry.length for entry in entries) != len(values):
        return
    at = 0
    for entry in entries:
        sent[entry.tag] = values[at : at + entry.length]
        at += entry.length


def _transaction(sent: Mapping[int, bytes], given: Transaction) -> Transaction:
    changes: dict[str, Any] = {}
    for tag, name in ((0x9F02, "amount_minor"), (0x9F03, "other_minor"), (0x9F41, "sequence")):
        digits = sent.get(tag, b"").hex()
        if digits.isdigit():
            changes[name] = int(digits)
    currency = sent.get(0x5F2A, b"").hex()[-3:]
    if len(currency) == 3 and currency.isdigit():
        changes["currency"] = currency
        known = dict(CURRENCIES.values())
        changes["exponent"] = known.get(currency, 2)
    if len(sent.get(0x9C, b"")) == 1:
        changes["kind"] = sent[0x9C][0]
    if len(sent.get(0x9F37, b"")) == 4:
        changes["unpredictable_number"] = sent[0x9F37]
    day, hour = sent.get(0x9A, b"").hex(), sent.get(0x9F21, b"").hex()
    with suppress(ValueError):
        changes["day"] = date(2000 + int(day[:2]), int(day[2:4]), int(day[4:6]))
    with suppress(ValueError):
        changes["hour"] = time(int(hour[:2]), int(hour[2:4]), int(hour[4:6]))
    return replace(given, **changes)


def _terminal(
    sent: Mapping[int, bytes],
    control: int | None,
    transaction: Transaction,
    given: TerminalData,
) -> TerminalData:
    changes: dict[str, Any] = {
        "extra": {tag: value for tag, value in sent.items() if tag not in _COMPUTED}
    }
    capabilities = sent.get(0x9F33, b"")
    if len(capabilities) == 3:
        changes["capabilities"] = capabilities
        changes["capabilities_cvm_required"] = capabilities[1]
        changes["capabilities_no_cvm"] = capabilities[1]
    tvr = sent.get(0x95, bytes(5)).ljust(5, b"\0")
    if control is not None and control & 0xC0 == 0x80 and not any(tvr):
        changes["terminal_type"] = b"\x21"  # online without a TVR bit: an online-only terminal
    applications = tuple(
        _application(application, sent, control, transaction) for application in given.applications
    )
    return replace(given, applications=applications, **changes)


def _application(
    given: Application,
    sent: Mapping[int, bytes],
    control: int | None,
    transaction: Transaction,
) -> Application:
    amount = transaction.amount_minor
    in_force = given.limits_on(transaction.day, transaction.currency)
    floor, cvm_required = in_force.floor, in_force.cvm_required
    changes: dict[str, Any] = {
        "zero_amount_allowed": True,
        "relay_resistance_bits": _has_relay_resistance_bits(sent),
    }
    if len(sent.get(0x9F09, b"")) == 2:
        changes["version"] = sent[0x9F09]
    ttq = sent.get(0x9F66, b"")
    if len(ttq) == 4 and given.ttq is not None:
        changes["ttq"] = ttq
        floor = 0 if ttq[1] & 0x80 else amount
        cvm_required = 0 if ttq[1] & 0x40 else amount + 1
    if control is not None:
        tvr = sent.get(0x95, bytes(5)).ljust(5, b"\0")
        floor = 0 if tvr[3] & 0x80 else amount
        changes |= _action_codes(control)
    results = sent.get(0x9F34, b"")
    if len(results) == 3:
        verified = results[0] & 0x3F in (0x01, 0x02, 0x1E)
        cvm_required = -1 if verified else amount + 1  # below every amount, zero included
    limits = replace(in_force, contactless=None, floor=floor, cvm_required=cvm_required)
    return replace(given, limits=(limits,), **changes)


def _has_relay_resistance_bits(sent: Mapping[int, bytes]) -> bool:
    """Whether the recorded TVR has a bit of relay resistance: kernels before C-2, 2.5 had none."""
    tvr = sent.get(0x95, b"")
    return len(tvr) != 5 or bool(tvr[4] & 0x03)


def _action_codes(control: int) -> dict[str, bytes]:
    """Terminal action codes with which the kernel asks for the recorded cryptogram."""
    kind = control & 0xC0
    if kind == 0x40:
        return dict.fromkeys(("tac_denial", "tac_online", "tac_default"), bytes(5))
    return {"tac_denial": b"\xff" * 5} if kind == 0x00 else {}
