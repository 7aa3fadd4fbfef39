"""The steps of one payment: who sent what to whom, how many bytes, when."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

Nature = Literal["measured", "modelled", "waited"]
CertainParty = Literal["shop", "payer"]


class Step(msgspec.Struct, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    """One message between two parties.

    `at_ms` counts from the payment's first step; `bytes_sent` went from `source` to `target`,
    `bytes_received` came back; `took_ms` is the time from the first byte out to the last one in.
    `detail` is the decoded content, card numbers already masked. `certain` names the party that
    knew for sure, at the end of this step, that the money had changed hands.
    """

    n: int
    at_ms: float
    source: str
    target: str
    what: str
    bytes_sent: int = 0
    bytes_received: int = 0
    took_ms: float = 0.0
    nature: Nature = "measured"
    detail: dict[str, Any] = msgspec.field(default_factory=dict)
    certain: CertainParty | None = None

    @property
    def end_ms(self) -> float:
        """When the step was over."""
        return self.at_ms + self.took_ms

    @property
    def bytes(self) -> int:
        """Bytes both ways together."""
        return self.bytes_sent + self.bytes_received

    def as_json(self) -> dict[str, Any]:
        """The step as the command, the API and the payments table show it."""
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

    @classmethod
    def from_json(cls, shown: dict[str, Any]) -> Step:
        """The step that `as_json` showed; ValueError names what is wrong."""
        return msgspec.convert(shown, cls)

    def changed(self, **fields: Any) -> Step:
        """This step with other values in the named fields."""
        return msgspec.structs.replace(self, **fields)


def steps_to_json(steps: Iterable[Step]) -> str:
    """Steps as the payments table stores them."""
    return json.dumps([step.as_json() for step in steps], separators=(",", ":"))


def steps_from_json(text: str) -> tuple[Step, ...]:
    """Stored steps; ValueError where `text` is none."""
    return msgspec.json.decode(text, type=tuple[Step, ...])


def numbered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The same steps, counted from 1 in the order given."""
    return tuple(step.changed(n=number) for number, step in enumerate(steps, 1))


class Trace:
    """Collects steps of one payment from any thread; `monotonic` is seconds.

    `began_s_ago` and `steps` are for a payment whose first steps were taken before, perhaps in
    another process.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.perf_counter,
        began_s_ago: float = 0.0,
        steps: Iterable[Step] = (),
    ) -> None:
        self._monotonic = monotonic
        self._origin = monotonic() - began_s_ago
        self._lock = threading.Lock()
        self._steps = list(steps)

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
        certain: CertainParty | None = None,
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
        """The steps recorded so far, in order."""
        with self._lock:
            return tuple(self._steps)
