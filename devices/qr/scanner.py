"""From a picture to the texts of the codes in it: QR symbols and Code 128 barcodes.

zxing-cpp reads them: turned, of low contrast, of one bit, small or large, several in a picture.
Where it finds none, it gets the same picture with other contrast, size and sharpness.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zxingcpp
from PIL import Image, ImageChops, ImageFilter, ImageOps

from devices.qr.picture import USUAL_SIDE, ImageTooLarge, NotAnImage, ScanError, open_picture

__all__ = ["ImageTooLarge", "NoCode", "NotAnImage", "Scan", "ScanError", "read", "read_all"]

# No other symbologies: rows of a large QR symbol can look like the bars of a simpler barcode.
_SYMBOLOGIES = zxingcpp.BarcodeFormats(
    [zxingcpp.BarcodeFormat.QRCode, zxingcpp.BarcodeFormat.Code128]
)


class NoCode(ScanError):
    """A picture in which no code could be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One code: its `text`, its `symbology` (`qr` or `code-128`), and its `corners` in pixels,
    clockwise from the code's own top left."""

    text: str
    symbology: str
    corners: tuple[tuple[int, int], ...]

    @property
    def area(self) -> float:
        """Pixels within the corners."""
        pairs = zip(self.corners, self.corners[1:] + self.corners[:1], strict=True)
        return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs)) / 2


def read(source: bytes | Path) -> tuple[Scan, ...]:
    """All codes in a picture, the largest first; NoCode where there is none, else as `read_all`."""
    found = read_all(source)
    if not found:
        raise NoCode("no code was found in the picture")
    return found


def read_all(source: bytes | Path) -> tuple[Scan, ...]:
    """All codes in a picture, the largest first; empty where there is none.

    NotAnImage and ImageTooLarge say what is wrong with the picture; OSError where the file cannot
    be read.
    """
    for picture in _variants(open_picture(source)):
        found = _scans(picture)
        if found:
            return found
    return ()


def _variants(image: Image.Image) -> Iterator[Image.Image]:
    """The picture as it is, then changed in several ways; what helps most often comes first."""
    yield image
    if max(image.size) > USUAL_SIDE:
        image = ImageOps.contain(image, (USUAL_SIDE, USUAL_SIDE))
        yield image
    framed = ImageOps.expand(image, border=max(image.size) // 12 + 8, fill=255)
    contrasted = ImageOps.autocontrast(framed, cutoff=2)
    doubled = contrasted.resize((framed.width * 2, framed.height * 2), Image.Resampling.BICUBIC)
    yield doubled.filter(ImageFilter.GaussianBlur(2))
    yield contrasted.filter(ImageFilter.GaussianBlur(1))
    yield doubled
    yield framed
    yield contrasted.filter(ImageFilter.GaussianBlur(1.5))
    background = framed.filter(ImageFilter.BoxBlur(25))
    yield ImageOps.autocontrast(ImageChops.subtract(framed, background, 1, 128), cutoff=1)


def _scans(image: Image.Image) -> tuple[Scan, ...]:
    found = []
    for code in zxingcpp.read_barcodes(image, formats=_SYMBOLOGIES):
        place = code.position
        corners = (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
        is_qr = code.format.symbology == zxingcpp.BarcodeFormat.QRCode
        found.append(
            Scan(
                text=_text(code),
                symbology="qr" if is_qr else "code-128",
                corners=tuple((corner.x, corner.y) for corner in corners),
            )
        )
    return tuple(sorted(found, key=lambda each: each.area, reverse=True))


def _text(code: zxingcpp.Barcode) -> str:
    """The code's bytes as UTF-8, or the encoding that zxing-cpp guesses where they are not UTF-8.

    zxing-cpp's own text has names such as `<NUL>` in place of unprintable characters.
    """
    try:
        return code.bytes.decode("utf-8")
    except UnicodeDecodeError:
        return code.text
