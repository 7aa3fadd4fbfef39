"""One signed-on connection to the switch; a thread of its own gives answers to who waits."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime

from checkout.clearing.hsm.keystore import KeyStoreError, KeyUsage, unwrap_key
from checkout.clearing.iso8583 import mac
from checkout.clearing.iso8583.codec import LENGTH_BYTES, CodecError, Fields, frame, pack, unpack
from checkout.clearing.iso8583.requests import fields_of, question_of
from checkout.clearing.messages import NetworkFunction, NetworkMessage, SessionKey
from checkout.clearing.switch.discovery import Address

Expected = tuple[str, str, str]  # message type, STAN, terminal
Answered = tuple[bytes, Fields]
_USAGE = {SessionKey.PIN: KeyUsage.PIN_ENCRYPTION, SessionKey.MAC: KeyUsage.MAC}


class NotSent(Exception):
    """The message never left this machine: nothing happened, nothing needs undoing."""


class Elsewhere(NotSent):
    """The switch at that address has gone or is going; the next one may be asked instead."""


class LineBroken(Exception):
    """The connection ended, or was silent too long, after something had been sent."""


class _Waiting:
    """Who waits for one answer."""

    __slots__ = ("answer", "done")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Answered | None = None


class Line:
    """Made by `open_line`; `ask` may be called from many threads at once."""

    def __init__(self, connected: socket.socket, clock: Callable[[], datetime]) -> None:
        self._socket = connected
        self._clock = clock
        self._send_lock = threading.Lock()
        self._wait_lock = threading.Lock()
        self._waiting: dict[Expected, _Waiting] = {}
        self._reader: threading.Thread | None = None
        self._promised = 0
        self.mac_key: bytes | None = None
        self.pin_key: bytes | None = None
        self.is_broken = False
        self._signed_off = False

    @property
    def takes_more(self) -> bool:
        """Whether the switch at the other end takes new questions."""
        return not (self.is_broken or self._signed_off)

    def promise(self) -> bool:
        """Keep the line for one question that only this session can ask: its PIN block.

        False where the switch has signed off already. To be followed by `ask(promised=True)`
        or `release`.
        """
        with self._wait_lock:
            if not self.takes_more:
                return False
            self._promised += 1
            return True

    def release(self) -> None:
        """The promised question will not be asked."""
        with self._wait_lock:
            self._promised -= 1
        self._hang_up_when_done()

    def ask(
        self, fields: Fields, expected: Expected, timeout_s: float, *, promised: bool = False
    ) -> tuple[bytes, bytes, Fields]:
        """Send, wait, and return what was sent, what came back, and its fields.

        Raises NotSent where nothing left this machine (Elsewhere where the switch has gone),
        LineBroken where something may have.
        """
        waiting = _Waiting()
        message = self._sealed(fields)
        with self._wait_lock:
            self._promised -= promised
            if self.is_broken or (self._signed_off and not promised):
                raise Elsewhere("the connection to the switch is gone")
            if expected in self._waiting:
                raise NotSent("the same message is under way already")
            self._waiting[expected] = waiting
        try:
            self._send(message)
            answered = waiting.done.wait(timeout_s)
        finally:
            with self._wait_lock:
                self._waiting.pop(expected, None)
            self._hang_up_when_done()
        if waiting.answer is not None:
            return message, *waiting.answer
        raise LineBroken(
            "the connection ended before the answer"
            if answered
            else f"no answer within {timeout_s:g} s"
        )

    def close(self) -> None:
        """Hang up; whoever still waits is told."""
        self.is_broken = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        reader = self._reader
        if reader is not None and reader is not threading.current_thread():
            reader.join(2.0)

    def _hang_up_when_done(self) -> None:
        """Once the switch has signed off and nothing is owed either way, end the connection."""
        with self._wait_lock:
            if not self._signed_off or self._waiting or self._promised > 0:
                return
            self.is_broken = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    # -- setting up, before the reader runs -----------------------------------------------------

    def sign_on(self, institution: str, zone_key: Callable[[], bytes], timeout_s: float) -> None:
        """Sign on and be given a MAC key and a PIN key; NotSent where the switch refuses."""
        self._socket.settimeout(timeout_s)
        stan = 1
        self._manage(NetworkFunction.SIGN_ON, institution, stan)
        for kind in (SessionKey.MAC, SessionKey.PIN):
            stan += 1
            self._manage(NetworkFunction.KEY_RESET, institution, stan, kind)
            self._take_key(zone_key())
        self._socket.settimeout(None)
        self._reader = threading.Thread(target=self._read_on, name="switch line", daemon=True)
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
        self._socket.sendall(frame(self._sealed(fields_of(message))))
        _, fields = self._answer_to_own()
        if fields.get("39") != "00":
            raise NotSent(f"the switch refuses {function.name}: {fields.get('39')}")

    def _take_key(self, zone_key: bytes) -> None:
        """Answer the 0800 that brings a key."""
        _, fields = self._answer_to_own()
        question = question_of(fields, self._clock())
        if not isinstance(question, NetworkMessage) or question.key_block is None:
            raise NotSent("the switch sent no key")
        assert question.session_key is not None
        try:
            key = unwrap_key(zone_key, question.key_block, _USAGE[question.session_key])
        except KeyStoreError as error:
            raise NotSent(f"the switch's key can't be read: {error}") from None
        answer = {name: fields[name] for name in ("7", "11", "33", "53", "70")}
        self._socket.sendall(frame(self._sealed({"t": "0810", "39": "00", **answer})))
        if question.session_key is SessionKey.MAC:
            self.mac_key = key
        else:
            self.pin_key = key

    # -- reading --------------------------------------------------------------------------------

    def _read_on(self) -> None:
        with contextlib.suppress(OSError, CodecError, LineBroken):
            while not self.is_broken:
                message, fields = self._receive()
                if _is_sign_off(fields):
                    with self._wait_lock:
                        self._signed_off = True
                    self._hang_up_when_done()
                    continue
                if fields["t"] == "0820":
                    self._acknowledge(fields)
                    continue
                expected = (fields["t"], fields.get("11", ""), fields.get("41", "").rstrip())
                with self._wait_lock:
                    waiting = self._waiting.get(expected)
                if waiting is not None:
                    waiting.answer = (message, fields)
                    waiting.done.set()
        with self._wait_lock:
            self.is_broken = True
            for waiting in self._waiting.values():
                waiting.done.set()
        if self._signed_off:
            self._socket.close()

    def _acknowledge(self, fields: Fields) -> None:
        """Answer what the network tells of itself (cut-over); answers carry their date anyway."""
        answer: Fields = {name: fields[name] for name in ("7", "11", "33", "70") if name in fields}
        self._send(self._sealed({"t": "0830", "39": "00", **answer}))

    def _answer_to_own(self) -> Answered:
        """The next message that is an answer, while signing on."""
        while True:
            message, fields = self._receive()
            if fields["t"] != "0820":
                return message, fields
            if _is_sign_off(fields):
                raise LineBroken("the switch is closing")
            self._acknowledge(fields)

    def _receive(self) -> Answered:
        """The next message; one whose MAC is wrong ends the line: nothing on it can be believed."""
        length = int.from_bytes(self._exactly(LENGTH_BYTES))
        message = self._exactly(length)
        fields = unpack(message)
        if self.mac_key is not None and not mac.verify(message, fields, self.mac_key):
            raise LineBroken("an answer's MAC is wrong")
        return message, fields

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            arrived = self._socket.recv(count - len(parts))
            if not arrived:
                raise LineBroken("the switch hung up")
            parts += arrived
        return bytes(parts)

    def _sealed(self, fields: Fields) -> bytes:
        return pack(fields) if self.mac_key is None else mac.pack_with_mac(fields, self.mac_key)

    def _send(self, message: bytes) -> None:
        with self._send_lock:
            try:
                self._socket.sendall(frame(message))
            except OSError as error:
                self.is_broken = True
                raise LineBroken(f"sending broke off: {error}") from None


def open_line(
    address: Address,
    institution: str,
    zone_key: Callable[[], bytes],
    *,
    clock: Callable[[], datetime],
    timeout_s: float,
) -> Line:
    """Connect and sign on; NotSent where the switch refuses, Elsewhere where it isn't there."""
    began = time.monotonic()
    try:
        connected = socket.create_connection(address, timeout=timeout_s)
    except OSError as error:
        raise Elsewhere(f"the switch can't be reached: {error}") from None
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line = Line(connected, clock)
    try:
        line.sign_on(institution, zone_key, max(timeout_s - (time.monotonic() - began), 0.5))
    except (OSError, CodecError, LineBroken) as error:
        line.close()
        raise Elsewhere(f"signing on failed: {error}") from None
    except NotSent:
        line.close()
        raise
    return line


