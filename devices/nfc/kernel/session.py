"""The state of one tap: the card's data, the terminal's data, and the results so far."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from typing import Final

from devices.nfc.emv import ber_tlv
from devices.nfc.emv.apdu import Command, Exchanger, Response
from devices.nfc.kernel.ca_keys import CaKeyRing
from devices.nfc.kernel.oda import CardEvidence, Method, OdaResult, Verdict, not_performed
from devices.nfc.kernel.pre_processing import Candidate, Indicators
from devices.nfc.kernel.result import Cryptogram, Cvm, Outcome, Resume
from devices.nfc.kernel.signature_recovery import PublicKey, SignedRecord
from devices.nfc.kernel.terminal import TerminalData
from devices.nfc.kernel.transaction import Transaction


class Ended(Exception):
    """A step ended the tap with an outcome. It is no fault and never leaves the kernel."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


class SelectNext(Exception):
    """The kernel can't use this application; the entry point tries the next candidate."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Tvr:
    """Bits of the terminal verification results (EMV Book 3, Annex C5) as (byte, mask)."""

    ODA_NOT_PERFORMED: Final = (0, 0x80)
    SDA_FAILED: Final = (0, 0x40)
    ICC_DATA_MISSING: Final = (0, 0x20)
    DDA_FAILED: Final = (0, 0x08)
    CDA_FAILED: Final = (0, 0x04)
    SDA_SELECTED: Final = (0, 0x02)
    VERSIONS_DIFFER: Final = (1, 0x80)
    EXPIRED: Final = (1, 0x40)
    NOT_YET_EFFECTIVE: Final = (1, 0x20)
    SERVICE_NOT_ALLOWED: Final = (1, 0x10)
    CARDHOLDER_NOT_VERIFIED: Final = (2, 0x80)
    UNRECOGNISED_CVM: Final = (2, 0x40)
    ONLINE_PIN_ENTERED: Final = (2, 0x04)
    FLOOR_LIMIT_EXCEEDED: Final = (3, 0x80)
    RELAY_RESISTANCE_NOT_PERFORMED: Final = (4, 0x01)  # Book C-2


_FAILED_BIT: Final = {
    Method.SDA: Tvr.SDA_FAILED,
    Method.DDA: Tvr.DDA_FAILED,
    Method.FDDA: Tvr.DDA_FAILED,
    Method.CDA: Tvr.CDA_FAILED,
}


class Session:
    """One tap with one application; the steps of the kernels read and fill it."""

    def __init__(
        self,
        *,
        exchanger: Exchanger,
        transaction: Transaction,
        terminal: TerminalData,
        ca_keys: CaKeyRing,
        unpredictable_number: bytes,
        masked: OdaResult | None = None,
    ) -> None:
        self.exchanger = exchanger
        self.transaction = transaction
        self.terminal = terminal
        self.ca_keys = ca_keys
        self.unpredictable_number = unpredictable_number
        #: For a masked recording, whose data can't verify: the result of its authentication then.
        self.masked = masked
        self.candidate: Candidate | None = None
        self.step = "pre-processing"
        self.begin_application()

    def begin_application(self) -> None:
        """Clear the data of an earlier candidate of this tap."""
        self.card: dict[int, bytes] = {}
        self.terminal_values: dict[int, bytes] = {}
        self.signed_records: list[SignedRecord] = []
        self.pdol_values = b""
        self.cdol_values = b""
        self.tvr = bytearray(5)
        self.oda: OdaResult = not_performed("not-reached")
        self.icc_key: PublicKey | None = None  # for CDA, until the card has signed
        self.combined = False  # whether GENERATE AC asks for CDA
        self.cvm = Cvm.NONE
        self.cryptogram: Cryptogram | None = None
        self.cryptogram_asked = False
        self.label: str | None = None

    @property
    def indicators(self) -> Indicators:
        """The result of pre-processing for the selected application."""
        assert self.candidate is not None
        return self.candidate.indicators

    def begin_candidate(self, candidate: Candidate) -> None:
        """Start on a candidate: clear the data objects and set the terminal's for its kernel."""
        self.begin_application()
        self.candidate = candidate
        application = candidate.indicators.application
        values = self.terminal.values()
        values.update(self.transaction.values(self.unpredictable_number))
        values[0x9F06] = candidate.terminal_aid
        values[0x9F09] = application.version
        values[0x9F1B] = min(candidate.indicators.limits.floor, 0xFFFFFFFF).to_bytes(4, "big")
        values[0x9F1D] = application.risk_management
        values[0x9B] = bytes(2)
        if candidate.indicators.ttq is not None:
            values[0x9F66] = candidate.indicators.ttq
        values.update(self.terminal.extra)
        values[0x95] = bytes(5)
        values[0x9F37] = self.unpredictable_number
        self.terminal_values = values

    def send(self, command: Command, name: str) -> Response:
        """Exchange a command; `name` goes into the record of exchanges."""
        return self.exchanger.send(command, name)

    def store_objects(self, nodes: Iterable[ber_tlv.Node]) -> None:
        """Store the card's primitive data objects.

        The same object twice with the same value is tolerated, because real cards repeat 57 and
        5F34. With two values the tap ends: Ended (EMV Book 3, 10.2).
        """
        for node in ber_tlv.walk(nodes):
            if node.children or ber_tlv.is_constructed(node.tag):
                continue
            known = self.card.get(node.tag)
            if known is not None and known != node.value:
                raise Ended(
                    Outcome.TRY_ANOTHER_CARD, f"the card sent two values for tag {node.tag:X}"
                )
            self.card[node.tag] = node.value

    def flag(self, bit: tuple[int, int]) -> None:
        """Set a TVR bit."""
        self.tvr[bit[0]] |= bit[1]

    def record_oda(self, result: OdaResult) -> None:
        """Store the result of offline data authentication and set its TVR bits."""
        self.oda = result
        if result.method is Method.SDA and result.verdict is not Verdict.NOT_PERFORMED:
            self.flag(Tvr.SDA_SELECTED)
        if result.verdict is Verdict.FAILED:
            self.flag(_FAILED_BIT[result.method])
            if result.data_missing:
                self.flag(Tvr.ICC_DATA_MISSING)
        elif result.verdict is Verdict.NOT_PERFORMED:
            self.flag(Tvr.ODA_NOT_PERFORMED)

    def evidence(self) -> CardEvidence:
        """The input of offline data authentication."""
        return CardEvidence(
            card=self.card,
            records=tuple(self.signed_records),
            rid=self.card[0x84][:5],
            pan=self._account,
        )

    def dol_values(self) -> dict[int, bytes]:
        """The values for a DOL: the card's objects and the terminal's, which take precedence."""
        return {**self.card, **self.terminal_values}

    @property
    def track2_digits(self) -> str:
        """Track 2 (57) as digits with D between number and expiry, without padding."""
        return self.card.get(0x57, b"").hex().upper().rstrip("F")

    @property
    def pan(self) -> str | None:
        """The account number from 5A, else from track 2; None where neither has one."""
        digits = self._account
        return digits if digits.isdigit() and 8 <= len(digits) <= 19 else None

    @property
    def _account(self) -> str:
        number = self.card.get(0x5A, b"").hex().upper().rstrip("F")
        return number or self.track2_digits.partition("D")[0]

    def require_account(self) -> None:
        """Raise Ended where there is no account number, or where 57 and 5A differ."""
        if self.pan is None:
            raise Ended(Outcome.TRY_ANOTHER_CARD, "the card sent no account number (57 or 5A)")
        track2 = self.track2_digits.partition("D")[0]
        if track2 and track2 != self.pan:
            raise Ended(Outcome.TRY_ANOTHER_CARD, "57 and 5A have two different account numbers")

    @property
    def expiry(self) -> str | None:
        """YYMM from 5F24, else from track 2; None where neither has it."""
        digits = self.card.get(0x5F24, b"").hex()[:4] or self.track2_digits.partition("D")[2][:4]
        return digits if len(digits) == 4 and digits.isdigit() else None

    def resume(self, random_bytes: Callable[[int], bytes]) -> Resume:
        """What the next tap needs to know about this torn one."""
        salt = random_bytes(16)
        return Resume(
            step=self.step,
            exchanges=len(self.exchanger.exchanges),
            aid=self.candidate.name if self.candidate else None,
            cryptogram_asked=self.cryptogram_asked,
            salt=salt,
            fingerprint=self.fingerprint(salt),
        )

    def fingerprint(self, salt: bytes) -> bytes | None:
        """A salted hash of the account number, None before it is known."""
        return hmac.digest(salt, self.pan.encode(), "sha256") if self.pan else None
