"""Pictures made to cost much: refused before they are decoded, or read within bounds."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from devices.qr.picture import MOST_MEMORY, ImageTooLarge, open_picture
from devices.qr.scanner import read_all

_MEASURE = """
import resource, sys, time
from pathlib import Path
from devices.qr.scanner import ScanError, read_all
content = Path(sys.argv[1]).read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_all(content)
    outcome = "read"
except ScanError:
    outcome = "refused"
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(outcome, (peak - before) * (1 if sys.platform == "darwin" else 1024), time.process_time())
"""


def png(width: int, height: int, *, bits: int, colour: int) -> bytes:
    """A black PNG by hand: Pillow writes no 16-bit colours (ISO/IEC 15948, 11.2.1 IHDR)."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(9)
    row = bytes(1 + width * channels * bits // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def drawn(kind: str, mode: str, side: int, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (side, side)).save(out, kind, **options)
    return out.getvalue()


def jpeg_of_many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG that repeats its last scan, as one that lies about its work does."""
    content = drawn("JPEG", "L", side, progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * scans + content[-2:]


BOMBS = {
    "16 bits of grey": lambda: png(7000, 7100, bits=16, colour=0),
    "16 bits of four colours": lambda: png(7000, 7100, bits=16, colour=6),
    "8 bits of three colours": lambda: png(7000, 7100, bits=8, colour=2),
    "8 bits of four colours": lambda: png(7000, 7100, bits=8, colour=6),
    "WebP": lambda: drawn("WEBP", "RGB", 4500),
    "a line": lambda: png(50_000_000, 1, bits=8, colour=0),
    "a short line": lambda: png(3_000, 1, bits=8, colour=0),
    "a pole": lambda: png(1, 3_000, bits=1, colour=0),
    "scans": lambda: jpeg_of_many_scans(4000, 2_000),
}
# Each is as large as its kind may be.
LARGEST = {
    "grey": lambda: png(7000, 7100, bits=8, colour=0),
    "16 bits of grey": lambda: png(4000, 4100, bits=16, colour=0),
    "colours": lambda: png(5700, 5800, bits=8, colour=2),
    "16 bits with alpha": lambda: png(4700, 4700, bits=16, colour=6),
    "WebP": lambda: drawn("WEBP", "RGBA", 3400),
    "GIF": lambda: drawn("GIF", "P", 7000),
    "progressive JPEG": lambda: drawn("JPEG", "RGB", 7000, progressive=True),
    "progressive CMYK": lambda: drawn("JPEG", "CMYK", 3900, progressive=True),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_that_would_cost_too_much_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ImageTooLarge, match=r"expected .*[0-9]") as refused:
        read_all(BOMBS[name]())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_pictures_take_no_more_memory_than_is_stated(name: str, tmp_path: Path) -> None:
    picture = tmp_path / "picture"
    picture.write_bytes(LARGEST[name]())
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(picture)], capture_output=True, text=True, check=True
    )
    outcome, peak, seconds = done.stdout.split()
    assert outcome == "read"
    assert int(peak) <= MOST_MEMORY * 1.2
    assert float(seconds) < 10


def test_a_phones_48_megapixels_are_read() -> None:
    assert open_picture(drawn("JPEG", "RGB", 6928)).size == (3464, 3464)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "I;16"])
def test_every_kind_of_pixel_becomes_the_grey_that_it_looks_like(mode: str) -> None:
    out = io.BytesIO()
    bright = {"LA": (255, 255), "RGB": (255,) * 3, "RGBA": (255,) * 4, "I;16": 65535}
    image = Image.new("L" if mode == "P" else mode, (40, 40), bright.get(mode, 255))
    image.convert(mode).save(out, "PNG")
    assert open_picture(out.getvalue()).getpixel((20, 20)) == 255
    dark = Image.new(mode, (40, 40), {"LA": (0, 255), "RGBA": (0, 0, 0, 255)}.get(mode, 0))
    out = io.BytesIO()
    dark.save(out, "PNG")
    assert open_picture(out.getvalue()).getpixel((20, 20)) == 0
