"""One TCP connection of the switch: bytes in, whole messages out, answers back, all bounded."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from checkout.clearing.iso8583.codec import LENGTH_BYTES, MAX_MESSAGE, CodecError, frame, unpack
from checkout.clearing.iso8583.field_map import refusal_fields
from checkout.clearing.switch.session import Session

READ_BYTES = 1 << 16
#: Unread messages and unsent answers of one connection; beyond them it isn't read any more.
MAX_INPUT = 1 << 20
MAX_OUTPUT = 1 << 20
WRONG_LENGTH = -1


class Connection:
    """Buffers of one client; `over` once it is to be closed, `reason` why."""

    def __init__(self, accepted: socket.socket, name: str) -> None:
        self.socket = accepted
        self.session = Session(name=name)
        self.reason = ""
        self.watched = 1
        self.owed = 0  # turns with a message of this client that are decided and not yet answered
        self._input = bytearray()
        self._output = bytearray()
        self._ended = False
        self._broken = False

    @property
    def over(self) -> bool:
        """Whether nothing more will come or go."""
        finished = not (self._output or self.waiting or self.owed)
        return self._broken or (self._ended and finished)

    @property
    def has_output(self) -> bool:
        """Whether answers wait for room."""
        return bool(self._output)

    @property
    def may_read(self) -> bool:
        """Whether there is room for more."""
        full = len(self._input) >= MAX_INPUT or len(self._output) >= MAX_OUTPUT
        return not (self._ended or full)

    @property
    def waiting(self) -> bool:
        """Whether a whole message lies in the buffer."""
        if len(self._input) < LENGTH_BYTES:
            return False
        return len(self._input) >= LENGTH_BYTES + int.from_bytes(self._input[:LENGTH_BYTES])

    def read(self) -> None:
        """Take what has arrived."""
        if not self.may_read:
            return
        try:
            arrived = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._broken = True
            return
        if arrived:
            self._input += arrived
        else:
            self._ended = True

    def messages(self, most: int, taken: list[bytes]) -> Iterator[bytes]:
        """Whole messages without their length, noted in `taken`, until it holds `most`.

        A length that can't be ends the connection.
        """
        at = 0
        try:
            while len(taken) < most and not self._broken and not self.reason:
                end = self._end_of_message(at)
                if end == WRONG_LENGTH:
                    length = int.from_bytes(self._input[at : at + LENGTH_BYTES])
                    self.give_up(f"a message of {length} bytes")
                    break
                if not at < end <= len(self._input):
                    break
                message = bytes(self._input[at + LENGTH_BYTES : end])
                at = end
                taken.append(message)
                yield message
        finally:
            # Taken once, even where deciding it went wrong: else it would come again for ever.
            del self._input[:at]

    def following(self, most: int) -> list[bytes]:
        """At most so many of the whole messages that wait, which stay."""
        found: list[bytes] = []
        at, end = 0, self._end_of_message(0)
        while len(found) < most and at < end <= len(self._input):
            found.append(bytes(self._input[at + LENGTH_BYTES : end]))
            at, end = end, self._end_of_message(end)
        return found

    def _end_of_message(self, at: int) -> int:
        """Where the message that begins there ends; 0 where its length has not come yet."""
        head = self._input[at : at + LENGTH_BYTES]
        if len(head) < LENGTH_BYTES:
            return 0
        length = int.from_bytes(head)
        return at + LENGTH_BYTES + length if 0 < length <= MAX_MESSAGE else WRONG_LENGTH

    def answer(self, messages: tuple[bytes, ...]) -> None:
        """Queue answers for sending."""
        for message in messages:
            self._output += frame(message)

    def refusals(self, taken: list[bytes]) -> tuple[bytes, ...]:
        """What to say when a turn could not be written: 96 to each of its messages."""
        answers: list[bytes] = []
        for message in taken:
            try:
                refusal = refusal_fields(unpack(message), "96")
            except CodecError:
                continue
            if refusal is not None:
                answers.append(self.session.seal(refusal))
        return tuple(answers)

    def flush(self) -> None:
        """Send as much as goes now."""
        while self._output and not self._broken:
            try:
                sent = self.socket.send(self._output)
            except BlockingIOError:
                return
            except OSError:
                self._broken = True
                return
            del self._output[:sent]

    def give_up(self, reason: str) -> None:
        """Close this connection; what it still had to say is not heard."""
        self.reason = reason
        self._ended = True
        self._input.clear()

    def close(self) -> None:
        """Give the socket back."""
        self.socket.close()
