"""The card that these tests put on readers: it echoes, and behaves as the test asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal


class EchoCard:
    """Answers every command with itself and 9000; `on_command` sees each one first."""

    def __init__(
        self,
        technology: Literal["A", "B"] = "A",
        uid: str = "04112233445566",
        *,
        delay_s: float = 0.0,
        on_command: Callable[[bytes], None] | None = None,
    ) -> None:
        self.technology = technology
        self.uid = bytes.fromhex(uid if technology == "A" else uid[:8])
        self.sak = 0x20
        self.ats = bytes.fromhex("0578807102")
        self.delay_s = delay_s
        self.on_command = on_command
        self.processed: list[bytes] = []

    def power_on(self) -> None:
        self.processed.clear()

    def power_off(self) -> None:
        return

    def process(self, command: bytes) -> bytes:
        if self.on_command is not None:
            self.on_command(command)
        self.processed.append(command)
        return command + b"\x90\x00"


def open_descriptors() -> int:
    """How many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
