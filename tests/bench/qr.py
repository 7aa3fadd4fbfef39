"""How fast codes are drawn, compared with other libraries.

Every figure is a ratio of medians, measured in turns within one run on one machine: how many times
as fast as stock `qrcode` with Pillow draws a PNG of the same text (error correction M, ten pixels
to a module, a margin of four). Exit status 1 where a promise is missed.

    python tests/bench/qr.py [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import string
import sys
import time
from collections.abc import Callable
from typing import Any

import qrcode
import segno
import zxingcpp
from PIL import Image

from devices.qr.symbol import rendering

BYTES = (120, 300)
#: Our writer, its peer, and how many times as fast it must be.
PROMISES = (
    ("png", "qrcode_png", 4.5),
    ("png", "segno_png", 4.0),
    ("svg", "qrcode_png", 6.5),
)


def writers(text: str) -> dict[str, Callable[[], object]]:
    """The ways to draw `text`, by name."""

    def stock() -> None:
        code = qrcode.QRCode(
            error_correction=qrcode.constants.ERROR_CORRECT_M, box_size=10, border=4
        )
        code.add_data(text)
        code.make_image().save(io.BytesIO())

    def segno_code() -> Any:
        return segno.make_qr(text, error="m", boost_error=False)

    def native() -> zxingcpp.Barcode:
        return zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level="M")

    def native_png() -> None:
        drawn = native().to_image(scale=10)
        height, width = drawn.shape
        picture = Image.frombuffer("L", (width, height), memoryview(drawn), "raw", "L", 0, 1)
        picture.save(io.BytesIO(), "PNG")

    return {
        "qrcode_png": stock,
        "segno_png": lambda: segno_code().save(io.BytesIO(), kind="png", scale=10, border=4),
        "segno_svg": lambda: segno_code().save(io.BytesIO(), kind="svg", scale=10, border=4),
        "zxing_cpp_png": native_png,
        "zxing_cpp_svg": lambda: native().to_svg(scale=10),
        "png": lambda: rendering.png(text),
        "svg": lambda: rendering.svg(text),
    }


def medians_ms(drawing: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, measured in turns so that a busy machine slows all of them."""
    for draw in drawing.values():
        draw()  # tables and imports
    taken: dict[str, list[float]] = {name: [] for name in drawing}
    for _ in range(rounds):
        for name, draw in drawing.items():
            started = time.perf_counter()
            draw()
            taken[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(each) for name, each in taken.items()}


def measure(rounds: int) -> dict[str, Any]:
    """The ratios to stock for each size, and the ratio measured for each promise."""
    rng = random.Random(2017)
    sizes: dict[str, Any] = {}
    promises = []
    for count in BYTES:
        text = "".join(rng.choices(string.ascii_letters + string.digits + "/:.", k=count))
        ms = medians_ms(writers(text), rounds)
        version = (len(rendering.modules(text)) - 17) // 4
        sizes[str(count)] = {
            "version": version,
            "times_as_fast_as_stock_png": {
                name: round(ms["qrcode_png"] / each, 1) for name, each in ms.items()
            },
            "median_ms": {name: round(each, 3) for name, each in ms.items()},
        }
        for ours, peer, least in PROMISES:
            ratio = ms[peer] / ms[ours]
            promises.append(
                {
                    "bytes": count,
                    "what": f"{ours} over {peer}",
                    "at_least": least,
                    "measured": round(ratio, 1),
                    "met": ratio >= least,
                }
            )
    return {"rounds": rounds, "bytes": sizes, "promises": promises}


def main() -> int:
    """Measure, print, and return 0 where every promise is met, else 1."""
    parser = argparse.ArgumentParser(description="QR rendering beside other libraries")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = measure(options.rounds)
    if options.json:
        sys.stdout.write(json.dumps(measured, indent=2) + "\n")
    else:
        for count, figures in measured["bytes"].items():
            print(f"{count} bytes, version {figures['version']}, times as fast as stock PNG:")
            for name, ratio in figures["times_as_fast_as_stock_png"].items():
                print(f"  {name:14} {ratio:6.1f}")
        for each in measured["promises"]:
            word = "met" if each["met"] else "MISSED"
            print(
                f"{each['bytes']} bytes: {each['what']} x{each['measured']} "
                f"(at least {each['at_least']}): {word}"
            )
    return 0 if all(each["met"] for each in measured["promises"]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
