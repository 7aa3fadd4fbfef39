"""One signed-on connection to the switch, whose questions may come from many threads at once.

A thread of the connection reads every message and hands each answer to the thread that waits.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from checkout.clearing.hsm.keystore import KeyStoreError, KeyUsage, unwrap_key
from checkout.clearing.iso8583 import mac
from checkout.clearing.iso8583.codec import LENGTH_BYTES, CodecError, Fields, frame, pack, unpack
from checkout.clearing.iso8583.field_map import fields_of, question_of
from checkout.clearing.messages import NetworkFunction, NetworkMessage, SessionKey
from checkout.clearing.switch.discovery import Address
from checkout.sockets import receive_exactly

#: What an answer is known by: message type, STAN, terminal.
AnswerKey = tuple[str, str, str]
#: A message as bytes and as fields.
Received = tuple[bytes, Fields]
_USAGE = {SessionKey.PIN: KeyUsage.PIN_ENCRYPTION, SessionKey.MAC: KeyUsage.MAC}


class Answer(NamedTuple):
    """A question and its answer as bytes, the answer's fields, and how long it took."""

    request: bytes
    response: bytes
    fields: Fields
    took_ms: float


class NotSent(Exception):
    """The message never left this machine: nothing happened, nothing needs undoing."""


class SwitchGone(NotSent):
    """The switch at that address has ended or is ending; the next switch may be asked instead."""


class ConnectionBroken(Exception):
    """The connection ended, or was silent too long, after something had been sent."""


class _Waiter:
    """A thread that waits for one answer; None once it is `done` means that none will come."""

    __slots__ = ("answer", "done")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Received | None = None


