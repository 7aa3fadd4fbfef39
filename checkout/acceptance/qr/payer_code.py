"""What a payer's phone shows for the counter to scan: nineteen digits, new every minute.

The digits are 99, a prefix that no network has; six that hide which account it is; eleven that
prove it. An EMV consumer-presented payload carries the same digits as 5A, under an application
identifier of the unregistered kind, with a longer proof. A code is good once: whoever accepts it
must store its digits as used.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from devices.qr.codec import cpm
from devices.qr.codec.ber_tlv import BerObject
from devices.qr.codec.cpm import Application, ConsumerPresented

#: Seconds for which one code is shown.
STEP_S = 60
#: Codes of so many minutes ago are still taken: a payer may show one just before it changes.
GRACE_STEPS = 1
#: Application identifier of the payload: F begins the identifiers that nobody registers
#: (ISO/IEC 7816-5), the rest is the project's name in ASCII.
AID = b"\xf0LANE1"

_PREFIX = "99"
_DIGITS = re.compile(r"99[0-9]{17}")
_HANDLES, _PROOFS = 10**6, 10**11
_REMEMBERED_STEPS = 24 * 60  # older codes are `unknown`, not `expired`
_SHORTEST_KEY = 16

RefusedKind = Literal["unknown", "expired"]


class PayerCodeRefused(ValueError):
    """A scanned text that pays nothing: no code of an account here (`unknown`), or `expired`."""

    def __init__(self, kind: RefusedKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class PayerCode:
    """A code as it is shown: `digits` for the barcode, `emv` for the QR symbol."""

    digits: str
    emv: str
    account: str
    shown_from: datetime
    shown_until: datetime

    @property
    def spoken(self) -> str:
        """The digits in groups of four, to be read aloud."""
        return " ".join(re.findall(".{1,4}", self.digits))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPayer:
    """The account that a code belongs to, as it was registered; store `digits` as used."""

    account: str
    digits: str
    shown_from: datetime


class PayerCodes:
    """Makes and recognises the codes of `accounts`, names or numbers of any form.

    `key` is the house's secret, 16 bytes or more. Nothing is stored: the same key, accounts and
    minute give the same code.
    """

    def __init__(self, key: bytes, accounts: Sequence[str]) -> None:
        if len(key) < _SHORTEST_KEY:
            raise ValueError(f"key: expected at least {_SHORTEST_KEY} bytes, got {len(key)}")
        self._key = key
        self._accounts: dict[int, str] = {}
        for account in sorted(set(accounts)):
            handle = self._number(f"handle {account}", _HANDLES)
            while handle in self._accounts:
                handle = (handle + 1) % _HANDLES
            self._accounts[handle] = account
        self._handles = {account: handle for handle, account in self._accounts.items()}

    def show(self, account: str, now: datetime) -> PayerCode:
        """The code of `account` for the minute of `now`; KeyError where it is not registered."""
        step = _step(now)
        digits = self._digits(self._handles[account], step)
        return PayerCode(
            digits=digits,
            emv=self._emv(account, digits, step),
            account=account,
            shown_from=_instant(step),
            shown_until=_instant(step + 1),
        )

    def find(self, scanned: str, now: datetime) -> FoundPayer:
        """The payer whose code was scanned, as the barcode's digits or as the EMV payload.

        PayerCodeRefused for a code of no account, or one that was shown too long ago.
        """
        digits, proof = _taken_apart(scanned)
        present = _step(now)
        for step in range(present + 1, present - _REMEMBERED_STEPS, -1):
            handle = self._unmasked(digits, step)
            account = self._accounts.get(handle)
            # Compared in constant time: how long it takes must not show how many digits were right.
            if account is None or not hmac.compare_digest(self._digits(handle, step), digits):
                continue
            if proof is not None and not hmac.compare_digest(
                proof, self._proof(account, digits, step)
            ):
                break
            if step < present - GRACE_STEPS:
                raise PayerCodeRefused("expired", "the payment code has expired, show a new one")
            return FoundPayer(account=account, digits=digits, shown_from=_instant(step))
        raise PayerCodeRefused("unknown", "the payment code belongs to nobody known here")

    def _digits(self, handle: int, step: int) -> str:
        account = self._accounts[handle]
        proof = f"{self._number(f'proof {step} {account}', _PROOFS):011}"
        masked = (handle + self._number(f"mask {step} {proof}", _HANDLES)) % _HANDLES
        return f"{_PREFIX}{masked:06}{proof}"

    def _unmasked(self, digits: str, step: int) -> int:
        return (int(digits[2:8]) - self._number(f"mask {step} {digits[8:]}", _HANDLES)) % _HANDLES

    def _emv(self, account: str, digits: str, step: int) -> str:
        return cpm.build(
            ConsumerPresented(
                applications=(
                    Application(
                        aid=AID,
                        label="LANE DEMO",
                        pan=digits,
                        transparent=(
                            BerObject("9F26", self._proof(account, digits, step)),
                            BerObject("9F36", (step & 0xFFFF).to_bytes(2)),
                        ),
                    ),
                )
            )
        )

    def _proof(self, account: str, digits: str, step: int) -> bytes:
        return self._keyed(f"emv {step} {digits} {account}")[:8]

    def _number(self, text: str, below: int) -> int:
        return int.from_bytes(self._keyed(text)[:16]) % below

    def _keyed(self, text: str) -> bytes:
        return hmac.digest(self._key, b"checkout payer code " + text.encode(), "sha256")


def is_payer_code(text: str) -> bool:
    """Whether `text` has the form of a code of this kind, as digits or as an EMV payload."""
    try:
        _taken_apart(text)
    except PayerCodeRefused:
        return False
    return True


def _taken_apart(scanned: str) -> tuple[str, bytes | None]:
    """The nineteen digits, and the longer proof where an EMV payload brought one."""
    text = "".join(scanned.split())
    if _DIGITS.fullmatch(text):
        return text, None
    if text.startswith(cpm.PREFIX):
        reading = cpm.parse(text)
        digits = (reading.find("5A") or b"").hex().rstrip("f")
        if reading.accepted() and reading.find("4F") == AID and _DIGITS.fullmatch(digits):
            return digits, reading.find("9F26") or b""
    raise PayerCodeRefused("unknown", "expected a payment code from a phone")


def _step(now: datetime) -> int:
    return int(now.timestamp()) // STEP_S


def _instant(step: int) -> datetime:
    return datetime.fromtimestamp(step * STEP_S, UTC)
