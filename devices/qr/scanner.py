"""From a picture to the texts of the codes in it.

Takes what a phone, a camera or a file sends: PNG, JPEG, WebP, GIF, BMP; any turn, low contrast,
one bit, small or large, several codes. zxing-cpp reads; a picture in which it finds nothing
is shown to it again in a few other lights.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zxingcpp
from PIL import Image, ImageChops, ImageFilter, ImageOps, UnidentifiedImageError, WebPImagePlugin

from devices.qr.drawing import DrawingError, is_svg, rasterise

#: Largest file that is opened, in bytes.
LARGEST_FILE = 32 * 1024 * 1024
#: Most pixels that are unpacked: a phone's 48-megapixel still, not a decompression bomb.
MOST_PIXELS = 50_000_000

# Multi-picture JPEGs come under JPEG; WebP is not among what Pillow loads by itself.
_KINDS = ("PNG", "JPEG", WebPImagePlugin.WebPImageFile.format, "GIF", "BMP", "PPM")
_SYMBOLOGIES = zxingcpp.BarcodeFormats(
    [zxingcpp.BarcodeFormat.QRCode, zxingcpp.BarcodeFormat.Code128]
)
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError,
               struct.error, zlib.error)  # fmt: skip
_MIDDLING = 1_200

# A picture that claims more pixels than Pillow trusts is an error, not a line on stderr.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


class ScanError(ValueError):
    """A picture that gives no text; the message is one line for whoever sent it."""


class NotAnImage(ScanError):
    """The bytes are no picture, or a broken one, or of a kind that is not read here."""


class ImageTooLarge(ScanError):
    """More bytes or pixels than are unpacked."""


class NoCode(ScanError):
    """A picture without a code that could be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One code: its `text`, its `symbology` (`qr` or `code-128`), and the corners in pixels,
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
    """All codes in a picture, the largest first; NoCode where there is none, else ScanError."""
    found = read_all(source)
    if not found:
        raise NoCode("no code was found in the picture")
    return found


def read_all(source: bytes | Path) -> tuple[Scan, ...]:
    """All codes in a picture, the largest first, none where there is none.

    NotAnImage and ImageTooLarge say what is wrong with the picture; OSError is the file's own.
    """
    content = _bytes_of(source)
    if is_svg(content):
        try:
            return _scans(rasterise(content))
        except DrawingError as error:
            raise NotAnImage(str(error)) from None
    image = _opened(content)
    for light in _lights(image):
        found = _scans(light)
        if found:
            return found
    return ()


def _bytes_of(source: bytes | Path) -> bytes:
    if isinstance(source, Path):
        size = source.stat().st_size
        if size > LARGEST_FILE:
            raise ImageTooLarge(f"expected at most {LARGEST_FILE} bytes, got {size}")
        return source.read_bytes()
    if len(source) > LARGEST_FILE:
        raise ImageTooLarge(f"expected at most {LARGEST_FILE} bytes, got {len(source)}")
    return source


def _opened(content: bytes) -> Image.Image:
    """The picture in greys, upright, transparent parts white."""
    try:
        with Image.open(io.BytesIO(content), formats=_KINDS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ImageTooLarge(
                    f"expected at most {MOST_PIXELS} pixels, got {image.width} x {image.height}"
                )
            image.draft(
                "L", (2 * _MIDDLING, 2 * _MIDDLING)
            )  # a JPEG is unpacked no larger than needed
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
                white = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(white, upright.convert("RGBA"))
            if upright.mode.startswith(("I", "F")):
                upright = upright.convert("F").point(lambda value: value / 256)
            return upright.convert("L")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageTooLarge(f"expected at most {MOST_PIXELS} pixels") from None
    except ScanError:
        raise
    except UnidentifiedImageError:
        raise NotAnImage(_unknown(content)) from None
    except _UNREADABLE:
        raise NotAnImage("the picture is broken or cut short") from None


def _unknown(content: bytes) -> str:
    if content[4:8] == b"ftyp" and content[8:12] in (b"heic", b"heix", b"mif1", b"hevc", b"msf1"):
        return "HEIC pictures are not read here, expected PNG, JPEG, WebP, GIF or BMP"
    return "expected a picture in PNG, JPEG, WebP, GIF or BMP"


def _lights(image: Image.Image) -> Iterator[Image.Image]:
    """The picture as it is, then in other lights, the likeliest to help first."""
    yield image
    if max(image.size) > _MIDDLING:
        image = ImageOps.contain(image, (_MIDDLING, _MIDDLING))
        yield image
    framed = ImageOps.expand(image, border=max(image.size) // 12 + 8, fill=255)
    contrasted = ImageOps.autocontrast(framed, cutoff=2)
    doubled = contrasted.resize((framed.width * 2, framed.height * 2), Image.Resampling.BICUBIC)
    yield doubled.filter(ImageFilter.GaussianBlur(2))
    yield contrasted.filter(ImageFilter.GaussianBlur(1))
    yield doubled
    yield framed
    yield contrasted.filter(ImageFilter.GaussianBlur(1.5))
    around = framed.filter(ImageFilter.BoxBlur(25))
    yield ImageOps.autocontrast(ImageChops.subtract(framed, around, 1, 128), cutoff=1)


def _scans(image: Image.Image) -> tuple[Scan, ...]:
    found = []
    # No other symbologies: the rows of a large symbol can look like some weaker barcode's bars.
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
    """The bytes as UTF-8, unprintable ones too, which zxing-cpp spells out; else its own guess."""
    try:
        return code.bytes.decode("utf-8")
    except UnicodeDecodeError:
        return code.text
