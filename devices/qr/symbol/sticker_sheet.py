"""A shop's printed code: one sticker as SVG or PNG, and an A4 sheet of them as PDF.

On the sheet, symbols are filled rectangles and words are Helvetica or outlines: sharp at any size.
The words of an SVG are in a font of its viewer.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw, ImageFont

from devices.qr.symbol.encoder import encode
from devices.qr.symbol.fonts import FontError, font_for
from devices.qr.symbol.pdf import Line, Page, document
from devices.qr.symbol.rendering import MARGIN, alt_text, png_of, svg_of

__all__ = ["FontError", "Sticker", "png", "sheet", "svg"]

_A4 = (595.28, 841.89)  # points
_EDGE, _GAP = 36.0, 14.0
_GREY = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Sticker:
    """One sticker: `text` is in the symbol, the others are words for people.

    `number` is printed small: it tells the stickers of one shop apart, or names a fixed amount.
    """

    text: str
    payee: str
    number: str = ""
    caption: str = "Scan to pay"


def svg(sticker: Sticker, *, module_pixels: int = 10) -> str:
    """The sticker as one SVG: words above and below the symbol, a title for screen readers."""
    rows = encode(sticker.text).rows
    symbol = svg_of(rows, module_pixels)
    side = (len(rows) + 2 * MARGIN) * module_pixels
    band = side // 6
    words = (
        (band * 0.45, band * 0.4, "700", sticker.payee),
        (side + band * 1.35, band * 0.3, "400", sticker.caption),
        (side + band * 1.75, band * 0.2, "400", sticker.number),
    )
    words_drawn = "".join(
        f'<text x="{side / 2:g}" y="{y:.1f}" font-size="{size:.1f}" font-weight="{weight}" '
        f'font-family="sans-serif" text-anchor="middle" fill="#000">{escape(text)}</text>'
        for y, size, weight, text in words
    )
    title = escape(alt_text("", sticker.payee))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{side}" '
        f'height="{side + 2 * band}" viewBox="0 0 {side} {side + 2 * band}">'
        f"<title>{title}</title>"
        '<rect width="100%" height="100%" fill="#fff"/>'
        f'<g transform="translate(0 {band * 0.75:.1f})">{symbol}</g>{words_drawn}</svg>'
    )


def png(sticker: Sticker, *, module_pixels: int = 12) -> bytes:
    """The sticker as a one-bit PNG; FontError where no font of this machine has its words."""
    symbol = Image.open(io.BytesIO(png_of(encode(sticker.text).rows, module_pixels)))
    side, band = symbol.width, symbol.width // 6
    sheet = Image.new("1", (side, side + 2 * band), 1)
    sheet.paste(symbol, (0, band))
    pen = ImageDraw.Draw(sheet)
    for middle, size, text in (
        (band * 0.6, band * 0.42, sticker.payee),
        (side + band * 1.2, band * 0.32, sticker.caption),
        (side + band * 1.65, band * 0.22, sticker.number),
    ):
        font = _font(text, size)
        width = pen.textlength(text, font=font)
        if width > side * 0.94:
            font = _font(text, size * side * 0.94 / width)
        pen.text((side / 2, middle), text, fill=0, font=font, anchor="mm")
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def sheet(
    stickers: Sequence[Sticker], *, made_at: datetime, columns: int = 2, rows: int = 3
) -> bytes:
    """A PDF of A4 pages with `columns` by `rows` stickers each, to print and cut.

    ValueError where there is no sticker, or more to a page than a phone could read; FontError
    where no font of this machine has the words of one.
    """
    if not stickers:
        raise ValueError("stickers: expected at least one")
    if not (1 <= columns <= 4 and 1 <= rows <= 6):
        raise ValueError(f"columns, rows: expected up to 4 by 6, got {columns} by {rows}")
    pages = []
    for start in range(0, len(stickers), columns * rows):
        page = Page(*_A4)
        for place, sticker in enumerate(stickers[start : start + columns * rows]):
            row, column = divmod(place, columns)
            _place(page, sticker, row, column, rows, columns)
        pages.append(page)
    return document(pages, title=f"Payment codes of {stickers[0].payee}", made_at=made_at)


def _font(text: str, size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font for ASCII, a font of this machine for other words."""
    if text.isascii():
        return ImageFont.load_default(size)
    font = font_for(text)
    return ImageFont.truetype(font.path, size, index=font.number)


def _place(page: Page, sticker: Sticker, row: int, column: int, rows: int, columns: int) -> None:
    width = (_A4[0] - 2 * _EDGE - (columns - 1) * _GAP) / columns
    height = (_A4[1] - 2 * _EDGE - (rows - 1) * _GAP) / rows
    left = _EDGE + column * (width + _GAP)
    top = _A4[1] - _EDGE - row * (height + _GAP)
    side = min(width, height * 0.76)
    middle, widest = left + width / 2, width * 0.92

    def words(text: str, baseline: float, size: float, bold: bool = False, grey: float = 0) -> None:
        page.text(
            Line(
                text=text,
                middle=middle,
                baseline=baseline,
                size=size,
                widest=widest,
                bold=bold,
                grey=grey,
            )
        )

    page.frame(left, top - height, width, height)
    words(sticker.payee, top - height * 0.09, height * 0.07, bold=True)
    page.symbol(encode(sticker.text).rows, MARGIN, middle - side / 2, top - height * 0.11, side)
    below = top - height * 0.11 - side
    words(sticker.caption, below - height * 0.045, height * 0.055)
    words(sticker.number, below - height * 0.095, height * 0.035, grey=_GREY)
