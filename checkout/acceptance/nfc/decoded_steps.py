"""The steps of a tap as they are shown: each exchange decoded tag by tag, from its masked bytes."""

from __future__ import annotations

from collections.abc import Sequence

from checkout.trace import Step
from devices.nfc.emv.decoding import decode


def decoded(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The same steps, commands and responses of the card decoded; all others unchanged."""
    indices = [index for index, step in enumerate(steps) if _is_exchange(step)]
    details = decode(
        (
            bytes.fromhex(steps[index].detail["command"]),
            bytes.fromhex(steps[index].detail["response"]),
        )
        for index in indices
    )
    shown = list(steps)
    for index, detail in zip(indices, details, strict=True):
        shown[index] = steps[index].changed(detail=detail)
    return tuple(shown)


def _is_exchange(step: Step) -> bool:
    return all(isinstance(step.detail.get(key), str) for key in ("command", "response"))
