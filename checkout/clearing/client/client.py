"""The shop's end of the line to the switch: many threads, one connection, ISO 8583 both ways."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from checkout.clearing.client.connection import Elsewhere, Line, LineBroken, Lines, NotSent
from checkout.clearing.hsm.keystore import KeyStore
from checkout.clearing.hsm.pin import encrypt_pin_block
from checkout.clearing.iso8583.codec import CodecError, Fields, answer_type
from checkout.clearing.iso8583.dump import describe
from checkout.clearing.iso8583.requests import fields_of
from checkout.clearing.iso8583.responses import plain_answer_of, response_of
from checkout.clearing.messages import (
    REVERSAL_REASONS,
    AuthorizationRequest,
    AuthorizationResponse,
    NetworkFunction,
    NetworkMessage,
    Operation,
    OriginalElements,
    PlainAnswer,
    Question,
    Reversal,
)
from checkout.clearing.scheme.participants import Participant, demo_participants
from checkout.clearing.switch.discovery import Address, SwitchRunning, find
from checkout.clearing.switch.server import SwitchServer, log
from checkout.database import DatabaseError

__all__ = ["Exchange", "NoAnswer", "NotSent", "OperationFailed", "SwitchClient", "open_client"]

#: PIN blocks remembered until they are sent; more than that are never on their way at once.
_BLOCKS_KEPT = 1024

#: Between two looks for a switch, and how long one may take to begin or to end.
_AGAIN_S = 0.02
_TURNOVER_S = 30.0

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
    """Speaks for one acquirer; safe for many threads, connects and signs on when first needed."""

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
        self._lines = Lines(address, participant.institution, zone_key, clock=clock)
        self._clock = clock
        self._on_close = on_close
        self._lock = threading.Lock()
        self._stan = 0
        self._blocks: dict[bytes, Line] = {}

    def authorize(self, request: AuthorizationRequest, *, timeout_s: float = 10.0) -> Exchange:
        """Ask and wait; a decline is in the answer.

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
            message_type=fields_of(request)["t"],
            stan=request.stan,
            transmitted_at=request.transmitted_at,
            acquirer=request.acquirer,
            forwarder=request.forwarder,
        )
        reversal = Reversal(
            request=_naming(request, original),
            reason=REVERSAL_REASONS.get(reason, REVERSAL_REASONS["shop"]),
        )
        return self._financial(reversal, request.terminal_id, timeout_s)

    def encrypt_pin(self, pin: str, account: str) -> bytes:
        """DE52 for this session: ISO 9564 format 0. Raises NotSent or PinBlockError."""
        line = self._lines.current(10.0)
        while not line.promise():
            line = self._lines.current(10.0)
        assert line.pin_key is not None
        block = encrypt_pin_block(pin, account, line.pin_key)
        with self._lock:
            self._blocks[block] = line
            forgotten = [
                self._blocks.pop(next(iter(self._blocks)))
                for _ in range(len(self._blocks) - _BLOCKS_KEPT)
            ]
        for other in forgotten:
            other.release()
        return block

    def _line_of(self, block: bytes | None) -> Line | None:
        """The line that a PIN block was made for, the only one where it can be read.

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
        """Milliseconds that the switch takes to answer an echo; raises NotSent or NoAnswer."""
        message = NetworkMessage(
            function=NetworkFunction.ECHO,
            stan=self._next_stan(),
            transmitted_at=self._clock(),
            participant=self._participant.institution,
        )
        began = time.perf_counter()
        self._exchange(message, "", timeout_s)
        return (time.perf_counter() - began) * 1000

    def operate(
        self, name: str, arguments: dict[str, Any] | None = None, *, timeout_s: float = 60.0
    ) -> dict[str, Any]:
        """Have the switch do a back-office operation and return what it says.

        Raises OperationFailed, NotSent or NoAnswer.
        """
        operation = Operation(
            name=name,
            arguments=json.dumps(arguments or {}),
            stan=self._next_stan(),
            transmitted_at=self._clock(),
            participant=self._participant.institution,
        )
        fields, _, _, _ = self._exchange(operation, "", timeout_s)
        answer: PlainAnswer = plain_answer_of(fields)
        told: dict[str, Any] = json.loads(answer.content or "{}")
        if answer.response_code != "00":
            raise OperationFailed(str(told.get("error", f"{name}: {answer.response_code}")))
        return told

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
        self._lines.close()
        if on_close is not None:
            on_close()

    # -- parts ----------------------------------------------------------------------------------

    def _financial(
        self, question: AuthorizationRequest | Reversal, terminal: str, timeout_s: float
    ) -> Exchange:
        fields, sent, received, took_ms = self._exchange(question, terminal, timeout_s)
        try:
            response = response_of(fields, self._clock())
        except CodecError as error:
            raise NoAnswer(f"the answer can't be read: {error}") from None
        return Exchange(
            response=response, request_bytes=sent, response_bytes=received, took_ms=took_ms
        )

    def _exchange(
        self, question: Question, terminal: str, timeout_s: float
    ) -> tuple[Fields, bytes, bytes, float]:
        fields = fields_of(question)
        block = question.pin_block if isinstance(question, AuthorizationRequest) else None
        bound = self._line_of(block)
        expected = (answer_type(fields["t"]) or "", fields["11"], terminal)
        deadline = time.monotonic() + timeout_s
        while True:
            line = bound or self._lines.current(timeout_s)
            began = time.perf_counter()
            try:
                sent, received, answer = line.ask(
                    fields, expected, timeout_s, promised=bound is not None
                )
            except LineBroken as error:
                self._lines.drop(line)
                raise NoAnswer(str(error)) from None
            except Elsewhere:
                if bound is not None or time.monotonic() >= deadline:
                    raise
                continue  # nothing was sent: the next switch may be asked
            return answer, sent, received, (time.perf_counter() - began) * 1000

    def _next_stan(self) -> int:
        """Trace numbers of network messages and operations; those of payments are the caller's."""
        with self._lock:
            self._stan = self._stan % 999_999 + 1
            return self._stan


