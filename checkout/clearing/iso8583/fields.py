"""The field table of the messages: which data elements they use, how each is written, who needs it.

ISO 8583:1987 with the encoding of this backend: ASCII message type, numerics and lengths, binary
bitmaps, binary DE52, 55, 64 and 128. `checkout switch --spec` prints this
table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Form(StrEnum):
    """Which characters a field may have; the letters are those of ISO 8583:1987."""

    NUMERIC = "n"
    ALPHANUMERIC = "an"
    TEXT = "ans"
    TRACK2 = "z"
    BINARY = "b"


class Length(StrEnum):
    """How a field's length is written."""

    FIXED = "fixed"
    LL = "LL"
    LLL = "LLL"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """One data element; `size` is its length, or its greatest length, in characters or bytes."""

    number: int
    name: str
    form: Form
    length: Length
    size: int
    use: str


def _fixed(number: int, form: str, size: int, name: str, use: str) -> FieldSpec:
    return FieldSpec(
        number=number, name=name, form=Form(form), length=Length.FIXED, size=size, use=use
    )


def _ll(number: int, form: str, size: int, name: str, use: str) -> FieldSpec:
    return FieldSpec(
        number=number, name=name, form=Form(form), length=Length.LL, size=size, use=use
    )


def _lll(number: int, form: str, size: int, name: str, use: str) -> FieldSpec:
    return FieldSpec(
        number=number, name=name, form=Form(form), length=Length.LLL, size=size, use=use
    )


FIELDS: tuple[FieldSpec, ...] = (
    _ll(2, "n", 19, "Primary account number", "PAN, payment token or operator's account"),
    _fixed(
        3,
        "n",
        6,
        "Processing code",
        "00 sale, 03 pre-authorisation, 20 back, 21 top-up, 30 balance",
    ),
    _fixed(4, "n", 12, "Amount, transaction", "minor units of DE49"),
    _fixed(5, "n", 12, "Amount, settlement", "minor units of DE50"),
    _fixed(6, "n", 12, "Amount, cardholder billing", "minor units of DE51"),
    _fixed(7, "n", 10, "Transmission date and time", "MMDDhhmmss, UTC"),
    _fixed(9, "n", 8, "Conversion rate, settlement", "first digit: decimals from the right"),
    _fixed(10, "n", 8, "Conversion rate, billing", "first digit: decimals from the right"),
    _fixed(11, "n", 6, "System trace audit number", "STAN, 000001 to 999999"),
    _fixed(12, "n", 6, "Time, local", "hhmmss in Shanghai"),
    _fixed(13, "n", 4, "Date, local", "MMDD in Shanghai"),
    _fixed(14, "n", 4, "Date, expiration", "YYMM"),
    _fixed(15, "n", 4, "Date, settlement", "MMDD, given by the switch"),
    _fixed(16, "n", 4, "Date, conversion", "MMDD, of the rates in DE9 and DE10"),
    _fixed(18, "n", 4, "Merchant's type", "MCC, ISO 18245"),
    _fixed(19, "n", 3, "Acquirer's country", "ISO 3166 numeric"),
    _fixed(22, "n", 3, "POS entry mode", "two digits of entry, one of PIN: 1 with, 2 without"),
    _fixed(23, "n", 3, "Card sequence number", "PSN, 000 to 099"),
    _fixed(25, "n", 2, "POS condition code", "00 normal, 06 pre-authorisation and completion"),
    _fixed(26, "n", 2, "PIN capture code", "longest PIN taken"),
    _fixed(28, "an", 9, "Amount, transaction fee", "D or C and eight digits"),
    _ll(32, "n", 11, "Acquiring institution", "participant that acts for the merchant"),
    _ll(33, "n", 11, "Forwarding institution", "participant that sent this message"),
    _ll(35, "z", 37, "Track 2 equivalent", "tag 57 with = or D"),
    _fixed(37, "an", 12, "Retrieval reference number", "RRN"),
    _fixed(38, "an", 6, "Authorisation response", "approval code"),
    _fixed(39, "an", 2, "Response code", "00 approved; the others decline"),
    _fixed(41, "ans", 8, "Card acceptor terminal", "terminal"),
    _fixed(42, "ans", 15, "Card acceptor", "merchant"),
    _fixed(43, "ans", 40, "Card acceptor name and place", "name, padded with spaces"),
    _lll(48, "ans", 512, "Additional information", "NK: a new key; OP: a back-office operation"),
    _fixed(49, "n", 3, "Currency, transaction", "ISO 4217 numeric"),
    _fixed(50, "n", 3, "Currency, settlement", "ISO 4217 numeric"),
    _fixed(51, "n", 3, "Currency, cardholder billing", "ISO 4217 numeric"),
    _fixed(52, "b", 8, "PIN block", "ISO 9564 format 0 under the session's PIN key"),
    _fixed(53, "n", 16, "Security control", "first digit: 1 PIN key, 2 MAC key"),
    _lll(54, "an", 40, "Balance amounts", "account, kind, currency, C or D, twelve digits"),
    _lll(55, "b", 255, "ICC data", "BER-TLV of the tap"),
    _lll(56, "ans", 255, "Payment account reference", "PAR, 29 characters"),
    _lll(60, "ans", 100, "Private: conditions", "60.1 to 60.11, see below"),
    _lll(61, "ans", 200, "Private: holder checks", "not used; accepted and ignored"),
    _lll(62, "ans", 200, "Private: switching", "not used; accepted and ignored"),
    _lll(63, "ans", 512, "Private: network", "usages of two letters, three digits and content"),
    _fixed(64, "b", 8, "MAC", "over all before it, where no field above 64 follows"),
    _fixed(70, "n", 3, "Network management code", "001, 002, 101, 201, 202, 301"),
    _fixed(90, "n", 42, "Original data elements", "type, STAN, DE7, DE32 and DE33 of the original"),
    _fixed(96, "b", 8, "Message security code", "not used: 8 bytes hold no double-length key"),
    _ll(100, "n", 11, "Receiving institution", "participant that the message is for"),
    _ll(102, "ans", 28, "Account 1", "not used; accepted and ignored"),
    _ll(103, "ans", 28, "Account 2", "not used; accepted and ignored"),
    _lll(120, "ans", 999, "Private: operation, part 1", "JSON of 0600 and 0610"),
    _lll(121, "ans", 999, "Private: operation, part 2", "continues DE120"),
    _lll(122, "ans", 999, "Private: operation, part 3", "continues DE121"),
    _lll(123, "ans", 999, "Private: operation, part 4", "continues DE122"),
    _fixed(128, "b", 8, "MAC", "over all before it"),
)

