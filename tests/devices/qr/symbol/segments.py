"""Reads the segments of a QR symbol back from its modules: mode, count and content of each.

It shares no code with the encoder. Error correction is not used: the modules are as they were
drawn. Source: ISO/IEC 18004, reference decode algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from qrcode import base, util

_MODES = {1: "numeric", 2: "alphanumeric", 4: "byte", 7: "eci"}
_ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_FORMAT_MASK = 0b101010000010010


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment; `number` counts its characters, or is the designator of an ECI."""

    mode: str
    number: int
    content: bytes = b""


def segments(rows: Sequence[str]) -> tuple[Segment, ...]:
    """The segments of a symbol given as rows of 0 and 1, without its margin."""
    size = len(rows)
    version = (size - 17) // 4
    bits = "".join(rows[8][column] for column in (0, 1, 2, 3, 4, 5, 7, 8))
    bits += "".join(rows[row][8] for row in (7, 5, 4, 3, 2, 1, 0))
    form = int(bits, 2) ^ _FORMAT_MASK
    level, mask = form >> 13, (form >> 10) & 7
    return tuple(_parsed(_data(_codewords(rows, version, mask), version, level), version))


def _codewords(rows: Sequence[str], version: int, mask: int) -> bytes:
    size, function, inverted = len(rows), _function_modules(version), util.mask_func(mask)
    bits, upward = [], True
    columns = [*range(size - 1, 6, -2), 5, 3, 1]
    for right in columns:
        for row in range(size - 1, -1, -1) if upward else range(size):
            for column in (right, right - 1):
                if (row, column) not in function:
                    bits.append((rows[row][column] == "1") != inverted(row, column))
        upward = not upward
    whole = len(bits) // 8
    return bytes(
        sum(bit << (7 - at) for at, bit in enumerate(bits[8 * n : 8 * n + 8])) for n in range(whole)
    )


def _function_modules(version: int) -> set[tuple[int, int]]:
    size = 4 * version + 17
    found = {(6, each) for each in range(size)} | {(each, 6) for each in range(size)}
    corners = (
        (range(9), range(9)),
        (range(9), range(size - 8, size)),
        (range(size - 8, size), range(9)),
    )
    for rows, columns in corners:
        found |= {(row, column) for row in rows for column in columns}
    places = util.pattern_position(version)
    for row in places:
        for column in places:
            if (row, column) not in ((6, 6), (6, size - 7), (size - 7, 6)):
                found |= {(row + a, column + b) for a in range(-2, 3) for b in range(-2, 3)}
    if version >= 7:
        for long in range(6):
            for short in range(size - 11, size - 8):
                found |= {(long, short), (short, long)}
    return found


def _data(codewords: bytes, version: int, level: int) -> bytes:
    counts = [block.data_count for block in base.rs_blocks(version, level)]
    blocks: list[list[int]] = [[] for _ in counts]
    stream = iter(codewords)
    for at in range(max(counts)):
        for block, count in zip(blocks, counts, strict=True):
            if at < count:
                block.append(next(stream))
    return bytes(chain.from_iterable(blocks))


def _parsed(content: bytes, version: int) -> list[Segment]:
    bits = "".join(f"{byte:08b}" for byte in content)
    found: list[Segment] = []
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at] or "0", 2)

    group = 0 if version < 10 else 1 if version < 27 else 2
    while at + 4 <= len(bits) and (mode := take(4)):
        name = _MODES[mode]
        if name == "eci":
            found.append(Segment(name, take(8)))
        elif name == "byte":
            number = take((8, 16, 16)[group])
            found.append(Segment(name, number, bytes(take(8) for _ in range(number))))
        elif name == "numeric":
            number = take((10, 12, 14)[group])
            digits = [f"{take(10):03}" for _ in range(number // 3)]
            if number % 3:
                digits.append(f"{take(3 * (number % 3) + 1):0{number % 3}}")
            found.append(Segment(name, number, "".join(digits).encode()))
        else:
            number = take((9, 11, 13)[group])
            letters = [divmod(take(11), 45) for _ in range(number // 2)]
            values = [*chain.from_iterable(letters), *([take(6)] if number % 2 else [])]
            found.append(Segment(name, number, "".join(_ALPHANUMERIC[v] for v in values).encode()))
    return found
