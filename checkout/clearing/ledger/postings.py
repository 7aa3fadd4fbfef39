"""Which accounts a payment moves money between: legs for every kind of entry. No I/O.

Names end in the currency. `payer/...` are deposits and credit lines, `position/...` what a
participant owes the others (credit) or is owed (debit) until settlement, `merchant/...` what a
merchant is owed, `income/...` and `expense/...` fees, `client-money/...` what a wallet operator
keeps apart for the balances of its payers. Every entry's positions add up to zero, so
netting does too.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from checkout.clearing.ledger.ledger import Leg, Transfer
from checkout.clearing.scheme.fees import FeeSplit
from checkout.clearing.scheme.rules import House

#: What the bank's part of a top-up is for; it tells a top-up from everything else.
TOP_UP_DRAWN = "top-up drawn"


class Parties(msgspec.Struct, frozen=True, kw_only=True):
    """Who stands around one payment, by participant id; amounts are in `currency`.

    `holder` keeps the payer's account, whose currency is `billing_currency`; `bank` and
    `bank_account` are those of a wallet's linked account in a quick payment.
    """

    account: str
    billing_currency: str
    billing_minor: int
    holder: str
    acquirer: str
    merchant: str
    currency: str
    network: str = "network"
    bank: str | None = None
    linked_account: str | None = None


def payer_account(number: str, currency: str) -> str:
    """Ledger name of a payer's account."""
    return f"payer/{number}/{currency}"


def position(participant: str, currency: str) -> str:
    """Ledger name of what a participant owes the others (credit) or is owed (debit)."""
    return f"position/{participant}/{currency}"


def opening_legs(
    number: str, currency: str, balance_minor: int, *, holder: str, is_stored: bool
) -> tuple[Leg, ...]:
    """What a payer's account is opened with, out of its holder's equity; a debt goes the other way.

    A balance that `is_stored` at a wallet operator comes out of the operator's client money.
    """
    own = payer_account(number, currency)
    against = client_money(holder, currency) if is_stored else f"opening/{holder}/{currency}"
    debit, credit = (against, own) if balance_minor >= 0 else (own, against)
    return (_leg(debit, credit, abs(balance_minor), "opening"),)


def hold_legs(parties: Parties) -> tuple[Leg, ...]:
    """A pre-authorisation: the payer's money is held, nobody else has any of it yet."""
    quick = parties.linked_account is not None
    return (
        _leg(
            payer_account(parties.linked_account or parties.account, parties.billing_currency),
            f"held/{parties.holder}/{parties.billing_currency}",
            parties.billing_minor,
            "quick hold" if quick else "hold",
        ),
    )


def sale_legs(parties: Parties, split: FeeSplit) -> tuple[Leg, ...]:
    """A sale from payer to merchant with everyone's fees."""
    if split.house is House.THREE_PARTY:
        return _wallet_legs(parties, split)
    return _network_legs(parties, split)


def top_up_legs(parties: Parties) -> tuple[Leg, ...]:
    """A top-up of a stored balance from the payer's own bank account, in both houses' books.

    The bank owes what it has taken from its customer, the operator owes its own the balance; at
    the close of the day the operator puts as much into its client-money account.
    """
    assert parties.bank is not None and parties.linked_account is not None
    currency, amount = parties.currency, parties.billing_minor
    bank = position(parties.bank, currency)
    operator = position(parties.holder, currency)
    return (
        _leg(payer_account(parties.linked_account, currency), bank, amount, TOP_UP_DRAWN),
        _leg(operator, payer_account(parties.account, currency), amount, "top-up credited"),
    )


def client_money(operator: str, currency: str) -> str:
    """Ledger name of the account at a bank where an operator keeps its payers' balances apart."""
    return f"client-money/{operator}/{currency}"


def is_top_up(transfers: Iterable[Transfer]) -> bool:
    """Whether an entry tops a stored balance up, gives a top-up back, or undoes either."""
    return any(plain_purpose(one.purpose) == TOP_UP_DRAWN for one in transfers)


def return_legs(parties: Parties, split: FeeSplit) -> tuple[Leg, ...]:
    """A refund: a sale of `split` the other way round."""
    return returned_legs(sale_legs(parties, split))


def returned_legs(legs: Iterable[Leg]) -> tuple[Leg, ...]:
    """The same legs the other way round, as something that is given back."""
    return tuple(
        Leg(
            debit=one.credit,
            credit=one.debit,
            amount_minor=one.amount_minor,
            currency=one.currency,
            purpose=f"returned {one.purpose}",
        )
        for one in legs
    )