def open_client(
    home: Path,
    database_url: str,
    *,
    start: bool = True,
    clock: Clock = lambda: datetime.now(UTC),
    participant: str = DEFAULT_PARTICIPANT,
) -> SwitchClient:
    """A client of the running switch of this database.

    With `start`, one is started in this process where none runs, now or when that of another
    command has ended, and stopped, after answering what it was sent, when the client is closed.
    Raises DatabaseError or KeyStoreError.
    """
    found = demo_participants().by_id[participant]
    keys = KeyStore(home)
    stops: list[Callable[[], None]] = []

    def address() -> Address | None:
        deadline = time.monotonic() + _TURNOVER_S
        while True:
            there = find(home, database_url)
            if there is not None or not start:
                return there
            from checkout.clearing.client.client import OwnSwitch

            try:
                stops.append(OwnSwitch(home, database_url, clock=clock).stop)
            except SwitchRunning:
                # Another process has the seat and no address: it begins, or it ends. Look again.
                if time.monotonic() >= deadline:
                    return None
                time.sleep(_AGAIN_S)

    def stop() -> None:
        while stops:
            stops.pop()()

    if start:
        address()
    return SwitchClient(
        address, found, lambda: keys.zone_key(participant), clock=clock, on_close=stop
    )


def _naming(request: AuthorizationRequest, original: OriginalElements) -> AuthorizationRequest:
    return replace(request, original=original, pin_block=None, icc=None)


class OwnSwitch:
    """Runs from construction until `stop`; SwitchRunning where there is one already."""

    def __init__(self, home: Path, database_url: str, *, clock: Clock) -> None:
        self._stop = threading.Event()
        self._server = SwitchServer.open(home, database_url, clock=clock)
        self._thread = threading.Thread(target=self._run, name="switch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._server.run(self._stop)
        except DatabaseError as error:
            log.error("%s", error)

    def stop(self) -> None:
        """Answer what has arrived, then end."""
        self._stop.set()
        self._server.wake()
        self._thread.join()
