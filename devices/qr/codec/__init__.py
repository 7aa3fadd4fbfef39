"""The EMV QR codecs: `mpm` for a merchant's code, `cpm` for a payer's.

Each has a `parse` that judges any text and a `build` that writes a payload; both need no other
library than Python's own. The twin of `devices.nfc.kernel`.
"""

from __future__ import annotations

from devices.qr.codec import cpm, mpm
from devices.qr.codec.cpm import ConsumerPresented, CpmReading
from devices.qr.codec.mpm import MerchantPresented, MpmReading
from devices.qr.codec.verdict import BrokenRule, CodecError, Verdict

__all__ = [
    "BrokenRule",
    "CodecError",
    "ConsumerPresented",
    "CpmReading",
    "MerchantPresented",
    "MpmReading",
    "Verdict",
    "cpm",
    "mpm",
]
