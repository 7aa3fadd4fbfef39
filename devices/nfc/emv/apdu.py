"""Command and response APDUs, and an `Exchanger` that sends them and records each exchange.

Short APDUs only (ISO/IEC 7816-4; EMV Book 3, 6.3 and EMV Book B): a contactless payment card
takes no extended ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from devices.nfc.contract import Card

#: Name of the directory in which a contactless card lists its applications (EMV Book B).
PPSE: Final = b"2PAY.SYS.DDF01"

#: A card may send its answer in parts by 61xx; no EMV answer needs more parts than this.
_MAX_PARTS: Final = 8


class ApduError(Exception):
    """Bytes that are not an APDU; names the field and its offset in bytes."""

    def __init__(self, field: str, position: int, message: str) -> None:
        super().__init__(f"{field} at byte {position}: {message}")
        self.field = field
        self.position = position


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A short command APDU; `le` is None where no response body is expected, 0 for 256 bytes."""

    cla: int
    ins: int
    p1: int
    p2: int
    body: bytes = b""
    le: int | None = None

    def to_bytes(self) -> bytes:
        """The command's bytes. Raises ApduError where a field does not fit a short APDU."""
        for name in ("cla", "ins", "p1", "p2"):
            if not 0 <= getattr(self, name) <= 0xFF:
                raise ApduError(name, 0, "expected one byte")
        if len(self.body) > 255:
            raise ApduError("Lc", 4, f"expected at most 255 body bytes, got {len(self.body)}")
        out = bytes((self.cla, self.ins, self.p1, self.p2))
        if self.body:
            out += bytes((len(self.body),)) + self.body
        if self.le is not None:
            if not 0 <= self.le <= 0xFF:
                raise ApduError("Le", len(out), "expected 0 (for 256) to 255")
            out += bytes((self.le,))
        return out

    @classmethod
    def parse(cls, raw: bytes) -> Command:
        """Parse a command by the four cases of ISO/IEC 7816-3.

        Raises ApduError where the length fits none of them.
        """
        if len(raw) < 4:
            raise ApduError("header", len(raw), "expected at least CLA INS P1 P2")
        cla, ins, p1, p2 = raw[:4]
        body, le = b"", None
        if len(raw) == 5:
            le = raw[4]
        elif len(raw) > 5:
            end = 5 + raw[4]
            if raw[4] == 0:
                raise ApduError("Lc", 4, "expected a short APDU, got an extended length")
            if len(raw) not in (end, end + 1):
                raise ApduError("Lc", 4, f"expected {raw[4]} body bytes, got {len(raw) - 5}")
            body = raw[5:end]
            le = raw[end] if len(raw) > end else None
        return cls(cla=cla, ins=ins, p1=p1, p2=p2, body=body, le=le)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response APDU: body and status word SW1-SW2."""

    body: bytes
    sw: int

    @property
    def ok(self) -> bool:
        """Whether the status word is 9000."""
        return self.sw == 0x9000

    @property
    def sw1(self) -> int:
        """First status byte."""
        return self.sw >> 8

    @property
    def sw2(self) -> int:
        """Second status byte."""
        return self.sw & 0xFF

    @classmethod
    def parse(cls, raw: bytes) -> Response:
        """Split body from status word. Raises ApduError where there is no status word."""
        if len(raw) < 2:
            raise ApduError("SW1-SW2", len(raw), f"expected two status bytes, got {len(raw)} bytes")
        if len(raw) > 258:
            raise ApduError("body", 256, f"expected at most 256 body bytes, got {len(raw) - 2}")
        return cls(body=raw[:-2], sw=raw[-2] << 8 | raw[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One command and its response, as bytes; `response` is empty where none came."""

    name: str
    command: bytes
    response: bytes
    elapsed_ms: float


