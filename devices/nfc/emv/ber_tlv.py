"""BER-TLV as EMV uses it, and the data object lists that a card asks the terminal to fill.

EMV Book 3, Annex B (rules for BER-TLV) and 5.4 (rules for a DOL). Tags are integers, 0x9F26.
Duplicates stay in the order of the card; the caller decides what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from devices.nfc.emv.tags import Format, format_of

#: EMV nests four templates at most (6F, A5, BF0C, 61); no card needs more depth than this.
_MAX_DEPTH: Final = 8


class TlvError(Exception):
    """Bytes that are not BER-TLV; names the field and the offset in bytes of the fault."""

    def __init__(self, field: str, position: int, message: str) -> None:
        super().__init__(f"{field} at byte {position}: {message}")
        self.field = field
        self.position = position


@dataclass(frozen=True, slots=True)
class Node:
    """One data object; a constructed one has its value both as bytes and as children."""

    tag: int
    value: bytes
    children: tuple[Node, ...] = ()

    def to_bytes(self) -> bytes:
        """The object as TLV with the shortest length field."""
        return build(self.tag, self.value)


def parse(encoded: bytes, field: str = "TLV") -> tuple[Node, ...]:
    """All data objects in these bytes, with the children of constructed ones.

    `00` between objects is padding (EMV Book 3, Annex B1). Raises TlvError for a tag or length
    that is cut off or not of EMV's form, and for a value that is longer than its template.
    """
    return _parse(encoded, 0, len(encoded), field, 0)


def read_header(encoded: bytes, at: int, end: int, field: str) -> tuple[int, bool, int, int]:
    """Tag, whether it is constructed, start and end of the value as offsets. Raises TlvError."""
    first = encoded[at]
    tag = first
    cursor = at + 1
    if first & 0x1F == 0x1F:
        tag, cursor = _long_tag(encoded, at, end, field)
    if cursor >= end:
        raise TlvError(field, cursor, f"expected a length after tag {tag:X}")
    length = encoded[cursor]
    cursor += 1
    if length > 0x7F:
        count = length & 0x7F
        if count not in (1, 2):
            raise TlvError(field, cursor - 1, f"length field {length:02X} of tag {tag:X}")
        if cursor + count > end:
            raise TlvError(field, cursor, f"expected {count} length bytes after tag {tag:X}")
        length = int.from_bytes(encoded[cursor : cursor + count], "big")
        cursor += count
    if cursor + length > end:
        raise TlvError(
            field, cursor, f"tag {tag:X} has length {length}, {end - cursor} bytes are left"
        )
    return tag, bool(first & 0x20), cursor, cursor + length


def _long_tag(encoded: bytes, at: int, end: int, field: str) -> tuple[int, int]:
    tag = encoded[at]
    for cursor in range(at + 1, min(at + 4, end)):
        tag = tag << 8 | encoded[cursor]
        if not encoded[cursor] & 0x80:
            return tag, cursor + 1
    raise TlvError(field, at, "a tag that does not end")


def _parse(encoded: bytes, at: int, end: int, field: str, depth: int) -> tuple[Node, ...]:
    if depth > _MAX_DEPTH:
        raise TlvError(field, at, f"nested deeper than {_MAX_DEPTH} templates")
    nodes: list[Node] = []
    while at < end:
        if encoded[at] == 0x00:
            at += 1
            continue
        tag, constructed, start, stop = read_header(encoded, at, end, field)
        children: tuple[Node, ...] = ()
        if constructed:
            children = _parse(encoded, start, stop, field, depth + 1)
        nodes.append(Node(tag, encoded[start:stop], children))
        at = stop
    return tuple(nodes)


def build(tag: int, value: bytes) -> bytes:
    """One data object as bytes with the shortest length field; at most 65,535 value bytes."""
    length = len(value)
    if length > 0xFFFF:
        raise TlvError(f"{tag:X}", 0, f"expected at most 65535 value bytes, got {length}")
    if length < 0x80:
        header = bytes((length,))
    elif length < 0x100:
        header = bytes((0x81, length))
    else:
        header = b"\x82" + length.to_bytes(2, "big")
    return tag_bytes(tag) + header + value


def tag_bytes(tag: int) -> bytes:
    """The tag as bytes."""
    return tag.to_bytes(max(1, (tag.bit_length() + 7) // 8), "big")


def walk(nodes: Iterable[Node]) -> Iterator[Node]:
    """Every object at any depth, a template before its children."""
    for node in nodes:
        yield node
        if node.children:
            yield from walk(node.children)


def find(nodes: Iterable[Node], tag: int) -> bytes | None:
    """Value of the first object with that tag at any depth, or None."""
    for node in walk(nodes):
        if node.tag == tag:
            return node.value
    return None


@dataclass(frozen=True, slots=True)
class DolEntry:
    """One tag that the card asks for, and the length in bytes in which it wants the value."""

    tag: int
    length: int


def parse_dol(dol: bytes, field: str = "DOL") -> tuple[DolEntry, ...]:
    """The tags and lengths of a data object list. Raises TlvError where an entry is cut off.

    A length here is one plain byte, not a BER length field, so it may be over 7F (EMV Book 3, 5.4).
    """
    entries: list[DolEntry] = []
    at, end = 0, len(dol)
    while at < end:
        tag, cursor = dol[at], at + 1
        if tag & 0x1F == 0x1F:
            tag, cursor = _long_tag(dol, at, end, field)
        if cursor >= end:
            raise TlvError(field, cursor, f"expected a length after tag {tag:X}")
        entries.append(DolEntry(tag, dol[cursor]))
        at = cursor + 1
    return tuple(entries)


def fill_dol(entries: Iterable[DolEntry], values: Mapping[int, bytes]) -> bytes:
    """The values that the card asked for, concatenated, each in the length that it asked for.

    A tag that the terminal does not know, or a template, is filled with zeros; a tag listed twice
    is filled twice (EMV Book 3, 5.4).
    """
    out = bytearray()
    for entry in entries:
        value = values.get(entry.tag)
        if value is None or is_constructed(entry.tag):
            out += bytes(entry.length)
        elif len(value) == entry.length:
            out += value
        else:
            out += _fit(value, entry.length, format_of(entry.tag))
    return bytes(out)


def is_constructed(tag: int) -> bool:
    """Whether the tag is that of a template (bit 6 of its first byte)."""
    while tag > 0xFF:
        tag >>= 8
    return bool(tag & 0x20)


def _fit(value: bytes, length: int, form: Format) -> bytes:
    if form is Format.NUMERIC:
        return value[-length:] if len(value) > length > 0 else value.rjust(length, b"\0")[:length]
    if form is Format.COMPRESSED_NUMERIC:
        return value[:length].ljust(length, b"\xff")
    return value[:length].ljust(length, b"\0")
