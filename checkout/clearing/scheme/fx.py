"""Foreign exchange by date: one amount in transaction, settlement and billing currency."""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import cache
from importlib import resources

from checkout.money import Money, exponent

HOME = "CNY"


class RateError(ValueError):
    """There is no rate for a currency on a date, or the rates' file is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """One exchange: `rate` is units of `into` for one unit of the source, markup included.

    `markup_minor` is the markup's part of the result.
    """

    source: Money
    into: Money
    rate: Fraction
    markup_minor: int

    def rate_field(self) -> str:
        """The rate as in DE9 and DE10: one digit of decimals, then seven digits, rounded half up.

        ISO 8583:1987, data elements 9 and 10 (conversion rates).
        """
        for decimals in range(9, -1, -1):
            digits = _half_up(self.rate * 10**decimals)
            if digits < 10**7:
                return f"{decimals}{digits:07}"
        raise RateError(f"rate: {float(self.rate):.3f} does not fit seven digits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """The same sale in three currencies: DE4 and DE49, DE5 and DE50, DE6 and DE51.

    Settlement is what the account's issuer owes the network; billing is what the payer's account is
    charged, including the markup.
    """

    transaction: Money
    settlement: Conversion
    billing: Conversion


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTable:
    """Renminbi for one unit of each currency, from each of `days` on."""

    days: tuple[date, ...]
    rates: tuple[Mapping[str, Fraction], ...]
    markups: Mapping[str, Fraction]  # by participant

    def rate(self, source: str, into: str, on: date) -> Fraction:
        """Units of `into` for one unit of `source`, across renminbi; RateError if unknown."""
        return self._in_renminbi(source, on) / self._in_renminbi(into, on)

    def convert(
        self, amount: Money, into: str, *, on: date, markup: Fraction = Fraction(0)
    ) -> Conversion:
        """Exchange an amount by the day's rate plus markup.

        Takes both currencies' exponents (0, 2 or 3) into account, and rounds half up to the minor
        unit once, at the end. An amount in the same currency stays unchanged, without markup.
        """
        if amount.currency == into:
            return Conversion(source=amount, into=amount, rate=Fraction(1), markup_minor=0)
        plain = self.rate(amount.currency, into, on)
        scale = Fraction(10) ** (exponent(into) - exponent(amount.currency))
        marked_up = plain * (1 + markup)
        result = _half_up(amount.amount_minor * scale * marked_up)
        return Conversion(
            source=amount,
            into=Money(amount_minor=result, currency=into),
            rate=marked_up,
            markup_minor=result - _half_up(amount.amount_minor * scale * plain),
        )

    def amounts(
        self, amount: Money, *, settlement: str, billing: str, participant: str, on: date
    ) -> Amounts:
        """All three amounts of a sale whose account is kept by `participant`."""
        markup = self.markups.get(participant, Fraction(0))
        return Amounts(
            transaction=amount,
            settlement=self.convert(amount, settlement, on=on),
            billing=self.convert(amount, billing, on=on, markup=markup),
        )

    def _in_renminbi(self, currency: str, on: date) -> Fraction:
        if currency == HOME:
            return Fraction(1)
        at = bisect_right(self.days, on)
        if at == 0 or currency not in self.rates[at - 1]:
            raise RateError(f"rate: none for {currency} on {on.isoformat()}")
        return self.rates[at - 1][currency]


@cache
def demo_rates() -> RateTable:
    """The rates of `fx_rates.toml`, read once."""
    return parse_rates(resources.files(__package__).joinpath("fx_rates.toml").read_text("utf-8"))


def parse_rates(text: str) -> RateTable:
    """Read rates and markups from TOML; RateError names what is wrong."""
    tables = tomllib.loads(text)
    days: list[date] = []
    rates: list[dict[str, Fraction]] = []
    try:
        for entry in tables["rates"]:
            days.append(entry["effective_from"])
            quoted = {key: Fraction(value) for key, value in entry.items() if len(key) == 3}
            if any(rate <= 0 for rate in quoted.values()):
                raise RateError(f"rates of {days[-1]}: expected more than zero")
            rates.append(quoted)
        markups = {
            key: Fraction(value.removesuffix("%")) / 100 for key, value in tables["markup"].items()
        }
    except RateError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
        raise RateError(f"rates: {error}") from None
    if days != sorted(set(days)) or not days:
        raise RateError("rates: expected at least one day, in order of effective_from")
    return RateTable(days=tuple(days), rates=tuple(rates), markups=markups)


def _half_up(exact: Fraction) -> int:
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
