"""The reader's side of ISO/IEC 14443-4: parses activation answers and carries APDUs in blocks.

No input or output of its own: `IsoDepInitiator` gets a function that sends one frame and returns
the card's, so that it runs over any chip, over a simulated air and in tests. Frames are without
CRC.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

CARRIER_HZ = 13_560_000
FRAME_SIZES = (16, 24, 32, 40, 48, 64, 96, 128, 256)

ACTIVATION_TIMEOUT_S = 0.0053
"""Activation frame waiting time: the longest time for the answer to RATS (71680 / fc)."""

_DESELECT_TIMEOUT_S = 0.0064
MAX_FWT_S = 4.949
MAX_WTXM = 59
EXTENSION_MARGIN_S = 49152 / CARRIER_HZ
"""The margin that a reader adds to the waiting time (ISO/IEC 14443-4, frame waiting time)."""

Send = Callable[[bytes, float], bytes]
"""A function that sends a frame and returns the card's within the seconds given.

It raises FrameTimeout when no frame came back, FrameError when the frame was damaged.
"""


class FrameTimeout(Exception):
    """No frame came back within the frame waiting time."""


class FrameError(Exception):
    """A frame came back and was damaged on the air."""


class ProtocolError(Exception):
    """The card sent a block that ISO/IEC 14443-4 does not allow at that point."""


class TooSlow(ProtocolError):
    """The card asked for more time than this terminal allows in total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """The parameters in ATS or ATQB: the card's largest frame, waiting time, guard time, CID."""

    card_frame: int
    waiting_time_s: float
    guard_time_s: float = 0.0
    cid_supported: bool = False
    historical: bytes = b""


def parse_ats(ats: bytes) -> Activation:
    """Read an answer to select; every interface byte is optional (ISO/IEC 14443-4, ATS).

    Defaults: FSCI 2 (32 bytes), FWI 4 (4.8 ms), no guard time. Reserved values count as their
    defaults, FSCI above 8 as 256 bytes. Raises ProtocolError when the length byte is wrong.
    """
    if not ats or not 1 <= ats[0] <= len(ats):
        raise ProtocolError(f"ATS: the length byte does not fit its {len(ats)} bytes")
    body = ats[1 : ats[0]]
    if not body:
        return Activation(card_frame=32, waiting_time_s=_waiting_time_s(4))
    t0, rest = body[0], body[1:]
    interface: dict[str, int] = {}
    for bit, name in ((0x10, "TA"), (0x20, "TB"), (0x40, "TC")):
        if t0 & bit:
            if not rest:
                raise ProtocolError(f"ATS: T0 announces {name}(1), which is missing")
            interface[name], rest = rest[0], rest[1:]
    fwi, sfgi = divmod(interface.get("TB", 0x40), 16)
    return Activation(
        card_frame=FRAME_SIZES[min(t0 & 0x0F, 8)],
        waiting_time_s=_waiting_time_s(fwi),
        guard_time_s=_waiting_time_s(sfgi) if 0 < sfgi < 15 else 0.0,
        cid_supported=bool(interface.get("TC", 0x02) & 0x02),
        historical=rest,
    )


def parse_atqb(atqb: bytes) -> Activation:
    """Read an ATQB: 50, PUPI, application data, protocol information (ISO/IEC 14443-3, type B).

    Raises ProtocolError when it is too short or names another protocol than ISO/IEC 14443-4.
    """
    if len(atqb) < 12 or atqb[0] != 0x50:
        raise ProtocolError(f"ATQB: expected at least 12 bytes that begin with 50, got {len(atqb)}")
    if not atqb[10] & 0x01:
        raise ProtocolError("ATQB: the card does not speak ISO/IEC 14443-4")
    fsci, fwi = atqb[10] >> 4, atqb[11] >> 4
    guard = _waiting_time_s(atqb[12] >> 4) if len(atqb) > 12 and 0 < atqb[12] >> 4 < 15 else 0.0
    return Activation(
        card_frame=FRAME_SIZES[min(fsci, 8)],
        waiting_time_s=_waiting_time_s(fwi),
        guard_time_s=guard,
        cid_supported=bool(atqb[11] & 0x01),
    )


def rats(max_frame: int) -> bytes:
    """Request for answer to select: the reader's largest frame in bytes, CID 0."""
    return bytes([0xE0, _frame_size_index(max_frame) << 4])


def attrib(atqb: bytes, max_frame: int) -> bytes:
    """ATTRIB for a type B card: 106 kbit/s both ways, largest frame in bytes, CID 0."""
    protocol = atqb[10] & 0x0F
    return b"\x1d" + atqb[1:5] + bytes([0x00, _frame_size_index(max_frame), protocol, 0x00])


