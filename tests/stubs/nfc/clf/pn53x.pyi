from typing import Any

from . import device

class Chipset:
    class Error(Exception):
        errno: int

    transport: Any
    in_list_passive_target_max_target: int
    in_list_passive_target_brty_range: tuple[int, ...]
    host_command_frame_max_size: int
    def close(self) -> None: ...
    def command(
        self, cmd_code: int, cmd_data: bytes | bytearray, timeout: float
    ) -> bytearray | None: ...
    def rf_configuration(self, cfg_item: int, cfg_data: bytes | bytearray) -> None: ...
    def read_register(self, *args: str | int) -> Any: ...
    def write_register(self, *args: Any) -> None: ...
    def in_communicate_thru(self, data: bytearray, timeout: float) -> bytearray: ...

class Device(device.Device):
    chipset: Chipset