def _is_sign_off(fields: Fields) -> bool:
    """0820 from the switch: it takes nothing new and closes as soon as it owes no answer."""
    return fields["t"] == "0820" and fields.get("70") == NetworkFunction.SIGN_OFF


#: How long signing on may take, and the pause before the next switch is looked for.
_SIGN_ON_S = 5.0


_AGAIN_S = 0.02


class Lines:
    """One line at a time that takes questions; safe for many threads.

    A line whose switch has signed off is kept beside it until its answers have come.
    """

    def __init__(
        self,
        address: Callable[[], Address | None],
        institution: str,
        zone_key: Callable[[], bytes],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._address = address
        self._institution = institution
        self._zone_key = zone_key
        self._clock = clock
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._leaving: list[Line] = []
        self._closed = False

    def current(self, timeout_s: float) -> Line:
        """The line for new questions, signed on; NotSent where there is no switch."""
        with self._lock:
            if self._line is not None and not self._line.takes_more:
                self._retire(self._line)
            if self._line is None:
                self._line = self._open(time.monotonic() + timeout_s)
            return self._line

    def drop(self, line: Line) -> None:
        """Let go of a line on which something went wrong, if it is broken."""
        if not line.is_broken:
            return
        with self._lock:
            if line is self._line or line in self._leaving:
                self._retire(line)
        line.close()

    def close(self) -> None:
        """Hang up for good; safe to call twice."""
        self._closed = True  # whoever is opening one holds the lock, and gives up
        with self._lock:
            lines = [*self._leaving, *([self._line] if self._line else [])]
            self._line, self._leaving = None, []
        for line in lines:
            line.close()

    def _retire(self, line: Line) -> None:
        """Under the lock: a line that is broken goes now, one that owes answers goes later."""
        leaving = {id(one): one for one in (*self._leaving, line)}.values()
        for one in leaving:
            if one.is_broken:
                one.close()
        self._leaving = [one for one in leaving if not one.is_broken]
        if self._line is line:
            self._line = None

    def _open(self, deadline: float) -> Line:
        """Sign on, at the next switch where the one that was found is just going."""
        while not self._closed:
            address = self._address()
            if address is None:
                raise NotSent("no switch is running")
            left_s = max(deadline - time.monotonic(), 0.5)
            try:
                return open_line(
                    address,
                    self._institution,
                    self._zone_key,
                    clock=self._clock,
                    timeout_s=min(left_s, _SIGN_ON_S),
                )
            except Elsewhere:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_AGAIN_S)
        raise NotSent("the client is closed")
