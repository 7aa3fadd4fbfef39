"""Symbols equal stock qrcode's, and every picture can be read."""

from __future__ import annotations

import io
import random
import re
import string
import xml.etree.ElementTree as ElementTree

import pytest
import qrcode
import zxingcpp
from PIL import Image, ImageDraw
from qrcode import util

from devices.qr.symbol import rendering
from devices.qr.symbol.encoder import LEVELS, SymbolError, encode
from devices.qr.symbol.masks import MASKS, MaskScorer

ALPHABETS = (
    string.digits,
    string.ascii_uppercase + string.digits + ":/.-",
    string.ascii_letters + string.digits + " /:.?=&",
    string.digits + string.ascii_uppercase + "最佳运输é",
)


def stock_rows(text: str, error_correction: str) -> tuple[str, ...]:
    code = qrcode.QRCode(error_correction=LEVELS[error_correction], border=0)
    code.add_data(text)
    code.make()
    return tuple("".join("01"[bool(m)] for m in row) for row in code.get_matrix())


def as_stock(text: str) -> str | bytes:
    """`text` as stock qrcode writes it: as bytes without ECI where it goes beyond ASCII."""
    return text if text.isascii() else text.encode()


def text_of_version(version: int, error_correction: str, rng: random.Random) -> str:
    """A random text that stock qrcode puts into exactly `version`."""
    limits = util.BIT_LIMIT_TABLE[LEVELS[error_correction]]
    while True:
        alphabet = rng.choice(ALPHABETS)
        text = "".join(rng.choices(alphabet, k=limits[version] // 3 + 1))
        # Cut to a random length of those that need this version and no smaller one.
        fitting = [
            n for n in range(len(text), 0, -1) if _bits(text[:n], version) <= limits[version]
        ]
        shortest = [n for n in fitting if _bits(text[:n], version) > limits[version - 1]]
        if shortest:
            text = text[: rng.choice(shortest[:6] + shortest[-1:])]
            code = qrcode.QRCode(error_correction=LEVELS[error_correction])
            code.add_data(text)
            if code.best_fit() == version:
                return text


def _bits(text: str, version: int) -> int:
    sizes = util.mode_sizes_for_version(version)
    total = 0
    for part in util.optimal_data_chunks(text, minimum=20):
        n = len(part.data)
        body = {1: (10 * n + 2) // 3, 2: (11 * n + 1) // 2, 4: 8 * n}[part.mode]
        total += 4 + sizes[part.mode] + body
    return total


def decoded(picture: bytes) -> list[str]:
    image = Image.open(io.BytesIO(picture))
    return [found.text for found in zxingcpp.read_barcodes(image, formats=zxingcpp.QRCode)]


@pytest.mark.parametrize("version", range(1, 21))
def test_modules_equal_stock_qrcode(version: int) -> None:
    rng = random.Random(version)
    for level in "MLQH"[: 4 if version < 6 else 1]:
        text = text_of_version(version, level, rng)
        symbol = encode(as_stock(text), error_correction=level)
        assert symbol.version == version
        assert symbol.rows == stock_rows(text, level)


@pytest.mark.long
@pytest.mark.parametrize("version", range(1, 21))
def test_fifty_payloads_of_a_version_equal_stock_and_are_read_back(version: int) -> None:
    rng = random.Random(1000 + version)
    for number in range(50):
        text = text_of_version(version, "M", rng)
        symbol = encode(as_stock(text))
        assert symbol.version == version
        assert symbol.rows == stock_rows(text, "M")
        assert decoded(rendering.png(text, module_pixels=2 + number % 4)) == [text]


def test_versions_above_twenty_equal_stock_too() -> None:
    for length, version in ((1400, 27), (2900, 40)):
        text = "".join(random.Random(version).choices(string.ascii_letters, k=length))
        symbol = encode(text, error_correction="L")
        assert symbol.version == version
        assert symbol.rows == stock_rows(text, "L")


def test_points_of_every_mask_are_those_of_stock() -> None:
    rng = random.Random(7)
    for size in (21, 25, 45):
        trials = [
            [[rng.random() < 0.5 for _ in range(size)] for _ in range(size)] for _ in range(MASKS)
        ]
        for trial in trials:  # put what rule 3 looks for into rows and columns, edges included
            row, column = rng.randrange(size), rng.randrange(size)
            trial[row][-11:] = [module == "1" for module in "00001011101"]
            for offset, module in enumerate("10111010000"):
                trial[offset][column] = module == "1"
            trial[size - 2] = [True] * size
        for number, share in enumerate((0.2, 0.27, 0.38, 0.72, 0.9), start=3):  # rule 4
            trials[number] = [[rng.random() < share for _ in range(size)] for _ in range(size)]
        text = [["".join("01"[m] for m in row) for row in trial] for trial in trials]
        scorer = MaskScorer(size, text)
        assert scorer.points(0) == [util.lost_point(trial) for trial in trials]


def test_png_is_one_bit_and_read_back_at_every_size() -> None:
    for pixels in (1, 3, 8, 10, 13):
        for text in ("HTTP://192.168.1.20:8000/P/ABCDEFGHIJKLM", "最佳运输" * 20):
            picture = rendering.png(text, module_pixels=pixels)
            image = Image.open(io.BytesIO(picture))
            side = (encode(text).size + 8) * pixels
            assert (image.mode, image.size) == ("1", (side, side))
            assert decoded(picture if pixels > 1 else _twice(image)) == [text]


def _twice(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.resize((image.width * 3, image.height * 3), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


def test_png_has_exactly_the_modules_and_a_light_margin_of_four() -> None:
    text = "HTTP://10.0.0.7/P/ABCDEFGHIJKLM"
    image = Image.open(io.BytesIO(rendering.png(text, module_pixels=3)))
    rows = encode(text).rows
    blank = "0" * (len(rows) + 8)
    expected = [blank] * 4 + ["0000" + row + "0000" for row in rows] + [blank] * 4
    for y in range(image.height):
        line = "".join("0" if image.getpixel((x, y)) else "1" for x in range(image.width))
        assert line == "".join(module * 3 for module in expected[y // 3])


def test_code_on_a_dark_page_is_read() -> None:
    picture = Image.open(
        io.BytesIO(rendering.png("HTTP://10.0.0.7/P/ABCDEFGHIJKLM", module_pixels=4))
    )
    page = Image.new("L", (picture.width + 200, picture.height + 200), 0)
    page.paste(picture.convert("L"), (100, 100))
    assert [found.text for found in zxingcpp.read_barcodes(page)] == [
        "HTTP://10.0.0.7/P/ABCDEFGHIJKLM"
    ]


def drawn(svg: str, scale: int = 4) -> Image.Image:
    """The SVG's rectangle and strokes, drawn by reading its path commands."""
    root = ElementTree.fromstring(svg)
    across = int(root.attrib["viewBox"].split()[2])
    rectangle, path = root
    assert rectangle.attrib["fill"] == "#fff"
    image = Image.new("1", (across * scale, across * scale), 1)
    pen = ImageDraw.Draw(image)
    x = y = 0.0
    for command, first, second in re.findall(
        r"([Mmh])(-?[\d.]+)(?: (-?[\d.]+))?", path.attrib["d"]
    ):
        if command == "M":
            x, y = float(first), float(second)
        elif command == "m":
            x, y = x + float(first), y + float(second)
        else:
            top = (y - 0.5) * scale
            pen.rectangle((x * scale, top, (x + float(first)) * scale - 1, top + scale - 1), fill=0)
            x += float(first)
    return image


def test_svg_draws_the_same_picture_as_the_png() -> None:
    for text in ("HTTP://10.0.0.7/P/ABCDEFGHIJKLM", "x" * 300):
        image = drawn(rendering.svg(text))
        png = Image.open(io.BytesIO(rendering.png(text, module_pixels=4)))
        assert image.tobytes() == png.tobytes()
        assert [found.text for found in zxingcpp.read_barcodes(image)] == [text]


def test_terminal_picture_is_read_back() -> None:
    text = "HTTP://10.0.0.7/P/ABCDEFGHIJKLM"
    lines = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in rendering.terminal(text).splitlines()]
    assert all(line.startswith("\x1b[30;107m") for line in rendering.terminal(text).splitlines())
    image = Image.new("1", (len(lines[0]) * 4, len(lines) * 8), 1)
    pen = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        for column, block in enumerate(line):
            for half, dark in enumerate((block in "▀█", block in "▄█")):
                if dark:
                    top = row * 8 + half * 4
                    pen.rectangle((column * 4, top, column * 4 + 3, top + 3), fill=0)
    assert [found.text for found in zxingcpp.read_barcodes(image)] == [text]


def test_what_no_symbol_can_hold_is_refused_by_name() -> None:
    with pytest.raises(SymbolError, match=r"^text: expected at least one character$"):
        rendering.png("")
    with pytest.raises(SymbolError, match=r"^text: .* do not fit"):
        rendering.svg("x" * 3000)
    with pytest.raises(SymbolError, match=r"^error_correction: "):
        rendering.modules("x", error_correction="X")
    with pytest.raises(SymbolError, match=r"^module_pixels: "):
        rendering.png("x", module_pixels=0)
    with pytest.raises(SymbolError, match=r"^text: "):
        rendering.png("\ud800")


def test_alt_text_names_amount_and_payee() -> None:
    assert rendering.alt_text("CNY 12.80", "Lane Tea House") == (
        "QR code to pay CNY 12.80 to Lane Tea House"
    )


def test_module_size_fills_the_pixels_asked_for() -> None:
    size = len(rendering.modules("x"))
    assert rendering.module_pixels_for(size, 29 * 7 + 3) == 7
    assert rendering.module_pixels_for(size, 1) == 1


def test_warming_builds_the_tables_of_the_versions_named() -> None:
    rendering.warm([4])
    assert encode("x" * 60).version == 4
