"""USB as readers use it: which models nfcpy drives, and the C library that finds them."""

from __future__ import annotations

import ctypes
from typing import Final

import libusb_package
import usb1

Model = tuple[int, int]
"""Vendor and product number of a USB reader."""

SUPPORTED: Final[dict[Model, str]] = {
    (0x054C, 0x0193): "Sony PN531",
    (0x04CC, 0x0531): "NXP PN531 or SCM SCL3710",
    (0x04CC, 0x2533): "NXP PN533",
    (0x04E6, 0x5591): "SCM SCL3711",
    (0x04E6, 0x5593): "SCM SCL3712",
    (0x054C, 0x02E1): "Sony RC-S330, RC-S360 or RC-S370",
    (0x054C, 0x06C1): "Sony RC-S380/S",
    (0x054C, 0x06C3): "Sony RC-S380/P",
    (0x072F, 0x2200): "ACS ACR122U",
}
"""USB readers that nfcpy has a driver for."""

UNSUPPORTED: Final[dict[Model, str]] = {
    (0x054C, 0x0DC8): "Sony RC-S300/S",
    (0x054C, 0x0DC9): "Sony RC-S300/P",
    (0x072F, 0x223B): "ACS ACR1252U",
    (0x072F, 0x221A): "ACS ACR1251U",
    (0x072F, 0x2303): "ACS ACR1552U",
}
"""Well-known USB readers that nfcpy has no driver for."""


def load_usb_library() -> None:
    """Let usb1 load libusb 1.0: the system's where it has one, else the packaged one.

    The system's comes first because its distribution updates it together with the kernel and
    udev. Raises OSError where neither loads.
    """
    try:
        usb1.loadLibrary()
    except OSError:
        path = libusb_package.get_library_path()
        if path is None:
            raise
        usb1.loadLibrary(ctypes.CDLL(str(path), use_errno=True))


def usb_problem(error: Exception) -> str:
    """The message of a USB error, without libusb's list of the places that it searched."""
    return str(error).partition(": [")[0]
