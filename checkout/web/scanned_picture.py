"""The codes in the pictures that a browser sends."""

from __future__ import annotations

from devices.qr.scanner import ScanError, read_all

#: The largest frame of a live camera that is read, in bytes.
LARGEST_FRAME = 2 * 1024 * 1024


class NotReadable(ValueError):
    """No code could be read in the picture; the message says what to do."""


def texts_in(picture: bytes) -> list[str]:
    """The texts of all codes in a PNG, JPEG or WebP picture; NotReadable where there is none."""
    if not picture:
        raise NotReadable("Choose a photo of the code first.")
    try:
        found = [scan.text for scan in read_all(picture)]
    except ScanError as error:
        raise NotReadable(f"The picture cannot be read: {error}") from None
    if not found:
        raise NotReadable(
            "No code was found in the picture. Hold the phone so that the whole code is in it, "
            "sharp and without glare."
        )
    return found
