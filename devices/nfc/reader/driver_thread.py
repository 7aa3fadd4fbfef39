"""One thread that owns a reader: every call to the driver runs on it, in order, with a watchdog.

A signal that interrupts the caller can't interrupt the driver in the middle of a frame. A driver
that never returns gives its caller an error and does not block the process.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar

from devices.nfc.contract import ReaderGone

T = TypeVar("T")


class ReaderThread:
    """Runs calls one after another on a daemon thread named after the reader."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._stuck = False
        self._thread = threading.Thread(target=self._serve, name=f"reader {name}", daemon=True)
        self._thread.start()

    @property
    def stuck(self) -> bool:
        """Whether a call never returned, so that the thread is of no more use."""
        return self._stuck

    def call(self, work: Callable[[], T], watchdog_s: float) -> T:
        """Run `work` on the thread and return what it returns, or raise what it raises.

        Raises ReaderGone where this call or an earlier one has not returned within `watchdog_s`
        seconds: the reader's driver hangs.
        """
        if self._stuck:
            raise ReaderGone("the reader's driver hangs: unplug the reader and plug it in again")
        outcome: Future[T] = Future()
        self._work.put((work, outcome))
        try:
            return outcome.result(timeout=watchdog_s)
        except TimeoutError:
            if outcome.done():
                raise
            self._stuck = True
            raise ReaderGone(
                f"the reader has not answered its driver for {watchdog_s:g} s"
            ) from None

    def post(self, work: Callable[[], object]) -> None:
        """Run `work` after what is queued, and drop its result."""
        self._work.put((work, Future()))

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread after what is queued; do not wait for a thread that hangs."""
        self._work.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=0.0 if self._stuck else timeout_s)

    def _serve(self) -> None:
        while (job := self._work.get()) is not None:
            work, outcome = job
            try:
                value = work()
            except BaseException as error:  # raised in the thread that waits for the result
                _settle(outcome.set_exception, error)
            else:
                _settle(outcome.set_result, value)
            del job, work, outcome


def _settle(settle: Callable[[Any], None], value: object) -> None:
    try:
        settle(value)
    except InvalidStateError:
        return
