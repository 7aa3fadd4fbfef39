"""The emulated phone's browser: HTTP, redirects, and a timeline of its exchanges."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode, urljoin, urlsplit

from devices.phone.page import Page

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5

#: The User-Agent of the emulated phone, by which its sales are not counted among real ones.
USER_AGENT = "checkout-emulated-phone"


class PhoneError(Exception):
    """The phone cannot go on: no code in the picture, no page, no form; the message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP response; `headers` has lower-case names, bytes count whole messages."""

    status: int
    headers: dict[str, str]
    body: bytes
    bytes_sent: int
    bytes_received: int


class Network(Protocol):
    """How the phone reaches a server."""

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """One exchange; OSError where the server cannot be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One step of what the phone does; times in milliseconds from the first one.

    `path` is as requested: it holds codes and seals, which must not be shown.
    """

    what: str
    at_ms: float
    took_ms: float
    bytes_sent: int = 0
    bytes_received: int = 0
    modelled: bool = False
    method: str = ""
    path: str = ""
    status: int | None = None


class HttpNetwork:
    """HTTP/1.1 (RFC 9112) with a new connection for each exchange.

    `certificate` is the PEM file of a server that signed its own certificate, for which a person
    would confirm an exception.
    """

    def __init__(self, *, timeout_s: float = 20.0, certificate: Path | None = None) -> None:
        self._timeout_s = timeout_s
        self._certificate = certificate

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """One exchange; OSError where the server cannot be reached, PhoneError for another URL."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise PhoneError(f"address: expected http or https, got {url[:60]!r}")
        connection = self._connection(parts.scheme, parts.hostname, parts.port)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(method, target, body=body or None, headers=headers)
            response = connection.getresponse()
            content = response.read()
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP answer: {error}") from error
        finally:
            connection.close()
        received = {name.lower(): value for name, value in response.getheaders()}
        return Answer(
            status=response.status,
            headers=received,
            body=content,
            bytes_sent=_head_size(f"{method} {target} HTTP/1.1", headers) + len(body),
            bytes_received=_head_size(f"HTTP/1.1 {response.status}", received) + len(content),
        )

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        trusted = ssl.create_default_context(cafile=self._certificate)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=trusted)


class Timeline:
    """The exchanges so far: measured ones, and modelled ones for the time that a person takes."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._origin = monotonic()
        self._exchanges: list[Exchange] = []

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """All of them, in order."""
        return tuple(self._exchanges)

    def now_ms(self) -> float:
        """Milliseconds since the timeline began."""
        return (self._monotonic() - self._origin) * 1000

    def record(self, what: str, started_ms: float) -> None:
        """Record what the phone itself did from `started_ms` until now."""
        took_ms = self.now_ms() - started_ms
        self._exchanges.append(Exchange(what=what, at_ms=started_ms, took_ms=took_ms))

    def record_request(
        self, what: str, started_ms: float, method: str, url: str, answer: Answer
    ) -> None:
        """Record an HTTP exchange from `started_ms` until now."""
        self._exchanges.append(
            Exchange(
                what=f"{method} {what}",
                at_ms=started_ms,
                took_ms=self.now_ms() - started_ms,
                bytes_sent=answer.bytes_sent,
                bytes_received=answer.bytes_received,
                method=method,
                path=urlsplit(url).path or "/",
                status=answer.status,
            )
        )

    def record_modelled(self, what: str, took_ms: float) -> None:
        """Record what a person would have done for `took_ms` at this point."""
        self._exchanges.append(
            Exchange(what=what, at_ms=self.now_ms(), took_ms=took_ms, modelled=True)
        )


class Browser:
    """Fetches pages for one phone: follows redirects and records every exchange.

    `url` is the address of the last answer, after redirects.
    """

    def __init__(self, network: Network, timeline: Timeline, *, cookie: str = "") -> None:
        self._network = network
        self._timeline = timeline
        self._headers = {
            "User-Agent": USER_AGENT,
            "Accept": "text/html",
            # This phone has a timeline of its own, so the shop need not estimate one.
            "X-Own-Trace": "yes",
            **({"Cookie": cookie} if cookie else {}),
        }
        self.url = ""

    def get(self, url: str, what: str) -> Page:
        """The page at `url`; `what` is the step's name. PhoneError where there is no answer."""
        return Page(self.fetch(url, what).body)

    def fetch(self, url: str, what: str) -> Answer:
        """As `get`, for an answer that is not a page."""
        return self._request("GET", url, {}, b"", what)

    def post(self, url: str, fields: dict[str, str], what: str) -> Page:
        """Send a form; the page that follows. PhoneError where there is no answer."""
        parts = urlsplit(url)
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"{parts.scheme}://{parts.netloc}",
        }
        return Page(self._request("POST", url, headers, urlencode(fields).encode(), what).body)

    def _request(
        self, method: str, url: str, headers: dict[str, str], body: bytes, what: str
    ) -> Answer:
        for _ in range(_MOST_REDIRECTS):
            answer = self._exchange(method, url, headers, body, what)
            if answer.status not in _REDIRECTS:
                self.url = url
                return answer
            url = urljoin(url, answer.headers.get("location", ""))
            method, headers, body, what = "GET", {}, b"", "follow to the result"
        raise PhoneError(f"address: more than {_MOST_REDIRECTS} redirects")

    def _exchange(
        self, method: str, url: str, headers: dict[str, str], body: bytes, what: str
    ) -> Answer:
        started_ms = self._timeline.now_ms()
        try:
            answer = self._network.request(method, url, {**self._headers, **headers}, body)
        except OSError as error:
            raise PhoneError(f"network: {error}") from error
        self._timeline.record_request(what, started_ms, method, url, answer)
        return answer


def _head_size(first_line: str, headers: dict[str, str]) -> int:
    """Bytes of a message's head: first line, headers, the empty line."""
    lines = [first_line, *(f"{name}: {value}" for name, value in headers.items())]
    return sum(len(line.encode()) + 2 for line in lines) + 2
