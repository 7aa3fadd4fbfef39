"""Has a busy switch's messages read, and their cryptograms checked, by a process ahead of it.

Decoding and verification take as long as all the rest of a decision, and need nothing but the
message and the keys. While the switch decides one turn, the other process works through what waits
for the next one; the switch takes for each message what has come back by then. What has not it
works out by itself, so that nothing waits for the other process and nothing is lost with it.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

from checkout.clearing.pipeline.decode_process import Read, ReadAhead, Schemes, read_ahead
from checkout.clearing.scheme.participants import Participants
from checkout.clearing.store.worker_process import Companion, hear, tell

#: With so many messages ahead the process has enough to do.
_MOST = 256
#: Longer ones are no payments. So short, all that was asked for fits into the socket's buffer, and
#: neither side ever waits for the other to take it.
_LONGEST = 512
#: It is not waited for; only what it has begun to say is heard to the end.
_PATIENCE_S = 1.0


class Ahead:
    """Messages are asked for once, and taken by what they say: the same bytes read the same."""

    def __init__(self, home: Path, participants: Participants) -> None:
        schemes: Schemes = {
            prefix: one.scheme for prefix, one in participants.ranges.items() if one.verifiable
        }
        self.reader = Companion(
            "checkout.clearing.pipeline.decode_process",
            str(home),
            first=pickle.dumps(schemes),
            patience_s=_PATIENCE_S,
        )
        self._today = date.min
        self._asked: deque[bytes] = deque()  # whose reading has not come back, in order
        self._read: dict[bytes, Read | None] = {}  # None: not yet, or out of the ordinary

    def ask(self, messages: Iterable[bytes], now: datetime, *, busy: bool) -> None:
        """Have messages read that will be decided soon; being `busy` is a reason to begin.

        `now` is aware and in UTC. What was read on another date counts for nothing: the year of
        DE7 may be another one.
        """
        if now.date() != self._today or len(self._read) > _MOST * 2:
            self._today = now.date()
            self._read.clear()
            self._asked = deque([b""] * len(self._asked))  # it comes, and is for nobody
        try:
            if not self.reader.is_ready(start=busy):
                return
            self._hear()
            fresh = [one for one in messages if one not in self._read and len(one) <= _LONGEST]
            del fresh[max(_MOST - len(self._asked), 0) :]
            if fresh:
                tell(self.reader.line, pickle.dumps((now, fresh), pickle.HIGHEST_PROTOCOL))
        except (OSError, EOFError) as error:
            self._lose(error)
        else:
            self._asked += fresh
            self._read |= dict.fromkeys(fresh)

    def take(self, message: bytes, now: datetime) -> ReadAhead | None:
        """What was read of a message on this date; None where that is not there."""
        if message not in self._read or now.date() != self._today:
            return None
        if self._read[message] is None:
            try:
                self._hear()
            except (OSError, EOFError) as error:
                self._lose(error)
        read = self._read.pop(message, None)
        return None if read is None else read_ahead(read)

    def close(self) -> None:
        """End the process."""
        self.reader.close()

    def _hear(self) -> None:
        while self._asked and self.reader.has_said_something():
            # Made by the process that was started here, over a socket that no one else has.
            some: list[Read | None] = pickle.loads(hear(self.reader.line))  # noqa: S301
            for read in some:
                message = self._asked.popleft()
                if message in self._read:
                    self._read[message] = read

    def _lose(self, error: Exception) -> None:
        self.reader.lose(error)
        self._asked.clear()
        self._read.clear()
