"""Has a busy switch's messages read, and their cryptograms checked, by a process ahead of it.

Decoding and verification take as long as all the rest of a decision, and need nothing but the
message and the keys. A large turn is sent whole to the other process; while that works through it,
the switch begins, and takes for each message what has come back by then. What has not it works out
by itself, so that nothing waits for the other process and nothing is lost with it.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from checkout.clearing.companion import Companion, hear, tell
from checkout.clearing.participants import Participants
from checkout.clearing.reading_ahead import Read, ReadAhead, Schemes, read_ahead

#: The first messages of a turn are decided before anything can have come back.
_OWN = 2
#: Fewer messages than these are not worth the way.
_FEWEST = 4
#: It is not waited for; only what it has begun to say is heard to the end.
_PATIENCE_S = 1.0


class Ahead:
    """One turn at a time: `begin` it, then `take` what was read, by the message's place in it."""

    def __init__(self, home: Path, participants: Participants) -> None:
        schemes: Schemes = {
            prefix: one.scheme for prefix, one in participants.ranges.items() if one.verifiable
        }
        self.reader = Companion(
            "checkout.clearing.reading_ahead",
            str(home),
            first=pickle.dumps(schemes),
            patience_s=_PATIENCE_S,
        )
        self._owed = 0  # messages whose reading has not come back
        self._read: list[Read | None] = []
        self._begun = False

    def begin(self, messages: Sequence[bytes], now: datetime, *, busy: bool) -> None:
        """Have the messages of a turn read; being `busy` is a reason to start with it."""
        self._begun = False
        try:
            self._hear()  # what came too late for the turn before
            self._read.clear()
            if self._owed or len(messages) < _FEWEST or not self.reader.is_ready(start=busy):
                return
            asked = (now, messages[_OWN:])
            tell(self.reader.line, pickle.dumps(asked, pickle.HIGHEST_PROTOCOL))
        except (OSError, EOFError) as error:
            self._lose(error)
        else:
            self._begun, self._owed = True, len(asked[1])

    def take(self, place: int) -> ReadAhead | None:
        """What was read of one message of the turn; None where that is not there."""
        at = place - _OWN
        if at < 0 or not self._begun:
            return None
        if at >= len(self._read):
            try:
                self._hear()
            except (OSError, EOFError) as error:
                self._lose(error)
        read = self._read[at] if at < len(self._read) else None
        return None if read is None else read_ahead(read)

    def close(self) -> None:
        """End the process."""
        self.reader.close()

    def _hear(self) -> None:
        while self._owed and self.reader.has_said_something():
            # Made by the process that was started here, over a socket that no one else has.
            some: list[Read | None] = pickle.loads(hear(self.reader.line))  # noqa: S301
            self._owed -= len(some)
            self._read += some

    def _lose(self, error: Exception) -> None:
        self.reader.lose(error)
        self._owed = 0
