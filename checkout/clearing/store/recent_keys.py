"""Which message keys are certainly new, so that most messages need no look into the tables.

A key begins with its DE7 to the second. All keys that came since the switch started are kept by
that second, the oldest dropped when there are too many; `floor` is the last second about which
memory can't speak for the tables any more.
"""

from __future__ import annotations

SECOND = 14  # characters of a key that are its second: YYYYMMDDhhmmss
KEPT = 1 << 16


class RecentKeys:
    """`floor` at the start is the latest second of any key in the tables."""

    def __init__(self, floor: str, *, kept: int = KEPT) -> None:
        self._floor = floor
        self._kept = kept
        self._by_second: dict[str, set[str]] = {}
        self._count = 0

    def may_exist(self, key: str) -> bool:
        """False where nobody can have sent this key before."""
        second = key[:SECOND]
        return second <= self._floor or key in self._by_second.get(second, ())

    def add(self, key: str) -> None:
        """A message with this key is being written."""
        second = key[:SECOND]
        keys = self._by_second.get(second)
        if keys is None:
            keys = self._by_second[second] = set()
        keys.add(key)
        self._count += 1
        if self._count > self._kept:
            self._forget()

    def _forget(self) -> None:
        """Drop the oldest seconds until a quarter is free."""
        for second in sorted(self._by_second):
            if self._count <= self._kept * 3 // 4:
                break
            self._count -= len(self._by_second.pop(second))
            self._floor = max(self._floor, second)
