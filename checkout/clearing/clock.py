"""A clock that can be set: the wall clock moved by an offset, for tests, demos and closing days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def wall_clock() -> datetime:
    """The time of this machine, in UTC."""
    return datetime.now(UTC)


class SettableClock:
    """Calls to it give the time; `set_to` and `advance` move it, it runs on from there."""

    def __init__(self, base: Callable[[], datetime] = wall_clock) -> None:
        self._base = base
        self._offset = timedelta()

    def __call__(self) -> datetime:
        """The time, aware and in UTC."""
        return (self._base() + self._offset).astimezone(UTC)

    def set_to(self, instant: datetime) -> None:
        """Make it `instant` now; ValueError for a time without a zone."""
        if instant.tzinfo is None:
            raise ValueError("instant: expected a time with a zone")
        self._offset = instant - self._base()

    def advance(self, by: timedelta) -> None:
        """Move it; backwards too, which real clocks do as well."""
        self._offset += by
