"""As much PDF as a sheet of codes needs: pages of rectangles and centred lines of text.

Source: ISO 32000-1, document structure, content streams, simple and composite fonts.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
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
    "/F2 <</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold/Encoding/WinAnsiEncoding>>"
    "/F3 <</Type/Font/Subtype/Type0/BaseFont/STSong-Light/Encoding/UniGB-UTF16-H"
    "/DescendantFonts[<</Type/Font/Subtype/CIDFontType0/BaseFont/STSong-Light"
    "/CIDSystemInfo<</Registry(Adobe)/Ordering(GB1)/Supplement 4>>/DW 1000/W[1 95 500]"
    "/FontDescriptor<</Type/FontDescriptor/FontName/STSong-Light/Flags 6"
    "/FontBBox[-25 -254 1000 880]/ItalicAngle 0/Ascent 880/Descent -120/CapHeight 880"
    "/StemV 93>>>>]>>>>"
)


class Page:
    """One page being drawn; `width` and `height` in points, the origin at the lower left."""

    def __init__(self, width: float, height: float) -> None:
        self.size = (width, height)
        self._drawn: list[str] = []

    @property
    def content(self) -> bytes:
        """The content stream drawn so far."""
        return "\n".join(self._drawn).encode("ascii")

    def frame(self, left: float, bottom: float, width: float, height: float) -> None:
        """A hairline to cut along."""
        self._drawn.append(f"0.8 G 0.5 w {left:.2f} {bottom:.2f} {width:.2f} {height:.2f} re S")

    def symbol(
        self, rows: Sequence[str], margin: int, left: float, top: float, side: float
    ) -> None:
        """Rows of 0 and 1 as black rectangles, one for each run, with `margin` modules around."""
        module = side / (len(rows) + 2 * margin)
        boxes = []
        for y, row in enumerate(rows):
            at = 0
            while at < len(row):
                run = len(row[at:]) - len(row[at:].lstrip(row[at]))
                if row[at] == "1":
                    boxes.append(f"{at} {-y - 1} {run} 1 re")
                at += run
        corner = f"{left + margin * module:.3f} {top - margin * module:.3f}"
        self._drawn.append(f"q 0 g {module:.5f} 0 0 {module:.5f} {corner} cm")
        self._drawn.extend(boxes)
        self._drawn.append("f Q")

    def text(
        self,
        middle: float,
        baseline: float,
        size: float,
        text: str,
        room: float,
        *,
        bold: bool = False,
        grey: str = "0",
    ) -> None:
        """One line centred at `middle`, made smaller where it would be wider than `room`."""
        font, shown, width = _set(text, bold=bold)
        if width * size > room:
            size = room / width
        left = middle - width * size / 2
        self._drawn.append(
            f"BT {grey} g /{font} {size:.2f} Tf {left:.2f} {baseline:.2f} Td {shown} Tj ET"
        )


def document(pages: Sequence[Page], *, title: str, made_at: datetime) -> bytes:
    """The whole file; `title` in any script."""
    numbers = [5 + 2 * place for place in range(len(pages))]
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R/ViewerPreferences<</DisplayDocTitle true>>>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
        f"<</Font {_FONTS}>>".encode(),
        f"<</Title {_hex(title, mark=True)}/CreationDate(D:{made_at:%Y%m%d%H%M%S})>>".encode(),
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
    return _filed(objects)


def _filed(objects: Sequence[bytes]) -> bytes:
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


def _set(text: str, *, bold: bool) -> tuple[str, str, float]:
    """Font, string operand and width (at size 1) of a line."""
    try:
        encoded = text.encode("cp1252")
    except UnicodeEncodeError:
        # Chinese characters are as wide as they are high, Latin ones among them half of that.
        return "F3", _hex(text), sum(0.5 if each.isascii() else 1.0 for each in text)
    width = sum(_HELVETICA[code - 32] if 32 <= code < 127 else 556 for code in encoded) / 1000
    # The bold face runs up to a tenth wider; a little too much room centres well enough.
    return ("F2", _hex_of(encoded), width * 1.07) if bold else ("F1", _hex_of(encoded), width)


def _hex(text: str, *, mark: bool = False) -> str:
    return _hex_of((b"\xfe\xff" if mark else b"") + text.encode("utf-16-be", "replace"))


def _hex_of(encoded: bytes) -> str:
    return f"<{encoded.hex().upper()}>"
