"""The step list of one payment: who spoke to whom, what was said, how many bytes, when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Nature = Literal["measured", "modelled", "waited"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One message between two parties.

    `at_ms` counts from the payment's first step; `bytes_sent` went from `source` to `target`,
    `bytes_received` came back; `took_ms` is the time from the first byte out to the last one in.
    `detail` is the decoded content, card numbers already masked. `certain` says who knew for sure,
    once it was over, that the money had changed hands.
    """

    n: int
    at_ms: float
    source: str
    target: str
    what: str
    bytes_sent: int
    bytes_received: int
    took_ms: float = 0.0
    nature: Nature = "measured"
    detail: dict[str, Any] = field(default_factory=dict)
    certain: Literal["shop", "payer"] | None = None

    def as_json(self) -> dict[str, Any]:
        """The step as the command and the API show it."""
        shown: dict[str, Any] = {
            "n": self.n,
            "at_ms": round(self.at_ms, 3),
            "from": self.source,
            "to": self.target,
            "what": self.what,
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
            "took_ms": round(self.took_ms, 3),
            "nature": self.nature,
        }
        if self.certain is not None:
            shown["certain"] = self.certain
        if self.detail:
            shown["detail"] = self.detail
        return shown


class Trace:
    """Collects steps of one payment from any thread; `monotonic` is seconds.

    `began_s_ago` is for a story whose first step came before this process heard of it.
    """

    def __init__(
        self, *, monotonic: Callable[[], float] = time.perf_counter, began_s_ago: float = 0.0
    ) -> None:
        self._monotonic = monotonic
        self._origin = monotonic() - began_s_ago
        self._lock = threading.Lock()
        self._steps: list[Step] = []

    def now_ms(self) -> float:
        """Milliseconds since the trace began."""
        return (self._monotonic() - self._origin) * 1000

    def record(
        self,
        source: str,
        target: str,
        what: str,
        *,
        sent: int = 0,
        received: int = 0,
        at_ms: float | None = None,
        took_ms: float = 0.0,
        nature: Nature = "measured",
        detail: dict[str, Any] | None = None,
        certain: Literal["shop", "payer"] | None = None,
    ) -> None:
        """Add a step; without `at_ms` it began `took_ms` ago."""
        began = self.now_ms() - took_ms if at_ms is None else at_ms
        with self._lock:
            self._steps.append(
                Step(
                    n=len(self._steps) + 1,
                    at_ms=began,
                    source=source,
                    target=target,
                    what=what,
                    bytes_sent=sent,
                    bytes_received=received,
                    took_ms=took_ms,
                    nature=nature,
                    detail=detail or {},
                    certain=certain,
                )
            )

    def steps(self) -> tuple[Step, ...]:
        """What has been recorded so far, in order."""
        with self._lock:
            return tuple(self._steps)
