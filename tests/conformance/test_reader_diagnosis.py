"""`checkout readers`: each cause that stops a reader has its own report and remedy."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import nfc.clf.device
import pytest
import usb1

from devices.nfc.contract import ReaderGone, TransportError
from devices.nfc.emulated.pn532.pseudo_terminal import Pn532Emulator
from devices.nfc.reader import diagnosis
from devices.nfc.reader.diagnosis import ReaderReport, diagnose, format_reports, udev_rule
from devices.nfc.reader.nfcpy import open_reader
from devices.nfc.reader.serial_ports import SerialLock
from devices.nfc.reader.usb import SUPPORTED
from tests.conformance.conformance_rigs import install
from tests.conformance.fake_usb import FakeAcr122, FakeBus, FakeOther, FakeRcs380, FakeReader


@pytest.fixture(autouse=True)
def no_serial_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "serial_ports", list)


@pytest.fixture(params=[FakeAcr122, FakeRcs380])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeReader:
    made: FakeReader = request.param()
    install(FakeBus(made), monkeypatch)
    return made


def only() -> ReaderReport:
    (report,) = diagnose()
    return report


def refused(path: str = "usb") -> TransportError:
    with pytest.raises(TransportError) as raised:
        open_reader(path)
    assert "\n" not in str(raised.value)
    return raised.value


def test_nothing_plugged_in_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    install(FakeBus(), monkeypatch)
    assert diagnose() == ()
    assert "No reader found" in format_reports(diagnose())
    assert refused().reason == "no-reader"


def test_a_reader_in_order_is_ready_and_opens(device: FakeReader) -> None:
    report = only()
    assert report.status == "ready"
    assert report.path == "usb:001:004"
    assert report.problem == report.remedy == ""
    for path in ("usb", f"usb:{device.vendor:04x}:{device.product:04x}", "usb:001:004", "usb:001"):
        reader = open_reader(path)
        assert report.name.split()[0].upper() in reader.name.upper()
        assert not reader.emulated
        reader.close()


def test_missing_permission_names_the_rule_to_install(
    device: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith("/dev/bus"))
    report = only()
    assert report.status == "no-permission"
    rule = udev_rule(device.vendor, device.product)
    assert rule in report.remedy.splitlines()
    assert f'ATTR{{idVendor}}=="{device.vendor:04x}"' in rule
    assert "udevadm" in format_reports([report])
    assert refused().reason == "no-permission"
    assert refused("usb:001:004").reason == "no-permission"


def test_permission_that_libusb_refuses_is_the_same(device: FakeReader) -> None:
    device.refused = True
    assert only().status == "no-permission"
    assert refused().reason == "no-permission"


def test_a_kernel_module_that_holds_the_reader_is_named(
    device: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.kernel_driver = True
    report = only()
    module = "port100" if isinstance(device, FakeRcs380) else "pn533_usb"
    assert report.status == "busy"
    assert f"kernel module {module}" in report.problem
    assert f"modprobe -r {module}" in report.remedy
    assert refused().reason == "busy"
    monkeypatch.setattr(diagnosis, "_bound_driver", lambda bus, address: "some_module")
    assert "kernel module some_module" in only().problem


def test_pcscd_that_holds_the_reader_is_named(
    device: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.busy = True
    monkeypatch.setattr(diagnosis, "_processes_with", lambda node: iter([("pcscd", 71)]))
    report = only()
    assert report.status == "busy"
    assert "pcscd" in report.problem
    assert "systemctl stop pcscd.socket" in report.remedy
    assert refused().reason == "busy"


def test_another_program_that_holds_the_reader_is_named(
    device: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.busy = True
    monkeypatch.setattr(diagnosis, "_processes_with", lambda node: iter([("checkout", 4711)]))
    assert "checkout (process 4711)" in only().problem
    monkeypatch.setattr(diagnosis, "_processes_with", lambda node: iter(()))
    assert "Another program" in only().problem


def test_windows_own_driver_is_told_from_a_missing_reader(device: FakeReader) -> None:
    device.wrong_driver = True
    report = only()
    assert report.status == "driver"
    assert "WinUSB" in report.remedy
    assert "Zadig" in report.remedy
    assert refused().reason == "wrong-driver"


@pytest.mark.parametrize(
    ("other", "name"),
    [
        (FakeOther(0x054C, 0x0DC8), "Sony RC-S300/S"),
        (FakeOther(0x054C, 0x0DC9), "Sony RC-S300/P"),
        (FakeOther(0x072F, 0x223B), "ACS ACR1252U"),
        (FakeOther(0x1234, 0x5678), "smart card reader 1234:5678"),
    ],
)
def test_a_model_without_a_driver_is_named(
    other: FakeOther, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(FakeBus(other), monkeypatch)
    report = only()
    assert report.status == "unsupported"
    assert report.name == name
    assert "ACR122U" in report.remedy
    assert refused().reason == ("no-reader" if "smart" in name else "unsupported-reader")


def test_a_keyboard_is_none_of_our_business(monkeypatch: pytest.MonkeyPatch) -> None:
    install(FakeBus(FakeOther(0x046D, 0xC31C, usb_class=0x03)), monkeypatch)
    assert diagnose() == ()


def test_a_machine_without_usb_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(FakeBus):
        def USBContext(self) -> None:  # type: ignore[override]
            raise usb1.USBErrorNotFound

    install(Broken(), monkeypatch)
    assert only().status == "no-usb"
    assert refused().reason == "no-reader"


def test_the_second_reader_is_taken_where_the_first_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = FakeAcr122(address=4), FakeRcs380(address=5)
    first.busy = True
    install(FakeBus(first, second), monkeypatch)
    reader = open_reader("usb")
    assert "RC-S380" in reader.name
    reader.close()


@pytest.mark.parametrize("path", ["usb", "usb:001:004"])
def test_a_reader_is_found_again_under_another_address(device: FakeReader, path: str) -> None:
    reader = open_reader(path)
    device.unplug()
    with pytest.raises(ReaderGone):
        reader.wait_for_card(0)
    device.plug()
    assert device.address != 4
    assert reader.wait_for_card(0) is None
    assert reader.name.endswith("usb:001:005")
    reader.close()


def test_nfcpy_writes_nothing_to_the_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a program that logs nothing
    with Pn532Emulator() as emulator:
        reader = open_reader(emulator.path)
        emulator.unplug()
        with pytest.raises(ReaderGone):
            reader.wait_for_card(0)
        reader.close()
    assert capfd.readouterr() == ("", "")


def test_no_handle_stays_open(device: FakeReader, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = FakeBus(device)
    install(bus, monkeypatch)
    diagnose()
    open_reader("usb").close()
    device.busy = True
    diagnose()
    refused()
    assert bus.open_handles == 0


def test_every_reader_that_nfcpy_drives_is_known() -> None:
    assert set(SUPPORTED) == set(nfc.clf.device.usb_device_map)


def test_the_driver_that_linux_bound_is_read_from_sysfs(tmp_path: Path) -> None:
    folder = tmp_path / "1-2"
    (folder / "1-2:1.0").mkdir(parents=True)
    (folder / "busnum").write_text("1\n")
    (folder / "devnum").write_text("4\n")
    (tmp_path / "drivers" / "pn533_usb").mkdir(parents=True)
    (folder / "1-2:1.0" / "driver").symlink_to(tmp_path / "drivers" / "pn533_usb")
    assert diagnosis._bound_driver(1, 4, tmp_path) == "pn533_usb"
    assert diagnosis._bound_driver(1, 5, tmp_path) is None


def test_the_process_that_has_a_device_open_is_found(tmp_path: Path) -> None:
    node = tmp_path / "node"
    process = tmp_path / "proc" / "4711"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("pcscd\n")
    (process / "fd" / "3").symlink_to(node)
    (tmp_path / "proc" / "1").mkdir()
    assert list(diagnosis._processes_with(node, tmp_path / "proc")) == [("pcscd", 4711)]


def test_serial_ports_are_listed_without_a_byte_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(FakeBus(), monkeypatch)
    controller, port = os.openpty()
    device = os.ttyname(port)
    monkeypatch.setattr(diagnosis, "serial_ports", lambda: [device, str(tmp_path / "gone")])
    possible, gone = diagnose()
    assert possible.status == "possible"
    assert possible.path == f"pn532:{device}"
    assert gone.status == "busy"
    held = SerialLock(device)
    assert diagnose()[0].status == "busy"
    assert refused(f"pn532:{device}").reason == "busy"
    held.release()
    os.set_blocking(controller, False)
    with pytest.raises(BlockingIOError):
        os.read(controller, 1)
    os.close(controller)
    os.close(port)


def test_a_driver_that_hangs_costs_a_named_error(
    device: FakeReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.nfc.reader.nfcpy.ports.DEFAULT_TIMEOUT_MS", 50)
    monkeypatch.setattr("devices.nfc.reader.nfcpy.ports.SHORTEST_TIMEOUT_MS", 50)
    reader = open_reader("usb")
    device.hangs = True
    with pytest.raises(ReaderGone):
        reader.wait_for_card(0)
    device.hangs = False
    assert reader.wait_for_card(0) is None
    reader.close()


def test_an_acr122u_is_never_powered_down(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeAcr122()
    install(FakeBus(device), monkeypatch)
    for _ in range(2):
        reader = open_reader("usb")
        assert reader.wait_for_card(0) is None
        reader.close()
    assert not device.powered_down


def test_an_acr122u_shows_and_sounds_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeAcr122()
    install(FakeBus(device), monkeypatch)
    reader = open_reader("usb")
    before = len(device.lights)
    reader.signal("success")
    reader.signal("failure")
    reader.close()
    success, failure = device.lights[before : before + 2]
    assert success != failure
    assert success[8] & 1, "the buzzer sounds"
    assert success[3] & 0x02, "green stays on"
    assert not success[3] & 0x01, "red does not"
