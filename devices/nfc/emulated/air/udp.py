"""An emulated card on nfcpy's simulated air: frames as text datagrams, `106A E080`.

The card binds one address only. nfcpy's own listener binds every interface of the machine, so that
anybody on the network could tap the card.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from types import TracebackType

from devices.nfc.emulated.air.field import Collision, Field
from devices.nfc.emulated.air.iso14443_3 import Technology
from devices.nfc.emulated.air.iso14443_4 import Answer, PresentedCard

DEFAULT_HOST = "localhost"
DEFAULT_PORT = 54321
_FIELD_OFF = b"RFOFF"
_LARGEST_DATAGRAM = 1024


class UdpEmulator:
    """Cards on one UDP address, served by a thread until `close`.

    `port` 0 takes a free one. Raises OSError when the address can't be bound.
    """

    def __init__(self, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((host or DEFAULT_HOST, port))
        except BaseException:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self._host = host or DEFAULT_HOST
        self._port: int = self._socket.getsockname()[1]
        self._wake_read, self._wake_write = socket.socketpair()
        self._field = Field()
        self._reader: tuple[str, int] | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name="udp-card", daemon=True)
        self._thread.start()

    @property
    def path(self) -> str:
        """What `--reader` takes, such as "udp:localhost:54321"."""
        return f"udp:{self._host}:{self._port}"

    @property
    def cards(self) -> tuple[PresentedCard, ...]:
        """The cards in the field now."""
        return tuple(target.card for target in self._field.targets)

    def present(self, *cards: PresentedCard) -> None:
        """Put one card into the field, or several at once."""
        self._field.present(*cards)

    def remove(self, card: PresentedCard | None = None) -> None:
        """Take one card away, or all cards."""
        self._field.remove(card)

    def close(self) -> None:
        """End the thread and free the port; safe to call twice."""
        self._stopping = True
        if threading.current_thread() is self._thread:
            return
        with contextlib.suppress(OSError):
            self._wake_write.send(b"x")
        self._thread.join(timeout=5)
        self._wake_write.close()

    def __enter__(self) -> UdpEmulator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _serve(self) -> None:
        try:
            while not self._stopping:
                select.select([self._socket, self._wake_read], [], [])
                self._take_all()
        finally:
            self._field.remove()
            self._socket.close()
            self._wake_read.close()

    def _take_all(self) -> None:
        while not self._stopping:
            try:
                datagram, reader = self._socket.recvfrom(_LARGEST_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:  # some systems report here that a reader is gone
                continue
            self._on_datagram(datagram, reader)

    def _on_datagram(self, datagram: bytes, reader: tuple[str, int]) -> None:
        if datagram.startswith(_FIELD_OFF):
            if reader == self._reader:
                self._field.switch(False)
                self._reader = None
            return
        frame = _parsed(datagram)
        if frame is None:
            return
        technology, content = frame
        if reader != self._reader:  # a new socket is a new field, the old field is off
            self._field.switch(False)
            self._field.switch(True)
            self._reader = reader
        with contextlib.suppress(Collision):
            answer = self._field.exchange(content, technology)
            if answer is not None and not self._stopping:
                self._reply(answer, technology, reader)

    def _reply(self, answer: Answer, technology: Technology, reader: tuple[str, int]) -> None:
        if answer.after_s:
            time.sleep(answer.after_s)
        text = f"106{technology} {answer.frame.hex()}".encode("ascii")
        with contextlib.suppress(OSError):
            self._socket.sendto(text, reader)


def _parsed(datagram: bytes) -> tuple[Technology, bytes] | None:
    """Technology and frame of a datagram; None for anything that is not a 106 kbit/s frame."""
    kind, _, text = datagram.partition(b" ")
    if kind not in (b"106A", b"106B"):
        return None
    try:
        frame = bytes.fromhex(text.decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        return None
    return ("A" if kind == b"106A" else "B", frame) if frame else None
