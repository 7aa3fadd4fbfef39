"""From a file to a picture in greys: PNG, JPEG, WebP, AVIF, TIFF, GIF, BMP, PPM, a code as SVG."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from math import ceil
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError, WebPImagePlugin
from PIL.JpegImagePlugin import JpegImageFile

from devices.qr.drawing import DrawingError, is_svg, rasterise

#: Largest file that is opened, in bytes.
LARGEST_FILE = 32 * 1024 * 1024
#: Most pixels that are decoded: enough for a phone's 48 megapixels, too few for a bomb.
MOST_PIXELS = 50_000_000
#: Most memory that decoding one picture may take, in bytes, as `_cost` estimates it.
MOST_MEMORY = 200_000_000
#: Most pixels that the scans of a JPEG may visit: one of few bytes can have thousands of scans.
MOST_VISITS = 1_000_000_000
#: Most pixels of a picture whose colours are looked at one by one.
MOST_COLOURED = 20_000_000
#: Most times that one side may be longer than the other, where it is above `USUAL_SIDE`.
MOST_STRETCH = 200
#: Pixels along the longer side with which a code in a photograph is usually read.
USUAL_SIDE = 1_200

# Pillow counts a JPEG of several pictures as JPEG. It loads its WebP plugin only when asked.
_KINDS = ("PNG", "JPEG", WebPImagePlugin.WebPImageFile.format, "AVIF", "TIFF", "GIF", "BMP", "PPM")
_EXPECTED = "expected PNG, JPEG, WebP, AVIF, TIFF, GIF or BMP"
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError,
               struct.error, zlib.error, RuntimeError, UserWarning)  # fmt: skip
# A marker in a JPEG is no filling byte, no stuffed zero and no restart marker.
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_HEIC_BRANDS = (b"heic", b"heix", b"mif1", b"hevc", b"msf1")

# Pillow warns of a picture with too many pixels; as an error it prints nothing on stderr.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
# It also warns of odd metadata in a TIFF, which says nothing of the picture.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")


class ScanError(ValueError):
    """A picture that cannot be scanned; the message is one line for the person who sent it."""


class NotAnImage(ScanError):
    """Bytes that are not a picture, a broken picture, or one of a kind that is not supported."""


class ImageTooLarge(ScanError):
    """A picture with more bytes or pixels than are decoded."""


def open_picture(source: bytes | Path, *, whole: bool = False) -> Image.Image:
    """The picture in greys, upright, transparent parts white.

    Without `whole` a large JPEG may come at a fraction of its size, which is decoded faster.
    NotAnImage and ImageTooLarge say what is wrong with it; OSError where the file cannot be read.
    """
    content = bytes_of(source)
    if is_svg(content):
        return _rasterised(content)
    return _decoded(content, _in_greys, whole=whole)


def open_channels(source: bytes | Path) -> tuple[Image.Image, ...]:
    """Red, green and blue of a picture in colour, as pictures in greys; empty for one without.

    Errors as `open_picture`. A code in red on green has no contrast but in its channels.
    """
    content = bytes_of(source)
    if is_svg(content):
        return ()
    colours = _decoded(content, _in_colours, whole=False)
    if colours.mode != "RGB":
        return ()
    return colours.split()


def size_of(source: bytes | Path) -> tuple[int, int]:
    """Width and height as the file says, before it is turned upright; errors as `open_picture`."""
    content = bytes_of(source)
    if is_svg(content):
        return _rasterised(content).size
    try:
        with Image.open(io.BytesIO(content), formats=_KINDS) as image:
            return image.size
    except _UNREADABLE:
        raise NotAnImage(_unknown(content)) from None


def _rasterised(content: bytes) -> Image.Image:
    try:
        return rasterise(content)
    except DrawingError as error:
        raise NotAnImage(str(error)) from None


def bytes_of(source: bytes | Path) -> bytes:
    """The bytes of the file; ImageTooLarge, OSError."""
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    if size > LARGEST_FILE:
        raise ImageTooLarge(f"expected at most {LARGEST_FILE} bytes, got {size}")
    return source.read_bytes() if isinstance(source, Path) else source


def _decoded(
    content: bytes, convert: Callable[[Image.Image], Image.Image], *, whole: bool
) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=_KINDS) as image:
            _check_size(image, content)
            side = 2 * USUAL_SIDE
            # A large JPEG at a fraction of its size is decoded faster, and enough for most codes.
            image.draft(
                None if convert is _in_colours else "L", image.size if whole else (side, side)
            )
            return ImageOps.exif_transpose(convert(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageTooLarge(f"expected at most {MOST_PIXELS} pixels") from None
    except ScanError:
        raise
    except UnidentifiedImageError:
        raise NotAnImage(_unknown(content)) from None
    except _UNREADABLE:
        raise NotAnImage("the picture is broken or cut short") from None


def _check_size(image: Image.Image, content: bytes) -> None:
    """ImageTooLarge for a picture that would take too much memory or time; nothing is decoded."""
    width, height = image.size
    pixels = width * height
    if pixels > MOST_PIXELS:
        raise ImageTooLarge(f"expected at most {MOST_PIXELS} pixels, got {width} x {height}")
    if max(width, height) > max(MOST_STRETCH * min(width, height), USUAL_SIDE):
        raise ImageTooLarge(f"expected sides of at most 1 : {MOST_STRETCH}, got {width} x {height}")
    most = MOST_MEMORY // _cost(image)
    if pixels > most:
        kind = f"{image.format} in mode {image.mode}"
        raise ImageTooLarge(f"expected at most {most} pixels of {kind}, got {width} x {height}")
    if isinstance(image, JpegImageFile) and pixels * _jpeg_scans(content) > MOST_VISITS:
        raise ImageTooLarge(f"expected fewer scans in a JPEG of {width} x {height} pixels")


def _cost(image: Image.Image) -> int:
    """Bytes for each pixel, at most, until the picture is in greys; measured with Pillow 13."""
    if isinstance(image, JpegImageFile):
        # With several scans libjpeg holds all coefficients, 2 bytes each, of every component.
        areas = [across * down for _, across, down, _ in image.layer]
        decoded = 4 if image.mode == "CMYK" else 1
        return decoded + ceil(2 * sum(areas) / max(areas))
    if image.format in (WebPImagePlugin.WebPImageFile.format, "AVIF"):
        return 17  # two canvases of the decoder, its result and the picture, 4 bytes each
    if image.mode.startswith(("I", "F")):
        return 12
    if image.has_transparency_data:
        return 9
    return 3 if image.mode in ("1", "L", "P") else 6


def _jpeg_scans(content: bytes) -> int:
    """How many scans a JPEG has (ITU-T T.81, B.1.1: markers and segments)."""
    scans, at = 0, 2
    while found := _MARKER.search(content, at):
        marker, at = found[0][-1], found.end()
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        at += int.from_bytes(content[at : at + 2])
    return scans


def _in_colours(image: Image.Image) -> Image.Image:
    """The picture in RGB, reduced; a blank in greys where it has no colours or too many pixels."""
    if (
        image.mode in ("1", "L", "LA")
        or image.mode.startswith(("I", "F"))
        or image.width * image.height > MOST_COLOURED
    ):
        return Image.new("L", (1, 1))
    if image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image = image.reduce(max(1, max(image.size) // USUAL_SIDE))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image.convert("RGB"), mask=image.getchannel("A"))
    white.info.update(image.info)  # with the picture's orientation
    return white


def _in_greys(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
    if image.mode.startswith(("I", "F")):  # 16 bits of grey
        image = image.convert("F").point(lambda value: value / 256)
    if image.mode != "RGBA":
        return image.convert("L")
    white = Image.new("L", image.size, "white")
    white.paste(image.convert("L"), mask=image.getchannel("A"))
    white.info.update(image.info)  # with the picture's orientation
    return white


def _unknown(content: bytes) -> str:
    if content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS:
        return f"HEIC pictures are not read here, {_EXPECTED}"
    return f"not a picture that is read here, {_EXPECTED}"
