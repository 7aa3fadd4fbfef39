"""Which reader a `--reader` path means, and the emulated reader for where none is plugged in.

Paths: `auto`, `emulated`, `none`, `transcript:FILE`, and every path of `devices.nfc.reader.path`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from checkout.demo.payers import make_card
from checkout.demo.provisioning import TokenService
from devices.nfc.contract import Card, Reader, TransportError
from devices.nfc.emulated import EmulatedCard, open_card, profile_names
from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator
from devices.nfc.reader.nfcpy import open_reader
from devices.nfc.reader.path import parse_path
from devices.nfc.transcript import TranscriptReader


class EmulatedReader:
    """A PN532 on a pseudo-terminal in this process, driven by nfcpy, and cards to place on it.

    Card and air are emulated; the frames between host and reader, and the driver, are real.
    """

    def __init__(self, home: Path, service: TokenService | None = None) -> None:
        self._home = home
        self._service = service
        self._chip = Pn532Emulator()
        try:
            self._reader: Reader = open_reader(self._chip.path)
        except BaseException:
            self._chip.close()
            raise
        self._placed: EmulatedCard | None = None

    @property
    def name(self) -> str:
        """For people."""
        return "emulated PN532"

    @property
    def path(self) -> str:
        """What `--reader` takes."""
        return "emulated"

    @property
    def emulated(self) -> bool:
        """Always."""
        return True

    @property
    def card(self) -> EmulatedCard | None:
        """The card that lies on the reader."""
        return self._placed

    def place_card(self, name: str) -> EmulatedCard:
        """Place the emulated card `name` on the reader, instead of the one that lies there.

        A card of the demo is made where it is missing, a phone by the token service; any other card
        must have been made before. Raises CardFileError, CardInUse or ProfileError.
        """
        if self._placed is not None and self._placed.name == name:
            self.remove_card()  # a phone on a reader can't be given keys
        if name in profile_names():
            make_card(name, self._home, service=self._service)
        self.remove_card()
        # Wait for no lock: a card that another reader holds is found once that reader is done.
        card = open_card(name, self._home, lock_timeout_s=0.0)
        self._placed = card
        self._chip.present(card)
        return card

    def remove_card(self) -> None:
        """Leave the reader empty."""
        if self._placed is not None:
            self._chip.remove()
            self._placed = None

    def wait_for_card(self, timeout_s: float) -> Card | None:
        """See the contract."""
        return self._reader.wait_for_card(timeout_s)

    def release(self) -> None:
        """See the contract."""
        self._reader.release()

    def wait_for_removal(self, timeout_s: float) -> bool:
        """See the contract."""
        return self._reader.wait_for_removal(timeout_s)

    def signal(self, result: Literal["success", "failure", "ready", "off"]) -> None:
        """See the contract."""
        self._reader.signal(result)

    def close(self) -> None:
        """See the contract."""
        self.remove_card()
        self._reader.close()
        self._chip.close()


def choose_reader(path: str, home: Path, service: TokenService | None = None) -> Reader:
    """Open the reader that `path` means; TransportError says in one line why it cannot be.

    `auto` takes a USB reader where one is plugged in and usable, else the emulated one. A reader
    that is plugged in but cannot be used is an error, not a reason to emulate one. Phones on an
    emulated reader get their keys by `service` (see make_card).
    """
    if path == "none":
        raise TransportError("no-reader", "reader: switched off with --reader none")
    if path == "emulated":
        return EmulatedReader(home, service)
    if path == "auto":
        try:
            return open_reader("usb")
        except TransportError as error:
            if error.reason not in ("no-reader", "not-found"):
                raise
            return EmulatedReader(home, service)
    if path.startswith("transcript:"):
        file = path.removeprefix("transcript:")
        try:
            return TranscriptReader.open(file)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise TransportError("no-reader", f"transcript {file}: {why}") from None
    return open_reader(path)


def check_path(path: str) -> None:
    """TransportError for a path that cannot mean any reader, whatever is plugged in later."""
    if path not in ("auto", "emulated", "none") and not path.startswith("transcript:"):
        parse_path(path)
