"""The loop that repeats every message which was not answered, until its answer has come.

An advice and a reversal must reach their receiver (ISO 8583:1987, "Reversal" and "Advice" message
classes), so each is sent again with the same key fields (DE7, DE11, DE32, DE41, and DE90 of a
reversal); the receiver acts on the first and answers all of them alike. A request that only asks is
never sent again: its reversal is. What is to be repeated, and when it is due, lies in the database
and so survives a restart.

The pause between two tries is `retry_s` at first and grows with the age of the message: `retry_s`
for each `timeout_s` that has passed since its DE7, and never more than a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from checkout.clearing.client.client import Exchange, NoAnswer, NotSent, SwitchClient
from checkout.clearing.messages import AuthorizationRequest, AuthorizationResponse, TransactionType
from checkout.shop.orders.states import Clock

#: These report what has happened; they are repeated as they are, never reversed.
ADVICES = frozenset(
    {
        TransactionType.OFFLINE_ADVICE,
        TransactionType.REFUND,
        TransactionType.COMPLETION_ADVICE,
    }
)

#: A request that is still pending this long after its time-out belongs to a process that died.
GRACE_S = 5.0

#: DE39 by which the backend says that it could not decide: the same message goes again.
_UNDECIDED = frozenset({"68", "91", "96", "98", "A0"})

#: DE39 of a reversal: the original is undone, or never arrived and will not be taken any more.
_UNDONE = frozenset({"00", "25"})

#: DE39 of a reversal: the original can't be undone any more (completed, refunded or spent).
_STANDS = "12"

_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """A message that one process has claimed to repeat; `request` is None if it was never sent."""

    id: str
    request: AuthorizationRequest | None


class UnansweredStore(Protocol):
    """The table in which messages without an answer lie; each method is one transaction."""

    def give_up(self, begun_before: datetime, due: datetime) -> None:
        """Make due what is still pending from before: its process has died."""

    def due(self, now: datetime) -> list[str]:
        """The ids of what is due."""

    def claim(self, id: str, now: datetime, until: datetime) -> Unanswered | None:
        """Take a due message until then; None where another process was faster."""

    def postpone(self, id: str, due: datetime) -> None:
        """Have it repeated at `due`, unless its answer has come."""

    def settle(self, unanswered: Unanswered, *, stands: bool) -> None:
        """Record the end: what was asked for stands, or is undone."""


#: What a caller does with the answer before it is settled.
Answered = Callable[[AuthorizationRequest, Exchange], None]


class Repeats:
    """Repeats what lies in one store; safe for many threads and processes."""

    def __init__(
        self,
        store: UnansweredStore,
        *,
        clearing: Callable[[], SwitchClient],
        clock: Clock,
        timeout_s: float,
        retry_s: float,
    ) -> None:
        self._store = store
        self._clearing = clearing
        self._clock = clock
        self._timeout_s = timeout_s
        self._retry_s = retry_s

    def repeat_due(self) -> int:
        """Repeat everything that is due; returns how many were settled now."""
        now = self._clock()
        self._store.give_up(now - timedelta(seconds=self._timeout_s + GRACE_S), now)
        return sum(self.repeat(id) for id in self._store.due(now))

    def repeat(self, id: str, answered: Answered | None = None) -> bool:
        """Repeat one message if it is due; True once it is settled.

        `answered` is called with the request and the exchange where any answer came.
        """
        now = self._clock()
        # Not due again before this try has had its time.
        claimed = self._store.claim(id, now, now + timedelta(seconds=self._timeout_s))
        if claimed is None:
            return False
        if claimed.request is None:
            self._store.settle(claimed, stands=False)
            return True
        try:
            exchange = self._send(claimed.request)
        except (NotSent, NoAnswer):
            stands = None
        else:
            if answered is not None:
                answered(claimed.request, exchange)
            stands = _stands(claimed.request, exchange.response)
        if stands is None:
            self._store.postpone(id, self._next_try(claimed.request))
            return False
        self._store.settle(claimed, stands=stands)
        return True

    def _send(self, request: AuthorizationRequest) -> Exchange:
        client = self._clearing()
        if request.transaction_type in ADVICES:
            return client.authorize(request, timeout_s=self._timeout_s)
        return client.reverse(request, reason="time-out", timeout_s=self._timeout_s)

    def _next_try(self, request: AuthorizationRequest) -> datetime:
        now = self._clock()
        age_s = (now - request.transmitted_at).total_seconds()
        pause_s = self._retry_s * max(1.0, age_s / self._timeout_s)
        return now + timedelta(seconds=min(pause_s, _LONGEST_PAUSE_S))


def _stands(request: AuthorizationRequest, response: AuthorizationResponse) -> bool | None:
    """Whether what `request` asked for stands after this answer; None where it must go again."""
    code = response.response_code
    if code in _UNDECIDED:
        return None
    if request.transaction_type in ADVICES:
        return response.approved
    return {_STANDS: True, **dict.fromkeys(_UNDONE, False)}.get(code)
