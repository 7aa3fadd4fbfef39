"""What a day's payments come to: who owes whom, and what each merchant gets. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from checkout.clearing.scheme.fees import FeeSplit
from checkout.clearing.scheme.rules import House


class Movement(StrEnum):
    """What a settled payment is. A sale moves money forward, a return moves it back."""

    SALE = "sale"
    REFUND = "refund"
    CHARGEBACK = "chargeback"
    REPRESENTMENT = "representment"
    TOP_UP = "top-up"
    TOP_UP_RETURN = "top-up-return"

    @property
    def sign(self) -> int:
        """1 where the merchant or the wallet gets money, -1 where it gives it back."""
        return 1 if self in (Movement.SALE, Movement.REPRESENTMENT, Movement.TOP_UP) else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledPayment:
    """One posted payment, refund, dispute step or top-up, as it is netted.

    `split` is in `currency`, that of the sale, in which acquirer and merchant are paid. `holder` is
    the payer's issuer or wallet operator; `bank` is the linked bank of a quick payment. A holder
    abroad settles `holder_amount_minor` of `holder_currency`: `holder_owes(split)` by the day's
    rate. A top-up has no merchant.
    """

    id: str
    settlement_date: date
    movement: Movement
    split: FeeSplit
    currency: str
    merchant: str
    holder: str
    network: str
    acquirer: str | None = None  # four-party only
    bank: str | None = None  # three-party, quick payment
    holder_currency: str | None = None
    holder_amount_minor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionLeg:
    """One participant's part of one payment: positive is received, negative is owed."""

    participant: str
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetPosition:
    """What one participant receives (positive) or owes in one currency of one house's day."""

    house: House
    participant: str
    currency: str
    received_minor: int
    owed_minor: int
    count: int

    @property
    def net_minor(self) -> int:
        """Received less owed."""
        return self.received_minor - self.owed_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantStatement:
    """One merchant's day in one house and currency; `payout_minor` is paid to its account."""

    house: House
    merchant: str
    currency: str
    sales_count: int
    sales_minor: int
    returns_count: int
    returns_minor: int
    fees_minor: int  # of sales, less what went back with returns
    payout_minor: int


def holder_owes(split: FeeSplit) -> int:
    """What a four-party issuer owes for a sale: the amount less its own part of the fees."""
    return split.amount_minor - split.issuer_minor


def legs(payment: SettledPayment) -> tuple[PositionLeg, ...]:
    """The legs of one payment between participants; those of a currency add up to zero.

    A payment from a balance at the operator has none: payer and merchant are both with it.
    """
    sign, split, currency = payment.movement.sign, payment.split, payment.currency
    if split.house is House.THREE_PARTY:
        if payment.bank is None:
            return ()
        between = split.amount_minor - split.bank_minor
        sides = [(payment.bank, currency, -between), (payment.holder, currency, between)]
    else:
        if payment.acquirer is None:
            raise ValueError(f"payment {payment.id}: four-party without an acquirer")
        owed = holder_owes(split)
        paid = split.amount_minor - split.interchange_minor - split.network_from_acquirer_minor
        sides = [(payment.acquirer, currency, paid), (payment.network, currency, owed - paid)]
        if payment.holder_currency is None or payment.holder_currency == currency:
            sides.append((payment.holder, currency, -owed))
        else:
            abroad = payment.holder_amount_minor
            if abroad is None:
                raise ValueError(f"payment {payment.id}: no amount in {payment.holder_currency}")
            # The network exchanges: it receives one currency and pays out the other.
            sides += [
                (payment.network, currency, -owed),
                (payment.network, payment.holder_currency, abroad),
                (payment.holder, payment.holder_currency, -abroad),
            ]
    return tuple(
        PositionLeg(participant=party, currency=unit, amount_minor=sign * amount)
        for party, unit, amount in sides
        if amount
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DayClose:
    """What a day comes to.

    Positions are sorted by house, participant and currency, and those of a currency add up to zero
    in each house. Statements are sorted by house, merchant and currency.
    """

    positions: tuple[NetPosition, ...]
    statements: tuple[MerchantStatement, ...]


def close_day(payments: Iterable[SettledPayment]) -> DayClose:
    """Net a day's payments in Python, reading them once.

    `netting_engine.close_day` comes to the same where they are too many for that.
    """
    positions: dict[tuple[House, str, str], list[int]] = defaultdict(lambda: [0] * 3)
    merchants: dict[tuple[House, str, str], list[int]] = defaultdict(lambda: [0] * 6)
    for payment in payments:
        house = payment.split.house
        for leg in legs(payment):
            _add_leg(positions[house, leg.participant, leg.currency], leg.amount_minor)
        if payment.merchant:  # a top-up has none
            _add_payment(merchants[house, payment.merchant, payment.currency], payment)
    close = DayClose(positions=positions_of(positions), statements=_statements(merchants))
    assert_balanced(close.positions)
    return close


def net(payments: Iterable[SettledPayment]) -> tuple[NetPosition, ...]:
    """The net positions alone."""
    return close_day(payments).positions


def statements(payments: Iterable[SettledPayment]) -> tuple[MerchantStatement, ...]:
    """The merchants' statements alone."""
    return close_day(payments).statements


def assert_balanced(positions: Iterable[NetPosition]) -> None:
    """AssertionError where the positions of a house and currency don't add up to zero."""
    totals: dict[tuple[House, str], int] = defaultdict(int)
    for position in positions:
        totals[position.house, position.currency] += position.net_minor
    for (house, currency), total in totals.items():
        assert total == 0, f"{house} positions in {currency} are off by {total}"


def _add_leg(row: list[int], amount_minor: int) -> None:
    """Add to what is received, what is owed (both above zero) and how many legs there are."""
    row[0 if amount_minor > 0 else 1] += abs(amount_minor)
    row[2] += 1


def positions_of(sums: Mapping[tuple[House, str, str], list[int]]) -> tuple[NetPosition, ...]:
    """The sorted positions of summed legs: received, owed, and their count, which is not zero."""
    return tuple(
        NetPosition(
            house=house,
            participant=participant,
            currency=currency,
            received_minor=received,
            owed_minor=owed,
            count=count,
        )
        for (house, participant, currency), (received, owed, count) in sorted(sums.items())
        if count
    )


def _add_payment(row: list[int], payment: SettledPayment) -> None:
    """Add to count and amount of sales, count and amount of returns, fees and payout."""
    split, sign = payment.split, payment.movement.sign
    at = 0 if sign > 0 else 2
    row[at] += 1
    row[at + 1] += split.amount_minor
    row[4] += sign * split.merchant_fee_minor
    row[5] += sign * split.merchant_minor


def _statements(rows: Mapping[tuple[House, str, str], list[int]]) -> tuple[MerchantStatement, ...]:
    return tuple(
        MerchantStatement(
            house=house,
            merchant=merchant,
            currency=currency,
            sales_count=row[0],
            sales_minor=row[1],
            returns_count=row[2],
            returns_minor=row[3],
            fees_minor=row[4],
            payout_minor=row[5],
        )
        for (house, merchant, currency), row in sorted(rows.items())
    )
