"""nfcpy's simulated air: radio frames as UDP datagrams, with a card in another process."""

from __future__ import annotations

import select
import socket
from contextlib import suppress

from devices.nfc.contract import TransportError
from devices.nfc.reader.air import SelectedCard, Signal
from devices.nfc.reader.iso_dep import FrameError, FrameTimeout
from devices.nfc.reader.nfcpy.driver import (
    DRIVER_FAULTS,
    AirFault,
    AirTimeout,
    BrokenLink,
    RemoteTarget,
    UdpDevice,
    faults,
    selected_card,
)
from devices.nfc.reader.path import ReaderPath

_POLL_TIMEOUT_S = 0.1
_SHORTEST_TIMEOUT_S = 0.25


class _PollingUdpDevice(UdpDevice):
    """nfcpy's UDP device, except that polling an empty field does not take a whole second."""

    longest_wait_s: float | None = None

    def __init__(self, host: str, port: int) -> None:
        """Do what nfcpy's constructor does, which fails on ports that /etc/services names."""
        self.addr = (socket.gethostbyname(host), port)
        self._path = f"{host}:{port}"
        self.socket = None
        self._create_socket()

    def _send_data(self, brty: str, data: bytes | bytearray, addr: tuple[str, int]) -> None:
        while self.socket and select.select([self.socket], [], [], 0)[0]:
            self.socket.recvfrom(1024)  # drop a late answer to an earlier frame
        super()._send_data(brty, data, addr)

    def _recv_data(
        self, timeout: float | None, *brty_list: str
    ) -> tuple[str, bytearray, tuple[str, int]]:
        if timeout is not None and self.longest_wait_s is not None:
            timeout = min(timeout, self.longest_wait_s)
        return super()._recv_data(timeout, *brty_list)


class UdpAir:
    """The `Air` of nfcpy's simulated air.

    Its time-outs are longer than the standard's, because the card's process may be slow.
    """

    max_send = 288
    max_receive = 288

    def __init__(self, path: ReaderPath) -> None:
        try:
            self.device = _PollingUdpDevice(path.host, path.port)
        except OSError as error:
            raise TransportError("no-reader", f"{path.text}: {error}") from None
        self._target: RemoteTarget | None = None
        self.name = f"nfcpy's simulated air on {path.text}"

    def poll(self) -> SelectedCard | None:
        with faults():
            self.device.mute()
            self.device.longest_wait_s = _POLL_TIMEOUT_S
            try:
                self._target = self._sense()
            finally:
                self.device.longest_wait_s = None
            return selected_card(self._target)

    def _sense(self) -> RemoteTarget | None:
        with suppress(AirFault):
            target = self.device.sense_tta(RemoteTarget("106A"))
            if target is not None:
                return target
        with suppress(AirFault):
            return self.device.sense_ttb(RemoteTarget("106B"))
        return None

    def send(self, frame: bytes, timeout_s: float) -> bytes:
        if self._target is None:
            raise FrameTimeout
        with faults():
            try:
                answer = self.device.send_cmd_recv_rsp(
                    self._target, bytearray(frame), max(timeout_s, _SHORTEST_TIMEOUT_S)
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
