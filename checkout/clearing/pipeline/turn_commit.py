"""Between deciding and answering: a turn is durable before anyone is told of it.

A turn is written here, or by the process beside, and then the next is decided meanwhile. At most
one is under way, so that what can't be written takes no more than one turn with it.
"""

from __future__ import annotations

import logging
import selectors
from collections.abc import Callable

from checkout.clearing.authorisation.context import Backend
from checkout.clearing.ledger.ledger import LedgerError
from checkout.clearing.pipeline.turn import Decided
from checkout.database import DatabaseError

log = logging.getLogger("checkout.switch")


class Keeping:
    """Keeps turns, and tells through `told` whether one stands, in their order.

    The writer's socket is watched in `selector`, with None for its data: `heard` is to be called
    when it is readable.
    """

    def __init__(
        self,
        backend: Backend,
        selector: selectors.BaseSelector,
        told: Callable[[Decided, bool], None],
    ) -> None:
        self._backend = backend
        self._selector = selector
        self._told = told
        self._under_way: Decided | None = None
        self._watched: tuple[int, int | None] = (-1, None)  # descriptor and process of the writer

    def keep(self, decided: Decided, *, busy: bool, alone: Callable[[], bool]) -> bool:
        """Have a turn written: True where it stands, False where it is being written beside.

        A `busy` turn is worth another process; a smaller one is as soon written here where it is
        `alone`: nothing was under way, and nothing else is to be done meanwhile. DatabaseError
        where it can't be written, or the one before couldn't: `undo` is next.
        """
        store, beside = self._backend.store, busy
        if self._under_way is not None:
            beside = True
            store.settle()
            self._end(stands=True)
        if not ((beside or not alone()) and store.hand_over(busy=busy)):
            store.commit()
            return True
        self._under_way = decided
        self.watch()
        return False

    def finish(self) -> None:
        """Wait for the turn that is being written, and tell."""
        if self._under_way is None:
            return
        try:
            self._backend.store.settle()
        except DatabaseError as error:
            self.undo(Decided(), error)
        else:
            self._end(stands=True)

    def undo(self, decided: Decided, error: Exception) -> None:
        """Roll a turn back, and the one under way where that could not be written."""
        known = isinstance(error, DatabaseError | LedgerError)
        log.error("a turn was rolled back: %s", error, exc_info=not known)
        if self._under_way is not None:
            self._end(stands=self._stands())
        self._backend.forget()
        self._told(decided, False)

    def heard(self) -> None:
        """The writer has said something: that a turn stands, or, unasked, that it is no more."""
        writer = self._backend.store.writer
        if self._under_way is None and writer is not None and writer.has_said_something():
            writer.lose(EOFError())
        self.finish()
        self.watch()

    def watch(self) -> None:
        """Watch the writer there is; before anything else gets the number of a lost one's socket.

        It stays watched for as long as it is the same one.
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

    def _stands(self) -> bool:
        try:
            self._backend.store.settle()
        except DatabaseError:
            return False
        return True

    def _end(self, *, stands: bool) -> None:
        ended, self._under_way = self._under_way, None
        assert ended is not None
        self._told(ended, stands)
