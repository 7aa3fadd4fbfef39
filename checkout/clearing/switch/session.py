"""One participant's connection: signed on or not, and the session keys it has been given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from checkout.clearing.iso8583 import mac
from checkout.clearing.iso8583.codec import Fields, pack
from checkout.clearing.messages import NetworkMessage, SessionKey
from checkout.clearing.scheme.participants import Participant


@dataclass(slots=True)
class Session:
    """What the switch knows of one connection; the keys never show in `repr`.

    A key that was sent counts once its receiver has answered; until then the one before does.
    """

    name: str
    participant: Participant | None = None
    mac_key: bytes | None = field(default=None, repr=False)
    pin_key: bytes | None = field(default=None, repr=False)
    offered: dict[int, tuple[SessionKey, bytes]] = field(default_factory=dict, repr=False)
    announced: dict[int, tuple[NetworkMessage, bytes]] = field(default_factory=dict, repr=False)
    cutting_over: bool = False  # it has begun and not yet ended a cut-over that it asked for

    @property
    def peer(self) -> str:
        """Who this is, for the log."""
        return self.name if self.participant is None else self.participant.id

    def accepts(self, message: bytes, fields: Fields) -> bool:
        """Whether the message's MAC is right, or none is needed yet."""
        if self.mac_key is None:
            return True
        return mac.verify(message, fields, self.mac_key)

    def seal(self, fields: Fields) -> bytes:
        """The message as bytes, with a MAC where a MAC key was exchanged."""
        return pack(fields) if self.mac_key is None else mac.pack_with_mac(fields, self.mac_key)

    def offer(self, stan: int, kind: SessionKey, random_bytes: Callable[[int], bytes]) -> bytes:
        """A new 16-byte key to be sent with message `stan`."""
        key = random_bytes(16)
        self.offered[stan] = (kind, key)
        return key

    def take(self, stan: int) -> None:
        """The receiver has answered: from now on the offered key counts."""
        kind, key = self.offered.pop(stan)
        if kind is SessionKey.MAC:
            self.mac_key = key
        else:
            self.pin_key = key

    def sign_off(self) -> None:
        """Back to a connection that says nothing."""
        self.participant = None
        self.mac_key = None
        self.pin_key = None
        self.offered.clear()
        self.announced.clear()
        self.cutting_over = False
