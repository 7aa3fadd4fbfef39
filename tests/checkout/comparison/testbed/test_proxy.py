"""The gate between shop and switch loses, alters and cuts what it is told to, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from checkout.comparison.testbed.proxy import Gate


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
def gate(echo: tuple[str, int]) -> Iterator[Gate]:
    opened = Gate(lambda: echo)
    yield opened
    opened.close()


def ask(line: socket.socket, body: bytes) -> bytes:
    line.sendall(len(body).to_bytes(2) + body)
    head = line.recv(2)
    return line.recv(int.from_bytes(head)) if head else b""


def dial(gate: Gate) -> socket.socket:
    return socket.create_connection(gate.address, timeout=1.0)


def test_frames_pass_and_are_counted(gate: Gate) -> None:
    with dial(gate) as line:
        assert ask(line, b"0200tea") == b"0210tea"
    assert gate.passed == {("question", "0200"): 1, ("answer", "0210"): 1}


def test_one_answer_is_lost_and_the_next_comes(gate: Gate) -> None:
    gate.once("answer", "0210", lambda: False)
    with dial(gate) as line:
        with pytest.raises(TimeoutError):
            ask(line, b"0200tea")
        assert ask(line, b"0200cup") == b"0210cup"


def test_a_question_is_altered(gate: Gate) -> None:
    gate.once("question", "0200", lambda: True, alter=lambda body: body + b"!!")
    with dial(gate) as line:
        assert ask(line, b"0200tea") == b"0210tea!!"


def test_a_shut_gate_lets_nobody_through_until_it_opens(gate: Gate) -> None:
    with dial(gate) as line:
        assert ask(line, b"0200tea")
        gate.shut()
        assert line.recv(1) == b""
    with dial(gate) as line:
        assert line.recv(1) == b""
    gate.open_again()
    with dial(gate) as line:
        assert ask(line, b"0200tea") == b"0210tea"
