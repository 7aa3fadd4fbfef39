"""The fields with an inner layout: DE48 and DE63 usages, DE54 amounts, DE60 conditions, DE90.

The letters TK and the sub-fields 60.7 and 60.11 carry what they carry at UnionPay; the exact
positions are this backend's own, and `checkout switch --spec` prints them.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from enum import StrEnum

from checkout.clearing.messages import Initiation, OriginalElements

#: Position, length and meaning of every part of DE60, in order.
CONDITIONS: tuple[tuple[str, int, str], ...] = (
    ("60.1", 4, "reason of a reversal, advice or dispute; 0000 none"),
    ("60.2", 1, "kind of account; 0 not given"),
    ("60.3", 1, "what the terminal can read: 5 contact chip, 6 contactless, 0 codes"),
    ("60.4", 1, "state of the chip; 0 not given"),
    ("60.5", 1, "partial approval taken; 0 no"),
    ("60.6", 2, "kind of terminal; 00 not given"),
    ("60.7", 1, "no-PIN flag: 1 small amount, none asked"),
    ("60.8", 1, "how far the chip was authenticated; 0 not given"),
    ("60.9", 2, "electronic commerce indicator; 00 none"),
    ("60.10", 1, "interaction; 0 not given"),
    (
        "60.11",
        3,
        "initiation: 0 card, 1 static, 2 dynamic, 3 payer's code, 4 online; medium; class",
    ),
)
#: DE60.1 of a message without a reason, and of a reversal after a time-out.
NO_REASON = "0000"
TIME_OUT = "4021"

CONDITIONS_LENGTH = sum(length for _, length, _ in CONDITIONS)

_INITIATION_DIGIT = {
    Initiation.CARD: "0",
    Initiation.STATIC_CODE: "1",
    Initiation.DYNAMIC_CODE: "2",
    Initiation.PAYER_CODE: "3",
    Initiation.ONLINE: "4",
}
_DIGIT_INITIATION = {digit: initiation for initiation, digit in _INITIATION_DIGIT.items()}
_CONDITIONS_FORM = re.compile(r"[0-9]{18}", re.ASCII)


class Usage(StrEnum):
    """The letters of a usage in DE48 or DE63."""

    KEY_BLOCK = "NK"  # DE48: a session's new key
    OPERATION = "OP"  # DE48: the name of a back-office operation
    PAYMENT_TOKEN = "TK"  # DE63 of a request  # noqa: S105
    MASKED_ACCOUNT = "MA"  # DE63 of a response


class LayoutError(ValueError):
    """An inner layout that can't be read; the message says what was expected."""


def conditions(*, initiation: Initiation, no_pin: bool, reason: str = NO_REASON) -> str:
    """DE60 of a request."""
    reader = "6" if initiation is Initiation.CARD else "0"
    flag = "1" if no_pin else "0"
    return f"{reason}0{reader}0000{flag}0000{_INITIATION_DIGIT[initiation]}00"


def read_conditions(text: str) -> tuple[Initiation, bool]:
    """Initiation and no-PIN flag out of DE60; LayoutError where it is malformed."""
    if _CONDITIONS_FORM.fullmatch(text) is None:
        raise LayoutError(f"expected {CONDITIONS_LENGTH} digits")
    initiation = _DIGIT_INITIATION.get(text[15])
    if initiation is None or text[10] not in "01":
        raise LayoutError("expected 60.7 as 0 or 1 and 60.11 to begin with 0 to 4")
    return initiation, text[10] == "1"


def usage(letters: Usage, content: str) -> str:
    """One usage of DE48 or DE63: two letters, length in three digits, content."""
    if len(content) > 999:
        raise LayoutError(f"{letters}: expected at most 999 characters")
    return f"{letters}{len(content):03d}{content}"


