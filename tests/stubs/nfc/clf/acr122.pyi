from . import pn53x, pn532

class Chipset(pn53x.Chipset):
    def set_buzzer_and_led_to_default(self) -> None: ...
    def ccid_xfr_block(self, data: bytearray, timeout: float = ...) -> bytearray: ...

class Device(pn532.Device):
    chipset: Chipset
