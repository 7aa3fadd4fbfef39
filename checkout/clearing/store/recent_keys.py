"""Which message keys are certainly new, so that most messages need no look into the tables.

A key begins with its DE7, to the second. Memory holds all keys since the switch started, grouped by
that second, and drops the oldest groups when there are too many. `floor` is the latest second for
which memory may be incomplete, so that the tables must be read.
"""

from __future__ import annotations

SECOND = 14  # characters of a key that are its second: YYYYMMDDhhmmss
MAX_KEYS = 1 << 16


class RecentKeys:
    """`floor` at the start is the latest second of any key in the tables."""

    def __init__(self, floor: str, *, max_keys: int = MAX_KEYS) -> None:
        self._floor = floor
        self._max_keys = max_keys
        self._by_second: dict[str, set[str]] = {}
        self._count = 0

    def may_exist(self, key: str) -> bool:
        """False where nobody can have sent this key before."""
        second = key[:SECOND]
        return second <= self._floor or key in self._by_second.get(second, ())

    def add(self, key: str) -> None:
        """Remember the key of a message that is being written."""
        second = key[:SECOND]
        keys = self._by_second.get(second)
        if keys is None:
            keys = self._by_second[second] = set()
        keys.add(key)
        self._count += 1
        if self._count > self._max_keys:
            self._forget()

    def _forget(self) -> None:
        """Drop the oldest seconds until a quarter is free."""
        for second in sorted(self._by_second):
            if self._count <= self._max_keys * 3 // 4:
                break
            self._count -= len(self._by_second.pop(second))
            self._floor = max(self._floor, second)
