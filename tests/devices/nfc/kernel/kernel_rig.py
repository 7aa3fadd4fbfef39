"""Emulated cards of every profile for the kernel's tests, personalised once a run."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from devices.nfc.contract import Card, CardDescription, TransportError
from devices.nfc.emulated import in_process, load_profile, open_card, personalise, profile_names
from devices.nfc.kernel.ca_keys import CaKeyRing, parse_ca_keys

_FOLDER = tempfile.TemporaryDirectory(prefix="kernel-cards-")
HOME = Path(_FOLDER.name)
PROFILES = tuple(name for name in profile_names() if not name.startswith("wallet"))


@cache
def _make(name: str) -> None:
    personalise(load_profile(name), card_key=bytes(range(16)), home=HOME)


@cache
def ring() -> CaKeyRing:
    """The test CA's keys, marked as own."""
    _make("unionpay-debit")
    return parse_ca_keys((HOME / "keys" / "ca-public.json").read_text("utf-8"), own=True)


@dataclass
class Breaking:
    """A card whose transport fails at one command, before or after the card received it."""

    card: Card
    at: int
    fault: TransportError
    received: bool = False
    count: int = 0

    @property
    def description(self) -> CardDescription:
        return self.card.description

    def transceive(self, command: bytes) -> bytes:
        self.count += 1
        if self.count == self.at:
            if self.received:
                self.card.transceive(command)
            raise self.fault
        return self.card.transceive(command)


class Presented:
    """One card on an in-process reader, for a with statement."""

    def __init__(self, name: str) -> None:
        _make(name)
        self._reader = in_process(open_card(name, HOME))

    def __enter__(self) -> Card:
        card = self._reader.wait_for_card(1.0)
        assert card is not None
        return card

    def __exit__(self, *_: object) -> None:
        self._reader.close()