class Exchanger:
    """Sends commands to a card, follows 61xx and 6Cxx, and records every exchange with its time.

    61xx and 6Cxx belong to contact cards (EMV Book 1, transport of APDUs by T=0) and are
    tolerated: the exchanger answers 61xx by GET RESPONSE, and 6Cxx by the same command with that
    Le, once.
    """

    def __init__(self, card: Card, clock: Callable[[], float]) -> None:
        self._card = card
        self._clock = clock  # seconds, monotonic
        self.exchanges: list[Exchange] = []

    def send(self, command: Command, name: str) -> Response:
        """Send the command and return the card's whole response.

        Raises CardGone or another TransportError from the card, ApduError for a response that is
        not an APDU or has too many parts.
        """
        response = self._exchange(command, name)
        if response.sw1 == 0x6C:
            corrected = Command(
                cla=command.cla,
                ins=command.ins,
                p1=command.p1,
                p2=command.p2,
                body=command.body,
                le=response.sw2,
            )
            response = self._exchange(corrected, f"{name}, again with the right Le")
        if response.sw1 == 0x61:
            response = self._collect(response)
        return response

    def _collect(self, response: Response) -> Response:
        body = response.body
        for _ in range(_MAX_PARTS):
            response = self._exchange(get_response(response.sw2), "GET RESPONSE")
            if response.sw1 == 0x6C:
                name = "GET RESPONSE, again with the right Le"
                response = self._exchange(get_response(response.sw2), name)
            body += response.body
            if response.sw1 != 0x61:
                return Response(body=body, sw=response.sw)
        raise ApduError("SW1-SW2", 0, f"61xx more than {_MAX_PARTS} times in a row")

    def _exchange(self, command: Command, name: str) -> Response:
        sent = command.to_bytes()
        received = b""
        started = self._clock()
        try:
            received = bytes(self._card.transceive(sent))
        finally:
            elapsed_ms = (self._clock() - started) * 1000
            self.exchanges.append(
                Exchange(name=name, command=sent, response=received, elapsed_ms=elapsed_ms)
            )
        return Response.parse(received)


def select(name: bytes) -> Command:
    """SELECT by DF name, first or only occurrence (EMV Book 1, 11.3)."""
    return Command(cla=0x00, ins=0xA4, p1=0x04, p2=0x00, body=name, le=0)


def get_processing_options(pdol_values: bytes) -> Command:
    """GET PROCESSING OPTIONS with the filled PDOL in command template 83 (EMV Book 3, 6.5.8).

    Raises ApduError where the values do not fit a short APDU.
    """
    length = len(pdol_values)
    if length > 252:
        raise ApduError("PDOL values", 7, f"expected at most 252 bytes, got {length}")
    prefix = bytes((0x83, length)) if length < 0x80 else bytes((0x83, 0x81, length))
    return Command(cla=0x80, ins=0xA8, p1=0, p2=0, body=prefix + pdol_values, le=0)


def read_record(sfi: int, number: int) -> Command:
    """READ RECORD by number in the file with that short identifier (EMV Book 3, 6.5.11)."""
    return Command(cla=0x00, ins=0xB2, p1=number, p2=sfi << 3 | 0x04, le=0)


def generate_ac(control: int, cdol_values: bytes) -> Command:
    """GENERATE AC with the reference control byte and the filled CDOL (EMV Book 3, 6.5.5)."""
    return Command(cla=0x80, ins=0xAE, p1=control, p2=0, body=cdol_values, le=0)


def internal_authenticate(ddol_values: bytes) -> Command:
    """INTERNAL AUTHENTICATE over the filled DDOL (EMV Book 3, 6.5.9)."""
    return Command(cla=0x00, ins=0x88, p1=0, p2=0, body=ddol_values, le=0)


def get_response(length: int) -> Command:
    """GET RESPONSE for the bytes that the card announced by 61xx (ISO/IEC 7816-4)."""
    return Command(cla=0x00, ins=0xC0, p1=0, p2=0, le=length)
