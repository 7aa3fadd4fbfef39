"""The token vault: which payment token stands for which account, in the clearing tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta

import msgspec

from checkout.clearing.issuing.accounts import DemoToken
from checkout.clearing.issuing.world import World
from checkout.clearing.store import schema
from checkout.clearing.store.store import Store
from checkout.clearing.tokens.limited_use_keys import (
    LIMITED_DAYS,
    LIMITED_USES,
    KeyVerdict,
    LimitedKey,
    use_key,
)
from checkout.clearing.tokens.token_service import (
    ASSURANCE,
    PaymentToken,
    TokenDomain,
    TokenState,
    Verification,
    payment_account_reference,
)
from checkout.database import instant, micros

_read_token = msgspec.json.Decoder(PaymentToken).decode
#: A phone holds a few keys at a time and may use them in any order.
_KEYS_BEHIND = 5
_KEYS_AHEAD = 64


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
        self._keys: dict[str, dict[int, LimitedKey]] = {}

    def provision_demo(self, now: datetime) -> None:
        """Store the demo world's payment tokens that are missing."""
        del now
        known = {row[0] for row in self._store.query("SELECT number FROM clearing_tokens")}
        for number, token in self._world.accounts.payment_tokens.items():
            if number not in known:
                self.store_token(self._demo_token(token))

    def find(self, number: str) -> PaymentToken | None:
        """The payment token of a number; None for one that was never issued."""
        if number not in self._tokens:
            read = "SELECT details FROM clearing_tokens WHERE number = ?"
            rows = self._store.query(read, (number,), flushed=False)  # memory has all under way
            self._tokens[number] = _read_token(rows[0][0]) if rows else None
        return self._tokens[number]

    def store_token(self, token: PaymentToken) -> None:
        """Store a payment token as it is now."""
        self._tokens[token.number] = token
        details = json.dumps(asdict(token), sort_keys=True)
        self._store.put(
            schema.PUT_PAYMENT_TOKEN,
            token.number,
            (token.number, token.account, token.state, details),
        )

    def use_key(self, number: str, serial: int, now: datetime) -> KeyVerdict:
        """Count one payment on a phone's limited-use key.

        A key that a phone was personalised with is stored when it is first seen, unless its serial
        is older than the known ones or far ahead: a key that was used up can't come back.
        """
        record = self._known_keys(number).get(serial)
        if record is None and self._may_be_new(number, serial):
            record = LimitedKey(
                payment_token=number,
                serial=serial,
                uses_allowed=LIMITED_USES,
                expires_at=now + timedelta(days=LIMITED_DAYS),
            )
        verdict = use_key(record, now=now)
        if verdict.valid and verdict.record is not None:
            self.store_key(verdict.record)
        return verdict

    def store_key(self, record: LimitedKey) -> None:
        """Store what is known of a phone's key; never the key."""
        self._known_keys(record.payment_token)[record.serial] = record
        row = (
            record.payment_token,
            record.serial,
            record.uses_allowed,
            record.uses,
            micros(record.expires_at),
        )
        name = f"{record.payment_token}/{record.serial}"
        self._store.put(schema.PUT_PHONE_KEY, name, row)

    def _known_keys(self, number: str) -> dict[int, LimitedKey]:
        if number not in self._keys:
            rows = self._store.query(
                "SELECT serial, uses_allowed, uses, expires_us FROM clearing_phone_keys "
                "WHERE payment_token = ?",
                (number,),
                flushed=False,  # memory has every key under way
            )
            self._keys[number] = {
                row[0]: LimitedKey(
                    payment_token=number,
                    serial=row[0],
                    uses_allowed=row[1],
                    uses=row[2],
                    expires_at=instant(row[3]),
                )
                for row in rows
            }
        return self._keys[number]

    def _may_be_new(self, number: str, serial: int) -> bool:
        newest = max(self._known_keys(number), default=0)
        return newest - _KEYS_BEHIND < serial <= newest + _KEYS_AHEAD

    def reference(self, account: str) -> str:
        """The payment account reference (PAR) of an account."""
        reference = self._references.get(account)
        if reference is None:
            reference = payment_account_reference(account, self._secret())
            self._references[account] = reference
        return reference

    def _demo_token(self, demo: DemoToken) -> PaymentToken:
        return PaymentToken(
            number=demo.payment_token,
            account=demo.account,
            requestor_id=self._world.participants.token_requestors[demo.requestor].id,
            domain=TokenDomain(demo.domain),
            expiry=demo.expiry,
            reference=self.reference(demo.account),
            state=TokenState.ACTIVE,
            assurance=ASSURANCE[Verification.BANK_APP],
            merchant=demo.merchant,
        )
