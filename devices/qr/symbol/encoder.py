"""From a text to the modules of its QR symbol: as the `qrcode` package makes them, but faster.

`qrcode` provides segmentation, versions, block structure, generator polynomials and function
patterns. Bits, Reed-Solomon division, placement and the choice of the mask work here on large
integers, which is 22 to 31 times as fast.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, zip_longest
from operator import itemgetter

from qrcode import LUT, QRCode, base, constants, util

from devices.qr.symbol.masks import MASKS, MaskScorer, mask_rows

#: Error correction level -> its number in `qrcode` and in the format bits.
LEVELS = {
    "L": constants.ERROR_CORRECT_L,
    "M": constants.ERROR_CORRECT_M,
    "Q": constants.ERROR_CORRECT_Q,
    "H": constants.ERROR_CORRECT_H,
}

_ALPHANUMERIC = {chr(code): value for value, code in enumerate(util.ALPHA_NUM)}
_ALPHANUMERIC_PAIRS = {
    (a + b).encode(): format(x * 45 + y, "011b")
    for a, x in _ALPHANUMERIC.items()
    for b, y in _ALPHANUMERIC.items()
}
_ALPHANUMERIC_LAST = {a.encode(): format(x, "06b") for a, x in _ALPHANUMERIC.items()}
# The first characters of EMV payloads: merchant-presented (object 00), consumer-presented (85).
_EMV_STARTS = (b"000201", b"hQVDUFY")
# Extended channel interpretation 26, UTF-8: mode 0111, then the number in eight bits.
_ECI_UTF_8 = "0111" + format(26, "08b")
_PADDING = ("1110110000010001" * 1480)[: 8 * 2956]


class SymbolError(ValueError):
    """A text that no QR symbol can hold, or a value that is not allowed; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """One QR symbol without its margin; `rows` are strings of 0 (light) and 1 (dark)."""

    version: int
    error_correction: str
    mask: int
    rows: tuple[str, ...]

    @property
    def size(self) -> int:
        """Modules along one side, margin not counted."""
        return len(self.rows)


def encode(text: str | bytes, *, error_correction: str = "M") -> Symbol:
    """Encode `text` as the smallest symbol that holds it.

    Text is written as UTF-8, announced by ECI 26 where it goes beyond ASCII; bytes are written as
    they are. SymbolError where it is empty or longer than version 40 takes. Source: ISO/IEC 18004,
    encodation; choice of segments as in `qrcode`, EMV payloads in byte mode alone (EMVCo, QR Code
    Specification for Payment Systems: Merchant-Presented Mode 1.0, sections 4.12.1.1 and 4.12.1.2).
    """
    level = _level(error_correction)
    version, bits = _bits(text, level)
    layout = _layout(version, level)
    chosen, symbol = layout.place(_codewords(bits, version, level))
    return Symbol(
        version=version, error_correction=error_correction, mask=chosen, rows=layout.rows(symbol)
    )


def warm(versions: Sequence[int] = range(1, 13), *, error_correction: str = "M") -> None:
    """Build the tables of `versions` now: a version's first use takes 19 to 66 ms."""
    level = _level(error_correction)
    for version in versions:
        _layout(version, level)
        for block in base.rs_blocks(version, level):
            _remainders(block.total_count - block.data_count)


def _level(error_correction: str) -> int:
    try:
        return LEVELS[error_correction]
    except KeyError:
        raise SymbolError(
            f"error_correction: expected one of L, M, Q, H, got {error_correction!r}"
        ) from None


def _segment_bits(mode: int, content: bytes) -> str:
    if mode == util.MODE_NUMBER:
        threes = [content[i : i + 3] for i in range(0, len(content), 3)]
        return "".join([format(int(part), f"0{3 * len(part) + 1}b") for part in threes])
    if mode == util.MODE_ALPHA_NUM:
        whole = len(content) & ~1
        pairs = [_ALPHANUMERIC_PAIRS[content[i : i + 2]] for i in range(0, whole, 2)]
        return "".join(pairs) + (_ALPHANUMERIC_LAST[content[-1:]] if len(content) & 1 else "")
    return format(int.from_bytes(content), f"0{8 * len(content)}b")


