"""The emulated phone, twin of the emulated card (`devices.nfc.emulated`).

`Phone` scans the shop's code and pays; `CodePhone` shows a code of its own for the counter to scan.
Both use the pages that a real phone opens, and import nothing of the shop.
"""

from devices.phone.browser import (
    USER_AGENT,
    Answer,
    Exchange,
    HttpNetwork,
    Network,
    PhoneError,
)
from devices.phone.payer_code import CodePhone, ShownCode
from devices.phone.phone import Human, Phone, PhoneResult

__all__ = [
    "USER_AGENT",
    "Answer",
    "CodePhone",
    "Exchange",
    "HttpNetwork",
    "Human",
    "Network",
    "Phone",
    "PhoneError",
    "PhoneResult",
    "ShownCode",
]
