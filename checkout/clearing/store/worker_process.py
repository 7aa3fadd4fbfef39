"""A second process that does part of the work of a busy switch, over a socket.

Both ends send frames: a length in eight bytes, then so many bytes. The switch starts the process
when it first has enough work for it. The process sends one empty frame when it is ready, and ends
when the switch closes its end.
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
from collections.abc import Callable

from checkout.child_process import module_command, module_environment
from checkout.sockets import receive_exactly

LENGTH_BYTES = 8
#: A worker that sends nothing for this long is ended.
PATIENCE_S = 30.0
#: After so many workers that failed, the switch works without one.
MAX_FAILURES = 3

log = logging.getLogger("checkout.switch")


def send(line: socket.socket, content: bytes) -> None:
    """Send one frame."""
    line.sendall(len(content).to_bytes(LENGTH_BYTES) + content)


def receive(line: socket.socket) -> bytes:
    """The next frame; ConnectionError where the other end is closed, OSError where it is silent."""
    return receive_exactly(line, int.from_bytes(receive_exactly(line, LENGTH_BYTES)))


def run_worker(serve: Callable[[socket.socket], None]) -> None:
    """The `main` of a worker: serve the switch, at standard input, until it closes its end."""
    # A terminal or service manager signals the whole group. The worker goes on until the switch,
    # which finishes its turns first, closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError), socket.socket(fileno=0) as line:
        serve(line)


class WorkerProcess:
    """Starts, discards and ends the process of one module; there is at most one at a time.

    `arguments` are its command line, `held` descriptors that it keeps open besides, `first` the
    frame that it is sent before all others.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        first: bytes = b"",
        held: tuple[int, ...] = (),
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._command = module_command(module, *arguments)
        self._first, self._held, self._patience_s = first, held, patience_s
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._readable = select.poll()
        self._ready = False
        self._failures = 0 if _cores() > 1 else MAX_FAILURES

    @property
    def pid(self) -> int | None:
        """The process; None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def descriptor(self) -> int:
        """What becomes readable when the worker has sent something; -1 while there is none."""
        return -1 if self._line is None else self._line.fileno()

    @property
    def line(self) -> socket.socket:
        """The socket to the worker; ConnectionError where there is none."""
        if self._line is None:
            raise ConnectionError("no process is running")
        return self._line

    def is_ready(self, *, start: bool) -> bool:
        """Whether a worker takes work; with `start`, one is started for later if there is none."""
        try:
            if self._process is None:
                if start and self._failures < MAX_FAILURES:
                    self._start()
                return False
            if not self._ready and self.has_message():
                receive(self.line)
                self._ready = True
        except OSError as error:
            self.discard(error)
        return self._ready

    def has_message(self) -> bool:
        """Whether a frame, or the end of the stream, can be read without waiting."""
        return self._line is None or bool(self._readable.poll(0))

    def discard(self, why: Exception) -> None:
        """Kill a worker that has ended or is stuck, and count the failure."""
        log.warning("%s has gone: %s", self._command[2], str(why) or "it ended")
        self._failures += 1
        if self._process is not None:
            self._process.kill()
        self.close()

    def close(self) -> None:
        """Close the socket, on which the worker ends by itself, and wait for that."""
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
                env=module_environment(),
            )
        except BaseException:
            line.close()
            raise
        finally:
            its_end.close()
        # The time limit is the kernel's: with Python's own, every call would poll before it reads.
        seconds = int(self._patience_s)
        for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            line.setsockopt(socket.SOL_SOCKET, limit, struct.pack("ll", seconds, 0))
        self._line, self._readable = line, select.poll()
        self._readable.register(line, select.POLLIN)
        if self._first:
            send(line, self._first)


def _cores() -> int:
    """How many processors this process may use; with one, a worker would only be in the way."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
