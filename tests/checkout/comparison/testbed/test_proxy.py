"""The proxy between shop and switch loses, alters and cuts what a rule names, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from checkout.comparison.testbed.proxy import Proxy


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A switch that answers each frame with 0210 in place of 0200."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                near, _ = server.accept()
            except OSError:
                return
            with near:
                while head := near.recv(2):
                    body = near.recv(int.from_bytes(head))
                    near.sendall(head + body.replace(b"0200", b"0210"))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[:2]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(2)


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[Proxy]:
    opened = Proxy(lambda: echo)
    yield opened
    opened.close()


def send(line: socket.socket, body: bytes) -> bytes:
    line.sendall(len(body).to_bytes(2) + body)
    head = line.recv(2)
    return line.recv(int.from_bytes(head)) if head else b""


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(proxy.address, timeout=1.0)


def test_frames_pass_and_are_counted(proxy: Proxy) -> None:
    with dial(proxy) as line:
        assert send(line, b"0200tea") == b"0210tea"
    assert proxy.passed == {("request", "0200"): 1, ("response", "0210"): 1}


def test_one_answer_is_lost_and_the_next_comes(proxy: Proxy) -> None:
    proxy.on_next("response", "0210", lambda: False)
    with dial(proxy) as line:
        with pytest.raises(TimeoutError):
            send(line, b"0200tea")
        assert send(line, b"0200cup") == b"0210cup"


def test_a_question_is_altered(proxy: Proxy) -> None:
    proxy.on_next("request", "0200", lambda: True, alter=lambda body: body + b"!!")
    with dial(proxy) as line:
        assert send(line, b"0200tea") == b"0210tea!!"


def test_a_blocked_proxy_lets_nobody_through_until_it_is_unblocked(proxy: Proxy) -> None:
    with dial(proxy) as line:
        assert send(line, b"0200tea")
        proxy.block()
        assert line.recv(1) == b""
    with dial(proxy) as line:
        assert line.recv(1) == b""
    proxy.unblock()
    with dial(proxy) as line:
        assert send(line, b"0200tea") == b"0210tea"
