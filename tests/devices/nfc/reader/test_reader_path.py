"""What `--reader` takes and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devices.nfc.contract import TransportError
from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator
from devices.nfc.reader.nfcpy import open_reader
from devices.nfc.reader.nfcpy.ports import open_serial
from devices.nfc.reader.path import ReaderPath, parse_path
from devices.nfc.reader.serial_ports import SerialLock
from tests.devices.nfc.nfc_cards import EchoCard, open_descriptors


@pytest.mark.parametrize(
    "path", ["usb", "usb:072f", "usb:072f:2200", "usb:001", "usb:001:023", "usb:1:4"]
)
def test_usb_paths_are_nfcpys(path: str) -> None:
    assert parse_path(path) == ReaderPath(text=path, kind="usb")
    assert not parse_path(path).emulated


@pytest.mark.parametrize(
    ("path", "device", "driver"),
    [
        ("pn532:/dev/pts/3", "/dev/pts/3", "pn532"),
        ("pn532:COM3", "COM3", "pn532"),
        ("tty:USB0:pn532", "/dev/ttyUSB0", "pn532"),
        ("tty:AMA0:arygon", "/dev/ttyAMA0", "arygon"),
        ("tty:reader-1:pn532", "/dev/reader-1", "pn532"),
        ("tty:ACM0", "/dev/ttyACM0", ""),
        ("tty", "", ""),
        ("com:COM3:pn532", "COM3", "pn532"),
        ("com:3:pn532", "COM3", "pn532"),
    ],
)
def test_serial_paths_name_a_port_and_a_driver(path: str, device: str, driver: str) -> None:
    parsed = parse_path(path)
    assert parsed.kind == "serial"
    assert (parsed.device, parsed.driver) == (device, driver)


@pytest.mark.parametrize(
    ("path", "host", "port"),
    [
        ("udp", "localhost", 54321),
        ("udp:localhost:4000", "localhost", 4000),
        ("udp::4000", "localhost", 4000),
        ("udp:10.0.0.1", "10.0.0.1", 54321),
    ],
)
def test_udp_paths_have_nfcpys_defaults(path: str, host: str, port: int) -> None:
    parsed = parse_path(path)
    assert (parsed.kind, parsed.host, parsed.port) == ("udp", host, port)
    assert parsed.emulated


@pytest.mark.parametrize(
    "path",
    [
        "",
        "bluetooth",
        "usb:",
        "usb:zz",
        "usb:072f:2200:1",
        "pn532:",
        "pn532:/dev/ttyUSB0; reboot",
        "pn532:$(reboot)",
        "pn532:/dev/tty USB0",
        "tty:USB0:acr122",
        "udp:localhost:99999",
        "udp:local host:1",
    ],
)
def test_anything_else_is_refused_with_what_was_expected(path: str) -> None:
    with pytest.raises(TransportError, match="expected usb") as raised:
        open_reader(path)
    assert raised.value.reason == "bad-path"
    assert "\n" not in str(raised.value)


def test_a_pseudo_terminal_is_emulated_also_behind_a_link(tmp_path: Path) -> None:
    controller, port = os.openpty()
    link = tmp_path / "reader"
    link.symlink_to(os.ttyname(port))
    assert parse_path(f"pn532:{link}").emulated
    assert not parse_path("pn532:/dev/ttyUSB0").emulated
    os.close(controller)
    os.close(port)


@pytest.mark.parametrize("port", [1, 21, 80, 54321])
def test_a_simulated_air_may_have_any_port(port: int) -> None:
    reader = open_reader(f"udp:localhost:{port}")
    assert reader.wait_for_card(0) is None
    reader.close()


def test_a_simulated_air_on_an_unknown_host_is_no_reader() -> None:
    with pytest.raises(TransportError, match=r"udp:no-such-host\.invalid") as raised:
        open_reader("udp:no-such-host.invalid:54321")
    assert raised.value.reason == "no-reader"


def test_a_missing_port_is_no_reader() -> None:
    with pytest.raises(TransportError, match="no such port") as raised:
        open_reader("pn532:/dev/no-such-port")
    assert raised.value.reason == "no-reader"
    with pytest.raises(TransportError) as raised:
        open_reader("tty:USB77:pn532")
    assert raised.value.reason == "no-reader"


def test_a_port_without_a_reader_is_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.nfc.reader.nfcpy.ports.TimedTtyPort.shortest_timeout_ms", 50)
    controller, port = os.openpty()
    before = open_descriptors()
    with pytest.raises(TransportError) as raised:
        open_reader(f"pn532:{os.ttyname(port)}")
    assert raised.value.reason == "no-reader"
    assert open_descriptors() == before
    os.close(controller)
    os.close(port)


def test_a_port_is_held_by_one_reader_at_a_time() -> None:
    controller, port = os.openpty()
    device = os.ttyname(port)
    held = SerialLock(device)
    with pytest.raises(OSError, match="another program"):
        SerialLock(device)
    held.release()
    held.release()
    SerialLock(device).release()
    os.close(controller)
    os.close(port)


def test_a_pn532_that_a_killed_program_left_at_a_high_rate_is_had_again() -> None:
    with Pn532Emulator(checks_line_rate=True) as emulator:
        emulator.present(EchoCard())
        killed, lock = open_serial(parse_path(emulator.path))
        lock.release()
        killed.chipset.transport.tty.close()  # type: ignore[attr-defined]
        reader = open_reader(emulator.path)
        assert reader.wait_for_card(1.0) is not None
        reader.close()
        reader = open_reader(emulator.path)  # and a program that ended well leaves it as it was
        assert reader.wait_for_card(1.0) is not None
        reader.close()
