"""The serial port under nfcpy's PN532 driver, and chips that ignore their parameters."""

from __future__ import annotations

import logging
import os
import tty
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from devices.nfc.contract import ReaderGone
from devices.nfc.emulated.pn532.frames import HostFrame
from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator
from devices.nfc.reader.iso_dep import FrameTimeout
from devices.nfc.reader.nfcpy import ports
from devices.nfc.reader.nfcpy.driver import ChipError, TtyPort, faults
from devices.nfc.reader.nfcpy.pn53x import Pn53xAir
from devices.nfc.reader.nfcpy.ports import TimedTtyPort
from devices.nfc.reader.path import parse_path

ACK = bytes.fromhex("0000FF00FF00")
ANSWER = bytes.fromhex("0000FF02FED5151600")


@pytest.fixture
def line() -> Iterator[tuple[int, TimedTtyPort]]:
    controller, port = os.openpty()
    tty.setraw(port)
    serial = TimedTtyPort(os.ttyname(port))
    serial.shortest_timeout_ms = 50
    serial.frames_only = True
    yield controller, serial
    serial.abandon()
    os.close(controller)
    os.close(port)


def frame_from(serial: TimedTtyPort) -> bytes:
    return bytes(serial.read(50) or b"")


@pytest.mark.parametrize("before", ["", "00", "00000000000000", "55AA", "FF", "AA0000"])
def test_what_stands_before_a_frame_is_passed_over(
    line: tuple[int, TimedTtyPort], before: str
) -> None:
    controller, serial = line
    os.write(controller, bytes.fromhex(before) + ACK + bytes.fromhex(before) + ANSWER)
    assert frame_from(serial) == ACK
    assert frame_from(serial) == ANSWER


def test_a_second_acknowledgement_is_passed_over(line: tuple[int, TimedTtyPort]) -> None:
    controller, serial = line
    os.write(controller, ACK + ACK + ANSWER)
    assert frame_from(serial) == ACK
    assert frame_from(serial) == ANSWER
    serial.write(ACK)
    os.write(controller, ACK)
    assert frame_from(serial) == ACK


def test_a_short_frame_in_extended_form_reads_as_a_normal_one(
    line: tuple[int, TimedTtyPort],
) -> None:
    controller, serial = line
    os.write(controller, bytes.fromhex("0000FFFFFF0002FED5151600"))
    assert frame_from(serial) == ANSWER


def test_a_line_full_of_noise_ends_in_no_frame(line: tuple[int, TimedTtyPort]) -> None:
    controller, serial = line
    os.write(controller, b"\x55" * 300)
    assert not frame_from(serial).startswith(b"\x00\x00\xff")


class SilentAfterOwnRats:
    """The chipset of a PN532 that activates a card itself; the card takes no second RATS."""

    host_command_frame_max_size = 265
    in_list_passive_target_max_target = 2
    in_list_passive_target_brty_range = (0, 1, 2, 3, 4)
    ats = b""

    def command(self, code: int, body: bytearray, timeout: float) -> bytes:
        return bytes.fromhex("0101 0344 20 04 01020304") + self.ats

    def rf_configuration(self, item: int, body: bytes) -> None:
        pass

    def read_register(self, *names: str) -> list[int]:
        return [0] * len(names)

    def write_register(self, *pairs: Any) -> None:
        pass

    def in_communicate_thru(self, frame: bytearray, timeout: float) -> bytes:
        raise ChipError(0x01, "Time out, the Target has not answered")


def air_of(chipset: SilentAfterOwnRats) -> Pn53xAir:
    device: Any = SimpleNamespace(
        chipset=chipset,
        mute=lambda: None,
        vendor_name=None,
        product_name=None,
        chipset_name="PN532v1.5",
        path="tty",
    )
    return Pn53xAir(device, ())


def test_an_answer_to_select_that_the_chip_fetched_is_taken() -> None:
    chipset = SilentAfterOwnRats()
    chipset.ats = bytes.fromhex("067577810280")
    air = air_of(chipset)
    found = air.poll()
    assert found is not None
    assert found.uid == bytes.fromhex("01020304")
    assert air.send(b"\xe0\x80", 0.02) == chipset.ats


