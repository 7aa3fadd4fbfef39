"""Barcodes are what readers of Code 128 read."""

from __future__ import annotations

import random
import string

import pytest

from devices.qr import scanner
from devices.qr.symbol import barcode
from devices.qr.symbol.barcode import BarcodeError

PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "


def read(picture: bytes) -> list[tuple[str, str]]:
    return [(scan.text, scan.symbology) for scan in scanner.read_all(picture)]


@pytest.mark.parametrize(
    "text", ["9912345678901234567", "131234567890123456", "12", "Lane Tea House", "a1", "~ !"]
)
def test_png_and_svg_are_read_back(text: str) -> None:
    assert read(barcode.png(text)) == [(text, "code-128")]
    assert read(barcode.svg(text).encode()) == [(text, "code-128")]


def test_every_character_and_pair_of_digits_is_drawn_right() -> None:
    rng = random.Random(3)
    for start in range(0, len(PRINTABLE), 20):
        text = PRINTABLE[start : start + 20]
        assert read(barcode.png(text)) == [(text, "code-128")]
    for start in range(0, 100, 10):
        text = "".join(f"{pair:02}" for pair in range(start, start + 10))
        assert read(barcode.png(text)) == [(text, "code-128")]
    for length in range(14, 25):  # the check character takes all its values
        text = "".join(rng.choices(string.digits, k=length))
        assert read(barcode.png(text)) == [(text, "code-128")]


@pytest.mark.parametrize("text", ["", "é", "a\n", "１２", "x" * 81])
def test_what_has_no_bars_is_refused(text: str) -> None:
    with pytest.raises(BarcodeError, match=r"^text: "):
        barcode.png(text)


def test_quiet_zone_is_ten_modules() -> None:
    assert barcode.modules("12").startswith("0" * 10 + "1")
    assert barcode.modules("12").endswith("1" + "0" * 10)
