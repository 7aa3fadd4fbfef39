"""The two acceptance modes, twins: what a payer shows becomes one AuthorizationRequest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """How an order was paid."""

    QR = "qr"
    NFC = "nfc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """The shop as the messages name it (DE18, 19, 32, 33, 41, 42, 43)."""

    name: str = "Lane Tea House"
    city: str = "SHANGHAI"
    country: str = "156"
    country_alpha: str = "CN"
    mcc: str = "5812"
    merchant_id: str = "999156058120001"
    terminal_id: str = "10000001"
    acquirer: str = "99915601"
    forwarder: str = "99915601"
