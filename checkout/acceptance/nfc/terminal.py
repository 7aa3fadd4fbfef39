"""One tap at this terminal: walk the card, record the steps, find out what it means for a sale."""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from checkout.acceptance.nfc.authorization import (
    Decision,
    Evidence,
    is_real,
    last_four,
    surrogate,
)
from checkout.money import mask_account
from checkout.trace import Trace
from devices.nfc.contract import Card, Reader
from devices.nfc.kernel import (
    Outcome,
    Resume,
    TapResult,
    TerminalData,
    TerminalError,
    Transaction,
    load_terminal,
    run_tap,
)
from devices.nfc.kernel.ca_keys import CaKeyError, CaKeyRing, parse_ca_keys
from devices.nfc.transcript import TranscriptReader

_log = logging.getLogger("checkout.terminal")

#: Business dates of the demo world; a terminal stamps 9A and 9F21 with its local time.
LOCAL_TIME = ZoneInfo("Asia/Shanghai")

#: An operator's own terminal data, in the home folder.
TERMINAL_FILE = "terminal.toml"

_DECISIONS: dict[Outcome, Decision] = {
    Outcome.ONLINE_REQUEST: "online",
    Outcome.OFFLINE_APPROVED: "approved-offline",
    Outcome.OFFLINE_DECLINED: "declined",
}

#: What the payer is to do after an outcome without evidence: reader state and sentence.
_INSTRUCTIONS: dict[Outcome, tuple[str, str]] = {
    Outcome.SEE_PHONE: ("see-phone", "verify on the phone, then tap it again"),
    Outcome.TRY_AGAIN: ("retry", "present the same card again"),
    Outcome.TRY_ANOTHER_CARD: ("retry", "this card cannot be used here: try another"),
    Outcome.USE_ANOTHER_INTERFACE: ("retry", "this card must be inserted or swiped, not tapped"),
    Outcome.COMMUNICATION_ERROR: ("retry", "the reader lost the card: present it again"),
}


