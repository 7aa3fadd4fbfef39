"""Every sequence of messages on one sale, before and after the close, against the strict table."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from checkout.clearing.ledger.ledger import check_trial_balance
from checkout.clearing.messages import AuthorizationRequest, Operation, TransactionType
from checkout.clearing.queries import balances
from tests.checkout.clearing.sale_model import (
    COMPLETED_MINOR,
    MESSAGES,
    PART_MINOR,
    ROOTS,
    SALE_MINOR,
    SaleModel,
)
from tests.checkout.clearing.test_random_days import Business, reversal_of

_T = TransactionType
_KINDS = {
    "sale": _T.PURCHASE,
    "preauthorisation": _T.PREAUTHORISATION,
    "void": _T.VOID,
    "release": _T.PREAUTHORISATION_VOID,
    "completion": _T.COMPLETION,
    "part-refund": _T.REFUND,
    "whole-refund": _T.REFUND,
}
_OPERATIONS = {
    "chargeback": ("charge-back", {}),
    "representment": ("represent", {}),
    "final-for-payer": ("decide", {"for_payer": True}),
    "final-for-merchant": ("decide", {"for_payer": False}),
}
CLOSE = "close"


@dataclass
class _Life:
    """One sale that is being led through a sequence."""

    steps: tuple[str, ...]
    model: SaleModel
    sent: dict[str, AuthorizationRequest] = field(default_factory=dict)
    completed: AuthorizationRequest | None = None


class Lives(Business):
    """Leads many sales through their sequences side by side; they share the closes of the day."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, seed=1)
        # The account that always has enough.
        self.payer = max(self.world.accounts.accounts.values(), key=lambda one: one.balance_minor)
        self.sent = 0

    def lead(self, sequences: Iterable[tuple[str, ...]]) -> int:
        """Run sequences that close at the same places; how many made sense and were run."""
        lives = every = [self._begin(steps) for steps in sequences]
        for place in range(len(lives[0].steps) - 1):
            lives = [one for one in lives if self._step(one, one.steps[place + 1])]
            if lives and lives[0].steps[place + 1] == CLOSE:
                self._close_for(every)  # those too that ended before, for want of a message
            self.commit()
            check_trial_balance(balances(self.backend.store.query))
        return len(lives)

    def _begin(self, steps: tuple[str, ...]) -> _Life:
        life = _Life(steps, SaleModel(steps[0]))
        request = self._request(_KINDS[steps[0]], self.payer.account, SALE_MINOR, "CNY")
        self._expect(life, steps[0], "00", -SALE_MINOR, request)
        life.sent["root"] = request
        return life

    def _step(self, life: _Life, message: str) -> bool:
        """Send one message and compare; False where there is nothing that it could be about."""
        if message == CLOSE:
            return True
        if not life.model.can_name(message):
            return False
        before = life.model.available
        minor = life.model.minor
        code = life.model.send(message)
        moved = life.model.available - before
        kind = message.removeprefix("reverse-")
        if message in _OPERATIONS:
            self._expect_operation(life, message, code, moved)
        elif kind != message:
            self._expect(life, message, code, moved, life.sent[kind], reverses=True)
        else:
            root = life.sent["root"]
            about = root
            if message not in ("release", "completion") and life.completed is not None:
                about = life.completed
            amount = {"completion": COMPLETED_MINOR, "part-refund": PART_MINOR}.get(message, minor)
            if message == "release":
                amount = SALE_MINOR
            request = self._following(about, _KINDS[message], amount)
            request = replace(request, rrn=root.rrn)  # as terminals do: a follow-up repeats it
            self._expect(life, message, code, moved, request)
            life.sent[message] = request
            if message == "completion" and code == "00":
                life.completed = request
        return True

    def _expect(
        self,
        life: _Life,
        message: str,
        code: str,
        moved: int,
        request: AuthorizationRequest,
        *,
        reverses: bool = False,
    ) -> None:
        before = self._spendable()
        response = self._answer(reversal_of(request) if reverses else request)
        got = (response.response_code, self._spendable() - before)
        assert got == (code, moved), f"{life.steps} at {message}: {got}, expected {code, moved}"
        self.sent += 1

    def _expect_operation(self, life: _Life, message: str, code: str, moved: int) -> None:
        name, arguments = _OPERATIONS[message]
        before = self._spendable()
        operation = Operation(
            name=name,
            arguments=json.dumps({"rrn": life.sent["root"].rrn, **arguments}),
            stan=1,
            transmitted_at=self.clock(),
            participant="90020001",
        )
        answer = self.switch._operations.answer(operation, self.backend.context(self.clock()))
        got = (answer.response_code, self._spendable() - before)
        assert got == (code, moved), f"{life.steps} at {message}: {got}, {answer.content}"
        self.sent += 1

    def _close_for(self, lives: list[_Life]) -> None:
        before = self._spendable()
        gained = -sum(one.model.available for one in lives)
        for one in lives:
            one.model.close()
        gained += sum(one.model.available for one in lives)
        self._close()
        assert self._spendable() - before == gained

    def _spendable(self) -> int:
        return self.backend.store.balance(f"payer/{self.payer.account}/CNY").available


def _sequences(follow_ups: int) -> Iterator[list[tuple[str, ...]]]:
    """All sequences of a root and so many messages or closes, grouped by where they close."""
    for closes in itertools.product((False, True), repeat=follow_ups):
        places = [(CLOSE,) if close else MESSAGES for close in closes]
        yield list(itertools.product(ROOTS, *places))


def _run(folder: Path, follow_ups: int) -> None:
    sequences = sent = 0
    for number, group in enumerate(_sequences(follow_ups)):
        where = folder / str(number)
        where.mkdir()
        lives = Lives(where)
        try:
            sequences += lives.lead(group)
        finally:
            lives.engine.close()
        sent += lives.sent
    print(f"\n{sequences} sequences of a sale and {follow_ups} more, {sent} messages: none differs")


def test_every_sequence_of_up_to_three_messages_agrees_with_the_table(tmp_path: Path) -> None:
    _run(tmp_path, 2)


@pytest.mark.parametrize(
    "steps",
    [
        ("sale", "void", "reverse-root", "reverse-void"),
        ("sale", "void", "reverse-void", "void", "reverse-root", "reverse-void"),
        ("sale", CLOSE, "reverse-root", "chargeback"),
        ("preauthorisation", "release", "chargeback"),
        ("preauthorisation", "release", "reverse-root", "reverse-release"),
        ("preauthorisation", "completion", "void", "reverse-root", "reverse-void"),
        ("preauthorisation", "completion", "void", "reverse-void", "reverse-root"),
        ("preauthorisation", "completion", "void", "reverse-completion", "reverse-void"),
        ("preauthorisation", "completion", "reverse-completion", "completion", "chargeback"),
        ("sale", "chargeback", "representment", "whole-refund", "final-for-payer"),
        ("sale", "chargeback", "representment", "reverse-root", "final-for-payer"),
        ("sale", CLOSE, "chargeback", "representment", "final-for-merchant", "whole-refund"),
        ("sale", "part-refund", CLOSE, "chargeback", "reverse-part-refund", "whole-refund"),
    ],
    ids="-".join,
)
def test_sale_that_was_undone_stays_undone(tmp_path: Path, steps: tuple[str, ...]) -> None:
    lives = Lives(tmp_path)
    assert lives.lead([steps]) == 1
    lives.engine.close()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_sequence_of_up_to_four_messages_agrees_with_the_table(tmp_path: Path) -> None:
    _run(tmp_path, 3)
