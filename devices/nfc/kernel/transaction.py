"""One transaction as the card receives it: amount, currency, type, date, numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Final

#: ISO 4217: alphabetic code to numeric code and exponent, for the currencies of these terminals.
CURRENCIES: Final[dict[str, tuple[str, int]]] = {
    "AUD": ("036", 2),
    "CAD": ("124", 2),
    "CHF": ("756", 2),
    "CNY": ("156", 2),
    "EUR": ("978", 2),
    "GBP": ("826", 2),
    "HKD": ("344", 2),
    "IDR": ("360", 2),
    "INR": ("356", 2),
    "JPY": ("392", 0),
    "KRW": ("410", 0),
    "KWD": ("414", 3),
    "MOP": ("446", 2),
    "MYR": ("458", 2),
    "NZD": ("554", 2),
    "PHP": ("608", 2),
    "SGD": ("702", 2),
    "THB": ("764", 2),
    "TWD": ("901", 2),
    "USD": ("840", 2),
    "VND": ("704", 0),
}


#: Transaction types, tag 9C (ISO 8583:1987, first two digits of the processing code).
PURCHASE: Final = 0x00
CASH: Final = 0x01
CASHBACK: Final = 0x09  # a purchase with cashback
CASH_DISBURSEMENT: Final = 0x17


class TransactionError(Exception):
    """A transaction with an impossible field; names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """The transaction that the terminal asks the card for.

    Amounts are minor units of `currency` (ISO 4217 numeric, three digits). `day` and `hour` are the
    terminal's local date and time. `unpredictable_number` is None except where a recording pins it.
    Raises TransactionError for a value that does not fit its EMV data object.
    """

    amount_minor: int
    currency: str
    exponent: int = 2
    other_minor: int = 0
    kind: int = PURCHASE  # tag 9C, for example 20 for a refund
    day: date
    hour: time = time(12, 0)
    sequence: int = 1  # tag 9F41
    unpredictable_number: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, amount in (("amount", self.amount_minor), ("other amount", self.other_minor)):
            if not 0 <= amount < 10**12:
                raise TransactionError(name, "expected 0 to 12 digits of minor units")
        if len(self.currency) != 3 or not self.currency.isdigit():
            raise TransactionError("currency", "expected three digits (ISO 4217)")
        if self.unpredictable_number is not None and len(self.unpredictable_number) != 4:
            raise TransactionError("unpredictable number", "expected 4 bytes")
        if not 0 <= self.kind <= 0x99 or not 0 <= self.sequence < 10**8:
            raise TransactionError("type or sequence", "expected two digits and eight digits")

    @classmethod
    def purchase(
        cls, amount_minor: int, currency: str = "CNY", *, at: datetime, sequence: int = 1
    ) -> Transaction:
        """A purchase in a currency by its alphabetic code. Raises TransactionError."""
        try:
            numeric, exponent = CURRENCIES[currency.upper()]
        except KeyError:
            raise TransactionError(
                "currency", f"expected one of {', '.join(CURRENCIES)}, got {currency!r}"
            ) from None
        return cls(
            amount_minor=amount_minor,
            currency=numeric,
            exponent=exponent,
            day=at.date(),
            hour=at.time(),
            sequence=sequence,
        )

    @property
    def is_cash(self) -> bool:
        """Whether it pays out cash and sells nothing (Book C-2, PRE.14)."""
        return self.kind in (CASH, CASH_DISBURSEMENT)

    def values(self, unpredictable_number: bytes) -> dict[int, bytes]:
        """The data objects that come from the transaction, by tag."""
        day, hour = self.day, self.hour
        currency = bytes.fromhex(f"0{self.currency}")
        return {
            0x81: min(self.amount_minor, 0xFFFFFFFF).to_bytes(4, "big"),
            0x9F02: bytes.fromhex(f"{self.amount_minor:012d}"),
            0x9F03: bytes.fromhex(f"{self.other_minor:012d}"),
            0x9F04: min(self.other_minor, 0xFFFFFFFF).to_bytes(4, "big"),
            0x5F2A: currency,
            0x5F36: bytes((self.exponent,)),
            0x9F3C: currency,
            0x9F3D: bytes((self.exponent,)),
            0x9A: bytes.fromhex(f"{day.year % 100:02d}{day.month:02d}{day.day:02d}"),
            0x9C: bytes((self.kind,)),
            0x9F21: bytes.fromhex(f"{hour.hour:02d}{hour.minute:02d}{hour.second:02d}"),
            0x9F37: unpredictable_number,
            0x9F41: bytes.fromhex(f"{self.sequence:08d}"),
        }
