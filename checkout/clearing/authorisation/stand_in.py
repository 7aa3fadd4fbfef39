"""Stand-in: what the network may approve for an issuer that does not answer; rules in TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources

from checkout.clearing.issuing.decision import Decision, expired
from checkout.clearing.messages import AuthorizationRequest, TransactionType


class StandInError(ValueError):
    """An entry of the rules' file that can't be used; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInRule:
    """What one issuer has agreed to, in fen: per purchase, and per account during an outage."""

    participant: str
    purchase_minor: int
    account_count: int
    account_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInUsage:
    """What was approved in the issuer's place for one account during this outage."""

    count: int = 0
    amount_minor: int = 0


@cache
def stand_in_rules() -> Mapping[str, StandInRule]:
    """The rules of `stand_in.toml` by participant, read once."""
    text = resources.files(__package__).joinpath("stand_in.toml").read_text("utf-8")
    return parse_stand_in(text)


def parse_stand_in(text: str) -> Mapping[str, StandInRule]:
    """Read rules from TOML; StandInError names the wrong entry."""
    rules: dict[str, StandInRule] = {}
    for entry in tomllib.loads(text).get("stand_in", ()):
        try:
            rule = StandInRule(**entry)
        except TypeError as error:
            raise StandInError(f"stand_in: {error}") from None
        if min(rule.purchase_minor, rule.account_count, rule.account_minor) <= 0:
            raise StandInError(f"{rule.participant}: expected limits above zero")
        rules[rule.participant] = rule
    return rules


def stand_in_decision(
    rule: StandInRule | None, request: AuthorizationRequest, before: StandInUsage, *, on: date
) -> Decision:
    """Whether the network approves a request in the issuer's place; 91 wherever it may not."""
    if rule is None:
        return Decision(response_code="91", reason="issuer-down")
    if request.transaction_type is not TransactionType.PURCHASE or request.currency != "CNY":
        return Decision(response_code="91", reason="issuer-down, not a purchase in renminbi")
    if request.pin_block is not None:
        return Decision(response_code="91", reason="issuer-down, PIN can't be checked")
    if request.expiry is not None and expired(request.expiry, on):
        return Decision(response_code="54", reason="expired")
    if request.amount_minor > rule.purchase_minor:
        return Decision(response_code="91", reason="issuer-down, over stand-in limit")
    if before.count >= rule.account_count:
        return Decision(response_code="91", reason="issuer-down, stand-in count used up")
    if before.amount_minor + request.amount_minor > rule.account_minor:
        return Decision(response_code="91", reason="issuer-down, stand-in amount used up")
    return Decision(response_code="00", reason="stand-in")
