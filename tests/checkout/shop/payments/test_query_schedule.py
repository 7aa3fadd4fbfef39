"""The counter asks and gives up in the rhythm that the wallets document."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from checkout.shop.payments.query_schedule import Rhythm, Step, next_due, steps

START = datetime(2026, 3, 4, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_queries_at_five_fifteen_and_twenty_five_then_revokes_at_thirty() -> None:
    assert steps() == (
        (5.0, Step.QUERY),
        (15.0, Step.QUERY),
        (25.0, Step.QUERY),
        (30.0, Step.REVOKE),
    )


def test_each_query_makes_room_for_the_next_step() -> None:
    for made, at in ((0, 5), (1, 15), (2, 25)):
        due = next_due(START, queries_made=made, now=after(at - 0.1))
        assert (due.step, due.at, due.overdue) == (Step.QUERY, after(at), False)
        assert next_due(START, queries_made=made, now=after(at)).overdue
    due = next_due(START, queries_made=3, now=after(26))
    assert (due.step, due.at, due.overdue) == (Step.REVOKE, after(30), False)


def test_missed_queries_are_not_made_up_for() -> None:
    due = next_due(START, queries_made=0, now=after(26))
    assert (due.step, due.at, due.overdue) == (Step.QUERY, after(25), True)
    assert next_due(START, queries_made=1, now=after(90)).step is Step.REVOKE
    assert next_due(START, queries_made=9, now=after(1)).step is Step.REVOKE


def test_nothing_is_revoked_sooner_than_fifteen_seconds() -> None:
    with pytest.raises(ValueError, match=r"^rhythm: expected to wait at least 15 s"):
        Rhythm(wait_at_most_s=14)
    with pytest.raises(ValueError, match=r"^rhythm: "):
        Rhythm(query_every_s=0)
    assert steps(Rhythm(wait_at_most_s=15))[-1] == (15.0, Step.REVOKE)
