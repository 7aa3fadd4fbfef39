"""The field of an emulated reader, with none, one or several emulated cards in it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from functools import reduce

from devices.nfc.emulated.air.iso14443_3 import (
    State,
    Technology,
    TypeATarget,
    TypeBTarget,
    target_for,
)
from devices.nfc.emulated.air.iso14443_4 import Answer, CardLeft, PresentedCard
from devices.nfc.emulated.state_file import CardInUse

_LOG = logging.getLogger(__name__)


class Collision(Exception):
    """Two cards answered at once with different bits, so that the reader received no frame."""


class Field:
    """The field and the cards in it; one thread may change it while another transmits."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._targets: list[TypeATarget | TypeBTarget] = []
        self._on = False

    @property
    def targets(self) -> tuple[TypeATarget | TypeBTarget, ...]:
        """The cards in the field at this moment."""
        return tuple(self._targets)

    def present(self, *cards: PresentedCard) -> None:
        """Add cards to those in the field."""
        with self._lock:
            for card in cards:
                target = target_for(card)
                self._targets.append(target)
                if self._on:
                    target.power_on()

    def remove(self, card: PresentedCard | None = None) -> None:
        """Take one card away, or all of them."""
        with self._lock:
            leaving = [t for t in self._targets if card is None or t.card is card]
            self._targets = [t for t in self._targets if t not in leaving]
            for target in leaving:
                target.power_off()

    def switch(self, on: bool) -> None:
        """Switch the carrier; without it every card loses its state."""
        with self._lock:
            self._on = on
            for target in self._targets:
                if on:
                    target.power_on()
                else:
                    target.power_off()

    def exchange(self, frame: bytes, technology: Technology) -> Answer | None:
        """Send a frame to the cards and return their answer, None for no answer.

        Raises Collision when cards give different answers. A card that raises CardLeft is removed
        from the field. A card that is on another reader does not answer; one that raises anything
        else does not answer either, and the error is logged.
        """
        with self._lock:
            answers = list(self._answers(frame, technology))
        if len({answer.frame for answer in answers}) > 1:
            if technology == "A" and frame in (b"\x26", b"\x52"):
                return Answer(frame=_overlaid(answer.frame for answer in answers))
            raise Collision
        return answers[0] if answers else None

    def _answers(self, frame: bytes, technology: Technology) -> Iterable[Answer]:
        for target in self.targets:
            if target.card.technology != technology or target.state is State.OFF:
                continue
            try:
                answer = target.on_frame(frame)
            except CardLeft:
                self.remove(target.card)
                continue
            except CardInUse:
                target.power_off()  # it is on another reader and can't answer here
                continue
            except Exception as error:  # a fault of the card must not stop the reader
                _LOG.warning("an emulated card failed and is silent: %s", error)
                target.power_off()
                continue
            if answer is not None and target in self._targets:
                yield answer


def _overlaid(frames: Iterable[bytes]) -> bytes:
    """Several ATQAs at once: bits that differ read as one."""
    return bytes(reduce(lambda a, b: a | b, column) for column in zip(*frames, strict=False))
