"""A small card for the reader suite: it echoes, counts, fails on demand, and has any make-up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from devices.nfc.emulated.air.iso14443_4 import CardLeft

PPSE = bytes.fromhex("00A404000E325041592E5359532E444446303100")
UNKNOWN_AID = bytes.fromhex("00A4040007F000000000FFFF00")
PPSE_ANSWER = bytes.fromhex(
    "6F23840E325041592E5359532E4444463031A511BF0C0E610C4F08A0000003330101018701019000"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSpec:
    """A test card's parameters and behaviour, in a form for another process."""

    technology: Literal["A", "B"] = "A"
    uid: str = "04112233445566"
    sak: int = 0x20
    ats: str = "0578807102"
    delay_s: float = 0.0
    leave_at: int = 0
    leave_before: bool = False

    def as_text(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))


class SuiteCard:
    """A card that answers PPSE, echoes class 80 instruction EC and gives EE any number of bytes.

    `on_command` is called with the number of each command, from 1, before it is answered.
    """

    def __init__(self, spec: CardSpec, on_command: Callable[[int], None] | None = None) -> None:
        self._spec = spec
        self._on_command = on_command
        self.technology = spec.technology
        self.uid = bytes.fromhex(spec.uid)
        self.sak = spec.sak
        self.ats = bytes.fromhex(spec.ats)
        self.delay_s = 0.0
        self.step = 0
        self.powered = False
        self.commands: list[bytes] = []

    def power_on(self) -> None:
        self.powered, self.step = True, 0

    def power_off(self) -> None:
        self.powered = False

    def process(self, command: bytes) -> bytes:
        if not self.powered:
            raise CardLeft
        self.step += 1
        if self._on_command is not None:
            self._on_command(self.step)
        leaves = self._spec.leave_at == self.step
        if leaves and self._spec.leave_before:
            raise CardLeft
        self.commands.append(command)
        self.delay_s = self._spec.delay_s
        if leaves:
            raise CardLeft
        return _answer(command)


def echo(payload: bytes) -> bytes:
    """The command that the card echoes (with extended length where it must have it)."""
    length = bytes([len(payload)]) if len(payload) < 256 else b"\x00" + len(payload).to_bytes(2)
    return b"\x80\xec\x00\x00" + length + payload


def give(count: int) -> bytes:
    """The command that the card answers with `count` bytes, 0 to 255 repeated."""
    return b"\x80\xee" + count.to_bytes(2)


def given(count: int) -> bytes:
    """What `give(count)` is answered with."""
    return bytes(i & 0xFF for i in range(count)) + b"\x90\x00"


def _answer(command: bytes) -> bytes:
    if command[:2] == b"\x80\xec":
        return command + b"\x90\x00"
    if command[:2] == b"\x80\xee":
        return given(int.from_bytes(command[2:4]))
    if command == PPSE:
        return PPSE_ANSWER
    return b"\x6a\x82" if command[1:2] == b"\xa4" else b"\x6d\x00"