def read_usages(text: str) -> dict[str, str]:
    """All usages of DE48 or DE63 by their letters; LayoutError where the lengths don't add up."""
    usages: dict[str, str] = {}
    at = 0
    while at < len(text):
        letters, digits = text[at : at + 2], text[at + 2 : at + 5]
        if len(digits) < 3 or not (digits.isascii() and digits.isdigit()):
            raise LayoutError(f"expected two letters and three digits at character {at}")
        end = at + 5 + int(digits)
        if end > len(text) or letters in usages:
            raise LayoutError(f"{letters}: expected its whole content, and only once")
        usages[letters] = text[at + 5 : end]
        at = end
    return usages


def payment_token(requestor: str | None, cryptogram: bytes | None) -> str:
    """TK of a request: eleven digits of token requestor, then the cryptogram in hex."""
    return usage(
        Usage.PAYMENT_TOKEN, (requestor or "").rjust(11, "0") + (cryptogram or b"").hex().upper()
    )


def read_payment_token(text: str) -> tuple[str | None, bytes | None]:
    """Token requestor and cryptogram out of DE63, None for what is not there; LayoutError."""
    content = read_usages(text).get(Usage.PAYMENT_TOKEN)
    if content is None:
        return None, None
    requestor, cryptogram = content[:11], content[11:]
    if len(requestor) != 11 or not (requestor.isascii() and requestor.isdigit()):
        raise LayoutError("TK: expected eleven digits of token requestor first")
    if re.fullmatch(r"(?:[0-9A-F]{2})*", cryptogram, re.ASCII) is None:
        raise LayoutError("TK: expected the cryptogram in upper-case hex")
    return (
        None if requestor == "00000000000" else requestor,
        bytes.fromhex(cryptogram) if cryptogram else None,
    )


def balance(currency_numeric: str, amount_minor: int) -> str:
    """DE54 with one amount: account 00, available balance 02, currency, sign, twelve digits."""
    sign = "D" if amount_minor < 0 else "C"
    return f"0002{currency_numeric}{sign}{abs(amount_minor):012d}"


def read_balance(text: str) -> int:
    """The available balance out of DE54, in minor units; LayoutError where it is malformed."""
    if re.fullmatch(r"[0-9]{7}[CD][0-9]{12}", text, re.ASCII) is None:
        raise LayoutError("expected account, kind, currency, C or D and twelve digits")
    return int(text[8:]) * (-1 if text[7] == "D" else 1)


def original_elements(original: OriginalElements) -> str:
    """DE90: 4 + 6 + 10 + 11 + 11 digits."""
    return (
        f"{original.message_type}{original.stan:06d}"
        f"{original.transmitted_at:%m%d%H%M%S}"
        f"{original.acquirer:0>11}{original.forwarder:0>11}"
    )


def read_original_elements(text: str, now: datetime) -> OriginalElements:
    """The original that DE90 names; LayoutError where its date is none."""
    return OriginalElements(
        message_type=text[:4],
        stan=int(text[4:10]),
        transmitted_at=read_instant(text[10:20], now),
        acquirer=text[20:31].lstrip("0") or "0",
        forwarder=text[31:42].lstrip("0") or "0",
    )


def read_date(text: str, now: datetime) -> date:
    """MMDD with the year that brings it nearest to `now`; LayoutError where that is no date."""
    candidates = []
    for year in (now.year, now.year - 1, now.year + 1):
        try:
            candidates.append(date(year, int(text[:2]), int(text[2:])))
        except ValueError:
            continue
    if not candidates:
        raise LayoutError(f"expected MMDD, got {text!r}")
    return min(candidates, key=lambda candidate: abs((candidate - now.date()).days))


def read_instant(text: str, now: datetime) -> datetime:
    """MMDDhhmmss as the instant in UTC nearest to `now`; DE7 has no year."""
    month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(0, 10, 2))
    best: datetime | None = None
    for year in (now.year, now.year - 1, now.year + 1):
        try:
            instant = now.replace(year, month, day, hour, minute, second, 0)
        except ValueError:
            continue
        if abs((instant - now).days) <= 183:
            return instant
        best = best or instant
    if best is None:
        raise LayoutError(f"expected MMDDhhmmss, got {text!r}")
    return best
