"""The simulated world's participants, rules and accounts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from checkout.clearing.issuing.accounts import DemoWorld, demo_accounts
from checkout.clearing.scheme.fx import RateTable, demo_rates
from checkout.clearing.scheme.participants import Participants, demo_participants
from checkout.clearing.scheme.rules import Rules, rules_in, rules_of_china


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Accounts, participants, rules and rates of one backend."""

    accounts: DemoWorld = field(default_factory=demo_accounts)
    participants: Participants = field(default_factory=demo_participants)
    rules: Rules = field(default_factory=rules_of_china)
    rates: RateTable = field(default_factory=demo_rates)


def own_world(home: Path) -> World:
    """The demo world by the rules of this home folder, where it has its own; RulesError."""
    return World(rules=rules_in(home))
