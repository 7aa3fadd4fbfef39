import socket as socket_module

from . import device

class Device(device.Device):
    socket: socket_module.socket | None
    addr: tuple[str, int]
    rcvd_data: int
    def __init__(self, host: str, port: int) -> None: ...
    def _create_socket(self) -> None: ...
    def _send_data(self, brty: str, data: bytes | bytearray, addr: tuple[str, int]) -> None: ...
    def _recv_data(
        self, timeout: float | None, *brty_list: str
    ) -> tuple[str, bytearray, tuple[str, int]]: ...
