"""Demo accounts for real cards: the operator opens one under a number that stands for the card.

The number is a surrogate, a keyed hash that only the shop can compute. No issuer here has the
card's keys, so its cryptogram cannot be verified. The account may pay all the same, up to the limit
without a PIN, because nobody is ever asked for a real PIN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.authorisation.context import MessageContext
from checkout.clearing.issuing.accounts import Account, enrolled_account, luhn_valid
from checkout.clearing.scheme.rules import AccountClass

#: Balance and class of an enrolled card unless others are named: CNY 1,000.00, class II.
BALANCE_MINOR = 100_000
ACCOUNT_CLASS = AccountClass.II

_LARGEST_BALANCE = 10_000_000
_FOUR = re.compile(r"[0-9]{4}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{16}", re.ASCII)


class CardEnrolment:
    """Opens accounts in the range whose cards nobody here can verify."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def enrol(self, arguments: Mapping[str, Any], context: MessageContext) -> dict[str, Any]:
        """`account`, `last_four`, and optionally `balance_minor` and `account_class`.

        The account of a card that is enrolled already stays as it is. ValueError names the field.
        """
        number, four = str(arguments["account"]), str(arguments["last_four"])
        accounts, known = self._backend.accounts, self._backend.participants.range_of(number)
        if known is None or known.verifiable:
            raise ValueError("account: expected one of the range that stands for real cards")
        if not _NUMBER.fullmatch(number) or not luhn_valid(number):
            raise ValueError("account: expected 16 digits with a check digit")
        if not _FOUR.fullmatch(four):
            raise ValueError("last_four: expected four digits")
        fresh = accounts.account(number) is None
        if fresh:
            accounts.admit(self._account(number, four, arguments, context), four, context.now)
        state = accounts.state(number)
        assert state is not None
        graded = state.account.account_class
        return {
            "enrolled": fresh,
            "title": state.account.title,
            "balance_minor": state.available_minor,
            "currency": state.account.currency,
            "account_class": None if graded is None else graded.value,
        }

    def _account(
        self, number: str, last_four: str, arguments: Mapping[str, Any], context: MessageContext
    ) -> Account:
        try:
            graded = AccountClass(arguments.get("account_class", ACCOUNT_CLASS))
        except ValueError:
            known = ", ".join(AccountClass)
            raise ValueError(f"account_class: expected one of {known}") from None
        rules = self._backend.world.rules.on(context.business_date).bank_account.get(graded)
        most = _LARGEST_BALANCE
        if rules is not None and rules.balance_minor is not None:
            most = rules.balance_minor
        balance = int(arguments.get("balance_minor", min(BALANCE_MINOR, most)))
        if not 0 <= balance <= most:
            raise ValueError(f"balance_minor: expected 0 to {most} in class {graded}")
        return enrolled_account(number, last_four, graded, balance)
