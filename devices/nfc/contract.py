"""What a terminal needs of a reader and of a card, and nothing more.

A `Reader` finds cards; a `Card` answers commands. Everything that walks a card - kernels,
transcripts, the conformance suite - is written against these two, whichever transport is below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


class TransportError(Exception):
    """The reader or the air failed; `reason` is a stable word for it, the message a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class CardGone(TransportError):
    """The card left the field, or fell silent, before it answered."""

    def __init__(self, message: str = "the card left the field before it answered") -> None:
        super().__init__("card-gone", message)


class SeveralCards(TransportError):
    """More than one card is in the field; the payer must present one."""

    def __init__(self, message: str = "more than one card in the field: present one only") -> None:
        super().__init__("several-cards", message)


class ReaderGone(TransportError):
    """The reader was unplugged or no longer answers the host."""

    def __init__(self, message: str = "the reader was unplugged or stopped answering") -> None:
        super().__init__("reader-gone", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardDescription:
    """What anticollision and activation told about the card (ISO 14443-3 and -4)."""

    technology: Literal["A", "B", "transcript"]
    uid: bytes  # 4, 7 or 10 bytes for type A, the 4-byte PUPI for type B
    sak: int | None = None
    ats: bytes = b""  # type A: historical bytes and interface bytes; type B: empty
    max_command: int = 261  # longest command APDU that the card takes, bytes


class Card(Protocol):
    """An activated ISO 14443-4 card that answers command APDUs."""

    @property
    def description(self) -> CardDescription:
        """What was learned when the card was activated."""

    def transceive(self, command: bytes) -> bytes:
        """Send a command APDU, return the response APDU with SW1-SW2.

        Raises CardGone when no answer came, ReaderGone when the reader failed,
        TransportError for anything else between the two.
        """


class Reader(Protocol):
    """A place where cards are presented."""

    @property
    def name(self) -> str:
        """What a person calls it, such as "ACS ACR122U on usb:001:004"."""

    @property
    def path(self) -> str:
        """What `--reader` takes to open it again."""

    @property
    def emulated(self) -> bool:
        """True where the card and the air are ours and not real."""

    def wait_for_card(self, timeout_s: float) -> Card | None:
        """The next card that enters the field, activated; None when none came in time.

        Raises SeveralCards, CardGone (came and went) or ReaderGone.
        """

    def release(self) -> None:
        """Deselect the card of the last wait_for_card, whatever its state; never raises."""

    def wait_for_removal(self, timeout_s: float) -> bool:
        """Whether the field became empty within the time."""

    def signal(self, result: Literal["success", "failure", "ready", "off"]) -> None:
        """Light and sound where the reader has them; never raises."""

    def close(self) -> None:
        """Give the reader back; safe to call twice."""
