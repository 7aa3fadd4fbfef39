"""An emulated PN532 reader on a pseudo-terminal, to which emulated cards are presented.

It answers a host like the real chip. So nfcpy's own pn532 driver, libnfc and every other program
for a PN532 on a serial port can open `device` and tap the card.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from types import TracebackType

from devices.nfc.emulated.air.field import Field
from devices.nfc.emulated.air.iso14443_4 import PresentedCard
from devices.nfc.emulated.pn532.chip import InvalidSyntax, Pn532Chip, StillPolling
from devices.nfc.emulated.pn532.frames import ACK, ERROR, HostFrame, HostStream, response_frame

_POLL_S = 0.005
_SET_LINE_RATE = 0x10
_FIRST_RATE = 115_200
_LINE_RATES = {4: 115_200, 5: 230_400, 6: 460_800, 7: 921_600}


class _Interrupted(Exception):
    """A new frame from the host, or `close`, interrupted the command."""


class Pn532Emulator:
    """A PN532 on a new pseudo-terminal, served by a thread of its own until `close`.

    With `checks_line_rate` it receives only at the rate that was last agreed, like a chip on a real
    line. Raises OSError where the system has no pseudo-terminals. It is safe to use from several
    threads; a card's `process` may remove the card or unplug the reader.
    """

    def __init__(self, *, checks_line_rate: bool = False) -> None:
        self._rates = {_FIRST_RATE} if checks_line_rate else None
        self._controller, self._port = _pseudo_terminal()
        os.set_blocking(self._controller, False)
        self._device = os.ttyname(self._port)
        self._wake_read, self._wake_write = os.pipe()
        self._field = Field()
        self._chip = Pn532Chip(self._field, self._wait)
        self._stream = HostStream()
        self._inbox: list[HostFrame] = []
        self._last = ACK
        self._agreed: int | None = None
        self._stopping = False
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="pn532-emulator", daemon=True)
        self._thread.start()

    @property
    def device(self) -> str:
        """The pseudo-terminal's name, such as "/dev/pts/3"."""
        return self._device

    @property
    def path(self) -> str:
        """What `--reader` takes, such as "pn532:/dev/pts/3"."""
        return f"pn532:{self._device}"

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

    def unplug(self) -> None:
        """Unplug the reader: the host loses its port, and the emulator is closed."""
        self.close()

    def close(self) -> None:
        """End the thread and release the pseudo-terminal; safe to call twice."""
        self._stopping = True
        if threading.current_thread() is self._thread:
            return  # the thread closes when its current command returns
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")
        self._thread.join(timeout=5)
        with self._closing:
            if not self._closed:
                self._closed = True
                for end in (self._wake_read, self._wake_write):
                    os.close(end)

    def __enter__(self) -> Pn532Emulator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # The chip's thread

    def _serve(self) -> None:
        try:
            while not self._stopping:
                self._receive(None)
                while self._inbox and not self._stopping:
                    self._on_host(self._inbox.pop(0))
        except OSError:
            self._stopping = True
        finally:
            self._field.remove()
            for end in (self._controller, self._port):
                with contextlib.suppress(OSError):
                    os.close(end)

    def _receive(self, timeout_s: float | None) -> None:
        """Wait for the host and receive its bytes."""
        ready, _, _ = select.select([self._controller, self._wake_read], [], [], timeout_s)
        if self._controller in ready:
            received = os.read(self._controller, 4096)
            if self._rates is None or _line_rate(self._port) in self._rates:
                self._inbox += self._stream.feed(received)

    def _wait(self, seconds: float) -> None:
        """Wait like a chip that waits for a card: a new frame from the host ends the wait."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._stopping or self._inbox:
                raise _Interrupted
            self._receive(left)

    def _on_host(self, frame: HostFrame) -> None:
        if frame.kind == "nack":
            self._write(self._last)
        elif frame.kind == "ack" and self._rates is not None and self._agreed is not None:
            self._rates, self._agreed = {self._agreed}, None
        elif frame.kind == "command":
            self._write(ACK)
            with contextlib.suppress(_Interrupted):
                response = self._answer(frame)
                if not self._stopping:
                    self._last = response
                    self._write(response)
                if frame.code == _SET_LINE_RATE and self._rates is not None and frame.payload:
                    self._agreed = _LINE_RATES.get(frame.payload[0])
                    self._rates |= {self._agreed or _FIRST_RATE}

    def _answer(self, frame: HostFrame) -> bytes:
        while True:
            try:
                return response_frame(frame.code, self._chip.execute(frame.code, frame.payload))
            except InvalidSyntax:
                return ERROR
            except StillPolling:
                self._wait(_POLL_S)

    def _write(self, frame: bytes) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._controller, frame)


def _pseudo_terminal() -> tuple[int, int]:
    """Both ends of a new pseudo-terminal in raw mode."""
    if sys.platform == "win32":
        raise OSError("Windows has no pseudo-terminals")
    import tty

    controller, port = os.openpty()
    tty.setraw(port)
    return controller, port


def _line_rate(port: int) -> int | None:
    """The bit rate that the host has set on its end, None where the chip does not have it."""
    if sys.platform == "win32":
        return None
    import termios

    speed = termios.tcgetattr(port)[5]
    rates = {getattr(termios, f"B{rate}", None): rate for rate in _LINE_RATES.values()}
    return rates.get(speed)
