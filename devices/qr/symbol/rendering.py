"""Pictures of QR symbols (PNG, SVG, terminal) and of Code 128 barcodes (SVG).

Every picture has a light background and the light margin that readers need: no reader finds a code
without one on a dark page.
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
    "code_128_svg",
    "module_pixels_for",
    "modules",
    "png",
    "png_of",
    "svg",
    "svg_of",
    "terminal",
    "warm",
]

#: Light modules around every QR symbol (ISO/IEC 18004, quiet zone).
MARGIN = 4

# Light modules before and after the bars (ISO/IEC 15417, quiet zone).
_BARCODE_MARGIN = 10
_LONGEST_BARCODE = 80

_RUNS = re.compile("0+|1+|\n")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LARGEST_SIDE = 16_384


def modules(text: str | bytes, *, error_correction: str = "M") -> tuple[tuple[bool, ...], ...]:
    """The symbol's modules row by row, True for dark, without margin, as `encode` makes them.

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

    It has a white rectangle behind its black modules, so that it is readable on a dark page.
    """
    return svg_of(encode(text, error_correction=error_correction).rows, module_pixels)


def code_128_svg(text: str, *, module_pixels: int = 2, height: int = 80) -> str:
    """An SVG of `text` as a Code 128 barcode that stands alone or inside a page.

    `height` is the length of the bars in pixels. SymbolError where the text is not 1 to 80
    printable ASCII characters. Source: ISO/IEC 15417; zxing-cpp chooses the code sets.
    """
    if not 1 <= len(text) <= _LONGEST_BARCODE or not all(" " <= each <= "~" for each in text):
        raise SymbolError(f"text: expected 1 to {_LONGEST_BARCODE} printable ASCII characters")
    at, bars = _BARCODE_MARGIN, []
    for run in _RUNS.findall(_code_128(text)):
        if run[0] == "1":
            bars.append(f"M{at} {MARGIN}h{len(run)}v{height}h-{len(run)}z")
        at += len(run)
    across, tall = at + _BARCODE_MARGIN, height + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{across * module_pixels}" '
        f'height="{tall}" viewBox="0 0 {across} {tall}" preserveAspectRatio="none" '
        'shape-rendering="crispEdges"><rect width="100%" height="100%" fill="#fff"/>'
        f'<path fill="#000" d="{"".join(bars)}"/></svg>'
    )


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
    """The text for screen readers: payee, and amount with its currency where there is one."""
    return f"QR code to pay {amount} to {payee}" if amount else f"QR code to pay {payee}"


def module_pixels_for(size: int, pixels: int) -> int:
    """Most whole pixels per module with which `size` modules and the margin fit into `pixels`."""
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
    # Only the first line of a row of modules has pixels; the others repeat it (filter type Up).
    repeated = (b"\x02" + bytes(line_bytes)) * (module_pixels - 1)
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
        lines.append(repeated)
    lines.append(blank)
    return _file(side, side, b"".join(lines))


def svg_of(rows: Sequence[str], module_pixels: int) -> str:
    """An SVG of rows of 0 and 1: one path with a horizontal stroke for each run of dark modules."""
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


def _code_128(text: str) -> str:
    """The modules of a barcode from left to right, 1 for a bar, without margins."""
    import zxingcpp  # heavy, and most users of this module draw no barcode

    barcode = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.Code128)
    picture = barcode.to_image(scale=1, add_quiet_zones=False)
    pixels = memoryview(picture)  # type: ignore[arg-type]  # the stub omits the buffer protocol
    first_row = pixels.tobytes()[: picture.shape[1]]
    return "".join(["0" if grey else "1" for grey in first_row])


def _framed(rows: Sequence[str]) -> list[str]:
    side = "0" * MARGIN
    blank = ["0" * (len(rows) + 2 * MARGIN)] * MARGIN
    return [*blank, *(side + row + side for row in rows), *blank]


@lru_cache(maxsize=64)
def _widened(module_pixels: int) -> tuple[bytes, ...]:
    """For each byte of eight modules, its `module_pixels` bytes of pixels, 1 for white."""
    white = {"0": "1" * module_pixels, "1": "0" * module_pixels}
    return tuple(
        int("".join(white[bit] for bit in format(byte, "08b")), 2).to_bytes(module_pixels)
        for byte in range(256)
    )


@lru_cache(maxsize=64)
def _strokes(size: int) -> dict[str, str]:
    """The path command for each run of modules, and the one for the step to the next row."""
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
