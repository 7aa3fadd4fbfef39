"""What goes wrong on the payer's side: a network that fades, a card that leaves."""

from __future__ import annotations

from collections.abc import Callable

from devices.nfc.contract import Card, CardDescription
from devices.phone import Answer, HttpNetwork


class FadingNetwork:
    """A phone's network that fails `times` times when something is to be done by `method`."""

    def __init__(self, *, method: str, times: int = 1) -> None:
        self._method = method
        self._times = times
        self._inner = HttpNetwork()

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """One exchange; OSError where the network has faded."""
        if self._times and method == self._method:
            self._times -= 1
            raise OSError("the phone has no network")
        return self._inner.request(method, url, headers, body)


class LeavingCard:
    """A card that is taken away, or a reader that is, after some commands."""

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
