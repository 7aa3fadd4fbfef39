"""The serial port under nfcpy's PN532 driver, and chips that ignore their parameters."""

from __future__ import annotations

import os
import tty
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from devices.nfc.reader.iso_dep import FrameTimeout
from devices.nfc.reader.nfcpy.driver import ChipError
from devices.nfc.reader.nfcpy.pn53x import Pn53xAir
from devices.nfc.reader.nfcpy.ports import TimedTtyPort

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
