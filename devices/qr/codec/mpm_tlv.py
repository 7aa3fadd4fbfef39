"""Id, length and value of the objects in a merchant-presented payload, and its check value.

Lengths count characters; the CRC is computed over the UTF-8 bytes of those characters.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

#: Characters of the check value.
CRC_LENGTH = 4

_DIGITS = frozenset("0123456789")
_HEADER = 4
_CRC_HEADER = "6304"


class TlvFault(ValueError):
    """Text that is not id, length, value; `position` counts characters from the payload's start."""

    def __init__(self, field: str, position: int, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.position = position


@dataclass(frozen=True, slots=True)
class DataObject:
    """One object: two-digit id, value, and the position of its id in the payload."""

    id: str
    value: str
    position: int


def split(text: str, start: int = 0) -> tuple[DataObject, ...]:
    """All objects of `text`; `start` is the position of `text` in the payload.

    TlvFault names the first object whose id or length is not numeric or whose value is cut short.
    """
    found = []
    at = 0
    while at < len(text):
        header = text[at : at + _HEADER]
        if len(header) < _HEADER:
            raise TlvFault(header[:2], start + at, f"truncated header at {at}")
        if not _DIGITS.issuperset(header):
            raise TlvFault("", start + at, f"non-numeric tag/length at {at}: {header}")
        length = int(header[2:])
        left = len(text) - at - _HEADER
        if length > left:
            tag = header[:2]
            raise TlvFault(tag, start + at, f"tag {tag} runs past the end ({left}<{length})")
        value = text[at + _HEADER : at + _HEADER + length]
        found.append(DataObject(header[:2], value, start + at))
        at += _HEADER + length
    return tuple(found)


def join(objects: tuple[tuple[str, str], ...]) -> str:
    """Ids and values as one string; ValueError where a value has more than 99 characters."""
    parts = []
    for tag, value in objects:
        if len(value) > 99:
            raise ValueError(f"{tag}: expected at most 99 characters, got {len(value)}")
        parts.append(f"{tag}{len(value):02}{value}")
    return "".join(parts)


def crc(text: str) -> str:
    """The check value of `text`, which ends in `6304`: four upper-case hexadecimal digits.

    ISO/IEC 13239 with polynomial 1021 and initial value FFFF, over UTF-8 bytes.
    """
    return f"{binascii.crc_hqx(text.encode('utf-8', 'surrogatepass'), 0xFFFF):04X}"


def crc_of(text: str) -> tuple[str, str] | None:
    """The check value in a payload and the right one; None where no CRC object ends it."""
    if text[-8:-4] != _CRC_HEADER:
        return None
    return text[-4:], crc(text[:-4])


def with_crc(text: str) -> str:
    """`text` with its CRC object at the end."""
    return text + _CRC_HEADER + crc(text + _CRC_HEADER)
