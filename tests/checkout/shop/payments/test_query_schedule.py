"""The counter asks and gives up in the schedule that the wallets document."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from checkout.shop.payments.query_schedule import Action, QuerySchedule, next_due, timed_actions

START = datetime(2026, 3, 4, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_queries_at_five_fifteen_and_twenty_five_then_revokes_at_thirty() -> None:
    assert timed_actions() == (
        (5.0, Action.QUERY),
        (15.0, Action.QUERY),
        (25.0, Action.QUERY),
        (30.0, Action.REVOKE),
    )


def test_each_query_makes_room_for_the_next_step() -> None:
    for made, at in ((0, 5), (1, 15), (2, 25)):
        due = next_due(START, queries_made=made, now=after(at - 0.1))
        assert (due.action, due.at, due.overdue) == (Action.QUERY, after(at), False)
        assert next_due(START, queries_made=made, now=after(at)).overdue
    due = next_due(START, queries_made=3, now=after(26))
    assert (due.action, due.at, due.overdue) == (Action.REVOKE, after(30), False)


def test_missed_queries_are_not_made_up_for() -> None:
    due = next_due(START, queries_made=0, now=after(26))
    assert (due.action, due.at, due.overdue) == (Action.QUERY, after(25), True)
    assert next_due(START, queries_made=1, now=after(90)).action is Action.REVOKE
    assert next_due(START, queries_made=9, now=after(1)).action is Action.REVOKE


def test_nothing_is_revoked_sooner_than_fifteen_seconds() -> None:
    with pytest.raises(ValueError, match=r"^schedule: expected to wait at least 15 s"):
        QuerySchedule(wait_at_most_s=14)
    with pytest.raises(ValueError, match=r"^schedule: "):
        QuerySchedule(query_every_s=0)
    assert timed_actions(QuerySchedule(wait_at_most_s=15))[-1] == (15.0, Action.REVOKE)