def _segments(content: bytes) -> list[tuple[int, int, str]]:
    """The segments of `content`: mode, number of characters, bits."""
    if content.startswith(_EMV_STARTS):
        mode = util.MODE_8BIT_BYTE
        return [(mode, len(content), _segment_bits(mode, content))]
    return [
        (part.mode, len(part.data), _segment_bits(part.mode, part.data))
        for part in util.optimal_data_chunks(content, minimum=20)
    ]


def _bits(text: str | bytes, level: int) -> tuple[int, str]:
    """Version and padded data bits; version as `QRCode.best_fit` chooses it."""
    try:
        content = text if isinstance(text, bytes) else text.encode()
    except UnicodeEncodeError as error:
        raise SymbolError(f"text: character {error.start + 1} cannot be written as UTF-8") from None
    if not content:
        raise SymbolError("text: expected at least one character")
    eci = "" if isinstance(text, bytes) or text.isascii() else _ECI_UTF_8
    segments = _segments(content)
    limits = util.BIT_LIMIT_TABLE[level]
    payload = len(eci) + sum(4 + len(bits) for _, _, bits in segments)
    version, counts = 1, None
    while counts is not util.mode_sizes_for_version(version):
        counts = util.mode_sizes_for_version(version)
        needed = payload + sum(counts[mode] for mode, _, _ in segments)
        version = bisect_left(limits, needed, version)
        if version > 40:
            raise SymbolError(f"text: {needed} bits do not fit into the largest QR symbol")
    parts = [
        format(mode, "04b") + format(length, f"0{counts[mode]}b") + bits
        for mode, length, bits in segments
    ]
    limit = limits[version]
    written = eci + "".join(parts)
    written += "0" * min(4, limit - len(written))
    written += "0" * (-len(written) % 8)
    return version, written + _PADDING[: limit - len(written)]


@cache
def _remainders(check_length: int) -> tuple[int, ...]:
    """The remainder of each leading byte after division by the generator polynomial."""
    if check_length in LUT.rsPoly_LUT:
        generator = list(LUT.rsPoly_LUT[check_length])
    else:
        product = base.Polynomial([1], 0)
        for power in range(check_length):
            product = product * base.Polynomial([1, base.gexp(power)], 0)
        generator = list(product)
    table = [0] * 256
    for bit in range(8):
        scaled = bytes(
            base.gexp(base.glog(factor) + bit) if factor else 0 for factor in generator[1:]
        )
        table[1 << bit] = int.from_bytes(scaled)
    for byte in range(1, 256):
        lowest = byte & -byte
        table[byte] = table[lowest] ^ table[byte ^ lowest]
    return tuple(table)


def _check_bytes(block: bytes, check_length: int) -> bytes:
    table = _remainders(check_length)
    top = 8 * (check_length - 1)
    rest = (1 << top) - 1
    remainder = 0
    for byte in block:
        remainder = ((remainder & rest) << 8) ^ table[(remainder >> top) ^ byte]
    return remainder.to_bytes(check_length)


