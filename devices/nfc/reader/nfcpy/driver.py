"""nfcpy's drivers, ports and errors under this project's names; no other file imports nfc.

nfcpy raises AirFault and its subclasses for a fault of the card or the air. Anything else that a
driver raises means that the reader is lost; `faults` turns it into ReaderGone.
"""

from __future__ import annotations

import importlib
import logging
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import nfc.clf
import nfc.clf.acr122
import nfc.clf.device
import nfc.clf.pn53x
import nfc.clf.pn532
import nfc.clf.rcs380
import nfc.clf.transport
import nfc.clf.udp
import usb1
from nfc.clf import (
    BrokenLinkError as BrokenLink,
    CommunicationError as AirFault,
    LocalTarget,
    RemoteTarget,
    TimeoutError as AirTimeout,
    TransmissionError as AirDamage,
    UnsupportedTargetError as UnsupportedTarget,
)
from nfc.clf.acr122 import Device as Acr122Device
from nfc.clf.device import Device, usb_device_map as USB_DRIVERS
from nfc.clf.pn53x import Device as Pn53xDevice
from nfc.clf.rcs380 import CommunicationError as Rcs380RadioError, Device as Rcs380Device
from nfc.clf.transport import TTY as TtyPort, USB as UsbPort
from nfc.clf.udp import Device as UdpDevice

from devices.nfc.contract import ReaderGone, TransportError
from devices.nfc.reader.air import SelectedCard
from devices.nfc.reader.iso_dep import FrameError, FrameTimeout

if sys.platform == "win32":
    TerminalError = OSError
else:
    from termios import error as TerminalError

#: nfcpy logs faults that it also raises. They are reported here in this project's words; a handler
#: on this logger still receives nfcpy's own.
_NFCPY_LOG = logging.getLogger("nfc")
_NFCPY_LOG.addHandler(logging.NullHandler())
_NFCPY_LOG.propagate = False

ChipError = nfc.clf.pn53x.Chipset.Error

DRIVER_FAULTS = (
    OSError,
    TerminalError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
    usb1.USBError,
    nfc.clf.Error,
    ChipError,
    Rcs380RadioError,
    nfc.clf.rcs380.StatusError,
)
"""What nfcpy's drivers raise when a reader is unplugged, dead or sends invalid data."""


def start_driver(module: str, port: UsbPort | TtyPort, place: str) -> Device:
    """Start nfcpy's driver of that name on a port. Raises DRIVER_FAULTS."""
    device: Device = importlib.import_module(f"nfc.clf.{module}").init(port)
    device._path = place
    return device


@contextmanager
def faults() -> Iterator[None]:
    """Turn every DRIVER_FAULTS in the block into ReaderGone; faults of the card pass through."""
    try:
        yield
    except (TransportError, FrameTimeout, FrameError):
        raise
    except DRIVER_FAULTS as error:
        detail = f": {error}" if isinstance(error, OSError) and error.errno else ""
        raise ReaderGone(f"the reader was unplugged or stopped answering{detail}") from None


def selected_card(target: RemoteTarget | None) -> SelectedCard | None:
    """The card that nfcpy's `sense_tta` or `sense_ttb` selected, None where there is none."""
    if target is None:
        return None
    if target.sensb_res:
        atqb = bytes(target.sensb_res)
        return SelectedCard(technology="B", uid=atqb[1:5], atqb=atqb)
    if not target.sdd_res or not target.sel_res:
        return None
    return SelectedCard(technology="A", uid=bytes(target.sdd_res), sak=target.sel_res[0])


def display_name(device: Device) -> str:
    """Maker, model, chip and path of a reader, such as "ACS ACR122U PN532v1.6 on usb:001:004"."""
    parts = (device.vendor_name, device.product_name, device.chipset_name)
    return " ".join(part for part in parts if part) + f" on {device.path}"


__all__ = [
    "DRIVER_FAULTS",
    "USB_DRIVERS",
    "Acr122Device",
    "AirDamage",
    "AirFault",
    "AirTimeout",
    "BrokenLink",
    "ChipError",
    "Device",
    "LocalTarget",
    "Pn53xDevice",
    "Rcs380Device",
    "Rcs380RadioError",
    "RemoteTarget",
    "TtyPort",
    "UdpDevice",
    "UnsupportedTarget",
    "UsbPort",
    "display_name",
    "faults",
    "selected_card",
    "start_driver",
]
