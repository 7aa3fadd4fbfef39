"""A reader over any `Air`: finds and activates a card, exchanges APDUs, recovers from faults.

`AirReader` implements `Reader` of the contract. Of the hardware it needs only an `Air`, which polls
once and exchanges one frame; it depends on no driver.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from devices.nfc.contract import (
    CardDescription,
    CardGone,
    ReaderGone,
    TransportError,
)
from devices.nfc.reader.air import Air, SelectedCard, Signal
from devices.nfc.reader.driver_thread import ReaderThread
from devices.nfc.reader.iso_dep import (
    Activation,
    FrameError,
    FrameTimeout,
    IsoDepInitiator,
    ProtocolError,
    TooSlow,
    attrib,
    parse_atqb,
    parse_ats,
    rats,
)

T = TypeVar("T")

POLL_PAUSE_S = 0.05
"""The pause between two polling rounds; a round looks for type A, then for type B."""

EMPTY_ROUNDS = 2
"""The number of successive empty rounds after which a card counts as removed."""

_OPEN_WATCHDOG_S = 30.0
_REOPEN_PAUSE_S = 0.25
_ACTIVATION_TIMEOUT_S = 0.02
_ACTIVATION_TRIES = 3
_FAILED_ACTIVATIONS = 3


class AirReader:
    """A `Reader` over an Air, with one thread that owns it.

    The constructor calls `open_air`, and the reader calls it again after it was lost; it raises
    TransportError with the reason. A reader that was unplugged raises ReaderGone once; the next
    `wait_for_card` (or `reopen`) opens it again as soon as it is back. A driver whose call has not
    returned within `watchdog_s` seconds counts as lost too.
    """

    def __init__(
        self,
        path: str,
        open_air: Callable[[], Air],
        *,
        emulated: bool,
        watchdog_s: float = 15.0,
    ) -> None:
        self._watchdog_s = watchdog_s
        self._path = path
        self._open_air = open_air
        self._emulated = emulated
        self._air: Air | None = None
        self._card: AirCard | None = None
        self._name = path
        self._closed = False
        self._thread = ReaderThread(path)
        try:
            self._call(self._open, _OPEN_WATCHDOG_S)
        except BaseException:
            self._thread.post(self._close_air)
            self._thread.stop()
            raise

    @property
    def name(self) -> str:
        """Maker, model and path, such as "ACS ACR122U on usb:001:004"."""
        return self._name

    @property
    def path(self) -> str:
        """The path with which `--reader` opens it again."""
        return self._path

    @property
    def emulated(self) -> bool:
        """Whether card and air are emulated."""
        return self._emulated

    def wait_for_card(self, timeout_s: float) -> AirCard | None:
        """Wait for the next card and activate it; None when none came within the seconds given.

        It polls at least once. Raises SeveralCards; CardGone when a card could not be activated in
        several rounds; ReaderGone when the reader is not there; TransportError("unsupported-card")
        for a card without ISO/IEC 14443-4.
        """
        deadline = time.monotonic() + timeout_s
        self._wait_for_reader(deadline)
        failures = 0
        while True:
            try:
                card = self._call(self._poll_and_activate)
            except CardGone:
                failures += 1
                if failures >= _FAILED_ACTIVATIONS or time.monotonic() >= deadline:
                    raise
                continue
            if card is not None:
                return card
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            time.sleep(min(POLL_PAUSE_S, left))

    def release(self) -> None:
        """Deselect the card of the last wait_for_card, in whatever state it is; never raises."""
        card, self._card = self._card, None
        if card is None or self._air is None or self._thread.stuck:
            return
        try:
            self._call(card.deselect)
        except TransportError:
            return

    def wait_for_removal(self, timeout_s: float) -> bool:
        """Whether the field became empty within the seconds given; that takes two empty rounds.

        Raises ReaderGone.
        """
        deadline = time.monotonic() + timeout_s
        self.release()
        empty = 0
        while True:
            empty = empty + 1 if self._call(self._is_empty) else 0
            if empty >= EMPTY_ROUNDS:
                return True
            left = deadline - time.monotonic()
            if left <= 0 and not empty:
                return False
            time.sleep(max(0.0, min(POLL_PAUSE_S, left)))

    def signal(self, result: Signal) -> None:
        """Show the result by light and sound; returns at once and never raises."""
        if self._closed or self._thread.stuck:
            return

        def set_lights() -> None:
            if self._air is not None:
                self._air.signal(result)

        self._thread.post(lambda: self._run(set_lights))

    def reopen(self) -> None:
        """Open the reader again after ReaderGone.

        Raises TransportError with the reason (no-reader, no-permission, busy) while it can't.
        """
        if self._thread.stuck:
            self._thread = ReaderThread(self._path)
            self._air = None
        self._call(self._open, _OPEN_WATCHDOG_S)

    def close(self) -> None:
        """Release the device; safe to call twice, and from another thread."""
        if self._closed:
            return
        self._closed = True
        self._card = None
        self._thread.post(self._close_air)
        self._thread.stop()

    # On the reader's own thread

    def _open(self) -> None:
        self._close_air()
        self._air = self._open_air()
        self._name = self._air.name

    def _close_air(self) -> None:
        air, self._air = self._air, None
        if air is not None:
            air.close()

    def _run(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except ReaderGone:
            self._close_air()
            raise

    def _poll_and_activate(self) -> AirCard | None:
        self._card = None
        air = self._opened_air()
        found = air.poll()
        if found is None:
            return None
        if found.sak is not None and not found.sak & 0x20:
            raise TransportError(
                "unsupported-card",
                f"this card does not speak ISO/IEC 14443-4 (SAK {found.sak:02X}): "
                "it is no payment card",
            )
        self._card = _activated(self, air, found)
        return self._card

    def _is_empty(self) -> bool:
        try:
            return self._opened_air().poll() is None
        except ReaderGone:
            raise
        except TransportError:
            return False

    def _opened_air(self) -> Air:
        if self._air is None:
            raise ReaderGone
        return self._air

    # Between the caller and the thread

    def _call(self, work: Callable[[], T], watchdog_s: float | None = None) -> T:
        if self._closed:
            raise ReaderGone("the reader has been closed")
        return self._thread.call(lambda: self._run(work), watchdog_s or self._watchdog_s)

    def _wait_for_reader(self, deadline: float) -> None:
        while self._air is None or self._thread.stuck:
            try:
                self.reopen()
            except TransportError as error:
                left = deadline - time.monotonic()
                if self._closed or left <= 0:
                    raise ReaderGone(str(error)) from error
                time.sleep(min(_REOPEN_PAUSE_S, left))


class AirCard:
    """An activated card; usable until the reader releases it or finds another."""

    def __init__(
        self, reader: AirReader, air: Air, activation: Activation, description: CardDescription
    ) -> None:
        self._reader = reader
        self._description = description
        self._blocks = IsoDepInitiator(air.send, activation, max_send=air.max_send)
        self._gone = False

    @property
    def description(self) -> CardDescription:
        """What activation revealed about the card."""
        return self._description

    def transceive(self, command: bytes) -> bytes:
        """Send a command APDU, return the response APDU with SW1-SW2.

        Raises CardGone when no answer came, ReaderGone when the reader failed, TransportError for
        a card that broke the protocol ("protocol") or asked for too much time ("too-slow").
        """
        if self._gone or self._reader._card is not self:
            raise CardGone("the card is no longer selected")
        try:
            response = self._reader._call(lambda: self._blocks.exchange(command))
        except (FrameTimeout, FrameError):
            self._gone = True
            raise CardGone from None
        except TooSlow as error:
            self._gone = True
            raise TransportError("too-slow", str(error)) from None
        except ProtocolError as error:
            self._gone = True
            raise TransportError("protocol", str(error)) from None
        except TransportError:
            self._gone = True
            raise
        if len(response) < 2:
            raise TransportError(
                "protocol", f"a response APDU has at least 2 bytes, the card sent {len(response)}"
            )
        return response

    def deselect(self) -> None:
        """Halt the card unless it is gone."""
        if not self._gone:
            self._gone = True
            self._blocks.deselect()


def _activated(reader: AirReader, air: Air, found: SelectedCard) -> AirCard:
    """Activate by RATS or ATTRIB, repeated when a frame is lost. Raises CardGone without answer."""
    largest = min(256, air.max_receive + 2)
    try:
        if found.technology == "A":
            ats = _answered(air, rats(largest))
            activation = parse_ats(ats)
            ats = ats[: ats[0]]
        else:
            ats, activation = b"", parse_atqb(found.atqb)
            _answered(air, attrib(found.atqb, largest))
    except ProtocolError as error:
        raise TransportError("protocol", str(error)) from None
    if activation.guard_time_s:
        time.sleep(min(activation.guard_time_s, 5.0))
    description = CardDescription(
        technology=found.technology, uid=found.uid, sak=found.sak, ats=ats
    )
    return AirCard(reader, air, activation, description)


def _answered(air: Air, frame: bytes) -> bytes:
    for _ in range(_ACTIVATION_TRIES):
        try:
            answer = air.send(frame, _ACTIVATION_TIMEOUT_S)
            if answer:
                return answer
        except (FrameTimeout, FrameError):
            continue
    raise CardGone("the card left the field while it was being activated")
