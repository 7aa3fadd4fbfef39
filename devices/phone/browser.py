"""What an emulated phone is made of: its network, the pages it acts upon, the story it keeps."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode, urljoin, urlsplit

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5

#: What the emulated phone calls itself, so that its sales are never counted among real ones.
USER_AGENT = "checkout-emulated-phone"


class PhoneError(Exception):
    """The phone could not go on: no code in the picture, no page, no form."""


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
    """One step of the phone's story; times in milliseconds from the first one."""

    what: str
    at_ms: float
    took_ms: float
    bytes_sent: int = 0
    bytes_received: int = 0
    modelled: bool = False
    method: str = ""
    path: str = ""  # as it was asked: the codes and seals in it are not for showing
    status: int | None = None


class HttpNetwork:
    """HTTP/1.1 (RFC 9112) over a new connection each time.

    `certificate` is the PEM file of a server that signs for itself, which a person would accept.
    """

    def __init__(self, *, timeout_s: float = 20.0, certificate: Path | None = None) -> None:
        self._timeout_s = timeout_s
        self._certificate = certificate

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """One exchange on a new connection; OSError where the server cannot be reached."""
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
            bytes_sent=_size(f"{method} {target} HTTP/1.1", headers) + len(body),
            bytes_received=_size(f"HTTP/1.1 {response.status}", received) + len(content),
        )

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        trusted = ssl.create_default_context(cafile=self._certificate)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=trusted)


@dataclass(slots=True, kw_only=True)
class Form:
    action: str
    hidden: dict[str, str] = field(default_factory=dict)
    payers: list[str] = field(default_factory=list)
    asks_amount: bool = False


class Page(HTMLParser):
    """The parts of a page that a payer acts upon."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.form: Form | None = None
        self.outcome: str | None = None
        self.payment: str | None = None
        self.response_code: str | None = None
        self.fresh_link: str | None = None
        self.pin_refused = False
        self.said = ""
        self._inside = 0
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self._inside += tag == "main"
        if tag == "form" and "data-pay" in attributes:
            self.form = Form(action=attributes.get("action", ""))
        if tag == "input" and self.form is not None:
            self._field(attributes)
        if "data-outcome" in attributes:
            self.outcome = attributes["data-outcome"]
            if self.outcome == "problem":
                self.said = ""  # the shop's sign above it is no part of what went wrong
            self.payment = attributes.get("data-payment") or None
            self.response_code = attributes.get("data-response-code") or None
        if tag == "a" and attributes.get("href", "").endswith("/fresh"):
            self.fresh_link = attributes["href"]

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag == "main"
        if tag == "section" and self.outcome == "problem":
            self._inside = 0  # nor are the buttons below it

    def handle_data(self, data: str) -> None:
        if self._inside > 0:
            self.said += data

    def _field(self, attributes: dict[str, str]) -> None:
        form = self.form
        if form is None:
            return
        name, value = attributes.get("name", ""), attributes.get("value", "")
        if attributes.get("type") == "hidden":
            form.hidden[name] = value
        elif name == "payer":
            form.payers.append(value)
        elif name == "amount":
            form.asks_amount = True
        elif name == "pin":
            self.pin_refused = attributes.get("aria-invalid") == "true"


class Visit:
    """One phone's way through the pages: follows redirects, keeps the story."""

    def __init__(self, network: Network, story: Story, *, cookie: str = "") -> None:
        self._network = network
        self._story = story
        # This phone tells its side of the story itself, so the shop need not guess at it.
        self._headers = {
            "User-Agent": USER_AGENT,
            "Accept": "text/html",
            "X-Own-Trace": "yes",
            **({"Cookie": cookie} if cookie else {}),
        }
        self.url = ""

    def get(self, url: str, what: str) -> Page:
        return _page(self._fetch("GET", url, {}, b"", what))

    def ask(self, url: str, what: str) -> Answer:
        """What the address says as it is: a page that is read otherwise, or JSON."""
        return self._fetch("GET", url, {}, b"", what)

    def post(self, url: str, fields: dict[str, str], what: str) -> Page:
        parts = urlsplit(url)
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"{parts.scheme}://{parts.netloc}",
        }
        return _page(self._fetch("POST", url, headers, urlencode(fields).encode(), what))

    def _fetch(
        self, method: str, url: str, headers: dict[str, str], body: bytes, what: str
    ) -> Answer:
        for _ in range(_MOST_REDIRECTS):
            answer = self._once(method, url, headers, body, what)
            if answer.status not in _REDIRECTS:
                self.url = url
                return answer
            url = urljoin(url, answer.headers.get("location", ""))
            method, headers, body, what = "GET", {}, b"", "follow to the result"
        raise PhoneError(f"address: more than {_MOST_REDIRECTS} redirects")

    def _once(
        self, method: str, url: str, headers: dict[str, str], body: bytes, what: str
    ) -> Answer:
        began = self._story.now_ms()
        try:
            answer = self._network.request(method, url, {**self._headers, **headers}, body)
        except OSError as error:
            raise PhoneError(f"network: {error}") from error
        self._story.add(
            f"{method} {what}",
            began,
            sent=answer.bytes_sent,
            received=answer.bytes_received,
            method=method,
            path=urlsplit(url).path or "/",
            status=answer.status,
        )
        return answer


class Story:
    """Measured steps as they happen, modelled ones where a person would have taken the time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._origin = monotonic()
        self.exchanges: list[Exchange] = []

    def now_ms(self) -> float:
        return (self._monotonic() - self._origin) * 1000

    def add(
        self,
        what: str,
        began_ms: float,
        *,
        sent: int = 0,
        received: int = 0,
        method: str = "",
        path: str = "",
        status: int | None = None,
    ) -> None:
        self.exchanges.append(
            Exchange(
                what=what,
                at_ms=began_ms,
                took_ms=self.now_ms() - began_ms,
                bytes_sent=sent,
                bytes_received=received,
                method=method,
                path=path,
                status=status,
            )
        )

    def model(self, what: str, took_ms: float) -> None:
        self.exchanges.append(
            Exchange(what=what, at_ms=self.now_ms(), took_ms=took_ms, modelled=True)
        )


def _page(answer: Answer) -> Page:
    return Page(answer.body.decode("utf-8", "replace"))


def _size(first_line: str, headers: dict[str, str]) -> int:
    """Bytes of a message's head: first line, headers, the empty line."""
    lines = [first_line, *(f"{name}: {value}" for name, value in headers.items())]
    return sum(len(line.encode()) + 2 for line in lines) + 2
