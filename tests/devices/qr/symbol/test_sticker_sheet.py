"""Printed stickers are read back from every form, and say who is paid."""

from __future__ import annotations

import io
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from devices.qr import scanner
from devices.qr.symbol import sticker_sheet
from devices.qr.symbol.sticker_sheet import Sticker

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


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="no pdftoppm on this machine")
def test_printed_sheet_is_read_by_a_camera(tmp_path: Path) -> None:
    path = tmp_path / "sheet.pdf"
    texts = {f"{LINK[:-1]}{letter}" for letter in "ABCDEF"}
    path.write_bytes(sticker_sheet.sheet([sticker(text=text) for text in texts], made_at=MADE_AT))
    command = ["pdftoppm", "-r", "100", "-png", "-singlefile", str(path), str(tmp_path / "page")]
    subprocess.run(command, check=True, timeout=60)
    found = scanner.read(tmp_path / "page.png")
    assert {scan.text for scan in found} == texts


def test_impossible_sheets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^stickers: "):
        sticker_sheet.sheet([], made_at=MADE_AT)
    with pytest.raises(ValueError, match=r"^columns, rows: "):
        sticker_sheet.sheet([sticker()], made_at=MADE_AT, columns=9)
