"""The card's non-volatile memory: counters, limited-use keys, a recorded transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ATC_LIMIT = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedUseKey:
    """A key that a token service hands to a phone without a secure element.

    `key` has 16 bytes; the phone sends `serial` to the issuer in 9F10; `expires_at` is in seconds
    since 1970; `uses` is the number of taps left.
    """

    serial: int
    key: bytes = field(repr=False)
    expires_at: int
    uses: int = 1

    def as_json(self) -> dict[str, Any]:
        return {
            "serial": self.serial,
            "key": self.key.hex(),
            "expires_at": self.expires_at,
            "uses": self.uses,
        }

    def usable(self, now: float) -> bool:
        """Whether it may sign another tap at this time."""
        return self.uses > 0 and now < self.expires_at


@dataclass(slots=True, kw_only=True)
class Memory:
    """The non-volatile memory.

    `offline_minor` is the sum of offline approvals since the last reset. `recorded` is the GPO
    answer that a replaying card repeats, empty while it has none. `unconfirmed` is the last ARQC
    until the issuer's answer to it arrives. `last_serial` is the serial number of the newest
    limited-use key so far. `holder_confirmed` says that a phone's holder has confirmed the next
    payment.
    """

    atc: int = 0
    offline_minor: int = 0
    presentations: int = 0
    keys: list[LimitedUseKey] = field(default_factory=list)
    recorded: bytes = b""
    unconfirmed: bytes = b""
    last_serial: int = 0
    holder_confirmed: bool = False

    def uses_left(self, now: float) -> int:
        """The number of taps for which the limited-use keys suffice at this time."""
        return sum(key.uses for key in self.keys if key.usable(now))

    def take_keys(self, keys: Iterable[LimitedUseKey], now: float) -> None:
        """Add new limited-use keys and drop those that are spent or expired."""
        self.keys = [key for key in (*self.keys, *keys) if key.usable(now)]
        self.last_serial = max((self.last_serial, *(key.serial for key in self.keys)))

    def as_json(self) -> dict[str, Any]:
        return {
            "atc": self.atc,
            "offline_minor": self.offline_minor,
            "presentations": self.presentations,
            "keys": [key.as_json() for key in self.keys],
            "recorded": self.recorded.hex(),
            "unconfirmed": self.unconfirmed.hex(),
            "last_serial": self.last_serial,
            "holder_confirmed": self.holder_confirmed,
        }


def memory_from(content: Mapping[str, Any]) -> Memory:
    """The memory from `Memory.as_json`."""
    return Memory(
        atc=content["atc"],
        offline_minor=content["offline_minor"],
        presentations=content["presentations"],
        keys=[
            LimitedUseKey(
                serial=key["serial"],
                key=bytes.fromhex(key["key"]),
                expires_at=key["expires_at"],
                uses=key["uses"],
            )
            for key in content["keys"]
        ],
        recorded=bytes.fromhex(content["recorded"]),
        unconfirmed=bytes.fromhex(content["unconfirmed"]),
        last_serial=content.get("last_serial", 0),
        holder_confirmed=content.get("holder_confirmed", False),
    )
