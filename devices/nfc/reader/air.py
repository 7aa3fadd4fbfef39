"""The contract of a reader's driver: poll once for a card, exchange one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Signal = Literal["success", "failure", "ready", "off"]

FIELD_RESET_S = 0.006
"""The time that the carrier is off before a round: cards lose their state (5.1 ms or more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedCard:
    """A card that answered a polling round: selected, not yet activated (ISO/IEC 14443-3)."""

    technology: Literal["A", "B"]
    uid: bytes
    sak: int | None = None
    atqb: bytes = b""


class Air(Protocol):
    """A reader's driver: polling, frames, light and sound.

    Every method may raise ReaderGone. Frames are without CRC.
    """

    @property
    def name(self) -> str:
        """Maker, model and path, for people."""

    @property
    def max_send(self) -> int:
        """The longest frame that it can send, in bytes."""

    @property
    def max_receive(self) -> int:
        """The longest frame that it can receive, in bytes."""

    def poll(self) -> SelectedCard | None:
        """Reset the field and look once for a card. Raises SeveralCards where it can tell."""

    def send(self, frame: bytes, timeout_s: float) -> bytes:
        """Send a frame and return the card's. Raises FrameTimeout or FrameError."""

    def signal(self, result: Signal) -> None:
        """Show the result by light and sound where the reader has them."""

    def close(self) -> None:
        """Switch the field off and release the device; never raises."""