class SwitchConnection:
    """Made by `connect`; `ask` may be called from many threads at once."""

    def __init__(self, connected: socket.socket, clock: Callable[[], datetime]) -> None:
        self._socket = connected
        self._clock = clock
        self._send_lock = threading.Lock()
        self._lock = threading.Lock()  # of what follows
        self._waiters: dict[AnswerKey, _Waiter] = {}
        self._reserved = 0  # questions that only this session can ask and that are yet to come
        self._signed_off = False
        self._reader: threading.Thread | None = None
        self.mac_key: bytes | None = None
        self.pin_key: bytes | None = None
        self.is_broken = False

    @property
    def accepts_questions(self) -> bool:
        """Whether the switch at the other end takes new questions."""
        return not (self.is_broken or self._signed_off)

    def reserve(self) -> bool:
        """Keep the connection open for one question that holds a PIN block of this session.

        False where the switch has signed off already. Call `ask(reserved=True)` or `release` next.
        """
        with self._lock:
            if not self.accepts_questions:
                return False
            self._reserved += 1
            return True

    def release(self) -> None:
        """Give one reservation back; its question will not be asked."""
        with self._lock:
            self._reserved -= 1
        self._hang_up_when_done()

    def ask(
        self, fields: Fields, expected: AnswerKey, timeout_s: float, *, reserved: bool = False
    ) -> Answer:
        """Send a question and wait for its answer.

        Raises NotSent where nothing left this machine (SwitchGone where the switch has gone),
        ConnectionBroken where something may have.
        """
        waiter = _Waiter()
        message = self._seal(fields)
        began = time.perf_counter()
        with self._lock:
            self._reserved -= reserved
            if self.is_broken or (self._signed_off and not reserved):
                raise SwitchGone("the connection to the switch is gone")
            if expected in self._waiters:
                raise NotSent("the same message is under way already")
            self._waiters[expected] = waiter
        try:
            self._send(message)
            in_time = waiter.done.wait(timeout_s)
        finally:
            with self._lock:
                self._waiters.pop(expected, None)
            self._hang_up_when_done()
        if waiter.answer is not None:
            took_ms = (time.perf_counter() - began) * 1000
            return Answer(message, *waiter.answer, took_ms)
        raise ConnectionBroken(
            "the connection ended before the answer"
            if in_time
            else f"no answer within {timeout_s:g} s"
        )

    def close(self) -> None:
        """Hang up; threads that still wait get ConnectionBroken."""
        self.is_broken = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        reader = self._reader
        if reader is not None and reader is not threading.current_thread():
            reader.join(2.0)

    def _hang_up_when_done(self) -> None:
        """End the connection once the switch has signed off and neither side owes anything."""
        with self._lock:
            if not self._signed_off or self._waiters or self._reserved > 0:
                return
            self.is_broken = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    # -- signing on, before the reading thread runs ---------------------------------------------

    def sign_on(self, institution: str, zone_key: Callable[[], bytes], timeout_s: float) -> None:
        """Sign on, and receive a MAC key and a PIN key; NotSent where the switch refuses."""
        self._socket.settimeout(timeout_s)
        stan = 1
        self._manage(NetworkFunction.SIGN_ON, institution, stan)
        for kind in (SessionKey.MAC, SessionKey.PIN):
            stan += 1
            self._manage(NetworkFunction.KEY_RESET, institution, stan, kind)
            self._receive_key(zone_key())
        self._socket.settimeout(None)
        self._reader = threading.Thread(target=self._read_all, name="switch client", daemon=True)
        self._reader.start()

    def _manage(
        self,
        function: NetworkFunction,
        institution: str,
        stan: int,
        session_key: SessionKey | None = None,
    ) -> None:
        message = NetworkMessage(
            function=function,
            stan=stan,
            transmitted_at=self._clock(),
            participant=institution,
            session_key=session_key,
        )
        self._socket.sendall(frame(self._seal(fields_of(message))))
        _, fields = self._receive_answer()
        if fields.get("39") != "00":
            raise NotSent(f"the switch refuses {function.name}: {fields.get('39')}")

    def _receive_key(self, zone_key: bytes) -> None:
        """Receive the 0800 that brings a key, and answer it."""
        _, fields = self._receive_answer()
        question = question_of(fields, self._clock())
        if not isinstance(question, NetworkMessage) or question.key_block is None:
            raise NotSent("the switch sent no key")
        assert question.session_key is not None
        try:
            key = unwrap_key(zone_key, question.key_block, _USAGE[question.session_key])
        except KeyStoreError as error:
            raise NotSent(f"the switch's key can't be read: {error}") from None
        answer = {name: fields[name] for name in ("7", "11", "33", "53", "70")}
        self._socket.sendall(frame(self._seal({"t": "0810", "39": "00", **answer})))
        if question.session_key is SessionKey.MAC:
            self.mac_key = key
        else:
            self.pin_key = key

    def _receive_answer(self) -> Received:
        """The next message that the switch doesn't send of its own accord."""
        while True:
            message, fields = self._receive()
            if fields["t"] != "0820":
                return message, fields
            if _is_sign_off(fields):
                raise ConnectionBroken("the switch is closing")
            self._acknowledge(fields)

    # -- reading and sending --------------------------------------------------------------------

    def _read_all(self) -> None:
        """Hand every answer to the thread that waits for it, until the connection ends."""
        with contextlib.suppress(OSError, CodecError, ConnectionBroken):
            while not self.is_broken:
                self._dispatch(*self._receive())
        with self._lock:
            self.is_broken = True
            for waiter in self._waiters.values():
                waiter.done.set()
        if self._signed_off:
            self._socket.close()

    def _dispatch(self, message: bytes, fields: Fields) -> None:
        if _is_sign_off(fields):
            with self._lock:
                self._signed_off = True
            self._hang_up_when_done()
            return
        if fields["t"] == "0820":
            self._acknowledge(fields)
            return
        key = (fields["t"], fields.get("11", ""), fields.get("41", "").rstrip())
        with self._lock:
            waiter = self._waiters.get(key)
        if waiter is not None:
            waiter.answer = (message, fields)
            waiter.done.set()

    def _acknowledge(self, fields: Fields) -> None:
        """Answer the network's 201 or 202; the date itself comes with every answer (DE15)."""
        answer: Fields = {name: fields[name] for name in ("7", "11", "33", "70") if name in fields}
        self._send(self._seal({"t": "0830", "39": "00", **answer}))

    def _receive(self) -> Received:
        """The next message; a wrong MAC ends the connection, since nothing on it can be trusted."""
        length = int.from_bytes(receive_exactly(self._socket, LENGTH_BYTES))
        message = receive_exactly(self._socket, length)
        fields = unpack(message)
        if self.mac_key is not None and not mac.verify(message, fields, self.mac_key):
            raise ConnectionBroken("an answer's MAC is wrong")
        return message, fields

    def _seal(self, fields: Fields) -> bytes:
        return pack(fields) if self.mac_key is None else mac.pack_with_mac(fields, self.mac_key)

    def _send(self, message: bytes) -> None:
        with self._send_lock:
            try:
                self._socket.sendall(frame(message))
            except OSError as error:
                self.is_broken = True
                raise ConnectionBroken(f"sending broke off: {error}") from None


def connect(
    address: Address,
    institution: str,
    zone_key: Callable[[], bytes],
    *,
    clock: Callable[[], datetime],
    timeout_s: float,
) -> SwitchConnection:
    """Connect and sign on; NotSent where the switch refuses, SwitchGone where none is there."""
    began = time.monotonic()
    try:
        connected = socket.create_connection(address, timeout=timeout_s)
    except OSError as error:
        raise SwitchGone(f"the switch can't be reached: {error}") from None
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = SwitchConnection(connected, clock)
    try:
        connection.sign_on(institution, zone_key, max(timeout_s - (time.monotonic() - began), 0.5))
    except (OSError, CodecError, ConnectionBroken) as error:
        connection.close()
        raise SwitchGone(f"signing on failed: {error}") from None
    except NotSent:
        connection.close()
        raise
    return connection


def _is_sign_off(fields: Fields) -> bool:
    """0820 from the switch: it takes nothing new and closes as soon as it owes no answer."""
    return fields["t"] == "0820" and fields.get("70") == NetworkFunction.SIGN_OFF
