"""Barcodes are read by zxing-cpp, and by a reader of the standard's table that shares no code."""

from __future__ import annotations

import random
import re
import string
import xml.etree.ElementTree as ElementTree

import pytest

from devices.qr import scanner
from devices.qr.symbol import rendering
from devices.qr.symbol.rendering import SymbolError

PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "

# ISO/IEC 15417, symbol character values: widths of bar, space, bar, space, bar, space for the
# values 0 to 102, then start A, B, C.
WIDTHS = re.findall(
    "......",
    "212222222122222221121223121322131222122213122312132212221213221312231212112232122132"
    "122231113222123122123221223211221132221231213212223112312131311222321122321221312212"
    "322112322211212123212321232121111323131123131321112313132113132311211313231113231311"
    "112133112331132131113123113321133121313121211331231131213113213311213131311123311321"
    "331121312113312311332111314111221411431111111224111422121124121421141122141221112214"
    "112412122114122411142112142211241211221114413111241112134111111242121142121241114212"
    "124112124211411212421112421211212141214121412121111143111341131141114113114311411113"
    "411311113141114131311141411131211412211214211232",
)
STOP = "2331112"
START_B, START_C, TO_C, TO_B = 104, 105, 99, 100


def modules_of(svg: str) -> str:
    """Modules from left to right, 1 for a bar, margins included, from the drawing's path."""
    root = ElementTree.fromstring(svg)
    across, _ = (int(each) for each in root.attrib["viewBox"].split()[2:])
    row = ["0"] * across
    for left, width in re.findall(r"M(\d+) \d+h(\d+)v", root[1].attrib["d"]):
        row[int(left) : int(left) + int(width)] = "1" * int(width)
    return "".join(row)


def read_by_the_table(modules: str) -> str:
    """The text of a barcode in code sets B and C, its check character verified."""
    widths = "".join(str(len(run)) for run in re.findall("0+|1+", modules.strip("0")))
    assert widths.endswith(STOP)
    values = [WIDTHS.index(each) for each in re.findall("......", widths[: -len(STOP)])]
    *values, check = values
    assert (values[0] + sum(n * value for n, value in enumerate(values))) % 103 == check
    digits = {START_B: False, START_C: True}[values[0]]
    text = ""
    for value in values[1:]:
        if value == (TO_B if digits else TO_C):
            digits = not digits
        else:
            text += f"{value:02}" if digits else chr(value + 32)
    return text


def check_read_back(text: str) -> None:
    svg = rendering.code_128_svg(text)
    assert read_by_the_table(modules_of(svg)) == text
    assert [(scan.text, scan.symbology) for scan in scanner.read_all(svg.encode())] == [
        (text, "code-128")
    ]


@pytest.mark.parametrize(
    "text", ["9912345678901234567", "131234567890123456", "12", "Lane Tea House", "a1", "~ !"]
)
def test_barcode_is_read_back_by_both_readers(text: str) -> None:
    check_read_back(text)


def test_every_character_and_pair_of_digits_is_drawn_right() -> None:
    rng = random.Random(3)
    for start in range(0, len(PRINTABLE), 20):
        check_read_back(PRINTABLE[start : start + 20])
    for start in range(0, 100, 10):
        check_read_back("".join(f"{pair:02}" for pair in range(start, start + 10)))
    for length in range(14, 25):  # the check character takes all its values
        check_read_back("".join(rng.choices(string.digits, k=length)))


def test_payer_code_of_19_digits_is_176_modules_wide_in_code_set_c() -> None:
    svg = rendering.code_128_svg("9912345678901234567")
    assert len(modules_of(svg)) == 176
    assert svg.startswith(
        '<svg xmlns="http://www.w3.org/2000/svg" width="352" height="88" viewBox="0 0 176 88"'
    )


@pytest.mark.parametrize("text", ["", "é", "a\n", "１２", "x" * 81])
def test_text_that_is_not_printable_ascii_is_refused(text: str) -> None:
    with pytest.raises(SymbolError, match=r"^text: "):
        rendering.code_128_svg(text)


def test_quiet_zone_is_ten_modules() -> None:
    modules = modules_of(rendering.code_128_svg("12"))
    assert modules.startswith("0" * 10 + "1")
    assert modules.endswith("1" + "0" * 10)
