"""One client's TCP connection at the switch: buffers of limited size for messages and answers."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

from checkout.clearing.iso8583.codec import LENGTH_BYTES, MAX_MESSAGE, CodecError, frame, unpack
from checkout.clearing.iso8583.field_map import refusal_fields
from checkout.clearing.switch.session import Session

READ_BYTES = 1 << 16
#: Bytes of unread messages, and of unsent answers; a connection with as many is not read further.
MAX_INPUT = 1 << 20
MAX_OUTPUT = 1 << 20
_WRONG_LENGTH = -1


class ClientConnection:
    """Buffers of one client. `reason` says why the switch gave the connection up; else it is empty.

    `owed` counts turns that hold a message of this client, decided and not yet answered;
    `watched_events` are those that the server's selector watches the socket for.
    """

    def __init__(self, accepted: socket.socket, name: str) -> None:
        self.socket = accepted
        self.session = Session(name=name)
        self.reason = ""
        self.watched_events = selectors.EVENT_READ
        self.owed = 0
        self._input = bytearray()
        self._output = bytearray()
        self._ended = False
        self._broken = False

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will come or go."""
        pending = self._output or self.has_message or self.owed
        return self._broken or (self._ended and not pending)

    @property
    def has_output(self) -> bool:
        """Whether answers wait to be sent."""
        return bool(self._output)

    @property
    def may_read(self) -> bool:
        """Whether there is room for more."""
        full = len(self._input) >= MAX_INPUT or len(self._output) >= MAX_OUTPUT
        return not (self._ended or full)

    @property
    def has_message(self) -> bool:
        """Whether a whole message lies in the buffer."""
        if len(self._input) < LENGTH_BYTES:
            return False
        return len(self._input) >= LENGTH_BYTES + int.from_bytes(self._input[:LENGTH_BYTES])

    def read(self) -> None:
        """Take the bytes that have arrived."""
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
        """Take whole messages without their length, adding them to `taken` until it holds `most`.

        A length that can't be ends the connection.
        """
        at = 0
        try:
            while len(taken) < most and not self._broken and not self.reason:
                end = self._end_of_message(at)
                if end == _WRONG_LENGTH:
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
            # Even where deciding a message failed: else it would be taken again for ever.
            del self._input[:at]

    def waiting_messages(self, most: int) -> list[bytes]:
        """At most so many of the whole messages in the buffer, which stay there."""
        waiting: list[bytes] = []
        at, end = 0, self._end_of_message(0)
        while len(waiting) < most and at < end <= len(self._input):
            waiting.append(bytes(self._input[at + LENGTH_BYTES : end]))
            at, end = end, self._end_of_message(end)
        return waiting

    def _end_of_message(self, at: int) -> int:
        """Where the message that begins at `at` ends; 0 where its length has not come yet."""
        head = self._input[at : at + LENGTH_BYTES]
        if len(head) < LENGTH_BYTES:
            return 0
        length = int.from_bytes(head)
        return at + LENGTH_BYTES + length if 0 < length <= MAX_MESSAGE else _WRONG_LENGTH

    def queue(self, messages: tuple[bytes, ...]) -> None:
        """Queue messages for sending."""
        for message in messages:
            self._output += frame(message)

    def refusals(self, messages: list[bytes]) -> tuple[bytes, ...]:
        """The answers to messages whose turn could not be written: 96 to each."""
        answers: list[bytes] = []
        for message in messages:
            try:
                refusal = refusal_fields(unpack(message), "96")
            except CodecError:
                continue
            if refusal is not None:
                answers.append(self.session.seal(refusal))
        return tuple(answers)

    def flush(self) -> None:
        """Send as much as the socket takes now."""
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
        """Close this connection once its answers are sent; what it sent besides is dropped."""
        self.reason = reason
        self._ended = True
        self._input.clear()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
