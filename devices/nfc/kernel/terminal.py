"""Terminal data: a terminal's applications, amount limits and own data objects.

All values are frozen; `terminal_file.py` reads them from TOML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Final

from devices.nfc.kernel.ca_keys import CaKeyRing

_NO_KEYS: Final = CaKeyRing()


class Kernel(StrEnum):
    """A contactless kernel by the scheme that it serves."""

    MASTERCARD = "mastercard"  # kernel identifier 2, EMV Contactless Book C-2
    VISA = "visa"  # 3, Book C-3
    UNIONPAY = "unionpay"  # 7, Book C-7


#: Kernel identifier of each kernel (EMV Contactless Book B, kernel identifier defaults by RID).
KERNEL_IDS: Final = {Kernel.MASTERCARD: 2, Kernel.VISA: 3, Kernel.UNIONPAY: 7}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Amount limits in minor units of `currency`, in force from a date.

    `contactless`: no contactless transaction at or above it; None for no such limit.
    `cvm_required`: the cardholder is verified at or above it. `floor`: online above it.
    For the Mastercard kernel the first two are the last amount below them: what is over counts
    (Book C-2, S456.14 and S456.30).
    """

    currency: str
    since: date
    contactless: int | None = None
    cvm_required: int
    floor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One scheme's applications and the terminal's settings for them."""

    name: str
    kernel: Kernel
    aids: tuple[bytes, ...]
    partial_match: bool = True
    version: bytes = b"\x00\x02"  # 9F09
    ttq: bytes | None = None  # 9F66, UnionPay and Visa
    zero_amount_allowed: bool = False
    status_check: bool = False  # a purchase of one unit of currency asks for the card's status
    tac_denial: bytes = bytes(5)
    tac_online: bytes = b"\xff" * 5
    tac_default: bytes = b"\xff" * 5
    risk_management: bytes = bytes(8)  # 9F1D, Mastercard
    #: Whether the TVR says of relay resistance that it was not performed, as Book C-2 has it from
    #: version 2.5 on; the recording of an earlier kernel is replayed without.
    relay_resistance_bits: bool = True
    limits: tuple[Limits, ...] = ()

    def limits_on(self, day: date, currency: str) -> Limits:
        """The limits in force that day in that currency.

        Without any the strictest apply: verified and online, whatever the amount.
        """
        known = [lim for lim in self.limits if lim.currency == currency and lim.since <= day]
        if not known:
            return Limits(currency=currency, since=date.min, cvm_required=0, floor=0)
        return max(known, key=lambda lim: lim.since)


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalData:
    """What a terminal tells a card about itself; `terminal_china.toml` explains each field."""

    name: str
    country: str
    currency: str
    terminal_type: bytes = b"\x22"
    capabilities: bytes = b"\xe0\x68\xc8"
    capabilities_cvm_required: int = 0x60
    capabilities_no_cvm: int = 0x08
    additional_capabilities: bytes = b"\x60\x00\xf0\xa0\x01"
    ifd_serial: str = "00000001"
    terminal_id: str = "00000001"
    merchant_id: str = "000000000000000"
    merchant_name: str = ""
    merchant_category: str = "0000"
    category_code: str = "R"
    applications: tuple[Application, ...] = ()
    ca_keys: CaKeyRing = _NO_KEYS
    #: Further data objects, by tag; they take precedence over all others except 95 and 9F37.
    extra: Mapping[int, bytes] = field(default_factory=dict)
    #: Try the applications one by one where the card has no PPSE (EMV Book 1, 12.3.3).
    list_of_aids: bool = False

    @property
    def online_capable(self) -> bool:
        """Whether the terminal can go online: types x3 and x6 can't (EMV Book 4, Annex A1)."""
        return self.terminal_type[0] & 0x0F not in (3, 6)

    @property
    def unattended(self) -> bool:
        """Whether nobody of the merchant's stands by: types x4 to x6."""
        return self.terminal_type[0] & 0x0F in (4, 5, 6)

    @property
    def is_atm(self) -> bool:
        """Whether it is a cash machine: type 14 to 16, with the capability to pay out cash."""
        return self.terminal_type[0] in (0x14, 0x15, 0x16) and bool(
            self.additional_capabilities[0] & 0x80
        )

    @property
    def online_only(self) -> bool:
        """Whether the terminal must go online: types x1 and x4."""
        return self.terminal_type[0] & 0x0F in (1, 4)

    def with_limits(self, **changes: int | None) -> TerminalData:
        """The same terminal with these fields of every limit changed."""
        return replace(
            self,
            applications=tuple(
                replace(app, limits=tuple(replace(lim, **changes) for lim in app.limits))  # type: ignore[arg-type]
                for app in self.applications
            ),
        )

    def values(self) -> dict[int, bytes]:
        """The terminal's own data objects, by tag."""
        return {
            0x9F1A: bytes.fromhex(f"0{self.country}"),
            0x9F35: self.terminal_type,
            0x9F33: self.capabilities,
            0x9F40: self.additional_capabilities,
            0x9F1E: _text(self.ifd_serial, 8),
            0x9F1C: _text(self.terminal_id, 8),
            0x9F16: _text(self.merchant_id, 15),
            0x9F4E: self.merchant_name.encode("ascii", "replace"),
            0x9F15: bytes.fromhex(self.merchant_category),
            0x9F53: self.category_code.encode("ascii", "replace")[:1],
            0x9F7A: b"\x00",
            0x9F7E: b"\x01",
            0xDF60: b"\x00",
            0xDF69: b"\x00",
        }


def _text(value: str, length: int) -> bytes:
    return value.encode("ascii", "replace")[:length].ljust(length)
