"""The rigs of the reader suite: each has a reader, puts cards on it, and unplugs it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import nfc.clf.transport
import pytest

from devices.nfc.contract import Reader
from devices.nfc.emulated.air.iso14443_4 import PresentedCard
from devices.nfc.emulated.card.card import EmulatedCard
from devices.nfc.emulated.in_process import InProcessReader
from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator
from devices.nfc.reader.nfcpy import open_reader
from devices.nfc.transcript import TranscriptReader
from tests.conformance.conformance_cards import PPSE, PPSE_ANSWER, UNKNOWN_AID, CardSpec, SuiteCard
from tests.conformance.fake_usb import FakeAcr122, FakeBus, FakeRcs380, FakeReader

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]

ANY_CARD = "any-card"  # cards of any make-up can be presented
TYPE_B = "type-b"
UNPLUG = "unplug"  # the reader can be pulled out and put back
TWO_CARDS = "two-cards"  # the chip notices two cards
STAYS = "stays"  # a card lies on the reader until it is removed
AIR = "air"  # there is a radio with frames between reader and card
REMOVAL = "removal"  # cards can be taken away
DESELECT = "deselect"  # a released card is out of reach


class Rig(Protocol):
    """One transport under test."""

    abilities: frozenset[str]

    @property
    def reader(self) -> Reader: ...

    def present(self, spec: CardSpec, on_command: Callable[[int], None] | None = None) -> None: ...

    def remove(self) -> None: ...

    def close(self) -> None: ...


class InProcessRig:
    """No air at all: the shortest way to a card."""

    abilities = frozenset({ANY_CARD, STAYS, REMOVAL, TYPE_B, DESELECT})

    def __init__(self) -> None:
        self._field = InProcessReader()
        self.reader: Reader = self._field

    def present(self, spec: CardSpec, on_command: Callable[[int], None] | None = None) -> None:
        self.put(SuiteCard(spec, on_command))

    def put(self, card: PresentedCard) -> None:
        self._field.present(cast(EmulatedCard, card))

    def remove(self) -> None:
        self._field.take_away()

    def close(self) -> None:
        self.reader.close()


class PtyRig:
    """A PN532 on a pseudo-terminal under nfcpy's own pn532 driver."""

    abilities = frozenset({ANY_CARD, STAYS, REMOVAL, TYPE_B, UNPLUG, TWO_CARDS, AIR, DESELECT})

    def __init__(self, folder: Path) -> None:
        self._port = folder / "port"
        self.emulator = Pn532Emulator()
        self._link()
        self.reader: Reader = open_reader(f"pn532:{self._port}")

    def present(self, spec: CardSpec, on_command: Callable[[int], None] | None = None) -> None:
        self.put(SuiteCard(spec, on_command))

    def put(self, card: PresentedCard) -> None:
        self.emulator.present(card)

    def remove(self) -> None:
        self.emulator.remove()

    def unplug(self) -> None:
        self.emulator.unplug()

    def plug(self) -> None:
        self.emulator.close()
        self.emulator = Pn532Emulator()
        self._link()

    def close(self) -> None:
        self.reader.close()
        self.emulator.close()

    def _link(self) -> None:
        self._port.unlink(missing_ok=True)
        self._port.symlink_to(self.emulator.device)


class UsbRig:
    """A faked USB reader under nfcpy's own driver for it."""

    abilities = frozenset({ANY_CARD, STAYS, REMOVAL, TYPE_B, UNPLUG, TWO_CARDS, AIR, DESELECT})

    def __init__(self, device: FakeReader, patch: pytest.MonkeyPatch) -> None:
        self.device = device
        self.bus = FakeBus(device)
        install(self.bus, patch)
        self.reader: Reader = open_reader("usb")

    def present(self, spec: CardSpec, on_command: Callable[[int], None] | None = None) -> None:
        self.put(SuiteCard(spec, on_command))

    def put(self, card: PresentedCard) -> None:
        self.device.field.present(card)

    def remove(self) -> None:
        self.device.field.remove()

    def unplug(self) -> None:
        self.device.unplug()

    def plug(self) -> None:
        self.device.plug()

    def close(self) -> None:
        self.reader.close()
        assert not self.device.endless_reads, "a read without a time limit can hang for ever"


class CardProcess:
    """A process that holds cards on nfcpy's simulated air."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.conformance_card_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        self.path = self._answer()

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._answer() == "done"

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=10)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class OtherProcessRig:
    """The card in another process, on nfcpy's simulated air."""

    abilities = frozenset({ANY_CARD, STAYS, REMOVAL, TYPE_B, AIR, DESELECT})

    def __init__(self, process: CardProcess) -> None:
        self._process = process
        self.reader: Reader = open_reader(process.path)

    def present(self, spec: CardSpec, on_command: Callable[[int], None] | None = None) -> None:
        assert on_command is None, "the card is in another process"
        self._process.send(spec.as_text())

    def remove(self) -> None:
        self._process.send("remove")

    def close(self) -> None:
        self.reader.close()
        self._process.send("remove")


class TranscriptRig:
    """A recorded card, which is on the reader for one look after each `present`."""

    abilities: frozenset[str] = frozenset()

    def __init__(self) -> None:
        lines = [f"> {PPSE.hex()}", f"< {PPSE_ANSWER.hex()}", f"> {UNKNOWN_AID.hex()}", "< 6A82"]
        self.reader = TranscriptReader("\n".join(lines), "transcript:suite")

    def present(self, spec: CardSpec, on_command: Callable[[int], None] | None = None) -> None:
        self.reader.present()

    def remove(self) -> None:
        return

    def close(self) -> None:
        self.reader.close()


class HardwareRig:
    """The reader of --reader, with a real payment card on it."""

    abilities = frozenset({STAYS, AIR, DESELECT})

    def __init__(self, path: str) -> None:
        self.reader: Reader = open_reader(path)

    def present(self, spec: CardSpec, on_command: Callable[[int], None] | None = None) -> None:
        return

    def remove(self) -> None:
        return

    def close(self) -> None:
        self.reader.close()


def install(bus: FakeBus, patch: pytest.MonkeyPatch) -> None:
    """Let nfcpy and the diagnosis see this bus, with permission for every device on it."""
    patch.setattr(nfc.clf.transport, "libusb", bus)
    patch.setattr("devices.nfc.reader.diagnosis.usb1", bus)
    patch.setattr(os, "access", lambda path, mode: True)


def make_rig(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Rig:
    """The rig of that name."""
    if name == "in-process":
        return InProcessRig()
    if name == "pty":
        return PtyRig(folder)
    if name == "transcript":
        return TranscriptRig()
    if name == "acr122u":
        return UsbRig(FakeAcr122(), patch)
    return UsbRig(FakeRcs380(), patch)


def reader_threads() -> int:
    """The number of live threads of readers and emulators."""
    names = ("reader ", "pn532-emulator", "udp-card")
    return sum(thread.name.startswith(names) for thread in threading.enumerate())
