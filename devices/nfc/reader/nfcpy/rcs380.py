"""The Sony RC-S380 (NFC Port-100), which carries raw radio frames."""

from __future__ import annotations

import time
from contextlib import suppress

from devices.nfc.contract import ReaderGone, SeveralCards
from devices.nfc.reader.air import FIELD_RESET_S, SelectedCard, Signal
from devices.nfc.reader.iso_dep import FrameError, FrameTimeout
from devices.nfc.reader.nfcpy.driver import (
    DRIVER_FAULTS,
    AirDamage,
    AirTimeout,
    Rcs380Device,
    Rcs380RadioError,
    RemoteTarget,
    display_name,
    faults,
    selected_card,
)

_COLLISION = 0x08
_NO_ANSWER = 0x80


class Rcs380Air:
    """The `Air` of an RC-S380; the radio is configured once per card, not once per frame.

    nfcpy drops the chip's collision status, so that two colliding cards look like no card. This
    class wraps the driver's radio command and reads the status before nfcpy drops it.
    """

    max_send = 288
    max_receive = 288

    def __init__(self, device: Rcs380Device) -> None:
        self.device = device
        self._target: RemoteTarget | None = None
        self._configured = False
        self._collided = False
        self._radio_command = device.chipset.in_comm_rf
        device.chipset.in_comm_rf = self._watched_command  # type: ignore[method-assign]
        self.name = display_name(device)

    def poll(self) -> SelectedCard | None:
        with faults():
            self._configured = self._collided = False
            self.device.chipset.switch_rf("off")
            time.sleep(FIELD_RESET_S)
            self._target = self.device.sense_tta(RemoteTarget("106A"))
            if self._target is None and self._collided:
                raise SeveralCards
            if self._target is None:
                self._target = self.device.sense_ttb(RemoteTarget("106B"))
            return selected_card(self._target)

    def send(self, frame: bytes, timeout_s: float) -> bytes:
        if self._target is None:
            raise FrameTimeout
        with faults():
            try:
                if self._configured:
                    milliseconds = max(1, int(timeout_s * 1000 + 0.999))
                    answer = self.device.chipset.in_comm_rf(frame, milliseconds)
                else:
                    answer = self.device.send_cmd_recv_rsp(
                        self._target, bytearray(frame), timeout_s
                    )
                    self._configured = True
            except (AirTimeout, AirDamage) as error:
                raise _frame_fault(isinstance(error, AirTimeout)) from None
            except Rcs380RadioError as error:
                raise _frame_fault(bool(error.errno & _NO_ANSWER)) from None
            if answer is None:
                raise ReaderGone
            return bytes(answer)

    def _watched_command(self, data: bytes | bytearray, timeout: int) -> bytearray | None:
        try:
            return self._radio_command(data, timeout)
        except Rcs380RadioError as error:
            self._collided |= bool(error.errno & _COLLISION)
            raise

    def signal(self, result: Signal) -> None:
        return

    def close(self) -> None:
        with suppress(*DRIVER_FAULTS):
            port = self.device.chipset.transport
            with suppress(*DRIVER_FAULTS):
                self.device.close()
            if port is not None:
                port.close()


def _frame_fault(timed_out: bool) -> FrameTimeout | FrameError:
    return FrameTimeout() if timed_out else FrameError("damaged on the air")
