"""Reading from sockets."""

from __future__ import annotations

import socket


def receive_exactly(connected: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes, however they arrive.

    Raises ConnectionError where the other end closes before that, or another OSError where it
    fails or stays silent for longer than the socket's time-out.
    """
    arrived = bytearray(count)
    room = memoryview(arrived)
    while room:
        length = connected.recv_into(room)
        if not length:
            raise ConnectionError("the other end has closed the connection")
        room = room[length:]
    return bytes(arrived)
