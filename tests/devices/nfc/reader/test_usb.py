"""USB works after `pip install` alone: the packaged libusb stands in where the system has none."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, sys
{before}
from devices.nfc.reader.usb import load_usb_library
load_usb_library()
import usb1
with usb1.USBContext() as context:
    context.getDeviceList(skip_on_error=True)
print("searched", any("libusb_package" in line for line in open("/proc/self/maps")))
"""
#: What usb1 meets on a machine without the system's library.
WITHOUT_THE_SYSTEMS = """
import usb1._libusb1
def nowhere(*a, **k): raise OSError(2, "cannot find a suitable libusb-1.0")
usb1._libusb1.dll_loader = nowhere
import ctypes.util
ctypes.util.find_library = lambda name: None
"""


def run(before: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_usb_is_searched_with_whatever_library_is_there() -> None:
    assert run("").startswith("searched")


def test_the_packaged_library_is_taken_where_the_system_has_none() -> None:
    assert run(WITHOUT_THE_SYSTEMS) == "searched True"
