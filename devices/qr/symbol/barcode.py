"""Code 128 barcodes: the strip of a payer's code that a laser scanner reads.

Source: ISO/IEC 15417, symbol character values, code sets B and C, check character.
"""

from __future__ import annotations

from devices.qr.symbol.rendering import MARGIN, png_of_lines

# Widths of bar, space, bar, space, bar, space for the values 0 to 102, then the three starts.
_ALL_WIDTHS = (
    "212222222122222221121223121322131222122213122312132212221213221312231212112232122132"
    "122231113222123122123221223211221132221231213212223112312131311222321122321221312212"
    "322112322211212123212321232121111323131123131321112313132113132311211313231113231311"
    "112133112331132131113123113321133121313121211331231131213113213311213131311123311321"
    "331121312113312311332111314111221411431111111224111422121124121421141122141221112214"
    "112412122114122411142112142211241211221114413111241112134111111242121142121241114212"
    "124112124211411212421112421211212141214121412121111143111341131141114113114311411113"
    "411311113141114131311141411131211412211214211232"
)
_WIDTHS = [_ALL_WIDTHS[at : at + 6] for at in range(0, len(_ALL_WIDTHS), 6)]
_START_B, _START_C, _TO_B = 104, 105, 100
_STOP = "2331112"
_QUIET = 10  # narrow modules before and after (ISO/IEC 15417, quiet zone)
_LONGEST = 80


class BarcodeError(ValueError):
    """A text that this writer puts into no barcode."""


def modules(text: str) -> str:
    """Narrow modules from left to right, 1 for a bar, quiet zones included.

    Digits go in pairs (set C), an odd last one and all other text by character (set B).
    BarcodeError where the text is empty, too long or not printable ASCII.
    """
    if not 1 <= len(text) <= _LONGEST or not all(" " <= each <= "~" for each in text):
        raise BarcodeError(f"text: expected 1 to {_LONGEST} printable ASCII characters")
    values = _values(text)
    check = (values[0] + sum(place * value for place, value in enumerate(values))) % 103
    widths = "".join([_WIDTHS[value] for value in (*values, check)]) + _STOP
    bars = "".join(["10"[place % 2] * int(width) for place, width in enumerate(widths)])
    return "0" * _QUIET + bars + "0" * _QUIET


def png(text: str, *, module_pixels: int = 3, height: int = 120) -> bytes:
    """A one-bit PNG of `text`, `height` pixels of bars, on white with its quiet zones."""
    return png_of_lines(modules(text), module_pixels=module_pixels, height=height)


def svg(text: str, *, module_pixels: int = 2, height: int = 80) -> str:
    """An SVG of `text` that stands alone or inside a page, on a white rectangle of its own."""
    row = modules(text)
    across = len(row)
    bars, at = [], 0
    while at < across:
        run = len(row[at:]) - len(row[at:].lstrip(row[at]))
        if row[at] == "1":
            bars.append(f"M{at} {MARGIN}h{run}v{height}h-{run}z")
        at += run
    tall = height + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{across * module_pixels}" '
        f'height="{tall}" viewBox="0 0 {across} {tall}" preserveAspectRatio="none" '
        'shape-rendering="crispEdges"><rect width="100%" height="100%" fill="#fff"/>'
        f'<path fill="#000" d="{"".join(bars)}"/></svg>'
    )


def _values(text: str) -> list[int]:
    if text.isdigit() and len(text) >= 2:
        pairs = [int(text[at : at + 2]) for at in range(0, len(text) - 1, 2)]
        last = [_TO_B, ord(text[-1]) - 32] if len(text) % 2 else []
        return [_START_C, *pairs, *last]
    return [_START_B, *(ord(each) - 32 for each in text)]
