"""A card presented to another process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devices.nfc.contract import CardGone, TransportError
from devices.nfc.emulated.air.field import Field
from devices.nfc.emulated.air.iso14443_4 import CardLeft
from devices.nfc.emulated.pn532.chip import Pn532Chip
from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator
from devices.nfc.emulated.serve import serve_card
from devices.nfc.reader.nfcpy import open_reader
from tests.devices.nfc.nfc_cards import EchoCard


@contextmanager
def served(card: EchoCard, path: str) -> Iterator[str]:
    """The path of the reader that the card is on during the block."""
    stop, announced = threading.Event(), threading.Event()
    paths: list[str] = []

    def ready(path: str) -> None:
        paths.append(path)
        announced.set()

    thread = threading.Thread(
        target=serve_card, args=(card, path, stop), kwargs={"ready": ready, "returns_after_s": 0.05}
    )
    thread.start()
    try:
        assert announced.wait(5)
        yield paths[0]
    finally:
        stop.set()
        thread.join(timeout=5)
    assert not thread.is_alive()


@pytest.mark.parametrize("path", ["pty", "udp:localhost:0"])
def test_the_card_is_tapped_where_it_says(path: str) -> None:
    with served(EchoCard(), path) as reader_path:
        reader = open_reader(reader_path)
        card = reader.wait_for_card(3.0)
        assert card is not None
        assert card.transceive(b"hello") == b"hello\x90\x00"
        reader.close()


def test_a_card_that_was_pulled_away_comes_back() -> None:
    def leave(command: bytes) -> None:
        if command == b"go":
            raise CardLeft

    with served(EchoCard(on_command=leave), "pty") as reader_path:
        reader = open_reader(reader_path)
        card = reader.wait_for_card(3.0)
        assert card is not None
        with pytest.raises(CardGone):
            card.transceive(b"go")
        card = reader.wait_for_card(3.0)
        assert card is not None
        assert card.transceive(b"hello") == b"hello\x90\x00"
        reader.close()


def test_a_taken_port_is_told_in_one_line() -> None:
    with (
        served(EchoCard(), "udp:localhost:0") as path,
        pytest.raises(TransportError, match="can't listen") as raised,
    ):
        serve_card(EchoCard(), path, threading.Event())
    assert raised.value.reason == "busy"


def test_type_b_is_refused_where_a_real_reader_would_have_to_pose_as_it() -> None:
    with pytest.raises(TransportError) as raised:
        serve_card(EchoCard("B"), "usb", threading.Event())
    assert raised.value.reason == "unsupported-card"


class ListeningChip(Pn532Chip):
    """A PN532 that a terminal approaches: it hands the driver what the terminal sends."""

    def __init__(self, terminal: list[bytes]) -> None:
        super().__init__(Field(), lambda _: None)
        self._terminal = terminal
        self.answers: list[bytes] = []

    def execute(self, code: int, payload: bytes) -> bytes:
        if code == 0x8C:  # TgInitAsTarget: activated at 106 kbit/s, and RATS
            return b"\x08" + self._terminal.pop(0) if self._terminal else b"\x08"
        if code == 0x88:  # TgGetInitiatorCommand
            return b"\x00" + self._terminal.pop(0) if self._terminal else b"\x29"
        if code == 0x90:  # TgResponseToInitiator
            self.answers.append(payload)
            return b"\x00"
        return super().execute(code, payload)


def test_a_real_chip_that_listens_poses_as_the_card() -> None:
    with Pn532Emulator() as emulator:
        chip = ListeningChip([b"\xe0\x80", b"\x02hello", b"\x13long", b"\x02 one", b"\xc2"])
        emulator._chip = chip
        card = EchoCard()
        with served(card, emulator.path):
            for _ in range(100):
                if len(chip.answers) >= 5:
                    break
                threading.Event().wait(0.02)
        assert chip.answers[:5] == [
            card.ats,
            b"\x02hello\x90\x00",
            b"\xa3",
            b"\x02long one\x90\x00",
            b"\xc2",
        ]


def test_a_reader_that_cannot_listen_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import nfc.clf

    def refuse(*_: object) -> None:
        raise nfc.clf.UnsupportedTargetError("no")

    monkeypatch.setattr("nfc.clf.pn532.Device.listen_tta", refuse)
    with Pn532Emulator() as emulator, pytest.raises(TransportError, match="act as a card") as e:
        serve_card(EchoCard(), emulator.path, threading.Event())
    assert e.value.reason == "unsupported-reader"