BY_NUMBER: dict[str, FieldSpec] = {str(spec.number): spec for spec in FIELDS}

_FINANCIAL = ("2", "3", "4", "7", "11", "18", "19", "22", "25", "32", "33", "37", "41", "42", "49")

#: Message type of a request -> the fields that it must have.
REQUIRED: dict[str, tuple[str, ...]] = {
    "0100": _FINANCIAL,
    "0200": _FINANCIAL,
    "0220": _FINANCIAL,
    "0420": (*_FINANCIAL, "90"),
    "0600": ("7", "11", "33", "48"),
    "0800": ("7", "11", "33", "48", "53", "70"),
    "0820": ("7", "11", "33", "70"),
}

#: A repeated advice is answered like the advice itself (ISO 8583:1987, message type identifier).
REPEATS: dict[str, str] = {"0221": "0220", "0421": "0420"}

#: Message type of a request -> that of its answer.
ANSWERS: dict[str, str] = {
    "0100": "0110",
    "0200": "0210",
    "0220": "0230",
    "0221": "0230",
    "0420": "0430",
    "0421": "0430",
    "0600": "0610",
    "0800": "0810",
    "0820": "0830",
}

FORM_PATTERNS: dict[Form, re.Pattern[str]] = {
    Form.NUMERIC: re.compile(r"[0-9]*", re.ASCII),
    Form.ALPHANUMERIC: re.compile(r"[0-9A-Za-z ]*", re.ASCII),
    Form.TEXT: re.compile(r"[ -~]*", re.ASCII),
    Form.TRACK2: re.compile(r"[0-9=D]*", re.ASCII),
    Form.BINARY: re.compile(r"(?:[0-9A-Fa-f]{2})*", re.ASCII),
}

_LENGTH_DIGITS = {Length.FIXED: 0, Length.LL: 2, Length.LLL: 3}


def pyiso8583_spec() -> dict[str, dict[str, Any]]:
    """The table in the form that pyiso8583 takes."""
    edge: dict[str, dict[str, Any]] = {
        "h": _edge_field("ascii", 0, 0, "Message header"),
        "t": _edge_field("ascii", 0, 4, "Message type"),
        "p": _edge_field("b", 0, 8, "Bitmap, primary"),
        "1": _edge_field("b", 0, 8, "Bitmap, secondary"),
    }
    for spec in FIELDS:
        encoding = "b" if spec.form is Form.BINARY else "ascii"
        edge[str(spec.number)] = _edge_field(
            encoding, _LENGTH_DIGITS[spec.length], spec.size, spec.name
        )
    return edge


def _edge_field(encoding: str, length_digits: int, size: int, name: str) -> dict[str, Any]:
    return {
        "data_enc": encoding,
        "len_enc": "ascii",
        "len_type": length_digits,
        "max_len": size,
        "desc": name,
    }