def split_of(amount_minor: int, house: House, transfers: Iterable[Transfer]) -> FeeSplit:
    """The fees of a sale as they were booked."""
    booked = {plain_purpose(one.purpose): one.amount_minor for one in transfers}
    return FeeSplit(
        amount_minor=amount_minor,
        house=house,
        interchange_minor=booked.get("interchange", 0),
        network_from_acquirer_minor=booked.get("network fee from acquirer", 0),
        network_from_issuer_minor=booked.get("network fee from issuer", 0),
        acquirer_minor=booked.get("acquirer fee", 0),
        operator_minor=booked.get("operator fee", 0),
        bank_minor=booked.get("bank fee", 0),
    )


def plain_purpose(purpose: str) -> str:
    """What a transfer was for before it was given back or undone."""
    while purpose.startswith(("returned ", "reversed ")):
        purpose = purpose.split(" ", 1)[1]
    return purpose


def payer_of(transfers: Iterable[Transfer]) -> str:
    """The account number that a sale or hold was paid from; empty where it was nobody's."""
    for one in transfers:
        for side in (one.debit, one.credit):
            if side.startswith("payer/"):
                return side.split("/")[1]
    return ""


def _network_legs(parties: Parties, split: FeeSplit) -> tuple[Leg, ...]:
    """Issuer, network, acquirer, merchant; the issuer owes amount less its part of the fees."""
    currency = parties.currency
    names = _network_names(
        parties.holder, parties.acquirer, parties.network, parties.merchant, currency
    )
    return (
        *_payer_legs(parties, split.amount_minor, names.issuer),
        Leg(names.acquirer, names.merchant, split.merchant_minor, currency, "sale"),
        Leg(names.acquirer, names.acquiring, split.acquirer_minor, currency, "acquirer fee"),
        Leg(names.issuer, names.interchange, split.interchange_minor, currency, "interchange"),
        Leg(
            names.issuer_expense,
            names.issuer,
            split.network_from_issuer_minor,
            currency,
            "network fee, issuer",
        ),
        Leg(
            names.network,
            names.from_issuers,
            split.network_from_issuer_minor,
            currency,
            "network fee from issuer",
        ),
        Leg(
            names.network,
            names.from_acquirers,
            split.network_from_acquirer_minor,
            currency,
            "network fee from acquirer",
        ),
    )


class _Names(NamedTuple):
    """The ledger names around a sale in the four-party network, all but the payer's."""

    issuer: str
    acquirer: str
    network: str
    merchant: str
    acquiring: str
    interchange: str
    issuer_expense: str
    from_issuers: str
    from_acquirers: str


@lru_cache(maxsize=4096)
def _network_names(
    holder: str, acquirer: str, network: str, merchant: str, currency: str
) -> _Names:
    """A merchant's sales come again and again: their names are put together once."""
    return _Names(
        issuer=position(holder, currency),
        acquirer=position(acquirer, currency),
        network=position(network, currency),
        merchant=f"merchant/{acquirer}/{merchant}/{currency}",
        acquiring=f"income/{acquirer}/acquiring/{currency}",
        interchange=f"income/{holder}/interchange/{currency}",
        issuer_expense=f"expense/{holder}/network/{currency}",
        from_issuers=f"income/{network}/issuers/{currency}",
        from_acquirers=f"income/{network}/acquirers/{currency}",
    )


def _payer_legs(parties: Parties, amount_minor: int, issuer: str) -> tuple[Leg, ...]:
    """Out of the payer's account, through an exchange account where the currency is another."""
    payer = payer_account(parties.account, parties.billing_currency)
    if parties.billing_currency == parties.currency:
        return (_leg(payer, issuer, amount_minor, "purchase"),)
    return (
        _leg(
            payer,
            f"exchange/{parties.holder}/{parties.billing_currency}",
            parties.billing_minor,
            "purchase, billed",
        ),
        _leg(
            f"exchange/{parties.holder}/{parties.currency}",
            issuer,
            amount_minor,
            "purchase, exchanged",
        ),
    )


def _wallet_legs(parties: Parties, split: FeeSplit) -> tuple[Leg, ...]:
    """The operator stands between payer and merchant; a linked bank pays it in quick payment."""
    currency = parties.currency
    operator = position(parties.holder, currency)
    merchant = f"merchant/{parties.holder}/{parties.merchant}/{currency}"
    income = f"income/{parties.holder}/wallet/{currency}"
    paid_out = (
        _leg(operator, merchant, split.merchant_minor, "sale"),
        _leg(operator, income, split.operator_minor, "operator fee"),
    )
    if parties.bank is None or parties.linked_account is None:
        own = payer_account(parties.account, currency)
        return (_leg(own, operator, split.amount_minor, "wallet payment"), *paid_out)
    bank = position(parties.bank, currency)
    linked = payer_account(parties.linked_account, currency)
    return (
        _leg(linked, bank, split.amount_minor, "quick payment"),
        _leg(bank, f"income/{parties.bank}/wallet/{currency}", split.bank_minor, "bank fee"),
        *paid_out,
    )


def _leg(debit: str, credit: str, amount_minor: int, purpose: str) -> Leg:
    return Leg(debit, credit, amount_minor, debit[-3:], purpose)
