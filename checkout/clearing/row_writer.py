"""The process that writes the rows of a busy switch, while the switch decides its next turn.

It takes one turn after another from its standard input, a socket, writes each in one durable
transaction and says how that went. It ends when the switch does, and only then: what it was given
whole it still writes. Started by `beside.py`; not for calling by hand.
"""

from __future__ import annotations

import pickle
import signal
import socket
import sys

from checkout.clearing.engines import SqliteEngine
from checkout.database import DatabaseError

LENGTH_BYTES = 8


def tell(line: socket.socket, content: bytes) -> None:
    """Send one piece, its length first."""
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


def serve(line: socket.socket, database_url: str) -> None:
    """Say an empty piece when ready, then answer each turn with one: empty, or what went wrong."""
    engine = SqliteEngine(database_url, copies=False)
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


def main() -> int:
    """Serve the switch at standard input; 0 when it has gone."""
    # The switch says when it is over, not the terminal or the service manager: it still drains.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with socket.socket(fileno=0) as line:
            serve(line, sys.argv[1])
    except (EOFError, OSError):
        return 0
    except DatabaseError:
        return 1  # it has gone already; the switch says so
    return 0


if __name__ == "__main__":
    sys.exit(main())
