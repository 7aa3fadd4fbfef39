"""A reader without air: it calls the emulated card directly, in the terminal's process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

from devices.nfc.contract import CardDescription, CardGone, TransportError
from devices.nfc.emulated.air.iso14443_4 import CardLeft
from devices.nfc.emulated.card.card import EmulatedCard
from devices.nfc.emulated.state_file import CardFileError, CardInUse


def in_process(
    card: EmulatedCard | None = None, *, wait: Callable[[float], None] | None = None
) -> InProcessReader:
    """A reader with `card` on it; `wait` receives the seconds of a slow card's delays."""
    reader = InProcessReader(wait=wait)
    if card is not None:
        reader.present(card)
    return reader


class InProcessCard:
    """An emulated card as a `Card` of the contract."""

    def __init__(
        self,
        card: EmulatedCard,
        *,
        wait: Callable[[float], None] | None,
        on_left: Callable[[], None],
    ) -> None:
        self._card = card
        self._wait = wait
        self._on_left = on_left
        self._description = CardDescription(
            technology=card.technology,
            uid=card.uid,
            sak=card.sak if card.technology == "A" else None,
            ats=card.ats,
        )

    @property
    def description(self) -> CardDescription:
        return self._description

    def transceive(self, command: bytes) -> bytes:
        try:
            response = self._card.process(command)
        except CardLeft as gone:
            self._on_left()
            raise CardGone from gone
        except OSError as error:
            raise TransportError("card-fault", f"the card's memory failed: {error}") from error
        if self._wait is not None and self._card.delay_s:
            self._wait(self._card.delay_s)
        return response


class InProcessReader:
    """A `Reader` in this process; another thread may present a card and take it away."""

    name = "in-process reader (emulated)"
    path = "in-process"
    emulated = True

    def __init__(self, *, wait: Callable[[float], None] | None = None) -> None:
        self._wait = wait
        self._changed = threading.Condition()
        self._card: EmulatedCard | None = None
        self.signals: list[str] = []

    def present(self, card: EmulatedCard) -> None:
        """Put a card on the reader, in place of any other."""
        with self._changed:
            self._remove_card()
            self._card = card
            self._changed.notify_all()

    def take_away(self) -> None:
        """Take the card off the reader; safe to call without one."""
        with self._changed:
            self._remove_card()
            self._changed.notify_all()

    def wait_for_card(self, timeout_s: float) -> InProcessCard | None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._card is not None, timeout_s):
                return None
            card = self._card
            assert card is not None
            card.power_off()
            try:
                card.power_on()
            except (CardInUse, CardFileError) as error:
                self._remove_card()
                raise TransportError("card-fault", str(error)) from error
            return InProcessCard(card, wait=self._wait, on_left=self.take_away)

    def release(self) -> None:
        with self._changed:
            if self._card is not None:
                self._card.power_off()

    def wait_for_removal(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._card is None, timeout_s)

    def signal(self, result: Literal["success", "failure", "ready", "off"]) -> None:
        self.signals.append(result)

    def close(self) -> None:
        self.take_away()

    def _remove_card(self) -> None:
        card, self._card = self._card, None
        if card is not None:
            card.power_off()
