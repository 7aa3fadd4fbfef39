"""Frames between a host and a PN532 over its serial port (NXP UM0701-02, host link frames).

A normal frame is `00 00 FF LEN LCS TFI PD.. DCS 00`, an extended one has `FF FF` and a two-byte
length; an ACK is `00 00 FF 00 FF 00`, a NACK `00 00 FF FF 00 00`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ACK = bytes.fromhex("0000FF00FF00")
ERROR = bytes.fromhex("0000FF01FF7F8100")
_START = b"\x00\xff"
_FROM_HOST = 0xD4
_TO_HOST = 0xD5


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFrame:
    """A frame from the host: a command with parameters, an ACK, a NACK, or a damaged frame."""

    kind: Literal["command", "ack", "nack", "damaged"]
    code: int = 0
    payload: bytes = b""


class HostStream:
    """Splits the host's bytes into frames; tolerates preambles and noise between them."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, received: bytes) -> list[HostFrame]:
        """Add received bytes and return the frames that they complete."""
        self._pending += received
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> HostFrame | None:
        start = self._pending.find(_START)
        if start < 0:
            del self._pending[: max(0, len(self._pending) - 1)]
            return None
        body = self._pending[start + 2 :]
        if len(body) < 2:
            return None
        if body[0] ^ body[1] == 0xFF and body[0] in (0x00, 0xFF):
            kind: Literal["ack", "nack"] = "ack" if body[0] == 0 else "nack"
            self._consume(start + 4)
            return HostFrame(kind=kind)
        length, head = body[0], 2
        valid = (body[0] + body[1]) & 0xFF == 0
        if body[:2] == b"\xff\xff":
            if len(body) < 5:
                return None
            length, head = body[2] << 8 | body[3], 5
            valid = sum(body[2:5]) & 0xFF == 0
        if not valid:
            self._consume(start + 2)
            return HostFrame(kind="damaged")
        if len(body) < head + length + 1:
            return None
        content = bytes(body[head : head + length + 1])
        self._consume(start + 2 + head + length + 1)
        if sum(content) & 0xFF or length < 2 or content[0] != _FROM_HOST:
            return HostFrame(kind="damaged")
        return HostFrame(kind="command", code=content[1], payload=content[2:-1])

    def _consume(self, count: int) -> None:
        del self._pending[:count]


def response_frame(code: int, payload: bytes) -> bytes:
    """The chip's answer to a command: its code plus one, and the payload, in a frame."""
    content = bytes([_TO_HOST, code + 1]) + payload
    length = len(content)
    if length < 255:  # 255 would fit, but hosts take it for an extended frame
        head = bytes([length, -length & 0xFF])
    else:
        size = bytes([length >> 8, length & 0xFF])
        head = b"\xff\xff" + size + bytes([-sum(size) & 0xFF])
    return b"\x00" + _START + head + content + bytes([-sum(content) & 0xFF, 0x00])
