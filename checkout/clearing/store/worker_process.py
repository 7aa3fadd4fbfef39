"""A process beside the switch, at the other end of a socket: it does a part of a busy one's work.

Both ends send pieces: a length, then so many bytes. The process is started when it is first worth
having, says one empty piece when it is ready, and ends when nobody is at the other end any more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LENGTH_BYTES = 8
#: A companion that says nothing for this long is ended.
PATIENCE_S = 30.0
#: After so many that went away, the switch does without.
MOST_LOST = 3

log = logging.getLogger("checkout.switch")
_PACKAGES = str(Path(__file__).resolve().parents[3])


def tell(line: socket.socket, content: bytes) -> None:
    """Send one piece."""
    line.sendall(len(content).to_bytes(LENGTH_BYTES) + content)


def hear(line: socket.socket) -> bytes:
    """The next piece; EOFError where the other side has gone, OSError where it is silent."""
    return bytes(_exactly(line, int.from_bytes(_exactly(line, LENGTH_BYTES))))


def _exactly(line: socket.socket, count: int) -> bytearray:
    arrived = bytearray(count)
    room = memoryview(arrived)
    while room:
        length = line.recv_into(room)
        if not length:
            raise EOFError
        room = room[length:]
    return arrived


def run_companion(serve: Callable[[socket.socket], None]) -> None:
    """What a companion's `main` does: serve the switch at standard input until it has gone."""
    # The switch says when it is over, not the terminal or the service manager: it still drains.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError), socket.socket(fileno=0) as line:
        serve(line)


class Companion:
    """Starts, loses and ends the process of one module; one at a time.

    `arguments` are its command line, `held` descriptors that it keeps open besides, `first` the
    piece that it is told before all others.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        first: bytes = b"",
        held: tuple[int, ...] = (),
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._first, self._held, self._patience_s = first, held, patience_s
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._said = select.poll()
        self._ready = False
        self._lost = 0 if _cores() > 1 else MOST_LOST

    @property
    def pid(self) -> int | None:
        """The process; None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def descriptor(self) -> int:
        """What becomes readable when it has said something; -1 while there is none."""
        return -1 if self._line is None else self._line.fileno()

    @property
    def line(self) -> socket.socket:
        """The socket to it; EOFError where there is none."""
        if self._line is None:
            raise EOFError
        return self._line

    def is_ready(self, *, start: bool) -> bool:
        """Whether it takes work; `start` it where there is none, for later."""
        try:
            if self._process is None:
                if start and self._lost < MOST_LOST:
                    self._start()
                return False
            if not self._ready and self.has_said_something():
                hear(self.line)
                self._ready = True
        except (OSError, EOFError) as error:
            self.lose(error)
        return self._ready

    def has_said_something(self) -> bool:
        """Whether a piece, or its end, can be heard without waiting."""
        return self._line is None or bool(self._said.poll(0))

    def lose(self, why: Exception) -> None:
        """End one that has gone or is stuck: from now on nothing can come from it."""
        log.warning("%s has gone: %s", self._command[2], str(why) or "it ended")
        self._lost += 1
        if self._process is not None:
            self._process.kill()
        self.close()

    def close(self) -> None:
        """Let it go, as it does by itself when nobody is at the other end."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._line, self._process, self._ready = None, None, False

    def _start(self) -> None:
        line, its_end = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self._command,
                stdin=its_end.fileno(),
                stdout=subprocess.DEVNULL,
                pass_fds=self._held,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(_found_by())},
            )
        except BaseException:
            line.close()
            raise
        finally:
            its_end.close()
        # Of the kernel, not of Python, which would ask twice: may I, and then for what there is.
        seconds = int(self._patience_s)
        for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            line.setsockopt(socket.SOL_SOCKET, limit, struct.pack("ll", seconds, 0))
        self._line, self._said = line, select.poll()
        self._said.register(line, select.POLLIN)
        if self._first:
            tell(line, self._first)


def _cores() -> int:
    """How many processors this process may use; with one, a companion would only be in the way."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _found_by() -> list[str]:
    """Where a companion looks for this package, and then for what everyone else does."""
    return [_PACKAGES, *filter(None, (os.environ.get("PYTHONPATH"),))]
