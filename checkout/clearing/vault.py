"""The token vault: which payment token stands for which account, kept in the clearing tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from checkout.clearing import schema
from checkout.clearing.accounts import DemoToken
from checkout.clearing.store import Store
from checkout.clearing.tokens import (
    ASSURANCE,
    PaymentToken,
    TokenDomain,
    TokenState,
    Verification,
    payment_account_reference,
)

if TYPE_CHECKING:
    from checkout.clearing.backend import World


class Vault:
    """All payment tokens, read on first use and written with the store's batch."""

    def __init__(self, store: Store, world: World, *, secret: Callable[[], bytes]) -> None:
        self._store = store
        self._world = world
        self._secret = secret
        self._references: dict[str, str] = {}
        self.forget()

    def forget(self) -> None:
        """Drop what is in memory, after a batch that could not be written."""
        self._tokens: dict[str, PaymentToken | None] = {}

    def provision_demo(self, now: datetime) -> None:
        """Put the demo world's payment tokens in, where they are missing."""
        del now
        known = {row[0] for row in self._store.query("SELECT number FROM clearing_tokens")}
        for number, one in self._world.accounts.payment_tokens.items():
            if number not in known:
                self.keep(self._demo_token(one))

    def find(self, number: str) -> PaymentToken | None:
        """The payment token of a number; None for one that was never given out."""
        if number not in self._tokens:
            rows = self._store.query(
                "SELECT details FROM clearing_tokens WHERE number = ?", (number,)
            )
            self._tokens[number] = _read(rows[0][0]) if rows else None
        return self._tokens[number]

    def keep(self, token: PaymentToken) -> None:
        """Write a payment token as it is now."""
        self._tokens[token.number] = token
        details = json.dumps(asdict(token), sort_keys=True)
        self._store.put(
            schema.PUT_PAYMENT_TOKEN,
            token.number,
            (token.number, token.account, token.state, details),
        )

    def reference(self, account: str) -> str:
        """The payment account reference (PAR) of an account."""
        found = self._references.get(account)
        if found is None:
            found = payment_account_reference(account, self._secret())
            self._references[account] = found
        return found

    def _demo_token(self, one: DemoToken) -> PaymentToken:
        return PaymentToken(
            number=one.payment_token,
            account=one.account,
            requestor_id=self._world.participants.token_requestors[one.requestor].id,
            domain=TokenDomain(one.domain),
            expiry=one.expiry,
            reference=self.reference(one.account),
            state=TokenState.ACTIVE,
            assurance=ASSURANCE[Verification.BANK_APP],
            merchant=one.merchant,
        )


def _read(details: str) -> PaymentToken:
    held = json.loads(details)
    return PaymentToken(
        **(held | {"domain": TokenDomain(held["domain"]), "state": TokenState(held["state"])})
    )
