"""Readers that carry raw radio frames: the RC-S380, and nfcpy's simulated air over UDP."""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress

from devices.nfc.contract import ReaderGone, SeveralCards, TransportError
from devices.nfc.reader.air import FIELD_RESET_S, Found, Signal
from devices.nfc.reader.iso_dep import FrameError, FrameTimeout
from devices.nfc.reader.nfcpy.driver import (
    DRIVER_FAULTS,
    AirDamage,
    AirFault,
    AirTimeout,
    BrokenLink,
    Rcs380Device,
    Rcs380RadioError,
    RemoteTarget,
    UdpDevice,
    display_name,
    faults,
)
from devices.nfc.reader.path import ReaderPath

_UDP_POLL_S = 0.1
_UDP_FLOOR_S = 0.25
_COLLISION = 0x08
_NO_ANSWER = 0x80


class Port100Air:
    """The RC-S380 (NFC Port-100), with the radio set once per card.

    Two cards that collide during anticollision are told from none: nfcpy drops the chip's word for
    it, so the radio's status is listened to on its way.
    """

    max_send = 288
    max_receive = 288

    def __init__(self, device: Rcs380Device) -> None:
        self.device = device
        self._target: RemoteTarget | None = None
        self._set = False
        self._collided = False
        self._radio = device.chipset.in_comm_rf
        device.chipset.in_comm_rf = self._overheard  # type: ignore[method-assign]
        self.name = display_name(device)

    def poll(self) -> Found | None:
        with faults():
            self._set = self._collided = False
            self.device.chipset.switch_rf("off")
            time.sleep(FIELD_RESET_S)
            self._target = self.device.sense_tta(RemoteTarget("106A"))
            if self._target is None and self._collided:
                raise SeveralCards
            if self._target is None:
                self._target = self.device.sense_ttb(RemoteTarget("106B"))
            return _found(self._target)

    def send(self, frame: bytes, timeout_s: float) -> bytes:
        if self._target is None:
            raise FrameTimeout
        with faults():
            try:
                if self._set:
                    milliseconds = max(1, int(timeout_s * 1000 + 0.999))
                    answer = self.device.chipset.in_comm_rf(frame, milliseconds)
                else:
                    answer = self.device.send_cmd_recv_rsp(
                        self._target, bytearray(frame), timeout_s
                    )
                    self._set = True
            except (AirTimeout, AirDamage) as error:
                raise _lost(isinstance(error, AirTimeout)) from None
            except Rcs380RadioError as error:
                raise _lost(bool(error.errno & _NO_ANSWER)) from None
            if answer is None:
                raise ReaderGone
            return bytes(answer)

    def _overheard(self, data: bytes | bytearray, timeout: int) -> bytearray | None:
        try:
            return self._radio(data, timeout)
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


def _lost(timed_out: bool) -> FrameTimeout | FrameError:
    return FrameTimeout() if timed_out else FrameError("damaged on the air")


def _found(target: RemoteTarget | None) -> Found | None:
    if target is None:
        return None
    if target.sensb_res:
        atqb = bytes(target.sensb_res)
        return Found(technology="B", uid=atqb[1:5], atqb=atqb)
    if not target.sdd_res or not target.sel_res:
        return None
    return Found(technology="A", uid=bytes(target.sdd_res), sak=target.sel_res[0])


class _QuickUdpDevice(UdpDevice):
    """nfcpy's UDP air that does not wait a whole second for a card that is not there."""

    longest_wait_s: float | None = None

    def __init__(self, host: str, port: int) -> None:
        """As nfcpy's own, which fails on ports that /etc/services has a name for."""
        self.addr = (socket.gethostbyname(host), port)
        self._path = f"{host}:{port}"
        self.socket = None
        self._create_socket()

    def _send_data(self, brty: str, data: bytes | bytearray, addr: tuple[str, int]) -> None:
        while self.socket and select.select([self.socket], [], [], 0)[0]:
            self.socket.recvfrom(1024)  # an answer that came too late for its question
        super()._send_data(brty, data, addr)

    def _recv_data(
        self, timeout: float | None, *brty_list: str
    ) -> tuple[str, bytearray, tuple[str, int]]:
        if timeout is not None and self.longest_wait_s is not None:
            timeout = min(timeout, self.longest_wait_s)
        return super()._recv_data(timeout, *brty_list)


class UdpAir:
    """nfcpy's simulated air; time-outs are those of a busy machine, not those of the standard."""

    max_send = 288
    max_receive = 288

    def __init__(self, path: ReaderPath) -> None:
        try:
            self.device = _QuickUdpDevice(path.host, path.port)
        except OSError as error:
            raise TransportError("no-reader", f"{path.text}: {error}") from None
        self._target: RemoteTarget | None = None
        self.name = f"nfcpy's simulated air on {path.text}"

    def poll(self) -> Found | None:
        with faults():
            self.device.mute()
            self.device.longest_wait_s = _UDP_POLL_S
            try:
                self._target = self._sense()
            finally:
                self.device.longest_wait_s = None
            return _found(self._target)

    def _sense(self) -> RemoteTarget | None:
        with suppress(AirFault):
            found = self.device.sense_tta(RemoteTarget("106A"))
            if found is not None:
                return found
        with suppress(AirFault):
            return self.device.sense_ttb(RemoteTarget("106B"))
        return None

    def send(self, frame: bytes, timeout_s: float) -> bytes:
        if self._target is None:
            raise FrameTimeout
        with faults():
            try:
                answer = self.device.send_cmd_recv_rsp(
                    self._target, bytearray(frame), max(timeout_s, _UDP_FLOOR_S)
                )
            except (AirTimeout, BrokenLink):
                raise FrameTimeout from None
            except AirFault as error:
                raise FrameError(str(error)) from None
            return bytes(answer or b"")

    def signal(self, result: Signal) -> None:
        return

    def close(self) -> None:
        with suppress(*DRIVER_FAULTS):
            self.device.close()
