"""The PN532 on a pseudo-terminal, as hosts other than ours see it."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import nfc
import nfc.clf
import nfc.clf.pn532
import nfc.clf.transport
import nfc.tag
import pytest

from devices.nfc.emulated.air.iso14443_4 import CardLeft
from devices.nfc.emulated.pn532.frames import HostStream, response_frame
from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator
from tests.devices.nfc.nfc_cards import EchoCard, open_descriptors

ACK = bytes.fromhex("0000FF00FF00")


class Host:
    """A plain program on the serial port: frames out, frames in, nothing of nfcpy."""

    def __init__(self, device: str) -> None:
        self._port = os.open(device, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._port)
        self._received = b""

    def write(self, raw: bytes) -> None:
        os.write(self._port, raw)

    def send(self, *content: int) -> None:
        body = bytes([0xD4, *content])
        size = len(body)
        if size < 255:
            head = bytes([size, -size & 0xFF])
        else:
            two = size.to_bytes(2)
            head = b"\xff\xff" + two + bytes([-sum(two) & 0xFF])
        self.write(b"\x55\x55\x00\x00\x00\xff" + head + body + bytes([-sum(body) & 0xFF, 0]))

    def read(self, timeout_s: float = 2.0) -> bytes:
        """The next frame, whole; empty when none came."""
        until = time.monotonic() + timeout_s
        while (frame := self._cut()) is None:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._port], [], [], left)[0]:
                return b""
            self._received += os.read(self._port, 4096)
        return frame

    def ask(self, *content: int) -> bytes:
        """The response parameters, after ACK, without the response code."""
        self.send(*content)
        assert self.read() == ACK
        response = self.read()
        start = 8 if response[3:5] == b"\xff\xff" else 5
        assert response[start : start + 2] == bytes([0xD5, content[0] + 1]), response.hex()
        return response[start + 2 : -2]

    def close(self) -> None:
        os.close(self._port)

    def _cut(self) -> bytes | None:
        if len(self._received) < 6:
            return None
        assert self._received[:3] == b"\x00\x00\xff", self._received.hex()
        if self._received[3:5] in (b"\x00\xff", b"\xff\x00"):
            size = 6
        elif self._received[3:5] == b"\xff\xff":
            size = int.from_bytes(self._received[5:7]) + 10
        else:
            size = self._received[3] + 7
        if len(self._received) < size:
            return None
        frame, self._received = self._received[:size], self._received[size:]
        return frame


@pytest.fixture
def chip() -> Iterator[Pn532Emulator]:
    with Pn532Emulator() as emulator:
        yield emulator


@pytest.fixture
def host(chip: Pn532Emulator) -> Iterator[Host]:
    made = Host(chip.device)
    made.ask(0x14, 0x01)
    yield made
    made.close()


def list_a(host: Host, wanted: int = 1) -> bytes:
    return host.ask(0x4A, wanted, 0x00)


def configure(host: Host) -> None:
    host.ask(0x12, 0x14)  # automatic RATS
    host.ask(0x32, 0x05, 0xFF, 0x01, 0x01)
    host.ask(0x32, 0x01, 0x01)


def test_it_says_that_it_is_a_pn532(host: Host) -> None:
    assert host.ask(0x02).hex() == "32010607"


@pytest.mark.parametrize("size", [1, 100, 250, 251, 252, 253, 254, 262])
def test_diagnose_echoes_frames_of_every_length(host: Host, size: int) -> None:
    assert host.ask(0x00, 0x00, *bytes(size)) == bytes(size + 1)


def test_a_host_that_leaves_iso_14443_4_to_the_chip_exchanges_apdus(
    chip: Pn532Emulator, host: Host
) -> None:
    configure(host)
    assert list_a(host) == b"\x00"
    chip.present(EchoCard())
    found = list_a(host)
    assert found.hex() == "01010044200704112233445566" + "0578807102"
    assert host.ask(0x40, 0x01, *b"hello") == b"\x00hello\x90\x00"
    assert host.ask(0x40, 0x01, *bytes(200)) == b"\x00" + bytes(200) + b"\x90\x00"
    assert host.ask(0x00, 0x06) == b"\x00", "attention request: the card is there"
    chip.remove()
    assert host.ask(0x40, 0x01, *b"hello") == b"\x01", "time out"
    assert host.ask(0x00, 0x06) != b"\x00"
    assert host.ask(0x52, 0x00) == b"\x00"


def test_such_a_host_reads_long_answers_and_sends_long_commands_in_parts(
    chip: Pn532Emulator, host: Host
) -> None:
    configure(host)
    chip.present(EchoCard())
    list_a(host)
    assert host.ask(0x40, 0x41, *bytes(200)) == b"\x00"
    first = host.ask(0x40, 0x01, *bytes(150))
    assert first[0] == 0x40
    rest = host.ask(0x40, 0x01)
    assert rest[0] == 0x00
    assert first[1:] + rest[1:] == bytes(350) + b"\x90\x00"


def test_type_b_is_listed_and_exchanges(chip: Pn532Emulator, host: Host) -> None:
    configure(host)
    chip.present(EchoCard("B", "11223344"))
    found = host.ask(0x4A, 0x01, 0x03, 0x00)
    assert found[:7].hex() == "01015011223344"
    assert host.ask(0x40, 0x01, *b"hello") == b"\x00hello\x90\x00"


def test_two_cards_are_listed_as_two(chip: Pn532Emulator, host: Host) -> None:
    configure(host)
    chip.present(EchoCard(uid="01020304"), EchoCard(uid="04112233445566"))
    found = list_a(host, wanted=2)
    assert found[0] == 2
    assert bytes.fromhex("01020304") in found
    assert bytes.fromhex("04112233445566") in found


def test_one_of_two_cards_is_selected_by_its_uid(chip: Pn532Emulator, host: Host) -> None:
    configure(host)
    chip.present(EchoCard(uid="01020304"), EchoCard(uid="05060708"))
    found = host.ask(0x4A, 0x01, 0x00, *bytes.fromhex("05060708"))
    assert found[:10].hex() == "01010004200405060708"


def test_it_polls_until_a_card_comes_where_the_host_asks_for_that(
    chip: Pn532Emulator, host: Host
) -> None:
    host.ask(0x32, 0x01, 0x01)
    host.send(0x4A, 0x01, 0x00)
    assert host.read() == ACK
    assert host.read(0.05) == b""
    chip.present(EchoCard())
    assert host.read()[5:8].hex() == "d54b01"


def test_an_ack_from_the_host_ends_the_polling(chip: Pn532Emulator, host: Host) -> None:
    host.send(0x4A, 0x01, 0x00)
    assert host.read() == ACK
    host.write(ACK)
    assert host.ask(0x02).hex() == "32010607"


def test_auto_poll_names_the_kind_of_card(chip: Pn532Emulator, host: Host) -> None:
    host.ask(0x32, 0x01, 0x01)
    assert host.ask(0x60, 0x01, 0x01, 0x20, 0x23) == b"\x00"
    chip.present(EchoCard("B", "11223344"))
    assert host.ask(0x60, 0x01, 0x01, 0x20, 0x23)[:2].hex() == "0123"


def test_a_repeated_answer_is_had_by_nack(host: Host) -> None:
    host.send(0x02)
    host.read()
    first = host.read()
    host.write(bytes.fromhex("0000FFFF0000"))
    assert host.read() == first


def test_an_unknown_command_gets_an_error_frame(host: Host) -> None:
    host.send(0xAA)
    assert host.read() == ACK
    assert host.read().hex() == "0000ff01ff7f8100"


@pytest.mark.parametrize(
    "noise", ["FFFFFFFF", "0000FF02FFD40229", "0000FF0500", "00" * 50, "0000FF02FED402FF00"]
)
def test_noise_on_the_line_is_survived(host: Host, noise: str) -> None:
    host.write(bytes.fromhex(noise))
    host.write(bytes(300))
    while host.read(0.02):
        pass
    assert host.ask(0x02).hex() == "32010607"


def test_commands_without_an_activated_card_are_refused_by_status(host: Host) -> None:
    assert host.ask(0x40, 0x01, 0x00) == b"\x27"
    assert host.ask(0x54, 0x01) == b"\x27"


def test_nfcpy_alone_reads_the_card_with_its_own_tag_layer(chip: Pn532Emulator) -> None:
    chip.present(EchoCard())
    clf = nfc.ContactlessFrontend()
    clf.device = nfc.clf.pn532.init(nfc.clf.transport.TTY(chip.device))
    try:
        assert clf.device.chipset.diagnose("line")
        target = clf.sense(nfc.clf.RemoteTarget("106A"))
        tag = nfc.tag.activate(clf, target)
        assert bytes(tag.transceive(b"hello")) == b"hello\x90\x00"
        assert bytes(tag.transceive(bytes(1000))) == bytes(1000) + b"\x90\x00"
        assert tag.is_present
        chip.remove()
        assert not tag.is_present
    finally:
        clf.close()


def test_a_card_may_unplug_the_reader_that_it_lies_on(chip: Pn532Emulator) -> None:
    host = Host(chip.device)
    configure(host)
    chip.present(EchoCard(on_command=lambda _: chip.unplug()))
    list_a(host)
    host.send(0x40, 0x01, 0x00)
    with contextlib.suppress(OSError):  # a line that hung up: an error or an end, as it falls
        while os.read(host._port, 100):
            pass
    assert not Path(chip.device).exists()
    host.close()


def test_a_card_that_leaves_takes_its_answer_with_it(chip: Pn532Emulator, host: Host) -> None:
    def leave(command: bytes) -> None:
        raise CardLeft

    configure(host)
    chip.present(EchoCard(on_command=leave))
    list_a(host)
    assert host.ask(0x40, 0x01, 0x00) == b"\x01"
    assert chip.cards == ()


def test_closing_gives_back_every_descriptor_and_thread() -> None:
    before = open_descriptors(), threading.active_count()
    for _ in range(5):
        emulator = Pn532Emulator()
        emulator.present(EchoCard())
        emulator.close()
        emulator.close()
    assert (open_descriptors(), threading.active_count()) == before


def test_the_stream_takes_frames_in_any_pieces() -> None:
    raw = response_frame(0x02, b"\x01").replace(b"\xd5\x03", b"\xd4\x02")
    fixed = bytes.fromhex("0000FF03FDD40201") + bytes([-(0xD4 + 3) & 0xFF]) + b"\x00"
    assert raw[:8] == fixed[:8]
    stream = HostStream()
    frames = [frame for byte in fixed + ACK + fixed for frame in stream.feed(bytes([byte]))]
    assert [frame.kind for frame in frames] == ["command", "ack", "command"]
    assert frames[0].code == 0x02
    assert frames[0].payload == b"\x01"
