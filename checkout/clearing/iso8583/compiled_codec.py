"""Reads and writes messages exactly as pyiso8583 does, several times as fast.

For every bitmap it compiles a plan once: which fields follow, and how long they are. It checks the
form of all fields of a kind at once. For any message that isn't plainly right it gives None. The
caller then uses pyiso8583, which names the error, so both codecs accept and refuse the same.
"""

from __future__ import annotations

from typing import TypeVar

from checkout.clearing.iso8583.fields import BY_NUMBER, FieldSpec, Form, Length

Fields = dict[str, str]
_Key = TypeVar("_Key")
_Stored = TypeVar("_Stored")

_MAX_PLANS = 512
_LENGTH_DIGITS = {Length.FIXED: 0, Length.LL: 2, Length.LLL: 3}
_SEPARATORS = str.maketrans("", "", "=D")
_SPACES = str.maketrans("", "", " ")

#: Forms as small numbers, which compare faster than members of an enumeration.
_NUMERIC, _TEXT, _BINARY, _ALPHANUMERIC, _TRACK2 = range(5)
_FORMS = {
    Form.NUMERIC: _NUMERIC,
    Form.TEXT: _TEXT,
    Form.BINARY: _BINARY,
    Form.ALPHANUMERIC: _ALPHANUMERIC,
    Form.TRACK2: _TRACK2,
}
#: Number, digits of length (0: fixed), size, form.
_Step = tuple[str, int, int, int]


class _Plan:
    """The fields after one bitmap, as steps in order; the bitmap as pyiso8583 shows it."""

    __slots__ = ("at", "primary", "secondary", "steps")

    def __init__(self, bitmap: bytes) -> None:
        self.primary = bitmap[:8].hex().upper()
        self.secondary = bitmap[8:].hex().upper() if len(bitmap) == 16 else None
        self.at = 4 + len(bitmap)
        bits = int.from_bytes(bitmap)
        width = len(bitmap) * 8
        numbers = [n for n in range(2, width + 1) if bits >> (width - n) & 1]
        self.steps = tuple(_step(BY_NUMBER[str(n)]) for n in numbers)


def _step(spec: FieldSpec) -> _Step:
    return str(spec.number), _LENGTH_DIGITS[spec.length], spec.size, _FORMS[spec.form]


_LENGTHS = {2: [f"{n:02d}" for n in range(100)], 3: [f"{n:03d}" for n in range(1000)]}
_reading: dict[bytes, _Plan] = {}
_writing: dict[tuple[str, ...], tuple[str, tuple[_Step, ...]]] = {}


def read(message: bytes) -> Fields | None:
    """The fields of a message that is plainly right, in order; None for any other message."""
    if len(message) < 20:
        return None
    bitmap = message[4:20] if message[4] & 0x80 else message[4:12]
    plan = _reading.get(bitmap)
    if plan is None:
        plan = _new_plan(bitmap)
        if plan is None:
            return None
    text = message.decode("latin-1")
    fields: Fields = {"t": text[:4], "p": plan.primary}
    if plan.secondary is not None:
        fields["1"] = plan.secondary
    numerics = [text[:4]]
    alphanumerics: list[str] = []
    texts: list[str] = []
    at, end = plan.at, len(text)
    for number, digits, size, form in plan.steps:
        if digits:
            prefix = text[at : at + digits]
            numerics.append(prefix)
            if len(prefix) != digits or not prefix.isdecimal():
                return None
            at += digits
            length = int(prefix)
            if length > size:
                return None
        else:
            length = size
        upto = at + length
        if upto > end:
            return None
        if form == _BINARY:
            fields[number] = message[at:upto].hex().upper()
        else:
            value = fields[number] = text[at:upto]
            if form == _NUMERIC:
                numerics.append(value)
            elif form == _TEXT:
                texts.append(value)
            elif form == _ALPHANUMERIC:
                alphanumerics.append(value)
            else:
                numerics.append(value.translate(_SEPARATORS))
        at = upto
    if at != end or not _well_formed(numerics, alphanumerics, texts):
        return None
    return fields


def write(fields: Fields) -> bytes | None:
    """The message of fields that are plainly right; None for any other fields."""
    names = tuple(fields)
    planned = _writing.get(names)
    if planned is None:
        planned = _new_writing(names)
        if planned is None:
            return None
    bitmap, steps = planned
    parts = [fields["t"], bitmap]
    numerics = [fields["t"]]
    alphanumerics: list[str] = []
    texts: list[str] = []
    for number, digits, size, form in steps:
        value = fields[number]
        if form == _NUMERIC:
            numerics.append(value)
        elif form == _TEXT:
            texts.append(value)
        elif form == _ALPHANUMERIC:
            alphanumerics.append(value)
        elif form == _TRACK2:
            numerics.append(value.translate(_SEPARATORS))
        else:
            try:
                value = bytes.fromhex(value).decode("latin-1")
            except ValueError:
                return None
            if len(value) * 2 != len(fields[number]):  # fromhex ignores spaces
                return None
        length = len(value)
        if digits:
            if length > size:
                return None
            parts.append(_LENGTHS[digits][length])
        elif length != size:
            return None
        parts.append(value)
    if len(fields["t"]) != 4 or not _well_formed(numerics, alphanumerics, texts):
        return None
    return "".join(parts).encode("latin-1")


def _well_formed(numerics: list[str], alphanumerics: list[str], texts: list[str]) -> bool:
    """Whether all values of each form are made of its characters only."""
    digits = "".join(numerics)
    if not (digits.isascii() and digits.isdigit()):
        return False
    text = "".join(texts)
    if not (text.isascii() and text.isprintable()):
        return False
    letters = "".join(alphanumerics).translate(_SPACES)
    return not letters or (letters.isascii() and letters.isalnum())


def _stored(plans: dict[_Key, _Stored], key: _Key, plan: _Stored) -> _Stored:
    """Store a plan. A sender of ever new bitmaps can only have the stored plans dropped."""
    if len(plans) >= _MAX_PLANS:
        plans.clear()
    plans[key] = plan
    return plan


def _new_plan(bitmap: bytes) -> _Plan | None:
    try:
        return _stored(_reading, bitmap, _Plan(bitmap))
    except KeyError:  # a field that isn't in use
        return None


def _new_writing(names: tuple[str, ...]) -> tuple[str, tuple[_Step, ...]] | None:
    numbered = [name for name in names if name not in ("t", "p", "1")]
    if "t" not in names or not all(name in BY_NUMBER for name in numbered):
        return None
    numbers = sorted(int(name) for name in numbered)
    steps = tuple(_step(BY_NUMBER[str(number)]) for number in numbers)
    width = 128 if numbers and numbers[-1] > 64 else 64
    bits = sum(1 << (width - number) for number in numbers)
    if width == 128:
        bits |= 1 << 127
    bitmap = bits.to_bytes(width // 8).decode("latin-1")
    return _stored(_writing, names, (bitmap, steps))
