"""What a terminal needs of a reader and of a card, and nothing more.

A `Reader` finds cards; a `Card` answers commands. Kernels, transcripts and the conformance suite
use these two alone, whatever transport is below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


class TransportError(Exception):
    """The reader or the air failed; `reason` is a stable word for programs."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class CardGone(TransportError):
    """The card left the field, or stopped answering, before it answered."""

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
    """What anticollision and activation revealed about the card (ISO/IEC 14443-3 and -4)."""

    technology: Literal["A", "B", "transcript"]
    uid: bytes  # 4, 7 or 10 bytes for type A, the 4-byte PUPI for type B
    sak: int | None = None
    ats: bytes = b""  # type A: historical bytes and interface bytes; type B: empty
    max_command: int = 261  # longest command APDU that the card accepts, bytes


class Card(Protocol):
    """An activated ISO 14443-4 card that answers command APDUs."""

    @property
    def description(self) -> CardDescription:
        """What activation revealed about the card."""

    def transceive(self, command: bytes) -> bytes:
        """Send a command APDU, return the response APDU with SW1-SW2.

        Raises CardGone when no answer came, ReaderGone when the reader failed,
        TransportError for any other fault between reader and card.
        """


class Reader(Protocol):
    """A device to which cards are presented."""

    @property
    def name(self) -> str:
        """Its name for people, such as "ACS ACR122U on usb:001:004"."""

    @property
    def path(self) -> str:
        """The path with which `--reader` opens it again."""

    @property
    def emulated(self) -> bool:
        """Whether card and air are emulated."""

    def wait_for_card(self, timeout_s: float) -> Card | None:
        """Wait for the next card and activate it; None when none came within the seconds given.

        Raises SeveralCards, CardGone (came and went) or ReaderGone.
        """

    def release(self) -> None:
        """Deselect the card of the last wait_for_card, in whatever state it is; never raises."""

    def wait_for_removal(self, timeout_s: float) -> bool:
        """Whether the field became empty within the seconds given."""

    def signal(self, result: Literal["success", "failure", "ready", "off"]) -> None:
        """Show the result by light and sound where the reader has them; never raises."""

    def close(self) -> None:
        """Release the device; safe to call twice."""
