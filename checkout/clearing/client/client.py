"""The shop's client of the switch: questions out, answers back, as ISO 8583 over one connection."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from checkout.clearing.client.connection import (
    Answer,
    ConnectionBroken,
    NotSent,
    SwitchConnection,
    SwitchGone,
)
from checkout.clearing.client.current_connection import CurrentConnection
from checkout.clearing.hsm.pin import encrypt_pin_block
from checkout.clearing.iso8583.codec import CodecError, answer_type
from checkout.clearing.iso8583.dump import describe
from checkout.clearing.iso8583.field_map import SHAPES, fields_of, plain_answer_of, response_of
from checkout.clearing.messages import (
    REVERSAL_REASONS,
    AuthorizationRequest,
    AuthorizationResponse,
    NetworkFunction,
    NetworkMessage,
    Operation,
    OriginalElements,
    Question,
    Reversal,
)
from checkout.clearing.scheme.participants import Participant
from checkout.clearing.switch.discovery import Address

__all__ = ["Exchange", "NoAnswer", "NotSent", "OperationFailed", "SwitchClient"]

#: PIN blocks remembered until they are sent; more than these are never under way at once.
_BLOCKS_REMEMBERED = 1024

DEFAULT_PARTICIPANT = "market-acquirer"
Clock = Callable[[], datetime]


class NoAnswer(Exception):
    """The message may have arrived and been acted upon: its outcome is unknown, reverse it."""


class OperationFailed(Exception):
    """The switch refused a back-office operation; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One question and its answer; sizes include the two bytes of length."""

    response: AuthorizationResponse
    request_bytes: bytes = field(repr=False)
    response_bytes: bytes = field(repr=False)
    took_ms: float

    @property
    def bytes_sent(self) -> int:
        """Bytes on the wire towards the switch."""
        return len(self.request_bytes) + 2

    @property
    def bytes_received(self) -> int:
        """Bytes on the wire from the switch."""
        return len(self.response_bytes) + 2

    @property
    def request_dump(self) -> dict[str, Any]:
        """The question field by field, card numbers masked."""
        return describe(self.request_bytes)

    @property
    def response_dump(self) -> dict[str, Any]:
        """The answer field by field, card numbers masked."""
        return describe(self.response_bytes)


class SwitchClient:
    """The client of one participant; safe for many threads, signs on when first needed."""

    def __init__(
        self,
        address: Callable[[], Address | None],
        participant: Participant,
        zone_key: Callable[[], bytes],
        *,
        clock: Clock = lambda: datetime.now(UTC),
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._participant = participant
        self._connection = CurrentConnection(
            address, participant.institution, zone_key, clock=clock
        )
        self._clock = clock
        self._on_close = on_close
        self._lock = threading.Lock()
        self._stan = 0
        self._blocks: dict[bytes, SwitchConnection] = {}

    def authorize(self, request: AuthorizationRequest, *, timeout_s: float = 10.0) -> Exchange:
        """Send a request and wait for the answer; a decline is in the answer.

        Raises NotSent (nothing left this machine) or NoAnswer (the caller must reverse).
        """
        return self._financial(request, request.terminal_id, timeout_s)

    def reverse(
        self, request: AuthorizationRequest, *, reason: str = "time-out", timeout_s: float = 10.0
    ) -> Exchange:
        """Undo `request`; may be repeated until it is answered, it takes effect once.

        `reason` is one of REVERSAL_REASONS. Raises NotSent or NoAnswer.
        """
        original = OriginalElements(
            message_type=SHAPES[request.transaction_type][0],
            stan=request.stan,
            transmitted_at=request.transmitted_at,
            acquirer=request.acquirer,
            forwarder=request.forwarder,
        )
        reversal = Reversal(
            request=replace(request, original=original, pin_block=None, icc=None),
            reason=REVERSAL_REASONS.get(reason, REVERSAL_REASONS["shop"]),
        )
        return self._financial(reversal, request.terminal_id, timeout_s)

    def encrypt_pin(self, pin: str, account: str) -> bytes:
        """DE52 for this session: ISO 9564 format 0. Raises NotSent or PinBlockError."""
        connection = self._connection.get(10.0)
        while not connection.reserve():
            connection = self._connection.get(10.0)
        assert connection.pin_key is not None
        block = encrypt_pin_block(pin, account, connection.pin_key)
        with self._lock:
            self._blocks[block] = connection
            oldest = [
                self._blocks.pop(next(iter(self._blocks)))
                for _ in range(len(self._blocks) - _BLOCKS_REMEMBERED)
            ]
        for forgotten in oldest:
            forgotten.release()
        return block

    def _connection_of(self, block: bytes | None) -> SwitchConnection | None:
        """The connection whose session made a PIN block: only there can the switch read it.

        NotSent where that session is over; None where there is no such block.
        """
        if block is None:
            return None
        with self._lock:
            made_for = self._blocks.pop(block, None)
        if made_for is not None and made_for.is_broken:
            raise NotSent("the switch was connected anew after the PIN was entered; enter it again")
        return made_for

    def echo(self, *, timeout_s: float = 5.0) -> float:
        """Milliseconds until the switch answers an echo; raises NotSent or NoAnswer."""
        message = NetworkMessage(
            function=NetworkFunction.ECHO,
            stan=self._next_stan(),
            transmitted_at=self._clock(),
            participant=self._participant.institution,
        )
        return self._exchange(message, "", timeout_s).took_ms

    def operate(
        self, name: str, arguments: dict[str, Any] | None = None, *, timeout_s: float = 60.0
    ) -> dict[str, Any]:
        """Have the switch do a back-office operation; returns its result.

        Raises OperationFailed, NotSent or NoAnswer.
        """
        operation = Operation(
            name=name,
            arguments=json.dumps(arguments or {}),
            stan=self._next_stan(),
            transmitted_at=self._clock(),
            participant=self._participant.institution,
        )
        answer = plain_answer_of(self._exchange(operation, "", timeout_s).fields)
        result: dict[str, Any] = json.loads(answer.content or "{}")
        if answer.response_code != "00":
            raise OperationFailed(str(result.get("error", f"{name}: {answer.response_code}")))
        return result

    def wait_until_idle(self, *, timeout_s: float = 10.0) -> None:
        """Return once no answer waits to be sent.

        Raises NoAnswer where that is not so within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while any(self.operate("idle").values()):
            if time.monotonic() >= deadline:
                raise NoAnswer(f"the switch is still busy after {timeout_s:g} s")
            time.sleep(0.01)

    def close(self) -> None:
        """Hang up, and stop the switch where this process started it; safe to call twice."""
        with self._lock:
            on_close, self._on_close = self._on_close, None
        self._connection.close()
        if on_close is not None:
            on_close()

    # -- parts ----------------------------------------------------------------------------------

    def _financial(
        self, question: AuthorizationRequest | Reversal, terminal: str, timeout_s: float
    ) -> Exchange:
        answer = self._exchange(question, terminal, timeout_s)
        try:
            response = response_of(answer.fields, self._clock())
        except CodecError as error:
            raise NoAnswer(f"the answer can't be read: {error}") from None
        return Exchange(
            response=response,
            request_bytes=answer.request,
            response_bytes=answer.response,
            took_ms=answer.took_ms,
        )

    def _exchange(self, question: Question, terminal: str, timeout_s: float) -> Answer:
        """Ask the current switch, or the next where the current one ends before it was asked."""
        fields = fields_of(question)
        block = question.pin_block if isinstance(question, AuthorizationRequest) else None
        reserved = self._connection_of(block)
        expected = (answer_type(fields["t"]) or "", fields["11"], terminal)
        deadline = time.monotonic() + timeout_s
        while True:
            connection = reserved or self._connection.get(timeout_s)
            try:
                return connection.ask(fields, expected, timeout_s, reserved=reserved is not None)
            except ConnectionBroken as error:
                self._connection.drop(connection)
                raise NoAnswer(str(error)) from None
            except SwitchGone:
                if reserved is not None or time.monotonic() >= deadline:
                    raise

    def _next_stan(self) -> int:
        """Trace numbers of network messages and operations; those of payments are the caller's."""
        with self._lock:
            self._stan = self._stan % 999_999 + 1
            return self._stan
