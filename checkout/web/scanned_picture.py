"""The codes in the pictures that a browser sends."""

from __future__ import annotations

import io
import threading
from typing import IO

from flask import g, request

from checkout.web.access.guard import Visitor
from checkout.web.problems import Problem
from devices.qr.scanner import ScanError, read_all

# The largest frame of a live camera that is read, in bytes.
_LARGEST_FRAME = 2 * 1024 * 1024

#: Pictures that a process reads at a time; each takes a core and up to 200 MB.
AT_A_TIME = 2

_WAIT_S = 1.0
_RETRY_S = 2.0


class NotReadable(ValueError):
    """No code could be read in the picture; the message says what to do."""


class PictureReader:
    """Reads a bounded number of pictures at a time; the operator's do not wait for strangers'."""

    def __init__(self, *, at_a_time: int = AT_A_TIME, wait_s: float = _WAIT_S) -> None:
        self._strangers = threading.BoundedSemaphore(at_a_time)
        self._operator = threading.BoundedSemaphore(at_a_time)
        self._wait_s = wait_s

    def in_photo(self) -> list[str]:
        """The texts of all codes in the photo of the form that was sent.

        NotReadable where there is none; Problem(busy) where too many pictures are being read.
        """
        photo = request.files.get("photo")
        return self._texts_in(io.BytesIO() if photo is None else photo.stream)

    def in_frame(self) -> list[str]:
        """As `in_photo`, of the frame that is the body of the request."""
        request.max_content_length = _LARGEST_FRAME
        return self._texts_in(io.BytesIO(request.get_data()))

    def _texts_in(self, picture: IO[bytes]) -> list[str]:
        places = self._strangers if g.visitor is Visitor.STRANGER else self._operator
        if not places.acquire(timeout=self._wait_s):
            detail = "Too many pictures are being read right now; try again in a moment."
            raise Problem(kind="busy", detail=detail, retry_after_s=_RETRY_S)
        try:
            # Only now: a picture that waits stays in its file instead of taking memory.
            return _texts_in(picture.read())
        finally:
            places.release()


def _texts_in(picture: bytes) -> list[str]:
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
