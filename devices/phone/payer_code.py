"""An emulated phone that shows its payment code, which the counter scans.

It needs a network to fetch the code from the wallet's page, and none to show it. It polls the
wallet, as that page's script does, to learn whether the code was scanned and a PIN is wanted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin

from devices.phone.browser import Browser, Exchange, HttpNetwork, Network, PhoneError, Timeline
from devices.phone.phone import Human, PhoneResult

# The cookie in which a browser stores the account that was chosen last.
_ACCOUNT_COOKIE = "checkout_payer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCode:
    """The code on the screen: `picture` is the QR symbol as SVG, `digits` the barcode's text.

    `since` is when the page was opened, in the wallet's own form.
    """

    picture: bytes
    digits: str
    since: str


class CodePhone:
    """A phone in the hand of one payer, with the wallet's pages under `origin`."""

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
        self._timeline = Timeline(monotonic)
        self._browser = Browser(
            network or HttpNetwork(), self._timeline, cookie=f"{_ACCOUNT_COOKIE}={payer}"
        )

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The exchanges so far."""
        return self._timeline.exchanges

    def show(self) -> ShownCode:
        """Fetch the payment code; PhoneError where there is no answer, or no code in it."""
        page = self._browser.get(urljoin(self._origin, "/wallet/code"), "open the payment code")
        if not page.symbol or not page.digits:
            raise PhoneError("page: expected a payment code")
        return ShownCode(picture=page.symbol, digits=page.digits, since=page.since)

    def follow(self, shown: ShownCode) -> PhoneResult:
        """Ask whether the code was scanned; then type the PIN where it is wanted.

        `outcome` is ``shown`` while nobody has scanned the code. PhoneError as for `show`.
        """
        next_page = self._next_page(shown)
        if next_page is None:
            return self._result("shown", "")
        page = self._browser.get(urljoin(self._origin, next_page), "follow to where it leads")
        form = page.form
        if form is not None:
            self._timeline.record_modelled("read payee and amount", self._human.read_ms)
            self._timeline.record_modelled("type the PIN", self._human.pin_ms)
            target = urljoin(self._browser.url, form.action)
            page = self._browser.post(
                target, {**form.hidden, "pin": self._pin}, "confirm with the PIN"
            )
        return self._result(
            page.outcome or "refused",
            page.text,
            payment=page.payment,
            response_code=page.response_code,
            pin_asked=form is not None,
        )

    def _next_page(self, shown: ShownCode) -> str | None:
        """The path of the page that follows the scan; None while there was none."""
        address = urljoin(self._origin, f"/wallet/code/state?since={shown.since}")
        answer = self._browser.fetch(address, "ask whether the code was scanned")
        try:
            go = json.loads(answer.body)["go"]
        except (ValueError, KeyError, TypeError):
            raise PhoneError(f"page: no answer but HTTP {answer.status}") from None
        return go if isinstance(go, str) else None

    def _result(
        self,
        outcome: str,
        text: str,
        *,
        payment: str | None = None,
        response_code: str | None = None,
        pin_asked: bool = True,
    ) -> PhoneResult:
        return PhoneResult(
            outcome=outcome,
            text=text,
            url=self._browser.url,
            payment=payment,
            response_code=response_code,
            exchanges=self.exchanges,
            pin_asked=pin_asked,
        )
