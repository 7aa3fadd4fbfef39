"""The steps of a tap as they are shown: each exchange decoded tag by tag, from its masked bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from devices.nfc.emv.decoding import decode


def decoded(steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same steps, the bytes of commands and responses taken apart; others as they are."""
    spoken = [index for index, step in enumerate(steps) if _is_exchange(step)]
    told = decode(
        (
            bytes.fromhex(steps[index]["detail"]["command"]),
            bytes.fromhex(steps[index]["detail"]["response"]),
        )
        for index in spoken
    )
    shown = list(steps)
    for index, detail in zip(spoken, told, strict=True):
        shown[index] = {**steps[index], "detail": detail}
    return shown


def _is_exchange(step: dict[str, Any]) -> bool:
    detail = step.get("detail") or {}
    return all(isinstance(detail.get(key), str) for key in ("command", "response"))
