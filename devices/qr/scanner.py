"""From a picture to the texts of the codes in it: QR symbols and Code 128 barcodes.

zxing-cpp reads them: turned, of low contrast, of one bit, small or large, several in a picture.
Where it finds none, it gets the same picture with other contrast, size and sharpness, its colours
one by one, a large photo at its full size, and turned or inverted for the bars of Code 128.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zxingcpp
from PIL import Image, ImageChops, ImageFilter, ImageOps

from devices.qr.charset import text_of
from devices.qr.picture import (
    USUAL_SIDE,
    ImageTooLarge,
    NotAnImage,
    ScanError,
    bytes_of,
    open_channels,
    open_picture,
    size_of,
)

__all__ = ["ImageTooLarge", "NoCode", "NotAnImage", "Scan", "ScanError", "read", "read_all"]

# No other symbologies: rows of a large QR symbol can look like the bars of a simpler barcode.
_SYMBOLOGIES = zxingcpp.BarcodeFormats(
    [zxingcpp.BarcodeFormat.QRCode, zxingcpp.BarcodeFormat.Code128]
)
_BARS = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.Code128])
_LONGEST_SIDE = 65_535  # of what zxing-cpp takes
# Degrees by which bars are turned back; zxing-cpp reads within 10 degrees, and 90 degrees further.
_BAR_ANGLES = (15, 30, 45, 60, 75)


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
    content = bytes_of(source)
    image = open_picture(content)
    for picture in _pictures(content, image):
        found = _scans(picture, _SYMBOLOGIES)
        if found:
            return found
    for picture in _for_bars(image):
        found = _scans(picture, _BARS)
        if found:
            return found
    return ()


def _pictures(content: bytes, image: Image.Image) -> Iterator[Image.Image]:
    """The picture as it is, then changed in several ways; what helps most often comes first.

    `image` is the picture that `content` holds, perhaps at a fraction of its size.
    """
    size = image.size
    yield image
    if max(image.size) > USUAL_SIDE:
        image = ImageOps.contain(image, (USUAL_SIDE, USUAL_SIDE))
        yield image
    yield from _sharpened(image)
    for channel in open_channels(content):
        yield _stretched(channel)
    if max(size) > USUAL_SIDE:
        width, height = size_of(content)
        if width * height > size[0] * size[1]:
            yield open_picture(content, whole=True)


def _stretched(image: Image.Image) -> Image.Image:
    """The picture with its contrast stretched, then in a white frame.

    In the other order the frame's white counts as the picture's own, and nothing is stretched.
    """
    image.thumbnail((USUAL_SIDE, USUAL_SIDE))
    return _framed(ImageOps.autocontrast(image, cutoff=2))


def _framed(image: Image.Image) -> Image.Image:
    return ImageOps.expand(image, border=max(image.size) // 12 + 8, fill=255)


def _sharpened(image: Image.Image) -> Iterator[Image.Image]:
    """The picture with other contrast, size and sharpness."""
    framed = _framed(image)
    contrasted = _framed(ImageOps.autocontrast(image, cutoff=2))
    doubled = contrasted.resize((framed.width * 2, framed.height * 2), Image.Resampling.BICUBIC)
    yield contrasted
    yield doubled.filter(ImageFilter.GaussianBlur(2))
    yield contrasted.filter(ImageFilter.GaussianBlur(1))
    yield doubled
    yield framed
    yield contrasted.filter(ImageFilter.GaussianBlur(1.5))
    background = framed.filter(ImageFilter.BoxBlur(25))
    yield ImageOps.autocontrast(ImageChops.subtract(framed, background, 1, 128), cutoff=1)


def _for_bars(image: Image.Image) -> Iterator[Image.Image]:
    """The picture inverted, and turned by steps that zxing-cpp's scan lines span."""
    image = (
        ImageOps.contain(image, (USUAL_SIDE, USUAL_SIDE)) if max(image.size) > USUAL_SIDE else image
    )
    yield _framed(ImageOps.invert(image))
    for angle in _BAR_ANGLES:
        yield image.rotate(angle, expand=True, fillcolor=255, resample=Image.Resampling.BILINEAR)


def _scans(image: Image.Image, formats: zxingcpp.BarcodeFormats) -> tuple[Scan, ...]:
    if not 0 < min(image.size) <= max(image.size) <= _LONGEST_SIDE:
        return ()
    found = []
    codes = zxingcpp.read_barcodes(image, formats=formats, text_mode=zxingcpp.TextMode.HexECI)
    for code in codes:
        place = code.position
        corners = (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
        is_qr = code.format.symbology == zxingcpp.BarcodeFormat.QRCode
        found.append(
            Scan(
                text=text_of(code.bytes, bytes.fromhex(code.text)),
                symbology="qr" if is_qr else "code-128",
                corners=tuple((corner.x, corner.y) for corner in corners),
            )
        )
    return tuple(sorted(found, key=lambda each: each.area, reverse=True))
