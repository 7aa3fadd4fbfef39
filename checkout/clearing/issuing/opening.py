"""The legs that open an account."""

from __future__ import annotations

from checkout.clearing.issuing.accounts import Account
from checkout.clearing.ledger.ledger import Leg
from checkout.clearing.ledger.postings import _leg, client_money, payer_account
from checkout.clearing.scheme.participants import CardKind


def opening_legs(account: Account, holder: str) -> tuple[Leg, ...]:
    """What an account is opened with; a debt opens the other way round.

    A balance stored at a wallet operator is there in its client-money account as well.
    """
    own = payer_account(account.account, account.currency)
    equity = f"opening/{holder}/{account.currency}"
    if account.kind is CardKind.WALLET:
        equity = client_money(holder, account.currency)
    debit, credit = (equity, own) if account.balance_minor >= 0 else (own, equity)
    return (_leg(debit, credit, abs(account.balance_minor), "opening"),)
