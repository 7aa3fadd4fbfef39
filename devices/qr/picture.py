"""From a file to a picture in greys: PNG, JPEG, WebP, GIF, BMP or PPM, or a code drawn as SVG."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError, WebPImagePlugin

from devices.qr.drawing import DrawingError, is_svg, rasterise

#: Largest file that is opened, in bytes.
LARGEST_FILE = 32 * 1024 * 1024
#: Most pixels that are decoded: enough for a phone's 48 megapixels, too few for a bomb.
MOST_PIXELS = 50_000_000
#: Pixels along the longer side with which a code in a photograph is usually read.
USUAL_SIDE = 1_200

# Pillow counts a JPEG of several pictures as JPEG. It loads its WebP plugin only when asked.
_KINDS = ("PNG", "JPEG", WebPImagePlugin.WebPImageFile.format, "GIF", "BMP", "PPM")
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError,
               struct.error, zlib.error)  # fmt: skip
_HEIC_BRANDS = (b"heic", b"heix", b"mif1", b"hevc", b"msf1")

# Pillow warns of a picture with too many pixels; as an error it prints nothing on stderr.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


class ScanError(ValueError):
    """A picture that cannot be scanned; the message is one line for the person who sent it."""


class NotAnImage(ScanError):
    """Bytes that are not a picture, a broken picture, or one of a kind that is not supported."""


class ImageTooLarge(ScanError):
    """A picture with more bytes or pixels than are decoded."""


def open_picture(source: bytes | Path) -> Image.Image:
    """The picture in greys, upright, transparent parts white.

    NotAnImage and ImageTooLarge say what is wrong with it; OSError where the file cannot be read.
    """
    content = _bytes_of(source)
    if not is_svg(content):
        return _decoded(content)
    try:
        return rasterise(content)
    except DrawingError as error:
        raise NotAnImage(str(error)) from None


def _bytes_of(source: bytes | Path) -> bytes:
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    if size > LARGEST_FILE:
        raise ImageTooLarge(f"expected at most {LARGEST_FILE} bytes, got {size}")
    return source.read_bytes() if isinstance(source, Path) else source


def _decoded(content: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=_KINDS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ImageTooLarge(
                    f"expected at most {MOST_PIXELS} pixels, got {image.width} x {image.height}"
                )
            # Decode a large JPEG at a fraction of its size: faster, and enough for a code.
            image.draft("L", (2 * USUAL_SIDE, 2 * USUAL_SIDE))
            return _in_greys(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageTooLarge(f"expected at most {MOST_PIXELS} pixels") from None
    except ScanError:
        raise
    except UnidentifiedImageError:
        raise NotAnImage(_unknown(content)) from None
    except _UNREADABLE:
        raise NotAnImage("the picture is broken or cut short") from None


def _in_greys(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    if image.mode.startswith(("I", "F")):  # 16 bits of grey
        image = image.convert("F").point(lambda value: value / 256)
    return image.convert("L")


def _unknown(content: bytes) -> str:
    if content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS:
        return "HEIC pictures are not read here, expected PNG, JPEG, WebP, GIF or BMP"
    return "expected a picture in PNG, JPEG, WebP, GIF or BMP"
