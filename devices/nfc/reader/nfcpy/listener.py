"""A reader that acts as a card towards another terminal."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from devices.nfc.contract import ReaderGone, TransportError
from devices.nfc.reader.nfcpy.driver import AirFault, Device, LocalTarget, UnsupportedTarget, faults


class OpenDevice(Protocol):
    """An opened reader: nfcpy's device, and how to release it."""

    @property
    def device(self) -> Device:
        """nfcpy's device."""

    def close(self) -> None:
        """Release the device; never raises."""


class Listener:
    """A reader that acts as a type A card: it receives a terminal's frames and sends the card's.

    The chip itself answers anticollision and RATS, and sets the whole UID but its last three bytes.
    Raises TransportError("unsupported-reader") where the reader can't act as a card.
    """

    def __init__(self, path: str, opened: OpenDevice) -> None:
        self._path = path
        self._opened = opened
        self._device = opened.device
        self._activated: LocalTarget | None = None

    def wait_for_terminal(self, uid: bytes, sak: int, ats: bytes, timeout_s: float) -> bytes | None:
        """Wait for the first frame after a terminal's RATS; None for none. Raises ReaderGone."""
        local = LocalTarget(
            "106A",
            sens_res=bytearray(b"\x04\x00"),
            sdd_res=bytearray(b"\x08") + bytearray(uid[-3:]),
            sel_res=bytearray([sak | 0x20]),
            rats_res=bytearray(ats),
        )
        try:
            with faults(), suppress(AirFault):
                self._device.mute()
                self._activated = self._device.listen_tta(local, timeout_s)
                if self._activated is not None and self._activated.tt4_cmd:
                    return bytes(self._activated.tt4_cmd)
        except ReaderGone as error:
            if isinstance(error.__context__, UnsupportedTarget):
                raise TransportError(
                    "unsupported-reader", f"{self._path}: this reader can't act as a card"
                ) from None
            raise
        return None

    def answer(self, frame: bytes | None, timeout_s: float) -> bytes | None:
        """Send the card's frame (None for silence); return the terminal's next, None for no more.

        Raises ReaderGone.
        """
        if self._activated is None:
            return None
        reply = None if frame is None else bytearray(frame)
        with faults(), suppress(AirFault):
            received = self._device.send_rsp_recv_cmd(self._activated, reply, timeout_s)
            return bytes(received) if received else None
        return None

    def close(self) -> None:
        """Release the device; safe to call twice."""
        self._opened.close()
