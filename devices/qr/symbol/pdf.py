"""A PDF writer for sheets of codes: pages of rectangles and of centred lines of text.

Latin letters are in Helvetica, which every viewer has. Other words are drawn as outlines, so that
no viewer needs a font for them.

Source: ISO 32000-1, document structure, content streams, simple fonts.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

# Advance widths of Helvetica from space to tilde, in thousandths of the size (Adobe core fonts).
_HELVETICA = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278),
    *(556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556),
    *(1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778),
    *(667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556),
    *(333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556),
    *(556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584),
)
_FONTS = (
    "<</F1 <</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
    "/F2 <</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold/Encoding/WinAnsiEncoding>>>>"
)
# Width of the stroke that makes an outline bold, as part of the font's size.
_BOLD_STROKE = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of `text`, centred at `middle`; lengths in points, `grey` from 0 (black) to 1.

    `size` is the font's size; it becomes smaller where the line would be wider than `widest`.
    """

    text: str
    middle: float
    baseline: float
    size: float
    widest: float
    bold: bool = False
    grey: float = 0.0


class Page:
    """A page under construction; `width` and `height` in points, the origin at the lower left."""

    def __init__(self, width: float, height: float) -> None:
        self.size = (width, height)
        self._operators: list[str] = []

    @property
    def content(self) -> bytes:
        """The content stream so far."""
        return "\n".join(self._operators).encode("ascii")

    def frame(self, left: float, bottom: float, width: float, height: float) -> None:
        """A thin rectangle to cut along."""
        self._operators.append(f"0.8 G 0.5 w {left:.2f} {bottom:.2f} {width:.2f} {height:.2f} re S")

    def symbol(
        self, rows: Sequence[str], margin: int, left: float, top: float, side: float
    ) -> None:
        """Rows of 0 and 1 as black rectangles, one for each run, within a margin of `margin`."""
        module = side / (len(rows) + 2 * margin)
        boxes = []
        for y, row in enumerate(rows, start=1):
            boxes += [f"{run.start()} {-y} {len(run[0])} 1 re" for run in re.finditer("1+", row)]
        corner = f"{left + margin * module:.3f} {top - margin * module:.3f}"
        self._operators.append(f"q 0 g {module:.5f} 0 0 {module:.5f} {corner} cm")
        self._operators.extend(boxes)
        self._operators.append("f Q")

    def text(self, line: Line) -> None:
        """One line of text; FontError where no font of this machine has its characters."""
        try:
            self._operators.append(_in_helvetica(line, line.text.encode("cp1252")))
        except UnicodeEncodeError:
            self._operators.append(_in_outlines(line))


def document(pages: Sequence[Page], *, title: str, made_at: datetime) -> bytes:
    """The file; `title` in any script, `made_at` as the date of its creation."""
    numbers = [5 + 2 * place for place in range(len(pages))]
    title_bytes = b"\xfe\xff" + title.encode("utf-16-be", "replace")
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R/ViewerPreferences<</DisplayDocTitle true>>>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
        f"<</Font {_FONTS}>>".encode(),
        f"<</Title {_hex(title_bytes)}/CreationDate(D:{made_at:%Y%m%d%H%M%S})>>".encode(),
    ]
    for number, page in zip(numbers, pages, strict=True):
        width, height = page.size
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width:.2f} {height:.2f}]"
            f"/Resources 3 0 R/Contents {number + 1} 0 R>>".encode()
        )
        packed = zlib.compress(page.content)
        head = f"<</Length {len(packed)}/Filter/FlateDecode>>stream\n".encode()
        objects.append(head + packed + b"\nendstream")
    return _file(objects)


def _in_helvetica(line: Line, encoded: bytes) -> str:
    width = sum(_HELVETICA[code - 32] if 32 <= code < 127 else 556 for code in encoded) / 1000
    if line.bold:
        width *= 1.07  # the bold face is up to a tenth wider; this centres it well enough
    size = min(line.size, line.widest / width) if width else line.size
    return (
        f"BT {line.grey:g} g /{'F2' if line.bold else 'F1'} {size:.2f} Tf "
        f"{line.middle - width * size / 2:.2f} {line.baseline:.2f} Td {_hex(encoded)} Tj ET"
    )


def _in_outlines(line: Line) -> str:
    from devices.qr.symbol.outlines import outline  # loads fontTools; most sheets need none

    drawn = outline(line.text)
    scale = min(line.size / drawn.units_per_em, line.widest / drawn.width)
    left = line.middle - drawn.width * scale / 2
    # The font has one weight: a stroke around each glyph makes it bold.
    stroke = f"{line.grey:g} G {drawn.units_per_em * _BOLD_STROKE:.0f} w " if line.bold else ""
    return (
        f"q {line.grey:g} g {stroke}{scale:.6f} 0 0 {scale:.6f} {left:.2f} {line.baseline:.2f} cm "
        f"{drawn.path} {'B' if line.bold else 'f'} Q"
    )


def _file(objects: Sequence[bytes]) -> bytes:
    file = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, content in enumerate(objects, start=1):
        places.append(len(file))
        file += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = len(file)
    file += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    file += "".join(f"{place:010} 00000 n \n" for place in places).encode()
    file += (
        f"trailer\n<</Size {len(objects) + 1}/Root 1 0 R/Info 4 0 R>>\nstartxref\n{table}\n%%EOF\n"
    ).encode()
    return bytes(file)


def _hex(encoded: bytes) -> str:
    return f"<{encoded.hex().upper()}>"
