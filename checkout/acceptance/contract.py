"""The two acceptance modes, twins: what a payer shows becomes one AuthorizationRequest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class Mode(StrEnum):
    """How an order was paid."""

    QR = "qr"
    NFC = "nfc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What identifies one message to the switch: DE11, DE37 and DE7."""

    stan: int
    rrn: str
    transmitted_at: datetime

    @classmethod
    def at(cls, now: datetime, stan: int) -> Numbers:
        """Numbers for a message sent at `now`: the RRN is YDDDHH and the six-digit STAN.

        DE7 carries whole seconds, so the instant is cut to them: a reversal repeats it exactly.
        """
        whole = now.astimezone(UTC).replace(microsecond=0)
        return cls(stan=stan, rrn=f"{whole:%Y%j%H}"[3:] + f"{stan:06d}", transmitted_at=whole)
