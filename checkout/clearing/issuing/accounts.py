"""Payers' accounts: their terms and their state as frozen values, and those of the demo world."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

from checkout.clearing.scheme.participants import CardKind
from checkout.clearing.scheme.rules import AccountClass
from checkout.money import exponent, mask_account


class AccountStatus(StrEnum):
    """Whether an account may pay, by its issuer or wallet operator."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    LOST = "lost"
    STOLEN = "stolen"
    CLOSED = "closed"


class AccountsError(ValueError):
    """An entry of the accounts' file that can't be used; the message names entry and field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The terms of one account; amounts in minor units of `currency`.

    `balance_minor` is the opening balance; the ledger has the present one. `expiry` is YYMM; `repr`
    leaves out the demo's `pin`.
    """

    account: str = field(repr=False)
    payer: str
    title: str
    purpose: str
    kind: CardKind
    currency: str
    expiry: str
    pin: str = field(repr=False)
    balance_minor: int
    account_class: AccountClass | None = None
    credit_line_minor: int = 0
    status: AccountStatus = AccountStatus.ACTIVE
    barcode_level: str = "C"
    barcode_contract_minor: int | None = None  # per day, at level A
    transaction_limit_minor: int | None = None  # set by the account holder
    day_count_limit: int | None = None
    linked_account: str | None = field(default=None, repr=False)  # pays instead of this one
    funding_account: str | None = field(default=None, repr=False)  # tops its balance up

    @property
    def masked(self) -> str:
        """First six and last four digits."""
        return mask_account(self.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """An account as it is now.

    `balance_minor` is what was posted (negative where the payer owes), `held_minor` what is
    authorised and not yet posted; `last_atc` is None before the first cryptogram. `spent_minor` is
    all that was ever paid from it, for the class with a lifetime limit.
    """

    account: Account
    balance_minor: int
    held_minor: int = 0
    status: AccountStatus = AccountStatus.ACTIVE
    pin_tries_left: int = 3
    last_atc: int | None = None
    spent_minor: int = 0

    @property
    def available_minor(self) -> int:
        """What may still be spent, including the credit line."""
        return self.balance_minor + self.account.credit_line_minor - self.held_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoToken:
    """A payment token of the demo world and the phone that holds it."""

    payment_token: str = field(repr=False)
    account: str = field(repr=False)
    payer: str
    title: str
    purpose: str
    requestor: str
    domain: str
    keys: str  # "secure-element" or "limited-use"
    expiry: str
    merchant: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoWorld:
    """Accounts and payment tokens by their numbers."""

    accounts: Mapping[str, Account]
    payment_tokens: Mapping[str, DemoToken]

    def by_payer(self, payer: str) -> Account | DemoToken | None:
        """The account or token behind a payer's name such as `unionpay-debit`."""
        everything: tuple[Account | DemoToken, ...] = (
            *self.accounts.values(),
            *self.payment_tokens.values(),
        )
        return next((one for one in everything if one.payer == payer), None)


@cache
def demo_accounts() -> DemoWorld:
    """The accounts of `demo_accounts.toml`, read once."""
    text = resources.files(__package__).joinpath("demo_accounts.toml").read_text("utf-8")
    return parse_accounts(text)


def parse_accounts(text: str) -> DemoWorld:
    """Read accounts and payment tokens from TOML; AccountsError names what is wrong."""
    tables = tomllib.loads(text)
    accounts: dict[str, Account] = {}
    for entry in tables.get("account", ()):
        account = _account(entry)
        if account.account in accounts:
            raise AccountsError(f"account {account.masked}: stands twice")
        accounts[account.account] = account
    payment_tokens: dict[str, DemoToken] = {}
    for entry in tables.get("payment_token", ()):
        try:
            token = DemoToken(**entry)
        except TypeError as error:
            raise AccountsError(f"payment token: {error}") from None
        _check_number(token.payment_token, "payment token")
        if token.account not in accounts:
            raise AccountsError(f"payment token of {token.payer}: its account is not listed")
        payment_tokens[token.payment_token] = token
    for account in accounts.values():
        for named in (account.linked_account, account.funding_account):
            if named is not None and named not in accounts:
                raise AccountsError(f"account {account.masked}: its linked account is not listed")
        if account.linked_account is not None and account.funding_account is not None:
            raise AccountsError(
                f"account {account.masked}: linked for payments, so never topped up"
            )
    return DemoWorld(accounts=accounts, payment_tokens=payment_tokens)


def enrolled_account(
    number: str, last_four: str, account_class: AccountClass, balance_minor: int
) -> Account:
    """The account that represents a real card; it has no PIN, and an expiry in the far future."""
    return Account(
        account=number,
        payer=f"enrolled-{last_four}",
        title=f"Enrolled card ending in {last_four}",
        purpose="A real card's stand-in with demo money; its cryptogram cannot be verified here",
        kind=CardKind.DEBIT,
        currency="CNY",
        expiry="9912",
        pin="",
        balance_minor=balance_minor,
        account_class=account_class,
    )


def luhn_valid(number: str) -> bool:
    """Whether a card number's last digit is its check digit (ISO/IEC 7812-1, Luhn formula)."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = (digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _account(entry: dict[str, Any]) -> Account:
    try:
        account = Account(
            **{
                **entry,
                "kind": CardKind(entry.get("kind", "")),
                "status": AccountStatus(entry.get("status", AccountStatus.ACTIVE)),
                "account_class": (
                    AccountClass(entry["account_class"]) if "account_class" in entry else None
                ),
            }
        )
        exponent(account.currency)
    except (TypeError, ValueError) as error:
        raise AccountsError(f"account of {entry.get('payer')!r}: {error}") from None
    _check_number(account.account, f"account of {account.payer!r}")
    return account


def _check_number(number: str, entry: str) -> None:
    fits = number.isascii() and number.isdigit() and 13 <= len(number) <= 19
    if not fits or not number.startswith("9999") or not luhn_valid(number):
        raise AccountsError(f"{entry}: expected 13 to 19 digits from 9999 on with a check digit")