class CaKeyFile:
    """The CA keys in a file, which are read again once the file has changed.

    `own` marks them as this installation's own; a file of own keys may still be missing.
    """

    def __init__(self, path: Path, *, own: bool) -> None:
        """Read the file. Raises CaKeyError, OSError or UnicodeDecodeError."""
        self._path = path
        self._own = own
        self._version = self._version_on_disk()
        self._ring = CaKeyRing() if own and self._version is None else self._read()

    def ring(self) -> CaKeyRing:
        """The keys now; those known before where the file has become missing or unusable."""
        version = self._version_on_disk()
        if version != self._version:
            self._version = version
            try:
                self._ring = self._read()
            except (CaKeyError, OSError, UnicodeDecodeError) as error:
                # With no keys a forged card would pass unchecked.
                _log.error("%s: %s; the CA keys known before stay in use", self._path.name, error)
        return self._ring

    def _read(self) -> CaKeyRing:
        return parse_ca_keys(self._path.read_text("utf-8-sig"), own=self._own)

    def _version_on_disk(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """What this terminal has before a card comes: its data, its CA keys, its clock."""

    data: TerminalData
    ca_key_file: CaKeyFile
    clock: Callable[[], datetime]
    random_bytes: Callable[[int], bytes] = field(default=secrets.token_bytes)
    built_in: bool = True  # the data is the package's, not from the operator's file

    @property
    def ca_keys(self) -> CaKeyRing:
        """The CA keys for the next tap."""
        return self.ca_key_file.ring()

    def data_for(self, reader: Reader | None) -> TerminalData:
        """The terminal data to use on this reader.

        A card on a real reader must not spend from its offline purse here, so the package's data
        has a floor limit of 0 there. Only an operator's file can allow offline approvals.
        """
        if self.built_in and reader is not None and not reader.emulated:
            return self.data.with_limits(floor=0)
        return self.data


def load(
    home: Path,
    *,
    clock: Callable[[], datetime],
    terminal: str | Path | None = None,
    ca_keys: Path | None = None,
) -> Terminal:
    """The terminal of this installation; its CA keys are the test CA's, or those of a file.

    Its data is `terminal.toml` in `home` where there is one, else the package's counter in China;
    `terminal` names another (`china`, `abroad`) or a file. A key that can't be used is left out and
    named in `ca_keys.left_out`. Raises TerminalError, or CaKeyError for a file that is no list,
    naming the field, OSError or UnicodeDecodeError for a file of keys that can't be read.
    """
    own = ca_keys is None
    operators = home / TERMINAL_FILE
    if terminal is None:
        terminal = operators if operators.exists() else "china"
    path = home / "keys" / "ca-public.json" if ca_keys is None else ca_keys
    return Terminal(
        data=_data(terminal),
        ca_key_file=CaKeyFile(path, own=own),
        clock=clock,
        built_in=terminal in ("china", "abroad"),
    )


def _data(source: str | Path) -> TerminalData:
    try:
        return load_terminal(source)
    except TerminalError as error:
        if isinstance(source, str):
            raise
        what = str(error).removeprefix(f"{error.place}: {error.field}: ")
        raise TerminalError(f"{source.name}: {error.place}", error.field, what) from None
    except UnicodeDecodeError:
        raise TerminalError(str(source), "TOML", "expected text in UTF-8") from None
    except OSError as error:
        raise TerminalError(str(source), "file", error.strerror or "can't be read") from None


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

    A recording on a TranscriptReader is read under the conditions of its recording, which stand in
    place of `transaction` and of the terminal's data.
    """
    began = 0.0 if trace is None else trace.now_ms()
    data = terminal.data_for(reader)
    conditions: dict[str, Any] = {"transaction": transaction, "terminal": data}
    if isinstance(reader, TranscriptReader):
        conditions = reader.conditions(transaction, terminal.data).arguments()
    result = run_tap(
        card,
        **conditions,
        ca_keys=terminal.ca_keys,
        random_bytes=terminal.random_bytes,
        clock=time.perf_counter,
        resume=resume,
    )
    if trace is not None:
        record_steps(trace, result, began)
        if isinstance(reader, TranscriptReader) and reader.departures:
            trace.record("terminal", "shop", by_command_note(reader), at_ms=trace.now_ms())
    return result


def by_command_note(reader: TranscriptReader) -> str:
    """One line that says how far a recording's answers are not those of its own walk."""
    count = len(reader.departures)
    return (
        f"the recording is of another walk: {count} command{'s were' if count > 1 else ' was'} "
        f"answered by command, first {reader.departures[0]}"
    )


def record_steps(trace: Trace, result: TapResult, began_ms: float) -> None:
    """Add the tap's exchanges to a payment's steps, one step each, card data masked.

    Of a card that is not one of the demo's, a step has name, sizes and status word only.
    """
    at_ms = began_ms
    foreign = result.pan is None or is_real(result.pan)
    for exchange in result.masked_exchanges():
        content = {
            "command": exchange.command.hex().upper(),
            "response": exchange.response.hex().upper(),
        }
        trace.record(
            "terminal",
            "card",
            exchange.name,
            sent=len(exchange.command),
            received=len(exchange.response),
            at_ms=at_ms,
            took_ms=exchange.elapsed_ms,
            detail={"status": content["response"][-4:]} if foreign else content,
        )
        at_ms += exchange.elapsed_ms
    if result.pan is not None and foreign:
        trace.record(
            "terminal",
            "shop",
            "a real card: a keyed hash and four digits of its number go on, nothing else; "
            "its cryptogram cannot be verified here",
            at_ms=at_ms,
        )
    if result.same_card is not None:
        which = "the card of the torn tap is back" if result.same_card else "another card came"
        trace.record("terminal", "shop", which, at_ms=at_ms)


def _unrepeatable_fingerprint() -> Callable[[str], int]:
    key = secrets.token_bytes(32)
    return lambda text: int.from_bytes(hmac.digest(key, text.encode(), "sha256"), "big")


def evidence(result: TapResult, fingerprint: Callable[[str], int] | None = None) -> Evidence | None:
    """What goes to the shop for a tap that decides something; None where it must be repeated.

    A real card's number becomes a surrogate here, by the keyed hash `fingerprint` (without one, by
    a key that is used once), and its other answers stay behind. An offline approval by such a card
    becomes an online request: its own purse is not ours to empty.
    """
    decision = _DECISIONS.get(result.outcome)
    if decision is None:
        return None
    scheme = str(result.kernel) if result.kernel else "unknown"
    pan = result.pan
    if pan is not None and is_real(pan):
        return Evidence(
            decision="declined" if decision == "declined" else "online",
            scheme=scheme,
            pan=surrogate(pan, _unrepeatable_fingerprint() if fingerprint is None else fingerprint),
            no_pin=result.no_pin,
            shown=last_four(pan),
            real=True,
        )
    return Evidence(
        decision=decision,
        scheme=scheme,
        pan=pan,
        shown="" if pan is None else mask_account(pan),
        expiry=result.expiry,
        pan_sequence=result.psn.zfill(3) if result.psn else None,
        track2=result.track2,
        icc=result.icc or b"",
        no_pin=result.no_pin,
    )


def instruction(result: TapResult) -> tuple[str, str]:
    """Reader state and sentence for the payer, for an outcome without evidence."""
    return _INSTRUCTIONS[result.outcome]