def test_without_one_a_silent_card_stays_silent() -> None:
    air = air_of(SilentAfterOwnRats())
    assert air.poll() is not None
    with pytest.raises(FrameTimeout):
        air.send(b"\xe0\x80", 0.02)


# One damaged or lost frame between host and chip


class Line(Pn532Emulator):
    """An emulated PN532 whose n-th frame from the chip is changed on its way; None loses it."""

    def __init__(self) -> None:
        self.sent = 0
        self.change: dict[int, Callable[[bytes], bytes]] = {}
        self.nacks = 0
        super().__init__()

    def _write(self, frame: bytes) -> None:
        self.sent += 1
        super()._write(self.change.get(self.sent, bytes)(frame))

    def _on_host(self, frame: HostFrame) -> None:
        self.nacks += frame.kind == "nack"
        super()._on_host(frame)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "lost": lambda frame: b"",
    "last-bit": lambda frame: frame[:-2] + bytes((frame[-2] ^ 0x01,)) + frame[-1:],
    "length": lambda frame: frame[:3] + bytes((frame[3] ^ 0x20,)) + frame[4:],
    "start": lambda frame: b"\x55" + frame[1:2] + b"\xfe" + frame[3:],
    "cut-short": lambda frame: frame[:-3],
    "first-byte-lost": lambda frame: frame[1:],
    "noise": lambda frame: b"\x55\xaa" * 4,
}


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(ports, "SHORTEST_TIMEOUT_MS", 250)
    with Line() as emulator:
        yield emulator


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("which", [1, 2], ids=["acknowledgement", "response"])
def test_one_damaged_or_lost_frame_does_not_lose_the_reader(
    chip: Line, damage: str, which: int, capfd: pytest.CaptureFixture[str]
) -> None:
    device, lock = ports.open_serial(parse_path(chip.path))
    try:
        for _ in range(3):
            chip.change = {chip.sent + which: DAMAGE[damage]}
            assert device.chipset.command(0x02, b"", timeout=0.1) == bytes.fromhex("32010607")
            assert device.chipset.command(0x00, b"\x00abc", timeout=0.1) == b"\x00abc"
    finally:
        device.chipset.transport.abandon()
        lock.release()
    assert chip.nacks <= 3
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("damage", ["lost", "last-bit"])
def test_a_frame_that_stays_damaged_loses_the_reader(
    chip: Line, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    device, lock = ports.open_serial(parse_path(chip.path))
    try:
        chip.change = {chip.sent + n: DAMAGE[damage] for n in range(2, 9)}
        with pytest.raises(ReaderGone), faults():
            device.chipset.command(0x02, b"", timeout=0.1)
    finally:
        device.chipset.transport.abandon()
        lock.release()
    assert chip.nacks == 2
    assert capfd.readouterr() == ("", "")  # nfcpy's own words stay in its log


def test_a_lost_command_is_sent_a_second_time(chip: Line) -> None:
    device, lock = ports.open_serial(parse_path(chip.path))
    port = device.chipset.transport
    sent: list[bytes] = []
    real = TtyPort.write

    def losing(self: TtyPort, frame: bytes) -> None:
        sent.append(bytes(frame))
        if len(sent) > 1:
            real(self, frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TtyPort, "write", losing)
        assert device.chipset.command(0x02, b"", timeout=0.1) == bytes.fromhex("32010607")
    assert sent[0] == sent[1]
    assert len(sent) == 2
    port.abandon()
    lock.release()


def test_nfcpy_s_log_reaches_a_handler_that_asks_for_it(chip: Line) -> None:
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Collect()
    logging.getLogger("nfc").addHandler(handler)
    try:
        logging.getLogger("nfc.clf.pn532").error("frame data checksum error")
    finally:
        logging.getLogger("nfc").removeHandler(handler)
    assert lines == ["frame data checksum error"]
