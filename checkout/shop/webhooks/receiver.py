"""The merchant's side: receives webhooks over HTTP, verifies them, acts on each event once.

It needs nothing of the shop but `signing`. The server is for trials on one machine.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from checkout.shop.webhooks.signing import ID, TakenIds, WebhookRefused, verify

_LARGEST_BODY = 256 * 1024
_REQUEST_WITHIN_S = 10.0

Verdict = Literal["verified", "refused", "seen before"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """The result of one request; `check` is the check that stopped it, "" where it was acted on."""

    verdict: Verdict
    event_id: str
    event: dict[str, Any]
    check: str = ""
    why: str = ""

    @property
    def status(self) -> int:
        """The HTTP status; 200 for what was seen before too, so that the sender stops trying."""
        return 400 if self.verdict == "refused" else 200

    def as_json(self) -> dict[str, str]:
        """The answer's body."""
        return {"verdict": self.verdict, "check": self.check, "why": self.why}


class Receiver:
    """Verifies raw bytes, then hands each event to `act` once."""

    def __init__(
        self,
        secret: str,
        *,
        act: Callable[[dict[str, Any]], None] = lambda event: None,
        taken: TakenIds | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._secret = secret
        self._act = act
        self.taken = TakenIds() if taken is None else taken
        self._clock = clock

    def receive(self, headers: Mapping[str, str], body: bytes) -> Received:
        """Verify one request and act on its event.

        An exception from `act` is raised here, and the event is acted on when it comes again.
        """
        now = self._clock()
        try:
            verified = verify(body, headers, secrets=self._secret, now=now)
            event = _event(body)
        except WebhookRefused as refused:
            return _refused(headers, refused.check, str(refused))
        except ValueError:
            return _refused(headers, "body", "body: signed, but it is no JSON object")
        if not self.taken.take(verified.event_id, now):
            why = f"{ID}: this event was taken before"
            return Received(
                verdict="seen before",
                event_id=verified.event_id,
                event=event,
                check="event id",
                why=why,
            )
        try:
            self._act(event)
        except BaseException:
            self.taken.give_back(verified.event_id)
            raise
        return Received(verdict="verified", event_id=verified.event_id, event=event)


@contextmanager
def served(
    receive: Callable[[Mapping[str, str], bytes], Received],
    *,
    port: int = 0,
    report: Callable[[Received], None] = lambda received: None,
) -> Iterator[str]:
    """Answer POSTs on a loopback port (0: a free one); yields the URL.

    `report` is called with the result of each. OSError where the port is in use.
    """

    class _Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_WITHIN_S

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > _LARGEST_BODY:
                self._answer(413, {"why": "Content-Length: expected at most 256 KB"})
                return
            body = self.rfile.read(int(length))
            received = receive(dict(self.headers), body)
            report(received)
            self._answer(received.status, received.as_json())

        def _answer(self, status: int, value: dict[str, str]) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Write no log: `report` gets every result."""

    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="receiver", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _event(body: bytes) -> dict[str, Any]:
    event = json.loads(body)
    if not isinstance(event, dict):
        raise ValueError("no object")
    return event


def _refused(headers: Mapping[str, str], check: str, why: str) -> Received:
    event_id = next((text for name, text in headers.items() if name.lower() == ID), "")
    shown = "".join(c if c.isprintable() else "?" for c in event_id[:64])
    return Received(verdict="refused", event_id=shown, event={}, check=check, why=why)
