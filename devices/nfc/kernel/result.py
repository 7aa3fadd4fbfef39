"""The result of a tap: its outcome, and the data for an authorisation request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from devices.nfc.emv.apdu import Exchange
from devices.nfc.emv.masking import mask_body, mask_command, mask_pan, pans_in
from devices.nfc.kernel.ca_keys import CaKey
from devices.nfc.kernel.oda import OdaResult, not_performed
from devices.nfc.kernel.terminal import Kernel, TerminalData
from devices.nfc.kernel.transaction import Transaction


class Outcome(StrEnum):
    """How a tap ends (EMV Contactless Book A, outcomes)."""

    ONLINE_REQUEST = "online-request"
    OFFLINE_APPROVED = "offline-approved"
    OFFLINE_DECLINED = "offline-declined"
    SEE_PHONE = "see-phone"  # verify on the phone, then tap it again
    TRY_AGAIN = "try-again"  # present the same card again
    TRY_ANOTHER_CARD = "try-another-card"
    USE_ANOTHER_INTERFACE = "use-another-interface"
    COMMUNICATION_ERROR = "communication-error"


class Cryptogram(StrEnum):
    """The type of the application cryptogram (EMV Book 3, table of the CID)."""

    AAC = "AAC"  # declined
    TC = "TC"  # approved offline
    ARQC = "ARQC"  # go online


class Cvm(StrEnum):
    """How the cardholder is verified."""

    NONE = "none"
    ONLINE_PIN = "online-pin"
    SIGNATURE = "signature"
    ON_DEVICE = "on-device"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Where a torn tap broke off; an argument of the next tap.

    `fingerprint` is a salted hash of the account number (None where it was not read yet). By it the
    next tap sees whether the same card came back.
    """

    step: str
    exchanges: int
    aid: bytes | None = None
    cryptogram_asked: bool = False
    salt: bytes = b""
    fingerprint: bytes | None = None


_NO_ODA: Final = not_performed("no-card")

#: The card's and the terminal's data objects that go into DE55, in this order.
ICC_TAGS: Final = (
    *(0x9F26, 0x9F27, 0x9F10, 0x9F37, 0x9F36, 0x95, 0x9A, 0x9C, 0x9F02, 0x5F2A, 0x82),
    *(0x9F1A, 0x9F03, 0x9F33, 0x9F34, 0x9F35, 0x9F1E, 0x84, 0x9F09, 0x9F41, 0x9F63, 0x9F74),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TapResult:
    """One tap. Card number and track are complete here, but never in `repr` or `as_json`.

    `tvr` is the terminal's TVR after all checks. The TVR in `icc` is the one under the card's
    cryptogram, which in the UnionPay and Visa flows is all zeros.
    """

    outcome: Outcome
    reason: str  # one line that explains the outcome
    kernel: Kernel | None = None
    aid: bytes | None = None
    label: str | None = None
    pan: str | None = field(default=None, repr=False)
    psn: str | None = None  # PAN sequence number, two digits
    expiry: str | None = None  # YYMM
    track2: str | None = field(default=None, repr=False)  # digits with "="
    cryptogram: Cryptogram | None = None
    atc: bytes | None = None
    tvr: bytes = bytes(5)
    cvm: Cvm = Cvm.NONE
    oda: OdaResult = _NO_ODA
    icc: bytes | None = field(default=None, repr=False)  # DE55
    no_pin: bool = False  # no PIN was asked because the amount is below the limit (DE60)
    torn: bool = False  # the card left before the last answer
    resume: Resume | None = None
    same_card: bool | None = None  # whether the card of `resume` came back
    step: str | None = None  # the step in which the tap ended
    exchanges: tuple[Exchange, ...] = field(default=(), repr=False)
    card: Mapping[int, bytes] = field(default_factory=dict, repr=False)  # all sent by it
    transaction: Transaction | None = field(default=None, repr=False)  # as used
    terminal: TerminalData | None = field(default=None, repr=False)  # as used

    @property
    def unpredictable_number(self) -> bytes | None:
        """The unpredictable number that the terminal used in this tap."""
        return self.transaction.unpredictable_number if self.transaction else None

    @property
    def online_pin_required(self) -> bool:
        """Whether a PIN must be entered before the request goes online."""
        return self.cvm is Cvm.ONLINE_PIN

    @property
    def on_device_performed(self) -> bool:
        """Whether the payer's own device verified the payer."""
        return self.cvm is Cvm.ON_DEVICE

    @property
    def masked_pan(self) -> str | None:
        """First six and last four digits."""
        return mask_pan(self.pan) if self.pan else None

    @property
    def ca_key(self) -> CaKey | None:
        """The CA key that verified the card's issuer certificate, if any."""
        return self.oda.ca_key

    @property
    def elapsed_ms(self) -> float:
        """The time of all exchanges together, card and air, in milliseconds."""
        return sum(exchange.elapsed_ms for exchange in self.exchanges)

    def masked_exchanges(self) -> tuple[Exchange, ...]:
        """The exchanges with all masked that is not known to be harmless; lengths stay."""
        return mask_exchanges(self.exchanges, self.pan)

    def as_json(self) -> dict[str, Any]:
        """The object of `tap --json`; nothing in it reveals the card number."""
        return {
            "outcome": self.outcome.value,
            "aid": self.aid.hex().upper() if self.aid else None,
            "label": self.label,
            "kernel": self.kernel.value if self.kernel else None,
            "pan": self.masked_pan,
            "expiry": self.expiry,
            "cryptogram": self.cryptogram.value if self.cryptogram else None,
            "atc": self.atc.hex().upper() if self.atc else None,
            "tvr": self.tvr.hex().upper(),
            "cvm": self.cvm.value,
            "oda": {
                "method": self.oda.method.value,
                "result": self.oda.verdict.value,
                "reason": self.oda.reason,
            },
            "exchanges": [
                {
                    "command": exchange.command.hex().upper(),
                    "response": exchange.response.hex().upper(),
                    "ms": round(exchange.elapsed_ms, 3),
                }
                for exchange in self.masked_exchanges()
            ],
        }


def mask_exchanges(exchanges: tuple[Exchange, ...], pan: str | None) -> tuple[Exchange, ...]:
    """These exchanges masked; `pan` is masked wherever its digits occur."""
    pans = set(pans_in(exchange.response[:-2] for exchange in exchanges))
    if pan:
        pans.add(pan)
    return tuple(
        Exchange(
            name=exchange.name,
            command=exchange.command[:5] + mask_command(exchange.command[5:], pans),
            response=mask_body(exchange.response[:-2], pans) + exchange.response[-2:],
            elapsed_ms=exchange.elapsed_ms,
        )
        for exchange in exchanges
    )
