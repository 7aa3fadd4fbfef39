"""The one loop that repeats: what it sends, how long it pauses, and when it is done."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from checkout.acceptance.contract import Numbers
from checkout.acceptance.qr.authorization import Evidence, authorization
from checkout.clearing.client.client import NoAnswer, NotSent
from checkout.clearing.messages import (
    AuthorizationRequest,
    AuthorizationResponse,
    TransactionType,
)
from checkout.config import Merchant
from checkout.shop.payments.repeats import Repeats, Unanswered

SENT_AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TIMEOUT_S, RETRY_S = 10.0, 2.0


def request_of(kind: TransactionType) -> AuthorizationRequest:
    question = authorization(
        Evidence(
            account="9999011000000019",
            expiry="3012",
            pan_sequence="001",
            code_kind="dynamic",
            pin_block=None,
        ),
        amount_minor=1280,
        currency="CNY",
        numbers=Numbers.at(SENT_AT, 7),
        merchant=Merchant(),
        preauthorise=False,
    )
    return replace(question, transaction_type=kind)


@dataclass
class Store:
    """One message in memory, due at once."""

    request: AuthorizationRequest | None
    due_at: datetime | None = SENT_AT
    given_up_before: datetime | None = None
    settled: list[bool] = field(default_factory=list)

    def give_up(self, begun_before: datetime, due: datetime) -> None:
        self.given_up_before = begun_before

    def due(self, now: datetime) -> list[str]:
        return ["one"] if self.due_at is not None and self.due_at <= now else []

    def claim(self, id: str, now: datetime, until: datetime) -> Unanswered | None:
        if not self.due(now):
            return None
        self.due_at = until
        return Unanswered(id=id, request=self.request)

    def postpone(self, id: str, due: datetime) -> None:
        self.due_at = due

    def settle(self, unanswered: Unanswered, *, stands: bool) -> None:
        self.settled.append(stands)
        self.due_at = None


@dataclass
class Exchange:
    response: AuthorizationResponse


@dataclass
class Line:
    """A switch that gives these answers, one a message: DE39, or what goes wrong."""

    answers: list[str | Exception]
    sent: list[tuple[str, AuthorizationRequest]] = field(default_factory=list)

    def authorize(self, request: AuthorizationRequest, *, timeout_s: float) -> Any:
        return self._answer("request", request)

    def reverse(self, request: AuthorizationRequest, *, reason: str, timeout_s: float) -> Any:
        return self._answer("reversal", request)

    def _answer(self, what: str, request: AuthorizationRequest) -> Exchange:
        self.sent.append((what, request))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        response = AuthorizationResponse(response_code=answer, stan=request.stan, rrn=request.rrn)
        return Exchange(response)


class Clock:
    def __init__(self) -> None:
        self.now = SENT_AT

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def loop_of(store: Store, line: Line, clock: Clock) -> Repeats:
    return Repeats(
        store,
        clearing=lambda: line,  # type: ignore[arg-type, return-value]
        clock=clock,
        timeout_s=TIMEOUT_S,
        retry_s=RETRY_S,
    )


ASKING = (TransactionType.PURCHASE, TransactionType.COMPLETION, TransactionType.TOP_UP)
REPORTING = (TransactionType.REFUND, TransactionType.OFFLINE_ADVICE)


@pytest.mark.parametrize("kind", ASKING)
@pytest.mark.parametrize(("code", "stands"), [("00", False), ("25", False), ("12", True)])
def test_what_only_asks_is_reversed_until_it_is_undone_or_stands(
    clock: Clock, kind: TransactionType, code: str, stands: bool
) -> None:
    store, line = Store(request_of(kind)), Line([code])
    assert loop_of(store, line, clock).repeat_due() == 1
    assert (line.sent, store.settled) == ([("reversal", store.request)], [stands])


@pytest.mark.parametrize("kind", REPORTING)
@pytest.mark.parametrize(("code", "stands"), [("00", True), ("14", False), ("25", False)])
def test_an_advice_is_sent_again_with_the_same_fields(
    clock: Clock, kind: TransactionType, code: str, stands: bool
) -> None:
    store, line = Store(request_of(kind)), Line([NoAnswer("lost"), code])
    loop = loop_of(store, line, clock)
    assert loop.repeat_due() == 0
    clock.pass_s(60)
    assert loop.repeat_due() == 1
    assert line.sent == [("request", store.request)] * 2
    assert store.settled == [stands]


@pytest.mark.parametrize("kind", [*ASKING, *REPORTING])
@pytest.mark.parametrize(
    "answer", ["68", "91", "96", "98", "A0", NoAnswer("lost"), NotSent("no line")]
)
def test_what_the_backend_could_not_decide_goes_again(
    clock: Clock, kind: TransactionType, answer: str | Exception
) -> None:
    store, line = Store(request_of(kind)), Line([answer])
    assert loop_of(store, line, clock).repeat_due() == 0
    assert store.settled == []
    assert store.due_at is not None and store.due_at > clock.now


@pytest.mark.parametrize("code", ["05", "30", "94"])
def test_a_reversal_ends_by_no_other_answer(clock: Clock, code: str) -> None:
    store, line = Store(request_of(TransactionType.PURCHASE)), Line([code])
    assert loop_of(store, line, clock).repeat_due() == 0
    assert store.settled == []


@pytest.mark.parametrize(
    ("age_s", "pause_s"), [(0, 2), (10, 2), (20, 4), (100, 20), (300, 60), (86_400, 60)]
)
def test_the_pause_grows_with_the_message_s_age_up_to_a_minute(
    clock: Clock, age_s: float, pause_s: float
) -> None:
    store, line = Store(request_of(TransactionType.PURCHASE)), Line([NoAnswer("lost")])
    clock.pass_s(age_s)
    loop_of(store, line, clock).repeat_due()
    assert store.due_at == clock.now + timedelta(seconds=pause_s)


def test_a_restart_goes_on_by_what_the_store_holds(clock: Clock) -> None:
    store, line = Store(request_of(TransactionType.PURCHASE)), Line([NoAnswer("lost"), "00"])
    loop_of(store, line, clock).repeat_due()
    clock.pass_s(1.9)
    assert loop_of(store, line, clock).repeat_due() == 0
    clock.pass_s(0.1)
    assert loop_of(store, line, clock).repeat_due() == 1


def test_one_that_another_process_has_claimed_is_not_sent(clock: Clock) -> None:
    store, line = Store(request_of(TransactionType.PURCHASE)), Line([])
    loop = loop_of(store, line, clock)
    store.claim("one", clock.now, clock.now + timedelta(seconds=TIMEOUT_S))
    assert not loop.repeat("one")
    assert line.sent == []


def test_what_was_never_sent_is_settled_as_undone_without_a_message(clock: Clock) -> None:
    store, line = Store(None), Line([])
    assert loop_of(store, line, clock).repeat_due() == 1
    assert (line.sent, store.settled) == ([], [False])


def test_a_process_is_given_up_as_dead_five_seconds_after_its_time_out(clock: Clock) -> None:
    store = Store(None, due_at=None)
    loop_of(store, Line([]), clock).repeat_due()
    assert store.given_up_before == clock.now - timedelta(seconds=15)
