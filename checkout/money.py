"""Money in whole minor units of an ISO 4217 currency; an amount is never a float."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Alphabetic code -> (numeric code, minor-unit exponent), ISO 4217:2015.
CURRENCIES: dict[str, tuple[str, int]] = {
    "CNY": ("156", 2),
    "HKD": ("344", 2),
    "USD": ("840", 2),
    "EUR": ("978", 2),
    "GBP": ("826", 2),
    "AUD": ("036", 2),
    "SGD": ("702", 2),
    "THB": ("764", 2),
    "JPY": ("392", 0),
    "KRW": ("410", 0),
    "KWD": ("414", 3),
    "BHD": ("048", 3),
}
_BY_NUMERIC = {numeric: alpha for alpha, (numeric, _) in CURRENCIES.items()}

# str.isdigit() accepts full-width digits too; an amount must not have them.
_TOO_LONG = re.compile(r"-?[0-9]{13,}(?:\.[0-9]+)?", re.ASCII)
# Three digits after a comma: a thousands separator to some people, a decimal mark to others.
_AMBIGUOUS_COMMA = re.compile(r"[1-9][0-9]{0,2},[0-9]{3}", re.ASCII)
_DECIMAL = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]+))?", re.ASCII)


class AmountError(ValueError):
    """An amount or currency that can't be used; `field` names which of the two."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


def exponent(currency: str) -> int:
    """Number of decimals of `currency` (ISO 4217); AmountError where it is unknown."""
    return _currency(currency)[1]


def numeric_code(currency: str) -> str:
    """Three-digit ISO 4217 code of `currency`; AmountError where it is unknown."""
    return _currency(currency)[0]


def currency_of(numeric: str) -> str:
    """Alphabetic ISO 4217 code of a three-digit one; AmountError where it is unknown."""
    try:
        return _BY_NUMERIC[numeric]
    except KeyError:
        raise AmountError("currency", f"no currency has the code {numeric!r}") from None


def _currency(currency: str) -> tuple[str, int]:
    try:
        return CURRENCIES[currency]
    except (KeyError, TypeError):
        known = ", ".join(CURRENCIES)
        raise AmountError("currency", f"expected one of {known}, got {currency!r}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount in minor units (fen, cents) and its currency."""

    amount_minor: int
    currency: str

    @classmethod
    def parse(cls, text: str, currency: str = "CNY") -> Money:
        """Read a positive decimal such as ``12.80``; AmountError names what is wrong with it."""
        places = exponent(currency)
        match = _DECIMAL.fullmatch(text.strip())
        if match is None:
            if _TOO_LONG.fullmatch(text.strip()):
                shown = text.strip()[:24]
                raise AmountError("amount", f"expected at most 12 digits, got {shown!r}")
            raise AmountError("amount", f"expected digits such as 12.80, got {text[:64]!r}")
        sign, whole, fraction = match[1], match[2], match[3] or ""
        if len(fraction) > places:
            raise AmountError(
                "amount", f"{currency} has {places} decimals, {text.strip()!r} has {len(fraction)}"
            )
        amount_minor = int(whole) * 10**places + int(fraction.ljust(places, "0") or "0")
        if sign or amount_minor == 0:
            raise AmountError("amount", f"expected more than zero, got {text.strip()!r}")
        return cls(amount_minor=amount_minor, currency=currency)

    @classmethod
    def parse_typed(cls, text: str, currency: str = "CNY") -> Money:
        """Read what a person typed: as `parse`, or with a comma as decimal mark (``12,80``).

        Phones set to some languages offer a comma on their number pad, and no point. AmountError
        asks which is meant where the comma could separate thousands as well (``1,234``).
        """
        typed = text.strip()
        if _AMBIGUOUS_COMMA.fullmatch(typed):
            thousands, decimal = typed.replace(",", ""), typed.replace(",", ".")
            raise AmountError(
                "amount",
                f"{typed} can mean {thousands} or {decimal}, type the one meant without a comma",
            )
        return cls.parse(typed.replace(",", "."), currency)

    def decimal(self) -> str:
        """The amount as digits with the currency's decimals: ``12.80``, ``1280`` for JPY."""
        places = exponent(self.currency)
        sign = "-" if self.amount_minor < 0 else ""
        digits = str(abs(self.amount_minor)).rjust(places + 1, "0")
        return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)

    def __str__(self) -> str:
        return f"{self.currency} {self.decimal()}"


def share_of(amount_minor: int, part: int, whole: int) -> int:
    """What `part` in `whole` of an amount comes to, rounded half up to the minor unit."""
    return (2 * amount_minor * part + whole) // (2 * whole)


def mask_account(account: str) -> str:
    """First six and last four digits of a card or account number, the rest as asterisks.

    Shorter numbers keep fewer, so that at least half stays hidden (PCI DSS 3.4).
    """
    if len(account) < 13:
        return "*" * max(len(account) - 2, 0) + account[-2:] if account else ""
    return account[:6] + "*" * (len(account) - 10) + account[-4:]
