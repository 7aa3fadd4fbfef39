"""What a reader's driver has to offer: one round of polling, one frame there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Signal = Literal["success", "failure", "ready", "off"]

FIELD_RESET_S = 0.006
"""How long the carrier is off before a round: a card must have lost its state (at least 5.1 ms)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedCard:
    """A card that answered a polling round: selected, not yet activated (ISO/IEC 14443-3)."""

    technology: Literal["A", "B"]
    uid: bytes
    sak: int | None = None
    atqb: bytes = b""


class Air(Protocol):
    """What a reader's driver offers: polling, frames, light and sound.

    Every method may raise ReaderGone. Frames are without CRC.
    """

    @property
    def name(self) -> str:
        """Maker, model and place, for people."""

    @property
    def max_send(self) -> int:
        """Longest frame that it can send, bytes."""

    @property
    def max_receive(self) -> int:
        """Longest frame that it can receive, bytes."""

    def poll(self) -> SelectedCard | None:
        """Reset the field and look once for a card. Raises SeveralCards where it can tell."""

    def send(self, frame: bytes, timeout_s: float) -> bytes:
        """One frame to the card and back. Raises FrameTimeout, FrameError."""

    def signal(self, result: Signal) -> None:
        """Light and sound, where the reader has them."""

    def close(self) -> None:
        """Switch the field off and give the reader back; never raises."""
