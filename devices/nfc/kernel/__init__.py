"""The terminal's contactless kernels: UnionPay, Visa and Mastercard behind one entry point.

`run_tap` takes a card to its outcome; its only input and output is `card.transceive`.
"""

from __future__ import annotations

from devices.nfc.kernel.ca_keys import CaKey, CaKeyError, CaKeyRing, Revocation, parse_ca_keys
from devices.nfc.kernel.result import Cryptogram, Cvm, Outcome, Resume, TapResult
from devices.nfc.kernel.tap import run_tap
from devices.nfc.kernel.terminal import Application, Kernel, Limits, TerminalData
from devices.nfc.kernel.terminal_file import TerminalError, load_terminal, parse_terminal
from devices.nfc.kernel.transaction import CURRENCIES, Transaction, TransactionError

__all__ = [
    "CURRENCIES",
    "Application",
    "CaKey",
    "CaKeyError",
    "CaKeyRing",
    "Cryptogram",
    "Cvm",
    "Kernel",
    "Limits",
    "Outcome",
    "Resume",
    "Revocation",
    "TapResult",
    "TerminalData",
    "TerminalError",
    "Transaction",
    "TransactionError",
    "load_terminal",
    "parse_ca_keys",
    "parse_terminal",
    "run_tap",
]
