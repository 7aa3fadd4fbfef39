"""Makes each turn durable before its answers leave.

A turn is committed by the switch itself, or written by another process while the switch decides
the next one. At most one turn is under way, so that a failed write takes only that turn and the one
decided upon it.
"""

from __future__ import annotations

import logging
import selectors
from collections.abc import Callable
from typing import Generic

from checkout.clearing.authorisation.backend import Backend
from checkout.clearing.ledger.ledger import LedgerError
from checkout.clearing.pipeline.turn import ClientT, Turn
from checkout.database import DatabaseError

log = logging.getLogger("checkout.switch")


class TurnCommit(Generic[ClientT]):
    """Commits turns in their order.

    `ended` is called with each turn that the other process wrote or that was rolled back, and with
    whether it is durable. `selector` watches the writer's socket, with None as its data: call
    `writer_readable` when that is readable.
    """

    def __init__(
        self,
        backend: Backend,
        selector: selectors.BaseSelector,
        ended: Callable[[Turn[ClientT], bool], None],
    ) -> None:
        self._backend = backend
        self._selector = selector
        self._ended = ended
        self._under_way: Turn[ClientT] | None = None
        self._watched: tuple[int, int | None] = (-1, None)  # descriptor and process of the writer

    def commit(self, turn: Turn[ClientT], *, busy: bool, is_idle: Callable[[], bool]) -> bool:
        """Write a turn: True where it is durable, False where the other process is writing it.

        A `busy` turn is worth starting the other process. A smaller one is committed here where no
        turn is under way and the switch `is_idle`. DatabaseError where this turn or the one before
        can't be written; the caller then calls `roll_back`.
        """
        store = self._backend.store
        if self._under_way is not None:
            store.flush()
            self._end(durable=True)
            elsewhere = True
        else:
            elsewhere = busy or not is_idle()
        if not (elsewhere and store.hand_over(busy=busy)):
            store.commit()
            return True
        self._under_way = turn
        self.watch_writer()
        return False

    def finish(self) -> None:
        """Wait for the turn that is being written, and report how it ended."""
        if self._under_way is None:
            return
        try:
            self._backend.store.flush()
        except DatabaseError as error:
            self.roll_back(Turn(), error)
        else:
            self._end(durable=True)

    def roll_back(self, turn: Turn[ClientT], error: Exception) -> None:
        """Roll a turn back, and the one under way where that could not be written."""
        known = isinstance(error, DatabaseError | LedgerError)
        log.error("a turn was rolled back: %s", error, exc_info=not known)
        if self._under_way is not None:
            self._end(durable=self._is_durable())
        self._backend.forget()
        self._ended(turn, False)

    def writer_readable(self) -> None:
        """Take the writer's report on its turn, or note that the writer has ended."""
        writer = self._backend.store.writer
        if self._under_way is None and writer is not None and writer.has_message():
            writer.discard(ConnectionError("it has ended"))
        self.finish()
        self.watch_writer()

    def watch_writer(self) -> None:
        """Have `selector` watch the writer's socket as long as it is the same writer's.

        Call it before a new socket is opened: that could get the descriptor of a lost writer.
        """
        writer = self._backend.store.writer
        now = (-1, None) if writer is None else (writer.descriptor, writer.pid)
        if now == self._watched:
            return
        if self._watched[0] >= 0:
            self._selector.unregister(self._watched[0])
        if now[0] >= 0:
            self._selector.register(now[0], selectors.EVENT_READ)
        self._watched = now

    def _is_durable(self) -> bool:
        try:
            self._backend.store.flush()
        except DatabaseError:
            return False
        return True

    def _end(self, *, durable: bool) -> None:
        turn, self._under_way = self._under_way, None
        assert turn is not None
        self._ended(turn, durable)
