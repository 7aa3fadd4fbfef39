"""Reports which readers are plugged in, what keeps each from working, and how to mend that.

It looks at USB (libusb), at `/sys` and `/proc` on Linux, and at the serial ports. It sends nothing
to a reader, but opens, claims and releases it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import usb1

from devices.nfc.reader.serial_ports import SerialLock, serial_ports
from devices.nfc.reader.usb import SUPPORTED, UNSUPPORTED, load_usb_library, usb_problem

Status = Literal["ready", "possible", "no-permission", "busy", "unsupported", "driver", "no-usb"]

_SMART_CARD_CLASS = 0x0B
_RULE_FILE = "/etc/udev/rules.d/60-checkout-nfc.rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderReport:
    """One reader, or one port that may have a reader: its name, its status, and what to do.

    `path` is for `--reader`; `problem` and `remedy` are empty where the status is ready.
    """

    path: str
    name: str
    status: Status
    problem: str = ""
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """The same as a JSON object."""
        return {key: str(value) for key, value in asdict(self).items()}


def diagnose() -> tuple[ReaderReport, ...]:
    """A report on every reader that is plugged in, usable or not."""
    return (*_usb_reports(), *_serial_reports())


def format_reports(reports: Iterable[ReaderReport]) -> str:
    """The reports as lines for a terminal; a hint where there are none."""
    lines: list[str] = []
    for report in reports:
        headline = {"ready": "ready", "possible": "perhaps"}.get(report.status, "not usable")
        lines.append(f"{report.path}  {report.name}: {headline}")
        lines += [f"    {line}" for line in (report.problem, *report.remedy.splitlines()) if line]
    if not lines:
        return (
            "No reader found. Plug in one that nfcpy drives (ACR122U, RC-S380, SCL3711, or a\n"
            "PN532 on a serial port), or use emulated cards: --reader emulated."
        )
    return "\n".join(lines)


def udev_rule(vendor: int, product: int) -> str:
    """The udev rule that lets the local user, and group plugdev, use the reader."""
    return (
        f'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vendor:04x}", ATTR{{idProduct}}=="{product:04x}", '
        'TAG+="uaccess", GROUP="plugdev", MODE="0660"'
    )


# USB


def _usb_reports() -> list[ReaderReport]:
    try:
        load_usb_library()
        with usb1.USBContext() as context:
            devices = context.getDeviceList(skip_on_error=True)
            return [report for device in devices if (report := _usb_report(device)) is not None]
    except (usb1.USBError, OSError) as error:
        return [
            ReaderReport(
                path="usb",
                name="USB",
                status="no-usb",
                problem=f"USB can't be searched on this machine ({usb_problem(error)}).",
                remedy="Install libusb 1.0 (on Debian: sudo apt install libusb-1.0-0),\n"
                "or use a reader on a serial port, or emulated cards.",
            )
        ]


def _usb_report(device: usb1.USBDevice) -> ReaderReport | None:
    key = (device.getVendorID(), device.getProductID())
    place = f"usb:{device.getBusNumber():03}:{device.getDeviceAddress():03}"
    if key in SUPPORTED:
        return _supported(device, place, key)
    name = UNSUPPORTED.get(key)
    if name is None and _is_smart_card_reader(device):
        name = f"smart card reader {key[0]:04x}:{key[1]:04x}"
    if name is None:
        return None
    return ReaderReport(
        path=place,
        name=name,
        status="unsupported",
        problem="nfcpy has no driver for this model.",
        remedy="Use one of: " + ", ".join(sorted(set(SUPPORTED.values()))) + ".",
    )


def _supported(device: usb1.USBDevice, place: str, key: tuple[int, int]) -> ReaderReport:
    name = SUPPORTED[key]
    node = Path(f"/dev/bus/usb/{device.getBusNumber():03}/{device.getDeviceAddress():03}")
    if sys.platform.startswith("linux") and not os.access(node, os.R_OK | os.W_OK):
        return _no_permission(place, name, key)
    try:
        handle = device.open()
    except usb1.USBErrorAccess:
        return _no_permission(place, name, key)
    except (usb1.USBErrorNotSupported, usb1.USBErrorNotFound):
        return _wrong_driver(place, name)
    except usb1.USBError as error:
        return _busy(place, name, f"The system does not open it ({error}).", "Plug it in again.")
    try:
        handle.claimInterface(0)
        handle.releaseInterface(0)
    except usb1.USBErrorBusy:
        return _report_holder(place, name, _kernel_driver(handle, device), node)
    except (usb1.USBErrorNotSupported, usb1.USBErrorNotFound):
        return _wrong_driver(place, name)
    except usb1.USBError as error:
        return _busy(place, name, f"It can't be claimed ({error}).", "Plug it in again.")
    finally:
        handle.close()
    return ReaderReport(path=place, name=name, status="ready")


def _no_permission(place: str, name: str, key: tuple[int, int]) -> ReaderReport:
    if not sys.platform.startswith("linux"):
        return ReaderReport(
            path=place,
            name=name,
            status="no-permission",
            problem="This user may not open it; the system's smart card service may own it.",
            remedy="Quit programs that use smart cards, then plug the reader in again.",
        )
    return ReaderReport(
        path=place,
        name=name,
        status="no-permission",
        problem="This user may not open the reader: a udev rule is missing.",
        remedy=(
            f"Write this one line to {_RULE_FILE} (as root):\n"
            f"{udev_rule(*key)}\n"
            "then run: sudo udevadm control --reload && sudo udevadm trigger\n"
            "and plug the reader in again."
        ),
    )


def _wrong_driver(place: str, name: str) -> ReaderReport:
    return ReaderReport(
        path=place,
        name=name,
        status="driver",
        problem="Windows has bound its own driver to the reader, which libusb can't use.",
        remedy="Replace it by WinUSB with Zadig (zadig.akeo.ie): pick the reader, choose WinUSB.",
    )


def _busy(place: str, name: str, problem: str, remedy: str) -> ReaderReport:
    return ReaderReport(path=place, name=name, status="busy", problem=problem, remedy=remedy)


def _report_holder(place: str, name: str, module: str | None, node: Path) -> ReaderReport:
    """The report on a reader that the kernel, pcscd or another program uses."""
    if module is not None:
        return _busy(
            place,
            name,
            f"The kernel module {module} holds the reader.",
            f"Now: sudo modprobe -r {module}\n"
            f"For good: echo blacklist {module} | sudo tee /etc/modprobe.d/checkout-nfc.conf",
        )
    holders = dict(_processes_with(node))
    if "pcscd" in holders:
        return _busy(
            place,
            name,
            "The PC/SC service pcscd holds the reader.",
            "Now: sudo systemctl stop pcscd.socket pcscd.service\n"
            "For good: sudo systemctl disable pcscd.socket",
        )
    if holders:
        program, process = next(iter(holders.items()))
        return _busy(
            place,
            name,
            f"The program {program} (process {process}) holds the reader.",
            "End that program.",
        )
    return _busy(
        place,
        name,
        "Another program holds the reader; perhaps pcscd, the PC/SC service.",
        "End it; for pcscd: sudo systemctl stop pcscd.socket pcscd.service",
    )


def _is_smart_card_reader(device: usb1.USBDevice) -> bool:
    try:
        return any(each.getClass() == _SMART_CARD_CLASS for each in device.iterSettings())
    except usb1.USBError:
        return False


def _kernel_driver(handle: Any, device: usb1.USBDevice) -> str | None:
    """The kernel module that uses interface 0, None where a program uses it."""
    try:
        if not handle.kernelDriverActive(0):
            return None
    except usb1.USBError:
        return None
    bound = _bound_driver(device.getBusNumber(), device.getDeviceAddress())
    if bound == "usbfs":
        return None
    if bound is not None:
        return bound
    is_port100 = "RC-S380" in SUPPORTED[device.getVendorID(), device.getProductID()]
    return "port100" if is_port100 else "pn533_usb"


def _bound_driver(bus: int, address: int, root: Path = Path("/sys/bus/usb/devices")) -> str | None:
    """The driver of interface 0 by sysfs, None where there is none."""
    for folder in root.glob("*-*"):
        try:
            place = int((folder / "busnum").read_text()), int((folder / "devnum").read_text())
        except (OSError, ValueError):
            continue
        if place == (bus, address):
            for interface in folder.glob("*:*.0/driver"):
                return interface.resolve().name
    return None


def _processes_with(node: Path, root: Path = Path("/proc")) -> Iterator[tuple[str, int]]:
    """Name and id of every process that has the file open, as far as this user can see them."""
    for folder in root.glob("[0-9]*"):
        try:
            opened = any(each.readlink() == node for each in (folder / "fd").iterdir())
            if opened and int(folder.name) != os.getpid():
                yield (folder / "comm").read_text().strip(), int(folder.name)
        except OSError:
            continue


# Serial ports


def _serial_reports() -> list[ReaderReport]:
    return [_serial_report(device) for device in serial_ports()]


def _serial_report(device: str) -> ReaderReport:
    path = f"pn532:{device}"
    try:
        SerialLock(device).release()
    except PermissionError:
        return ReaderReport(
            path=path,
            name=f"serial port {device}",
            status="no-permission",
            problem="This user may not open the serial port.",
            remedy='Join its group: sudo usermod -a -G dialout "$USER", then log in again.',
        )
    except OSError as error:
        return _busy(path, f"serial port {device}", f"Not available: {error}.", "")
    return ReaderReport(
        path=path,
        name=f"serial port {device}",
        status="possible",
        problem="A PN532 may be on it; nothing is sent to a port before you name it.",
        remedy=f"Try: checkout tap --amount 1.00 --reader {path}",
    )
