"""Printed stickers are read back from every form, and say who is paid."""

from __future__ import annotations

import io
import subprocess
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

from devices.qr import scanner
from devices.qr.symbol import fonts, outlines, sticker_sheet
from devices.qr.symbol.sticker_sheet import FontError, Sticker

LINK = "HTTP://192.168.1.20:8000/P/ABCDEFGHIJKLM"
MADE_AT = datetime(2026, 3, 4, tzinfo=UTC)


def sticker(payee: str = "Lane Tea House", text: str = LINK, number: str = "No. 1") -> Sticker:
    return Sticker(text=text, payee=payee, number=number)


def test_png_is_read_back() -> None:
    picture = sticker_sheet.png(
        sticker("A shop with a name so long that it has to be made smaller")
    )
    assert Image.open(io.BytesIO(picture)).mode == "1"
    assert [scan.text for scan in scanner.read(picture)] == [LINK]
    assert [scan.text for scan in scanner.read(sticker_sheet.png(sticker("巷子茶馆")))] == [LINK]


def test_svg_is_read_back_and_names_payee_safely() -> None:
    svg = sticker_sheet.svg(sticker("Tea & <Co>"))
    root = ElementTree.fromstring(svg)
    texts = ["".join(each.itertext()) for each in root]
    assert "QR code to pay Tea & <Co>" in texts
    assert "Scan to pay" in texts
    assert "No. 1" in texts


def page_streams(pdf: bytes) -> list[str]:
    return [
        zlib.decompress(part.split(b"\nendstream")[0]).decode()
        for part in pdf.split(b"/FlateDecode>>stream\n")[1:]
    ]


def drawn_symbols(stream: str) -> list[Image.Image]:
    """The symbols of a page, drawn from its rectangles."""
    pictures = []
    for part in stream.split(" cm\n")[1:]:
        image = Image.new("1", (400, 400), 1)
        for line in part.split("\nf Q")[0].splitlines():
            x, y, width, height = (int(each) for each in line.split()[:4])
            assert 0 <= x < 60
            assert -60 < y < 0  # below the corner at which the symbol hangs
            box = (40 + x * 8, 40 - (y + height) * 8, 40 + (x + width) * 8, 40 - y * 8)
            image.paste(0, box)
        pictures.append(image)
    return pictures


def test_sheet_holds_every_sticker_over_as_many_pages_as_it_needs() -> None:
    texts = [f"{LINK[:-1]}{letter}" for letter in "ABCDEFGH"]
    pdf = sticker_sheet.sheet([sticker(text=text) for text in texts], made_at=MADE_AT)
    streams = page_streams(pdf)
    assert [stream.count(" cm") for stream in streams] == [6, 2]
    found = []
    for stream in streams:
        for image in drawn_symbols(stream):
            out = io.BytesIO()
            image.save(out, "PNG")
            found += [scan.text for scan in scanner.read(out.getvalue())]
    assert found == texts


def test_sheet_is_a_well_formed_pdf() -> None:
    pdf = sticker_sheet.sheet([sticker("茶馆 (Lane) \\")], made_at=MADE_AT)
    assert pdf.startswith(b"%PDF-1.7")
    table = int(pdf.rsplit(b"startxref\n", 1)[1].split()[0])
    lines = pdf[table:].split(b"\n")
    assert lines[0] == b"xref"
    count = int(lines[1].split()[1])
    for number in range(1, count):
        place = int(lines[2 + number].split()[0])
        assert pdf[place:].startswith(f"{number} 0 obj\n".encode())


def test_printed_sheet_is_read_by_a_camera(tmp_path: Path) -> None:
    path = tmp_path / "sheet.pdf"
    texts = {f"{LINK[:-1]}{letter}" for letter in "ABCDEF"}
    path.write_bytes(sticker_sheet.sheet([sticker(text=text) for text in texts], made_at=MADE_AT))
    found = scanner.read(printed(path))
    assert {scan.text for scan in found} == texts


