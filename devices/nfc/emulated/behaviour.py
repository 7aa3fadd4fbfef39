"""How a card misbehaves in time and in the field: slow answers, and leaving before one.

Steps count the commands since the card entered the field, from 1. Nothing here waits: a transport
asks and waits, or takes the card out.
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
    """The card answers this many milliseconds later than it could."""

    ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What the holder and a slow chip do to a tap.

    `pull_at` is the step at which the card leaves, None for never; `pull_when` says whether it has
    carried out that command (its counters moved, the answer is lost) or never received it.
    `pull_presentations` is how many presentations end so, 0 for all. `delays_ms` holds one delay
    per step from the first; later steps have none.
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
        """What happens between the command of this step and its response."""
        if self.pulls(step, presentation):
            return Pull(step=step)
        if step <= len(self.delays_ms) and self.delays_ms[step - 1]:
            return Delay(ms=self.delays_ms[step - 1])
        return None
