"""A clock that can be set: the wall clock moved by an offset, for tests, demos and closing days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def wall_clock() -> datetime:
    """The time of this machine, in UTC."""
    return datetime.now(UTC)


class SettableClock:
    """A call returns the time; `set_to` and `advance` move it, and it runs on from there."""

    def __init__(self, base: Callable[[], datetime] = wall_clock) -> None:
        self._base = base
        self._offset = timedelta()

    def __call__(self) -> datetime:
        """The time, aware and in UTC."""
        return (self._base() + self._offset).astimezone(UTC)

    def set_to(self, instant: datetime) -> None:
        """Set the clock to `instant`; ValueError for a time without a zone."""
        if instant.tzinfo is None:
            raise ValueError("instant: expected a time with a zone")
        self._offset = instant - self._base()

    def advance(self, by: timedelta) -> None:
        """Move the clock; backwards too, as real clocks do."""
        self._offset += by
