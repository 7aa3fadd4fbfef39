"""A full disk for one process: a limit of zero on the size of every file that it writes.

By prlimit(2) and RLIMIT_FSIZE, so on Linux alone.
"""

from __future__ import annotations

import contextlib


def fill_disk(pid: int) -> None:
    """Let a process write nothing more to any file; no matter if it has ended."""
    _limit(pid, full=True)


def empty_disk(pid: int) -> None:
    """Let a process write files again; no matter if it has ended."""
    _limit(pid, full=False)


def _limit(pid: int, *, full: bool) -> None:
    import resource  # not there on Windows, where everything else here can be imported

    most = 0 if full else resource.RLIM_INFINITY
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
