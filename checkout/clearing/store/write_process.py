"""The process that writes the rows of a busy switch, while the switch decides its next turn.

It takes one turn after another, writes each in one durable transaction and says how that went; what
it was given whole it still writes when the switch has gone. Started by `beside.py`.
"""

from __future__ import annotations

import pickle
import socket
import sys

from checkout.clearing.store.sqlite import SqliteEngine
from checkout.clearing.store.worker_process import hear, run_companion, tell
from checkout.database import DatabaseError


def serve(line: socket.socket) -> None:
    """Answer each turn with one piece: empty, or what went wrong."""
    try:
        engine = SqliteEngine(sys.argv[1], copies=False)
    except DatabaseError:
        return  # it has gone already; the switch says so
    tell(line, b"")
    while True:
        turn = hear(line)
        try:
            # The bytes are the parent's own, over a socket that no one else has.
            engine.write(pickle.loads(turn))  # noqa: S301
        except DatabaseError as error:
            said = str(error)
        except Exception as error:  # whatever it is, the switch has to hear of it
            said = f"database: {type(error).__name__}: {error}"
        else:
            said = ""
        tell(line, said.encode())


if __name__ == "__main__":
    run_companion(serve)
