"""When the shop queries and when it revokes while a payer types a PIN on the phone (USERPAYING).

The Chinese wallets document this schedule for payment codes: ask first after 5 s, then every
10 s up to 30 s, then revoke; never revoke sooner than 15 s after creation, and a revocation
refunds what turns out to have been paid.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Action(StrEnum):
    """What the counter does next."""

    QUERY = "query"
    REVOKE = "revoke"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySchedule:
    """Seconds after the payment was created; ValueError where they contradict each other."""

    first_query_s: float = 5.0
    query_every_s: float = 10.0
    wait_at_most_s: float = 30.0
    revoke_no_sooner_s: float = 15.0

    def __post_init__(self) -> None:
        if min(self.first_query_s, self.query_every_s) <= 0:
            raise ValueError("schedule: expected queries more than 0 s apart")
        if self.wait_at_most_s < self.revoke_no_sooner_s:
            raise ValueError(
                f"schedule: expected to wait at least {self.revoke_no_sooner_s:g} s, "
                f"got {self.wait_at_most_s:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The next action and when it is due; `overdue` is False while there is still time."""

    action: Action
    at: datetime
    overdue: bool


def timed_actions(schedule: QuerySchedule | None = None) -> tuple[tuple[float, Action], ...]:
    """All actions in order, each with its seconds after creation; the last one revokes."""
    schedule = schedule or QuerySchedule()
    queries = []
    at = schedule.first_query_s
    while at < schedule.wait_at_most_s:
        queries.append((at, Action.QUERY))
        at += schedule.query_every_s
    return (*queries, (schedule.wait_at_most_s, Action.REVOKE))


def next_due(
    created_at: datetime, *, queries_made: int, now: datetime, schedule: QuerySchedule | None = None
) -> Due:
    """The action after `queries_made` queries for a payment of `created_at`.

    Of queries that were missed while the counter was busy, only the latest due one is made.
    """
    plan = timed_actions(schedule)
    waited_s = (now - created_at).total_seconds()
    left = plan[min(queries_made, len(plan) - 1) :]
    due = left[0]
    for each in left[1:]:
        if each[0] <= waited_s:
            due = each
    seconds, action = due
    return Due(
        action=action, at=created_at + timedelta(seconds=seconds), overdue=waited_s >= seconds
    )
