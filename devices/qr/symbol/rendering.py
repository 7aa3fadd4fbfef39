"""Pictures of QR symbols: PNG, SVG, terminal. The margin is part of every picture.

A code without its quiet zone on a dark page is the one thing that no reader forgives, so four
light modules and a light background are always drawn.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache

from devices.qr.symbol.encoder import Symbol, SymbolError, encode, warm

__all__ = [
    "MARGIN",
    "Symbol",
    "SymbolError",
    "alt_text",
    "module_pixels_for",
    "modules",
    "png",
    "png_of",
    "png_of_lines",
    "svg",
    "svg_of",
    "terminal",
    "warm",
]

#: Light modules around every symbol (ISO/IEC 18004, quiet zone).
MARGIN = 4

_RUNS = re.compile("0+|1+|\n")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LARGEST_SIDE = 16_384


def modules(text: str | bytes, *, error_correction: str = "M") -> tuple[tuple[bool, ...], ...]:
    """The symbol's modules row by row, True for dark, without margin; as stock `qrcode` has them.

    SymbolError where the text is empty or too long.
    """
    rows = encode(text, error_correction=error_correction).rows
    return tuple(tuple(module == "1" for module in row) for row in rows)


def png(text: str | bytes, *, module_pixels: int = 10, error_correction: str = "M") -> bytes:
    """A one-bit PNG of `text`, black on white, `module_pixels` to a module, margin included.

    SymbolError where the text does not fit or the picture would be wider than 16,384 pixels.
    """
    return png_of(encode(text, error_correction=error_correction).rows, module_pixels)


def svg(text: str | bytes, *, module_pixels: int = 10, error_correction: str = "M") -> str:
    """An SVG of `text` that stands alone or inside a page and scales with its box.

    Black modules on a white rectangle of its own, so that a dark page leaves it readable.
    """
    return svg_of(encode(text, error_correction=error_correction).rows, module_pixels)


def terminal(text: str | bytes, *, error_correction: str = "M", colour: bool = True) -> str:
    """`text` as lines of half blocks, two rows a line.

    With `colour` they are black on white by escape codes. Without it the light modules are drawn,
    since most terminals are dark.
    """
    rows = _framed(encode(text, error_correction=error_correction).rows)
    if len(rows) % 2:
        rows = [*rows, "0" * len(rows[0])]
    blocks = {"00": " ", "01": "▄", "10": "▀", "11": "█"}
    if not colour:
        blocks = {"00": "█", "01": "▀", "10": "▄", "11": " "}
    lines = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        drawn = "".join([blocks[a + b] for a, b in zip(upper, lower, strict=True)])
        lines.append(f"\x1b[30;107m{drawn}\x1b[0m" if colour else drawn)
    return "\n".join(lines)


def alt_text(amount: str, payee: str) -> str:
    """What a screen reader says for a payment code: the amount with its currency, and the payee."""
    return f"QR code to pay {amount} to {payee}" if amount else f"QR code to pay {payee}"


def module_pixels_for(size: int, pixels: int) -> int:
    """Whole pixels per module so that a symbol of `size` modules and its margin fill `pixels`."""
    return max(1, pixels // (size + 2 * MARGIN))


def png_of(rows: Sequence[str], module_pixels: int) -> bytes:
    """A one-bit PNG of rows of 0 and 1 (1 is black), margin added (PNG, W3C Recommendation)."""
    side = (len(rows) + 2 * MARGIN) * module_pixels
    if module_pixels < 1 or side > _LARGEST_SIDE:
        raise SymbolError(f"module_pixels: expected 1 to {_LARGEST_SIDE} pixels a side, got {side}")
    widen = _widened(module_pixels)
    padding = -(len(rows) + 2 * MARGIN) % 8
    modules_across = len(rows) + 2 * MARGIN + padding
    left, line_bytes = MARGIN + padding, (side + 7) // 8
    # Every module is drawn once; the lines under it say "as above" (filter type Up).
    again = (b"\x02" + bytes(line_bytes)) * (module_pixels - 1)
    blank = (
        b"\x00"
        + b"\xff" * line_bytes
        + (b"\x02" + bytes(line_bytes)) * (MARGIN * module_pixels - 1)
    )
    lines = [blank]
    for row in rows:
        packed = (int(row, 2) << left).to_bytes(modules_across // 8)
        lines.append(b"\x00")
        lines.append(b"".join([widen[byte] for byte in packed])[:line_bytes])
        lines.append(again)
    lines.append(blank)
    return _file(side, side, b"".join(lines))


def png_of_lines(row: str, *, module_pixels: int, height: int) -> bytes:
    """A one-bit PNG of bars: `row` of 0 and 1, `height` pixels tall, four blank lines around."""
    across, down = len(row) * module_pixels, height + 2 * MARGIN
    if module_pixels < 1 or height < 1 or max(across, down) > _LARGEST_SIDE:
        raise SymbolError(f"size: expected 1 to {_LARGEST_SIDE} pixels, got {across} x {down}")
    pixels = "".join([("1" if bit == "0" else "0") * module_pixels for bit in row])
    line_bytes = (across + 7) // 8
    drawn = (int(pixels, 2) << -across % 8).to_bytes(line_bytes)
    again = b"\x02" + bytes(line_bytes)
    blank = b"\x00" + b"\xff" * line_bytes + again * (MARGIN - 1)
    return _file(across, down, blank + b"\x00" + drawn + again * (height - 1) + blank)


def svg_of(rows: Sequence[str], module_pixels: int) -> str:
    """An SVG of rows of 0 and 1: one path of horizontal strokes, one for each run of dark."""
    size = len(rows)
    across = size + 2 * MARGIN
    strokes = _strokes(size)
    path = "".join([strokes[run] for run in _RUNS.findall("\n".join(rows))])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{across * module_pixels}" '
        f'height="{across * module_pixels}" viewBox="0 0 {across} {across}" '
        'shape-rendering="crispEdges"><rect width="100%" height="100%" fill="#fff"/>'
        f'<path fill="none" stroke="#000" d="M{MARGIN} {MARGIN}.5{path}"/></svg>'
    )


def _framed(rows: Sequence[str]) -> list[str]:
    side = "0" * MARGIN
    blank = ["0" * (len(rows) + 2 * MARGIN)] * MARGIN
    return [*blank, *(side + row + side for row in rows), *blank]


@lru_cache(maxsize=64)
def _widened(module_pixels: int) -> tuple[bytes, ...]:
    """For each byte of eight modules its `module_pixels` bytes of pixels, white as ones."""
    white = {"0": "1" * module_pixels, "1": "0" * module_pixels}
    return tuple(
        int("".join(white[bit] for bit in format(byte, "08b")), 2).to_bytes(module_pixels)
        for byte in range(256)
    )


@lru_cache(maxsize=64)
def _strokes(size: int) -> dict[str, str]:
    """Path commands for each run of a row, and for the step to the next row."""
    commands = {"\n": f"m-{size} 1"}
    for length in range(1, size + 1):
        commands["1" * length] = f"h{length}"
        commands["0" * length] = f"m{length} 0"
    return commands


def _file(width: int, height: int, lines: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    content = zlib.compress(lines, 1)
    return b"".join(
        (_PNG_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", content), _chunk(b"IEND", b""))
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return b"".join(
        (
            len(content).to_bytes(4),
            kind,
            content,
            zlib.crc32(content, zlib.crc32(kind)).to_bytes(4),
        )
    )
