"""Films for Chromium's fake camera."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def film(picture: Path, out: Path) -> Path:
    """A y4m film of a still picture, 1280 by 720, as a camera would see it (YUV4MPEG2, 4:2:0)."""
    still = Image.open(picture).convert("L")
    still.thumbnail((1280, 720))
    frame = Image.new("L", (1280, 720), 90)
    frame.paste(still, ((1280 - still.width) // 2, (720 - still.height) // 2))
    grey = bytes([128]) * (640 * 360 * 2)
    shown = b"FRAME\n" + frame.tobytes() + grey
    out.write_bytes(b"YUV4MPEG2 W1280 H720 F10:1 Ip A1:1 C420jpeg\n" + shown * 5)
    return out
