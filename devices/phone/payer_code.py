"""The emulated phone the other way round: it shows its own code, and the counter scans that.

The code is fetched from the wallet's page while there is a network; on the screen it needs none.
Whether it was scanned, and whether a PIN is wanted, the phone learns by asking, as the page's
script does.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urljoin

from devices.phone.browser import Exchange, HttpNetwork, Network, PhoneError, Story, Visit
from devices.phone.phone import Human, PhoneResult

#: The demo phone remembers the account that was chosen last, as its browser does.
_ACCOUNT_COOKIE = "checkout_payer"
_SVG = "data:image/svg+xml;base64,"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCode:
    """What stands on the screen: `picture` is the QR symbol as SVG, `digits` the barcode's text."""

    picture: bytes
    digits: str
    since: str


class CodePhone:
    """A phone in the hand of one payer, at the wallet's pages under `origin`."""

    def __init__(
        self,
        payer: str,
        origin: str,
        *,
        pin: str = "123456",
        network: Network | None = None,
        human: Human | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._origin = origin
        self._pin = pin
        self._human = human or Human()
        self._story = Story(monotonic)
        self._visit = Visit(
            network or HttpNetwork(), self._story, cookie=f"{_ACCOUNT_COOKIE}={payer}"
        )

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """What has been said so far."""
        return tuple(self._story.exchanges)

    def show(self) -> ShownCode:
        """Open the payment code; PhoneError where the network or the page is of no use."""
        answer = self._visit.ask(urljoin(self._origin, "/wallet/code"), "open the payment code")
        page = _CodePage(answer.body.decode("utf-8", "replace"))
        if not page.picture or not page.digits:
            raise PhoneError("page: it shows no payment code")
        return ShownCode(picture=page.picture, digits=page.digits, since=page.since)

    def follow(self, shown: ShownCode) -> PhoneResult:
        """Ask what became of the code: type the PIN where one is wanted, read the result.

        `outcome` is ``shown`` while nobody has scanned it. PhoneError as for `show`.
        """
        go = self._asked(shown)
        if go is None:
            return PhoneResult(
                outcome="shown",
                text="",
                url=self._visit.url,
                exchanges=self.exchanges,
            )
        page = self._visit.get(urljoin(self._origin, go), "follow to where it leads")
        asked = page.form is not None
        if page.form is not None:
            self._story.model("read payee and amount", self._human.read_ms)
            self._story.model("type the PIN", self._human.pin_ms)
            fields = {**page.form.hidden, "pin": self._pin}
            target = urljoin(self._visit.url, page.form.action)
            page = self._visit.post(target, fields, "confirm with the PIN")
        return PhoneResult(
            outcome=page.outcome or "refused",
            text=" ".join(page.said.split()),
            url=self._visit.url,
            payment=page.payment,
            response_code=page.response_code,
            exchanges=self.exchanges,
            pin_asked=asked,
        )

    def _asked(self, shown: ShownCode) -> str | None:
        address = urljoin(self._origin, f"/wallet/code/state?since={shown.since}")
        answer = self._visit.ask(address, "ask whether the code was scanned")
        try:
            go = json.loads(answer.body)["go"]
        except (ValueError, KeyError, TypeError):
            raise PhoneError(f"page: no answer but HTTP {answer.status}") from None
        return go if isinstance(go, str) else None


class _CodePage(HTMLParser):
    """The parts of the code's page that an eye, or a scanner, takes in."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.picture = b""
        self.digits = ""
        self.since = ""
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.digits = attributes.get("data-digits", self.digits)
        self.since = attributes.get("data-since", self.since)
        source = attributes.get("src", "")
        # The barcode stands above the symbol; the last picture is the symbol.
        if tag == "img" and source.startswith(_SVG):
            try:
                self.picture = base64.b64decode(source.removeprefix(_SVG))
            except binascii.Error:
                raise PhoneError("page: its picture can't be read") from None
