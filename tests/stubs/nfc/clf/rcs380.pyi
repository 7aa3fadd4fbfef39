from typing import Any

from . import device

class CommunicationError(Exception):
    errno: int

class StatusError(Exception): ...

class Chipset:
    transport: Any
    def in_comm_rf(self, data: bytes | bytearray, timeout: int) -> bytearray | None: ...
    def switch_rf(self, switch: str) -> None: ...

class Device(device.Device):
    chipset: Chipset
