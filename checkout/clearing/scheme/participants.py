"""The participants of the demo world and their account ranges."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any


class Role(StrEnum):
    """What a participant does in the sale."""

    ISSUER = "issuer"
    ACQUIRER = "acquirer"
    NETWORK = "network"
    TOKEN_SERVICE = "token-service"  # noqa: S105
    WALLET_OPERATOR = "wallet-operator"


class CardKind(StrEnum):
    """The kind of account behind a number; decides the fees and the ledger entries."""

    DEBIT = "debit"
    CREDIT = "credit"
    TOKEN = "token"  # noqa: S105
    WALLET = "wallet"


class Scheme(StrEnum):
    """The scheme whose cryptograms a card computes."""

    UNIONPAY = "unionpay"
    VISA = "visa"
    MASTERCARD = "mastercard"
    WALLET = "wallet"


class ParticipantsError(ValueError):
    """An entry of the participants' file that can't be used; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """One party; `institution` is its number in DE32 and DE33, 8 digits."""

    id: str
    name: str
    role: Role
    institution: str
    country: str  # numeric ISO 3166
    currency: str  # of its settlement account

    @property
    def settlement_account(self) -> str:
        """Ledger name of the account by which its net position is settled."""
        return f"settlement/{self.id}/{self.currency}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRange:
    """An issuer identification number and the kind of its accounts.

    A range that is not `verifiable` is for real cards, whose cryptogram keys nobody here has.
    """

    prefix: str
    participant: str
    card_kind: CardKind
    scheme: Scheme
    verifiable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequestor:
    """Who may ask for payment tokens; `id` has eleven digits and travels in DE63."""

    id: str
    name: str
    title: str
    domains: tuple[str, ...]
    keys: str  # "secure-element", "limited-use" or "single-use"


@dataclass(frozen=True, slots=True, kw_only=True)
class Participants:
    """The whole network: participants by id, ranges by prefix, token requestors by name."""

    by_id: Mapping[str, Participant]
    ranges: Mapping[str, AccountRange]
    by_institution: Mapping[str, Participant]
    token_requestors: Mapping[str, TokenRequestor]

    def range_of(self, account: str) -> AccountRange | None:
        """The range of an account number, by its longest prefix; None where there is none."""
        for length in (8, 6):
            found = self.ranges.get(account[:length])
            if found is not None:
                return found
        return None

    def holder_of(self, account: str) -> Participant | None:
        """The issuer or wallet operator of an account; None where the number has none."""
        found = self.range_of(account)
        return None if found is None else self.by_id[found.participant]

    def signing_on(self) -> tuple[Participant, ...]:
        """Who may sign on to the network: acquirers, and operators for their payers' top-ups."""
        return self.with_role(Role.ACQUIRER) + self.with_role(Role.WALLET_OPERATOR)

    def with_role(self, role: Role) -> tuple[Participant, ...]:
        """All participants of one role, in the file's order."""
        return tuple(participant for participant in self.by_id.values() if participant.role is role)


@cache
def demo_participants() -> Participants:
    """The participants of the demo world, read once from `participants.toml`."""
    text = resources.files(__package__).joinpath("participants.toml").read_text("utf-8")
    return parse_participants(text)


def parse_participants(text: str) -> Participants:
    """Read participants and ranges from TOML; ParticipantsError names the entry at fault."""
    tables = tomllib.loads(text)
    by_id: dict[str, Participant] = {}
    for entry in tables.get("participant", ()):
        role = _one_of(Role, entry.get("role"), "participant")
        participant = _built(Participant, {**entry, "role": role}, "participant")
        if participant.id in by_id:
            raise ParticipantsError(f"participant: {participant.id!r} stands twice")
        by_id[participant.id] = participant
    ranges: dict[str, AccountRange] = {}
    for entry in tables.get("range", ()):
        fields = {
            **entry,
            "card_kind": _one_of(CardKind, entry.get("card_kind"), "range"),
            "scheme": _one_of(Scheme, entry.get("scheme"), "range"),
        }
        account_range = _built(AccountRange, fields, "range")
        prefix, owner = account_range.prefix, account_range.participant
        if owner not in by_id:
            raise ParticipantsError(f"range {prefix}: no participant {owner!r}")
        if prefix in ranges or len(prefix) not in (6, 8) or not prefix.isdigit():
            raise ParticipantsError(f"range {prefix}: expected 6 or 8 digits, once")
        ranges[prefix] = account_range
    requestors = [
        _built(TokenRequestor, {**entry, "domains": tuple(entry.get("domains", ()))}, "requestor")
        for entry in tables.get("token_requestor", ())
    ]
    return Participants(
        by_id=by_id,
        ranges=ranges,
        by_institution={participant.institution: participant for participant in by_id.values()},
        token_requestors={requestor.name: requestor for requestor in requestors},
    )


def _one_of(kind: type[StrEnum], value: Any, entry: str) -> StrEnum:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise ParticipantsError(f"{entry}: expected one of {known}, got {value!r}") from None


def _built(kind: Any, fields: dict[str, Any], entry: str) -> Any:
    try:
        return kind(**fields)
    except TypeError as error:
        raise ParticipantsError(f"{entry}: {error}") from None
