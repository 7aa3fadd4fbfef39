"""One message is read whole, in however many pieces it arrives."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from checkout.sockets import receive_exactly


def test_pieces_are_put_together_and_the_rest_stays() -> None:
    near, far = socket.socketpair()

    def send() -> None:
        for piece in (b"ab", b"cde", b"fgh"):
            far.sendall(piece)
            time.sleep(0.01)

    sender = threading.Thread(target=send)
    with near, far:
        sender.start()
        assert receive_exactly(near, 6) == b"abcdef"
        sender.join()
        assert receive_exactly(near, 0) == b""
        assert receive_exactly(near, 2) == b"gh"


def test_an_end_in_the_middle_is_an_error() -> None:
    near, far = socket.socketpair()
    with near:
        far.sendall(b"abc")
        far.close()
        with pytest.raises(ConnectionError, match="closed"):
            receive_exactly(near, 4)


def test_silence_beyond_the_timeout_is_an_error() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(0.01)
        with pytest.raises(TimeoutError):
            receive_exactly(near, 1)
