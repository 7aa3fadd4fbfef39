"""One tap at this terminal: walk the card, keep the story, sort out what it means for a sale."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from checkout.acceptance.nfc.authorization import Decision, Evidence
from checkout.trace import Trace
from devices.nfc.ca_keys import CaKeyRing, parse_ca_keys
from devices.nfc.contract import Card, Reader
from devices.nfc.kernel import (
    Outcome,
    Resume,
    TapResult,
    TerminalData,
    Transaction,
    load_terminal,
    run_tap,
)
from devices.nfc.transcript import TranscriptReader

#: Business dates of the demo world; a terminal stamps 9A and 9F21 with its local time.
LOCAL_TIME = ZoneInfo("Asia/Shanghai")

_DECISIONS: dict[Outcome, Decision] = {
    Outcome.ONLINE_REQUEST: "online",
    Outcome.OFFLINE_APPROVED: "approved-offline",
    Outcome.OFFLINE_DECLINED: "declined",
}

#: What the counter shows for outcomes that are no payment yet: reader state and sentence.
_AGAIN: dict[Outcome, tuple[str, str]] = {
    Outcome.SEE_PHONE: ("see-phone", "verify on the phone, then tap it again"),
    Outcome.TRY_AGAIN: ("retry", "present the same card again"),
    Outcome.TRY_ANOTHER_CARD: ("retry", "this card cannot be used here: try another"),
    Outcome.USE_ANOTHER_INTERFACE: ("retry", "this card must be inserted or swiped, not tapped"),
    Outcome.COMMUNICATION_ERROR: ("retry", "the reader lost the card: present it again"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What this terminal knows before a card comes: its data, its CA keys, its clock."""

    data: TerminalData
    ca_keys: CaKeyRing
    clock: Callable[[], datetime]
    random_bytes: Callable[[int], bytes] = field(default=secrets.token_bytes)


def load(
    home: Path,
    *,
    clock: Callable[[], datetime],
    terminal: str | Path = "china",
    ca_keys: Path | None = None,
) -> Terminal:
    """The terminal of this installation; its CA keys are the test CA's, or those of a file.

    Raises TerminalError or CaKeyError naming the field, OSError for a file that can't be read.
    """
    own = ca_keys is None
    path = home / "keys" / "ca-public.json" if ca_keys is None else ca_keys
    text = path.read_text("utf-8") if not own or path.exists() else "[]"
    return Terminal(data=load_terminal(terminal), ca_keys=parse_ca_keys(text, own=own), clock=clock)


def purchase(
    terminal: Terminal, amount_minor: int, currency: str, *, sequence: int = 1
) -> Transaction:
    """A purchase at this terminal's local time. Raises TransactionError."""
    now = terminal.clock().astimezone(LOCAL_TIME)
    return Transaction.purchase(amount_minor, currency, at=now, sequence=sequence)


def walk(
    terminal: Terminal,
    card: Card,
    transaction: Transaction,
    *,
    reader: Reader | None = None,
    trace: Trace | None = None,
    resume: Resume | None = None,
) -> TapResult:
    """Read one card; every exchange goes into the trace, masked.

    A recording on a TranscriptReader is asked what was asked when it was made.
    """
    began = 0.0 if trace is None else trace.now_ms()
    asked: dict[str, Any] = {"transaction": transaction, "terminal": terminal.data}
    if isinstance(reader, TranscriptReader):
        asked = reader.conditions(transaction, terminal.data).arguments()
    result = run_tap(
        card,
        **asked,
        ca_keys=terminal.ca_keys,
        random_bytes=terminal.random_bytes,
        clock=time.perf_counter,
        resume=resume,
    )
    if trace is not None:
        record(trace, result, began)
    return result


def record(trace: Trace, result: TapResult, began_ms: float) -> None:
    """Add the tap's exchanges to a payment's story, one step each, card data masked."""
    at_ms = began_ms
    for exchange in result.masked_exchanges():
        trace.record(
            "terminal",
            "card",
            exchange.name,
            sent=len(exchange.command),
            received=len(exchange.response),
            at_ms=at_ms,
            took_ms=exchange.elapsed_ms,
            detail={
                "command": exchange.command.hex().upper(),
                "response": exchange.response.hex().upper(),
            },
        )
        at_ms += exchange.elapsed_ms


def evidence(result: TapResult) -> Evidence | None:
    """What goes to the shop for a tap that decides something; None where it must be repeated."""
    decision = _DECISIONS.get(result.outcome)
    if decision is None:
        return None
    return Evidence(
        decision=decision,
        scheme=str(result.kernel) if result.kernel else "unknown",
        pan=result.pan,
        expiry=result.expiry,
        pan_sequence=result.psn.zfill(3) if result.psn else None,
        track2=result.track2,
        icc=result.icc or b"",
        no_pin=result.no_pin,
    )


def instruction(result: TapResult) -> tuple[str, str]:
    """Reader state and sentence for the payer, for an outcome without evidence."""
    state, sentence = _AGAIN[result.outcome]
    return state, sentence
