"""Readers behind the contract of `devices.nfc.contract`; `open_reader` opens one by its path."""

from __future__ import annotations

from devices.nfc.contract import Reader


def open_reader(path: str) -> Reader:
    """Open the reader that `path` names: any nfcpy path, or `pn532:DEVICE` for a serial PN532.

    Raises TransportError with reason bad-path, no-reader, no-permission, busy, wrong-driver,
    unsupported-reader or reader-fault, and a message of one line.
    """
    # Imported here: this package also holds code that needs neither nfcpy nor libusb.
    from devices.nfc.reader import nfcpy

    return nfcpy.open_reader(path)


__all__ = ["open_reader"]
