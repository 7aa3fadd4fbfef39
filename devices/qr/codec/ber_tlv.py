"""BER-TLV of a consumer-presented payload: definite lengths, tags of up to three bytes.

Source: EMV Book 3, annex on rules for BER-TLV data objects; ISO/IEC 8825-1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_DEEPEST = 8
_LONGEST_TAG = 3


class BerFault(ValueError):
    """Bytes that are not BER-TLV; `position` counts bytes from the start of the payload."""

    def __init__(self, field: str, position: int, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.position = position


@dataclass(frozen=True, slots=True)
class BerObject:
    """One object: `tag` in upper-case hex; `value` holds bytes, or the objects of a template."""

    tag: str
    value: bytes | tuple[BerObject, ...]
    position: int = 0

    @property
    def objects(self) -> tuple[BerObject, ...]:
        """The objects of a template; empty for a primitive."""
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def content(self) -> bytes:
        """The bytes of a primitive; empty for a template."""
        return self.value if isinstance(self.value, bytes) else b""


def decode(
    content: bytes, start: int = 0, depth: int = 0, *, opaque: frozenset[str] = frozenset()
) -> tuple[BerObject, ...]:
    """All objects of `content`, templates decoded too; BerFault where one is cut short.

    `start` is the position of `content` in the payload, `depth` the number of templates around it.
    A template with a tag in `opaque` stays bytes where its content is not BER-TLV. Bytes 00 between
    objects are filler (EMV Book 3, annex B1).
    """
    if depth > _DEEPEST:
        raise BerFault("", start, f"templates nested deeper than {_DEEPEST}")
    found = []
    at = 0
    while at < len(content):
        if not content[at]:
            at += 1
            continue
        tag, after_tag = _tag(content, at, start)
        length, value_at = _length(content, after_tag, tag, start)
        left = len(content) - value_at
        if length > left:
            raise BerFault(tag, start + at, f"tag {tag} runs past the end ({left}<{length})")
        value = content[value_at : value_at + length]
        inner: bytes | tuple[BerObject, ...] = value
        if bytes.fromhex(tag)[0] & 0x20:
            inner = _template(tag, value, start + value_at, depth + 1, opaque)
        found.append(BerObject(tag, inner, start + at))
        at = value_at + length
    return tuple(found)


def _template(
    tag: str, value: bytes, start: int, depth: int, opaque: frozenset[str]
) -> bytes | tuple[BerObject, ...]:
    try:
        return decode(value, start, depth, opaque=opaque)
    except BerFault:
        if tag not in opaque:
            raise
        return value


def encode(objects: Iterable[BerObject]) -> bytes:
    """The bytes of `objects`, each length in its shortest form."""
    return b"".join(_encoded(each) for each in objects)


def walk(
    objects: Iterable[BerObject], *, closed: frozenset[str] = frozenset()
) -> Iterator[BerObject]:
    """Every primitive in `objects` and in their templates, in order.

    Templates with a tag in `closed` are left out.
    """
    for each in objects:
        if each.tag in closed:
            continue
        if isinstance(each.value, tuple):
            yield from walk(each.value, closed=closed)
        else:
            yield each


def _encoded(each: BerObject) -> bytes:
    value = encode(each.value) if isinstance(each.value, tuple) else each.value
    size = len(value)
    if size < 0x80:
        length = bytes([size])
    else:
        count = (size.bit_length() + 7) // 8
        length = bytes([0x80 | count]) + size.to_bytes(count)
    return bytes.fromhex(each.tag) + length + value


def _tag(content: bytes, at: int, start: int) -> tuple[str, int]:
    end = at + 1
    if content[at] & 0x1F == 0x1F:
        while end < len(content) and content[end] & 0x80:
            end += 1
        end += 1
    if end > len(content):
        raise BerFault("", start + at, f"truncated tag at {start + at}")
    if end - at > _LONGEST_TAG:
        raise BerFault("", start + at, f"tag of {end - at} bytes at {start + at}")
    return content[at:end].hex().upper(), end


def _length(content: bytes, at: int, tag: str, start: int) -> tuple[int, int]:
    if at >= len(content):
        raise BerFault(tag, start + at, f"tag {tag} has no length")
    first = content[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    if count not in (1, 2):
        raise BerFault(tag, start + at, f"tag {tag} has a length of unknown form {first:02X}")
    if at + 1 + count > len(content):
        raise BerFault(tag, start + at, f"tag {tag} has a length cut short")
    return int.from_bytes(content[at + 1 : at + 1 + count]), at + 1 + count
