"""The legs of every kind of entry: between which accounts a payment moves money. No I/O.

Names end in the currency. `payer/...` are deposits and credit lines, `position/...` what a
participant owes the others (credit) or is owed (debit) until settlement, `merchant/...` what a
merchant is owed, `income/...` and `expense/...` fees, `client-money/...` the account at a bank that
covers the balances of a wallet operator's payers. The positions of every entry add up to zero, so
those of a day do too.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from checkout.clearing.ledger.ledger import Leg, Transfer
from checkout.clearing.scheme.fees import FeeSplit
from checkout.clearing.scheme.rules import House

#: The purpose of the bank's leg of a top-up, which no other entry has.
TOP_UP_DRAWN = "top-up drawn"


class Parties(msgspec.Struct, frozen=True, kw_only=True):
    """The parties of one payment, by participant id; amounts are in `currency`.

    `holder` keeps the payer's account, whose currency is `billing_currency`. `bank` and
    `linked_account` are those of a wallet's quick payment.
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
    """A pre-authorisation: the payer's money is held, and nobody else gets any of it yet."""
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
    """A sale from payer to merchant, with all fees."""
    if split.house is House.THREE_PARTY:
        return _wallet_legs(parties, split)
    return _network_legs(parties, split)


def top_up_legs(parties: Parties) -> tuple[Leg, ...]:
    """A top-up of a stored balance from the payer's own bank account.

    The bank owes the network what it took from the account, and the operator owes the payer the
    balance. At the close of the day the operator pays as much into its client-money account.
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
    """Ledger name of the account at a bank that covers the balances of an operator's payers."""
    return f"client-money/{operator}/{currency}"


def is_top_up(transfers: Iterable[Transfer]) -> bool:
    """Whether an entry is a top-up, gives one back, or undoes either."""
    return any(plain_purpose(transfer.purpose) == TOP_UP_DRAWN for transfer in transfers)


def return_legs(parties: Parties, split: FeeSplit) -> tuple[Leg, ...]:
    """A refund: a sale of `split` the other way round."""
    return returned_legs(sale_legs(parties, split))


def returned_legs(legs: Iterable[Leg]) -> tuple[Leg, ...]:
    """The same legs the other way round, as a return."""
    return tuple(
        Leg(
            debit=leg.credit,
            credit=leg.debit,
            amount_minor=leg.amount_minor,
            currency=leg.currency,
            purpose=f"returned {leg.purpose}",
        )
        for leg in legs
    )


def split_of(amount_minor: int, house: House, transfers: Iterable[Transfer]) -> FeeSplit:
    """The fees of a sale, read back from its transfers."""
    amounts = {plain_purpose(transfer.purpose): transfer.amount_minor for transfer in transfers}
    return FeeSplit(
        amount_minor=amount_minor,
        house=house,
        interchange_minor=amounts.get("interchange", 0),
        network_from_acquirer_minor=amounts.get("network fee from acquirer", 0),
        network_from_issuer_minor=amounts.get("network fee from issuer", 0),
        acquirer_minor=amounts.get("acquirer fee", 0),
        operator_minor=amounts.get("operator fee", 0),
        bank_minor=amounts.get("bank fee", 0),
    )


def plain_purpose(purpose: str) -> str:
    """The purpose of a transfer, without what was put before it when it was returned or undone."""
    while purpose.startswith(("returned ", "reversed ")):
        purpose = purpose.split(" ", 1)[1]
    return purpose


def payer_of(transfers: Iterable[Transfer]) -> str:
    """The account number that a sale or hold was paid from; empty where no payer is in it."""
    for transfer in transfers:
        for side in (transfer.debit, transfer.credit):
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
    """All sales of a merchant have the same names, so they are put together once."""
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
    """The operator is between payer and merchant; a linked bank pays it in a quick payment."""
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
