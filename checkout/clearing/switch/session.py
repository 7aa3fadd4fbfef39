"""The session of one connection: who has signed on, and the session keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from checkout.clearing.iso8583 import mac
from checkout.clearing.iso8583.codec import Fields, pack
from checkout.clearing.messages import NetworkMessage, SessionKey
from checkout.clearing.scheme.participants import Participant


@dataclass(slots=True)
class Session:
    """State of one connection; the keys never show in `repr`.

    A key that was sent is used once its receiver has answered; until then the key before it is.
    `offered` are keys, and `announced` messages with their bytes, that await an answer, by STAN.
    """

    name: str
    participant: Participant | None = None
    mac_key: bytes | None = field(default=None, repr=False)
    pin_key: bytes | None = field(default=None, repr=False)
    offered: dict[int, tuple[SessionKey, bytes]] = field(default_factory=dict, repr=False)
    announced: dict[int, tuple[NetworkMessage, bytes]] = field(default_factory=dict, repr=False)
    cutting_over: bool = False  # its 201 was answered, its 202 has not come yet

    @property
    def peer(self) -> str:
        """The participant's id, or the address before it has signed on; for the log."""
        return self.name if self.participant is None else self.participant.id

    def accepts(self, message: bytes, fields: Fields) -> bool:
        """Whether the message's MAC is right, or no MAC key has been exchanged yet."""
        if self.mac_key is None:
            return True
        return mac.verify(message, fields, self.mac_key)

    def seal(self, fields: Fields) -> bytes:
        """The message as bytes, with a MAC where a MAC key was exchanged."""
        return pack(fields) if self.mac_key is None else mac.pack_with_mac(fields, self.mac_key)

    def offer(self, stan: int, kind: SessionKey, random_bytes: Callable[[int], bytes]) -> bytes:
        """Make a 16-byte key, to be sent with message `stan`."""
        key = random_bytes(16)
        self.offered[stan] = (kind, key)
        return key

    def use_offered_key(self, stan: int) -> None:
        """Use the key that was sent with message `stan` from now on."""
        kind, key = self.offered.pop(stan)
        if kind is SessionKey.MAC:
            self.mac_key = key
        else:
            self.pin_key = key

    def sign_off(self) -> None:
        """Forget everything about the participant."""
        self.participant = None
        self.mac_key = None
        self.pin_key = None
        self.offered.clear()
        self.announced.clear()
        self.cutting_over = False
