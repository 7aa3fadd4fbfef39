"""A model of the time that a real air and a real chip add to a tap with emulated card and air.

It is a model and must be shown as one. The air's time is the minimum of the standard: 106 kbit/s,
one parity bit per byte, three bytes of block and CRC around each APDU part, and the shortest
turn-round both ways, 1172 carrier periods (ISO/IEC 14443-3, frame delay time). Activation is that
of a 7-byte UID with RATS, after the guard time of 5.1 ms that EMV's Level 1 specification requires
between field and first command. The card's time is not measured either. Published measurements
give a plastic card 315 to 325 ms for a tap with offline data authentication, and phones 165 to
250 ms; CARD_WORK_MS divides that among the commands so that a whole tap adds up to it. Retries, a
moving hand and a slow host are not in the model: taps in the field take 330 to 637 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

CARRIER_HZ = 13_560_000
BIT_MS = 128 / CARRIER_HZ * 1000
TURN_ROUND_MS = 1172 / CARRIER_HZ * 1000
GUARD_MS = 5.1

CARD_WORK_MS = {
    (0x00, 0xA4): 20.0,  # SELECT
    (0x80, 0xA8): 20.0,  # GET PROCESSING OPTIONS without a cryptogram
    (0x00, 0xB2): 9.0,  # READ RECORD
    (0x80, 0xAE): 130.0,  # GENERATE AC with its signature
    (0x00, 0x88): 110.0,  # INTERNAL AUTHENTICATE
    (0x80, 0xCA): 5.0,  # GET DATA
}
"""The milliseconds that a plastic card needs for a command, by class and instruction."""

QUICK_GPO_MS = 130.0
"""The same for GET PROCESSING OPTIONS that answers with cryptogram and signature."""

OTHER_MS = 5.0
_BLOCK_BYTES = 3  # PCB and CRC
_ACTIVATION_FRAMES = (1, 2, 2, 5, 9, 3, 2, 5, 9, 3, 4, 12)
"""Bytes of WUPA, ATQA, two levels of anticollision and selection, RATS and ATS, CRC included."""


class ExchangedApdus(Protocol):
    """A command and its response, whole APDUs."""

    @property
    def command(self) -> bytes: ...

    @property
    def response(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelledTime:
    """The model's milliseconds, in total and by cause."""

    activation_ms: float
    frames_ms: float
    turn_rounds_ms: float
    card_ms: float

    @property
    def air_ms(self) -> float:
        """Activation, frames and turn-rounds."""
        return self.activation_ms + self.frames_ms + self.turn_rounds_ms

    @property
    def total_ms(self) -> float:
        """Air and card."""
        return self.air_ms + self.card_ms

    def as_json(self) -> dict[str, object]:
        """The breakdown as a JSON object, labelled as a model."""
        return {
            "kind": "model",
            "total_ms": round(self.total_ms, 2),
            "activation_ms": round(self.activation_ms, 2),
            "frames_ms": round(self.frames_ms, 2),
            "turn_rounds_ms": round(self.turn_rounds_ms, 2),
            "card_ms": round(self.card_ms, 2),
            "source": "106 kbit/s floor of ISO/IEC 14443; card work after published tap times",
        }


def modelled_ms(
    exchanges: Iterable[ExchangedApdus],
    *,
    card_ms: Sequence[float] | None = None,
    reader_frame: int = 256,
    card_frame: int = 256,
) -> ModelledTime:
    """Air and card time of one tap, from field on to the last response.

    `card_ms` has the card's time per exchange where it is known, as from an emulated card's
    profile; frame sizes are in bytes. Raises ValueError when its length is not that of `exchanges`.
    """
    listed = list(exchanges)
    quick = not any(each.command[:2] == b"\x80\xae" for each in listed)
    works = [_work_ms(each.command, quick) for each in listed] if card_ms is None else card_ms
    frames = turn_rounds = 0.0
    for each in listed:
        there, back = (
            _blocks(len(each.command), card_frame),
            _blocks(len(each.response), reader_frame),
        )
        turns = 2 * (there + back - 1)  # every block except the middle pair is acknowledged
        carried = len(each.command) + len(each.response)
        acknowledged = there - 1 + back - 1
        frames += _frame_ms(carried + _BLOCK_BYTES * (there + back + acknowledged))
        turn_rounds += turns * TURN_ROUND_MS
    return ModelledTime(
        activation_ms=_activation_ms(),
        frames_ms=frames,
        turn_rounds_ms=turn_rounds,
        card_ms=sum(work for _, work in zip(listed, works, strict=True)),
    )


def _work_ms(command: bytes, quick: bool) -> float:
    if quick and command[:2] == b"\x80\xa8":
        return QUICK_GPO_MS
    return CARD_WORK_MS.get((command[0], command[1]), OTHER_MS) if len(command) > 1 else OTHER_MS


def _blocks(length: int, frame: int) -> int:
    return max(1, -(-length // (frame - _BLOCK_BYTES)))


def _frame_ms(count: int) -> float:
    return count * 9 * BIT_MS


def _activation_ms() -> float:
    frames = sum(_frame_ms(count) for count in _ACTIVATION_FRAMES)
    return GUARD_MS + frames + (len(_ACTIVATION_FRAMES) - 1) * TURN_ROUND_MS