class IsoDepInitiator:
    """Carries command APDUs to an activated card and responses back.

    `send` exchanges one frame; `max_send` is the reader's longest frame in bytes without CRC. A
    lost frame is requested again with R(NAK): twice, or once where the waiting time is long, so
    that a card that left is noticed sooner. `answer_limit_s` limits the sum of the waiting-time
    extensions for one APDU.
    """

    def __init__(
        self,
        send: Send,
        activation: Activation,
        *,
        max_send: int = 254,
        answer_limit_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._fwt = activation.waiting_time_s
        self._chunk = min(activation.card_frame - 2, max_send) - 1
        self._limit_s = answer_limit_s
        self._clock = clock
        self._number = 0
        self._retries = 2 if self._fwt <= 0.02 else 1

    def exchange(self, command: bytes) -> bytes:
        """Send one command APDU, return the response with SW1-SW2.

        Raises FrameTimeout when the card stopped answering, FrameError when its frames stayed
        damaged, TooSlow or ProtocolError when it broke the protocol.
        """
        deadline = self._clock() + self._limit_s
        chunks = [command[i : i + self._chunk] for i in range(0, max(1, len(command)), self._chunk)]
        for chunk in chunks[:-1]:
            block = self._transmit(bytes([0x12 | self._number]) + chunk, deadline)
            if block[0] != 0xA2 | self._number:
                raise ProtocolError(
                    f"chained command: expected an acknowledgement, got {_hex(block)}"
                )
            self._number ^= 1
        block = self._transmit(bytes([0x02 | self._number]) + chunks[-1], deadline)
        response = bytearray(self._information(block))
        while block[0] & 0x10:
            block = self._transmit(bytes([0xA2 | self._number]), deadline)
            response += self._information(block)
        return bytes(response)

    def deselect(self) -> None:
        """S(DESELECT): the card halts and may be selected again. No answer counts as done."""
        for _ in range(2):
            try:
                self._send(b"\xc2", _DESELECT_TIMEOUT_S)
                return
            except (FrameTimeout, FrameError):
                continue

    def is_present(self) -> bool:
        """Whether the card still answers R(NAK); no command is sent."""
        try:
            self._send(bytes([0xB2 | self._number]), self._timeout())
            return True
        except FrameTimeout:
            return False
        except FrameError:
            return True

    def _information(self, block: bytes) -> bytes:
        if block[0] & 0xEE != 0x02 or block[0] & 1 != self._number:
            raise ProtocolError(f"expected an I-block numbered {self._number}, got {_hex(block)}")
        self._number ^= 1
        return block[1:]

    def _transmit(self, block: bytes, deadline: float) -> bytes:
        """Send a block, return the card's next I- or R-block; handles extensions and repeats."""
        frame, timeout, failures, repeats = block, self._timeout(), 0, 0
        while True:
            try:
                answer = self._send(frame, timeout)
                if not answer:
                    raise FrameError("an empty frame")
            except (FrameTimeout, FrameError):
                failures += 1
                if failures > self._retries:
                    raise
                chained = block[0] & 0xF0 == 0xA0
                frame, timeout = (
                    block if chained else bytes([0xB2 | self._number]),
                    self._timeout(),
                )
                continue
            if answer[0] == 0xF2 and len(answer) >= 2:
                frame, timeout = self._granted(answer, deadline)
                continue
            if answer[0] == 0xA2 | (self._number ^ 1) and repeats < 3:
                repeats += 1  # the card did not receive the block: send it again
                frame, timeout = block, self._timeout()
                continue
            return answer

    def _granted(self, request: bytes, deadline: float) -> tuple[bytes, float]:
        times = request[1] & 0x3F
        if times == 0:
            raise ProtocolError("the card asked for a waiting-time extension of 0")
        if self._clock() >= deadline:
            raise TooSlow(f"the card asked for more than {self._limit_s:g} s to answer one command")
        wait_s = min(self._fwt * min(times, MAX_WTXM), MAX_FWT_S)
        return b"\xf2" + bytes([times]), wait_s + EXTENSION_MARGIN_S

    def _timeout(self) -> float:
        return self._fwt + EXTENSION_MARGIN_S


def _waiting_time_s(index: int) -> float:
    return 4096 / CARRIER_HZ * (1 << (index if index <= 14 else 4))


def _frame_size_index(size: int) -> int:
    return max(i for i, each in enumerate(FRAME_SIZES) if each <= size)


def _hex(block: bytes) -> str:
    return block[:4].hex().upper() + ("..." if len(block) > 4 else "")
