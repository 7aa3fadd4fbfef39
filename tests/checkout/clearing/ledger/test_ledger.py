"""The double entry's own rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from checkout.clearing.ledger.ledger import (
    Balance,
    LedgerError,
    Leg,
    Status,
    changes,
    check_trial_balance,
    reversed_legs,
    transfers_of,
)


def leg(debit: str = "a/CNY", credit: str = "b/CNY", amount: int = 5, purpose: str = "x") -> Leg:
    return Leg(debit=debit, credit=credit, amount_minor=amount, currency="CNY", purpose=purpose)


def test_transfers_get_ids_of_their_entry_and_nothing_moves_nothing() -> None:
    made = transfers_of(7, [leg(), leg(amount=0), leg(amount=3)])
    assert [(one.id, one.entry, one.amount_minor) for one in made] == [(112, 7, 5), (113, 7, 3)]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (leg(amount=-1), "above zero"),
        (leg(credit="a/CNY"), "both sides"),
        (leg(credit="b/USD"), "two currencies"),
    ],
)
def test_leg_that_would_break_the_books_is_refused(wrong: Leg, says: str) -> None:
    with pytest.raises(LedgerError, match=says):
        transfers_of(1, [wrong])


def test_more_legs_than_an_entry_holds_are_refused() -> None:
    with pytest.raises(LedgerError, match="more than"):
        transfers_of(1, [leg(debit=f"a{n}/CNY") for n in range(17)])


@pytest.mark.parametrize("final", [Status.POSTED, Status.VOIDED, Status.EXPIRED])
def test_final_status_stays(final: Status) -> None:
    made = transfers_of(1, [leg()])
    changes(made, Status.PENDING, final)
    for after in Status:
        with pytest.raises(LedgerError):
            changes(made, final, after)


def test_new_entry_is_pending_or_posted_and_nothing_else() -> None:
    made = transfers_of(1, [leg()])
    for after in (Status.VOIDED, Status.EXPIRED):
        with pytest.raises(LedgerError):
            changes(made, None, after)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("efgh"), st.integers(1, 10**9)),
        min_size=1,
        max_size=16,
    ),
    st.sampled_from([Status.POSTED, Status.VOIDED, Status.EXPIRED]),
)
@settings(deadline=None)
def test_balances_balance_at_every_step(moves: list[tuple[str, str, int]], end: Status) -> None:
    made = transfers_of(
        1, [leg(debit=f"{one}/CNY", credit=f"{two}/CNY", amount=much) for one, two, much in moves]
    )
    held = changes(made, None, Status.PENDING)
    total = check_trial_balance(held)["CNY"]
    assert total.debits_pending == sum(much for _, _, much in moves)
    ended = changes(made, Status.PENDING, end)
    after = {name: held[name].plus(ended[name]) for name in held}
    total = check_trial_balance(after)["CNY"]
    posted = sum(much for _, _, much in moves) if end is Status.POSTED else 0
    assert (total.debits_pending, total.debits_posted) == (0, posted)


def test_reversed_legs_undo_exactly() -> None:
    made = transfers_of(1, [leg(), leg(debit="b/CNY", credit="c/CNY", amount=2)])
    undone = transfers_of(2, reversed_legs(made, "reversed"))
    first, second = changes(made, None, Status.POSTED), changes(undone, None, Status.POSTED)
    assert all(first[name].plus(second[name]).posted == 0 for name in first)


def test_available_counts_holds_but_not_what_is_yet_to_come() -> None:
    balance = Balance(debits_pending=30, credits_pending=500, debits_posted=20, credits_posted=100)
    assert (balance.posted, balance.available) == (80, 50)


def test_pending_total_never_falls_below_zero() -> None:
    with pytest.raises(LedgerError, match="below zero"):
        Balance(debits_pending=1).plus(Balance(debits_pending=-2))


def test_unbalanced_books_are_found() -> None:
    with pytest.raises(LedgerError, match="posted debits and credits differ"):
        check_trial_balance({"a/CNY": Balance(debits_posted=1)})
    with pytest.raises(LedgerError, match="pending debits and credits differ"):
        check_trial_balance({"a/CNY": Balance(credits_pending=1)})
