"""The C library under USB readers: the system's libusb where it has one, else the packaged one."""

from __future__ import annotations

import ctypes

import libusb_package
import usb1


def load_usb_library() -> None:
    """Let usb1 load libusb 1.0, once; OSError where neither the system's nor the packaged works.

    The system's comes first: its distribution keeps it in step with the kernel and udev.
    """
    try:
        usb1.loadLibrary()
    except OSError:
        path = libusb_package.get_library_path()
        if path is None:
            raise
        usb1.loadLibrary(ctypes.CDLL(str(path), use_errno=True))
