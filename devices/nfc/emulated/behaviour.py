"""Slow answers, and a card that leaves the field before an answer.

Steps count the commands since the card entered the field, from 1. Nothing here waits: the transport
waits, or takes the card out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """The card leaves before this response reaches the reader."""

    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """The card delays its answer by this many milliseconds."""

    ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """When the holder pulls the card away, and how slow its chip is.

    `pull_at` is the step at which the card leaves, None for never. `pull_when` says whether the
    card leaves before it receives that command, or after executing it: then its counters have
    changed and only the answer is lost. `pull_presentations` is the number of presentations that
    end this way, 0 for all. `delays_ms` has one delay per step from the first; later steps have
    none.
    """

    pull_at: int | None = None
    pull_when: Literal["before", "after"] = "after"
    pull_presentations: int = 0
    delays_ms: tuple[int, ...] = ()

    def pulls(self, step: int, presentation: int) -> bool:
        """Whether the card leaves at this step of its n-th presentation (from 1)."""
        if self.pull_at != step:
            return False
        return self.pull_presentations == 0 or presentation <= self.pull_presentations

    def before_response(self, step: int, presentation: int = 1) -> Pull | Delay | None:
        """The event between the command of this step and its response, None for none."""
        if self.pulls(step, presentation):
            return Pull(step=step)
        if step <= len(self.delays_ms) and self.delays_ms[step - 1]:
            return Delay(ms=self.delays_ms[step - 1])
        return None
