"""Faulty devices of the payer: networks that fail, cards that are taken away."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from devices.nfc.contract import Card, CardDescription
from devices.phone import Answer, HttpNetwork


class FadingNetwork:
    """A phone's network that fails for the first `times` requests by `method`."""

    def __init__(self, *, method: str, times: int = 1) -> None:
        self._method = method
        self._times = times
        self._inner = HttpNetwork()

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """One exchange; OSError where the network fails."""
        if self._times and method == self._method:
            self._times -= 1
            raise OSError("the phone has no network")
        return self._inner.request(method, url, headers, body)


class LeavingCard:
    """A card that is taken away, or whose reader is, by `leave` after `after` commands."""

    def __init__(self, inner: Card, *, after: int, leave: Callable[[], None]) -> None:
        self._inner = inner
        self._left = after
        self._leave = leave

    @property
    def description(self) -> CardDescription:
        """As the card's."""
        return self._inner.description

    def transceive(self, command: bytes) -> bytes:
        """As the card's, until it is gone."""
        if self._left == 0:
            self._leave()
        self._left -= 1
        return self._inner.transceive(command)


class LastingNetwork:
    """A phone's network that works for so many requests and fails from then on."""

    def __init__(self, *, requests: int) -> None:
        self._left = requests
        self._inner = HttpNetwork()

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """One exchange; OSError once the network is gone."""
        if self._left == 0:
            raise OSError("the phone has no network")
        self._left -= 1
        return self._inner.request(method, url, headers, body)


class ClosedPage:
    """A phone whose browser is closed the moment a form has been sent."""

    def __init__(self) -> None:
        self._inner = HttpNetwork()

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """One exchange; a form is sent, and nobody waits for its response."""
        if method != "POST":
            return self._inner.request(method, url, headers, body)
        parts = urlsplit(url)
        lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
            connection.sendall("\r\n".join(lines).encode() + body)
        raise OSError("the page was closed")


class DawdlingNetwork:
    """A payer who looks at the page for too long: `later` happens before the form is sent."""

    def __init__(self, later: Callable[[], object]) -> None:
        self._later = later
        self._inner = HttpNetwork()

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """One exchange."""
        if method == "POST":
            self._later()
        return self._inner.request(method, url, headers, body)
