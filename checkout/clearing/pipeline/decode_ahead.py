"""Has another process decode a busy switch's messages and verify their cryptograms in advance.

Decoding and verification take as long as the rest of a decision, and need nothing but the message
and the keys. While the switch decides one turn, the other process works on the messages of the
next. The switch takes what has come back by then and does the rest itself, so it never waits for
the other process and loses nothing with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

import msgspec

from checkout.clearing.pipeline.decode_process import (
    DecodedMessage,
    DecodeTask,
    decode_reply,
    encode,
)
from checkout.clearing.scheme.participants import Participants
from checkout.clearing.store.worker_process import WorkerProcess, receive, send

#: More messages than these are not given to the process at once: they keep it busy long enough.
_MOST = 256
#: Longer messages are not payments. Up to this length, all the messages that may be under way fit
#: into the socket's buffer, so that neither process waits for the other to read.
_LONGEST = 512
#: How long the switch waits for the rest of a reply that has begun to arrive.
_PATIENCE_S = 1.0


class DecodeAhead:
    """Gives each message to the process once; a message is known again by its bytes."""

    def __init__(self, home: Path, participants: Participants) -> None:
        schemes = {
            prefix: found.scheme
            for prefix, found in participants.ranges.items()
            if found.verifiable
        }
        self.process = WorkerProcess(
            "checkout.clearing.pipeline.decode_process",
            str(home),
            first=encode(schemes),
            patience_s=_PATIENCE_S,
        )
        self._today = date.min
        self._under_way: deque[bytes] = deque()  # messages without a reply yet, in order
        # None: no reply yet, or a reply that leaves the message to the switch.
        self._decoded: dict[bytes, DecodedMessage | None] = {}

    def request(self, messages: Iterable[bytes], now: datetime, *, busy: bool) -> None:
        """Have messages decoded that will be decided soon; a `busy` switch starts the process.

        `now` is aware and in UTC. Results of another date are dropped: the year that they gave DE7
        may be wrong.
        """
        if now.date() != self._today or len(self._decoded) > _MOST * 2:
            self._today = now.date()
            self._decoded.clear()
            # Replies to these still come, and must be passed over.
            self._under_way = deque([b""] * len(self._under_way))
        try:
            if not self.process.is_ready(start=busy):
                return
            self._receive()
            fresh = [
                message
                for message in messages
                if message not in self._decoded and len(message) <= _LONGEST
            ]
            del fresh[max(_MOST - len(self._under_way), 0) :]
            if fresh:
                send(self.process.line, encode(DecodeTask(now=now, messages=fresh)))
        except (OSError, msgspec.MsgspecError) as error:
            self._lose(error)
        else:
            self._under_way += fresh
            self._decoded |= dict.fromkeys(fresh)

    def take(self, message: bytes, now: datetime) -> DecodedMessage | None:
        """The message as decoded on this date, once; None where there is no such result."""
        if message not in self._decoded or now.date() != self._today:
            return None
        if self._decoded[message] is None:
            try:
                self._receive()
            except (OSError, msgspec.MsgspecError) as error:
                self._lose(error)
        return self._decoded.pop(message, None)

    def close(self) -> None:
        """End the process."""
        self.process.close()

    def _receive(self) -> None:
        """Take the replies that have arrived."""
        while self._under_way and self.process.has_message():
            for decoded in decode_reply(receive(self.process.line)):
                message = self._under_way.popleft()
                if message in self._decoded:
                    self._decoded[message] = decoded

    def _lose(self, error: Exception) -> None:
        self.process.discard(error)
        self._under_way.clear()
        self._decoded.clear()
