"""The process that writes the rows of a busy switch, while the switch decides its next turn.

It receives one turn after another, writes each in one durable transaction and sends the result. It
writes a turn that it has received whole even when the switch has died. `write_behind.py` starts it.
"""

from __future__ import annotations

import pickle
import socket
import sys

from checkout.clearing.store.sqlite import SqliteEngine
from checkout.clearing.store.worker_process import receive, run_worker, send
from checkout.database import DatabaseError


def serve(line: socket.socket) -> None:
    """Answer each turn with one frame: empty, or what went wrong."""
    try:
        engine = SqliteEngine(sys.argv[1], copies=False)
    except DatabaseError:
        return  # the file has gone already; the switch reports that
    send(line, b"")
    while True:
        turn = receive(line)
        try:
            # The bytes are the parent's own, over a socket that no one else has.
            engine.write(pickle.loads(turn))  # noqa: S301
        except DatabaseError as error:
            failure = str(error)
        except Exception as error:  # the switch has to learn of any failure, whatever it is
            failure = f"database: {type(error).__name__}: {error}"
        else:
            failure = ""
        send(line, failure.encode())


if __name__ == "__main__":
    run_worker(serve)