def _codewords(bits: str, version: int, level: int) -> bytes:
    """Data and check bytes of all blocks, interleaved (ISO/IEC 18004, final message)."""
    content = int(bits, 2).to_bytes(len(bits) // 8)
    structure = base.rs_blocks(version, level)
    blocks: list[bytes] = []
    start = 0
    for block in structure:
        blocks.append(content[start : start + block.data_count])
        start += block.data_count
    check_length = structure[0].total_count - structure[0].data_count
    checks = [_check_bytes(block, check_length) for block in blocks]
    if len(blocks) == 1:
        return content + checks[0]
    shortest = min(map(len, blocks))
    tail = [byte for column in zip_longest(*(b[shortest:] for b in blocks)) for byte in column]
    return b"".join(
        (
            bytes(chain.from_iterable(zip(*blocks, strict=False))),
            bytes([byte for byte in tail if byte is not None]),
            bytes(chain.from_iterable(zip(*checks, strict=True))),
        )
    )


class _Layout:
    """The positions of the bits in one version, and its function patterns with each mask."""

    def __init__(self, version: int, level: int) -> None:
        size = 4 * version + 17
        trial, finished = _function_patterns(version, level)
        free = [[module is None for module in row] for row in trial]
        order = _placement(free)
        self._bit_count = len(order)
        # Each row ends with a blank. Modules without data take the "0" after the last bit.
        picks = [self._bit_count] * (size * (size + 1))
        for bit, (row, column) in enumerate(order):
            picks[row * (size + 1) + column] = bit
        self._pick: Callable[[str], tuple[str, ...]] = itemgetter(*picks)
        masks = [mask_rows(mask, free) for mask in range(MASKS)]
        self._scorer = MaskScorer(size, [_overlay(masks[mask], trial) for mask in range(MASKS)])
        self._finished = [
            int("".join(row + "0" for row in _overlay(masks[mask], finished[mask])), 2)
            for mask in range(MASKS)
        ]
        self._size = size

    def place(self, codewords: bytes) -> tuple[int, int]:
        """The mask chosen, and the finished modules row by row as one integer."""
        bits = format(int.from_bytes(codewords), f"0{8 * len(codewords)}b")
        bits += "0" * (self._bit_count + 1 - len(bits))
        placed = int("".join(self._pick(bits)), 2)
        mask = self._scorer.best(placed)
        return mask, placed ^ self._finished[mask]

    def rows(self, symbol: int) -> tuple[str, ...]:
        """The rows of a finished symbol as strings of 0 and 1."""
        size, stride = self._size, self._size + 1
        text = format(symbol, f"0{size * stride}b")
        return tuple([text[start : start + size] for start in range(0, size * stride, stride)])


@cache
def _layout(version: int, level: int) -> _Layout:
    return _Layout(version, level)


_Modules = list[list[bool | None]]


def _function_patterns(version: int, level: int) -> tuple[_Modules, list[_Modules]]:
    """The function modules while `qrcode` tries masks, and the final ones for each mask."""
    code = QRCode(version=version, error_correction=level)
    code.data_cache = []
    code.makeImpl(True, 0)  # fills the cache of blank symbols in qrcode
    blank = _blank(version)

    def patterns(trying: bool, mask: int) -> _Modules:
        code.modules = [row[:] for row in blank]
        code.setup_type_info(trying, mask)
        if version >= 7:
            code.setup_type_number(trying)
        return code.modules

    return patterns(True, 0), [patterns(False, mask) for mask in range(MASKS)]


def _blank(version: int) -> _Modules:
    from qrcode.main import precomputed_qr_blanks

    return precomputed_qr_blanks[version]


def _placement(free: list[list[bool]]) -> list[tuple[int, int]]:
    """The modules in the order of the bits: two columns at a time, upwards, then downwards."""
    size = len(free)
    order: list[tuple[int, int]] = []
    upward = True
    for right in range(size - 1, 0, -2):
        column = right - 1 if right <= 6 else right
        rows = range(size - 1, -1, -1) if upward else range(size)
        order.extend((row, c) for row in rows for c in (column, column - 1) if free[row][c])
        upward = not upward
    return order


def _overlay(mask: list[str], function: _Modules) -> list[str]:
    """Rows of 0 and 1: function modules, and mask bits at the positions of the data."""
    return [
        "".join(
            [bit if module is None else "01"[module] for bit, module in zip(*pair, strict=True)]
        )
        for pair in zip(mask, function, strict=True)
    ]