def printed(path: Path) -> Path:
    """The first page of a PDF as poppler draws it, 100 dots to an inch."""
    page = path.with_suffix("")
    command = ["pdftoppm", "-r", "100", "-png", "-singlefile", str(path), str(page)]
    subprocess.run(command, check=True, timeout=60)
    return page.with_suffix(".png")


def words_by_freetype(text: str, height: int) -> Image.Image:
    """Black words on white, cut to their ink and `height` pixels high."""
    font = fonts.font_for(text)
    face = ImageFont.truetype(font.path, 200, index=font.number)
    sheet = Image.new("L", (250 * len(text), 400), 255)
    ImageDraw.Draw(sheet).text((20, 20), text, fill=0, font=face)
    return fitted(sheet, height)


def fitted(picture: Image.Image, height: int) -> Image.Image:
    ink = ImageOps.invert(picture).point(lambda value: 255 if value > 60 else 0).getbbox()
    assert ink is not None, "no words were drawn"
    cut = picture.crop(ink)
    return cut.resize((round(cut.width * height / cut.height), height))


@pytest.mark.parametrize("name", ["巷子茶馆", "东方 Tea 茶", "Łódź"])
def test_words_beyond_latin_1_print_as_their_font_draws_them(tmp_path: Path, name: str) -> None:
    path = tmp_path / "sheet.pdf"
    path.write_bytes(sticker_sheet.sheet([sticker(name)], made_at=MADE_AT, columns=1, rows=1))
    page = Image.open(printed(path)).convert("L")
    band = page.crop((60, 60, page.width - 60, round(page.height * 0.145)))
    shown, expected = fitted(band, 60), words_by_freetype(name, 60)
    assert abs(shown.width - expected.width) < 0.04 * expected.width
    expected = expected.resize(shown.size)
    # The payee is bold: its ink covers the ink of the plain glyphs, and a little more.
    assert ink(ImageChops.lighter(shown, expected)) > 0.9 * ink(expected)
    assert ink(shown) < 1.8 * ink(expected)


def ink(picture: Image.Image) -> int:
    """The number of dark pixels."""
    return sum(picture.histogram()[:128])


def test_latin_names_print_in_a_font_of_the_viewer() -> None:
    (stream,) = page_streams(sticker_sheet.sheet([sticker("Café")], made_at=MADE_AT))
    assert f"<{'Café'.encode('cp1252').hex().upper()}> Tj" in stream


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fonts, "_KNOWN_FONTS", ())
    monkeypatch.setenv("PATH", "/nowhere")
    fonts.font_for.cache_clear()
    outlines.outline.cache_clear()
    yield
    fonts.font_for.cache_clear()


@pytest.mark.usefixtures("no_fonts")
def test_words_that_no_font_here_writes_are_refused_in_one_line() -> None:
    chinese = sticker("巷子茶馆")
    for write in (sticker_sheet.png, lambda each: sticker_sheet.sheet([each], made_at=MADE_AT)):
        with pytest.raises(FontError, match=r"^sticker: no font .*'巷子茶馆'.*expected.*$"):
            write(chinese)
    assert "巷子茶馆" in sticker_sheet.svg(chinese)
    latin = sticker_sheet.sheet([sticker()], made_at=MADE_AT)
    assert latin.startswith(b"%PDF-")


@pytest.mark.parametrize("name", ["سوق", "שוק", "हिन्दी"])
def test_scripts_that_need_shaping_are_refused(name: str) -> None:
    with pytest.raises(FontError, match=r"^sticker: expected words in Latin letters or Chinese"):
        sticker_sheet.sheet([sticker(name)], made_at=MADE_AT)


def test_impossible_sheets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^stickers: "):
        sticker_sheet.sheet([], made_at=MADE_AT)
    with pytest.raises(ValueError, match=r"^columns, rows: "):
        sticker_sheet.sheet([sticker()], made_at=MADE_AT, columns=9)
