"""The emulated phone: scans the shop's code, then pays over HTTP as a real phone does.

All that it knows of the shop is in the shop's pages: it fills in the form, types the PIN and reads
the result. The time that a person would take is modelled and reported; the phone does not wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from devices.phone.browser import (
    Browser,
    Exchange,
    HttpNetwork,
    Network,
    PhoneError,
    Timeline,
)
from devices.phone.page import Form, Page
from devices.qr.scanner import ScanError, read_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Human:
    """The times that a person takes, in milliseconds. They are a model: nobody waits for them.

    The defaults are estimates: aiming the camera, reading payee and amount, typing six digits at
    about three a second (Card, Moran and Newell, The Psychology of Human-Computer Interaction,
    keystroke-level model: 0.28 s a keystroke, 1.35 s of thought).
    """

    aim_ms: float = 1800.0
    read_ms: float = 1350.0
    digit_ms: float = 280.0

    @property
    def pin_ms(self) -> float:
        """Recall the PIN, type six digits, press the button."""
        return self.read_ms + 7 * self.digit_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneResult:
    """What the payer sees at the end.

    `outcome` is paid, declined, unknown, reversed, wrong-pin, expired, used or refused;
    `modelled_ms` is the time in `exchanges` that a person would have taken; `pin_asked` is whether
    the page wanted a PIN.
    """

    outcome: str
    text: str
    url: str
    payment: str | None = None
    response_code: str | None = None
    exchanges: tuple[Exchange, ...] = ()
    pin_asked: bool = True

    @property
    def modelled_ms(self) -> float:
        """Milliseconds that the model of a person added."""
        return sum(each.took_ms for each in self.exchanges if each.modelled)


class Phone:
    """A phone in the hand of one payer, who chooses the account `payer` and types `pin`.

    `amount` is what the payer types for a printed code, such as ``12.80``.
    """

    def __init__(
        self,
        payer: str,
        *,
        pin: str = "123456",
        amount: str | None = None,
        network: Network | None = None,
        human: Human | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._payer = payer
        self._pin = pin
        self._amount = amount
        self._network = network or HttpNetwork()
        self._human = human or Human()
        self._monotonic = monotonic

    def scan(self, picture: bytes | Path) -> str:
        """The text of the one code in a picture; PhoneError where there is none or several."""
        try:
            content = picture.read_bytes() if isinstance(picture, Path) else picture
            texts = {found.text for found in read_all(content)}
        except (OSError, ScanError) as error:
            raise PhoneError(f"picture: {error}") from None
        if len(texts) != 1:
            found = "none" if not texts else str(len(texts))
            raise PhoneError(f"picture: expected one code, found {found}")
        return texts.pop()

    def pay(self, picture: bytes | Path, *, fresh: bool = True) -> PhoneResult:
        """Scan the code, open its page, confirm with the PIN, read the result.

        With `fresh` the phone asks for a fresh code where the page of an expired one offers that.
        PhoneError where the picture has no code, there is no answer, or the form is not as
        expected.
        """
        timeline = Timeline(self._monotonic)
        started_ms = timeline.now_ms()
        url = self.scan(picture)
        timeline.record("read the picture of the code", started_ms)
        timeline.record_modelled("aim the camera at the code", self._human.aim_ms)
        return self._pay_at(url, timeline, fresh=fresh)

    def pay_at(self, url: str, *, fresh: bool = True) -> PhoneResult:
        """As `pay`, at an address that another camera has read."""
        return self._pay_at(url, Timeline(self._monotonic), fresh=fresh)

    def _pay_at(self, url: str, timeline: Timeline, *, fresh: bool) -> PhoneResult:
        browser = Browser(self._network, timeline)
        page = browser.get(url, "open the page of the code")
        if fresh and page.outcome == "expired" and page.fresh_link is not None:
            page = browser.get(urljoin(browser.url, page.fresh_link), "ask for a fresh code")
        if page.form is None:
            return self._result(page, browser, timeline)
        typed = self._typed_amount(page.form, timeline)
        timeline.record_modelled("read payee and amount", self._human.read_ms)
        timeline.record_modelled("type the PIN", self._human.pin_ms)
        if self._payer not in page.form.payers:
            raise PhoneError(f"payer: the page offers no account called {self._payer!r}")
        fields = {**page.form.hidden, **typed, "payer": self._payer, "pin": self._pin}
        target = urljoin(browser.url, page.form.action)
        page = browser.post(target, fields, "confirm the payment")
        return self._result(page, browser, timeline)

    def _typed_amount(self, form: Form, timeline: Timeline) -> dict[str, str]:
        if not form.asks_amount:
            return {}
        if self._amount is None:
            raise PhoneError("amount: the page asks for one, such as 12.80")
        timeline.record_modelled("type the amount", self._human.digit_ms * len(self._amount))
        return {"amount": self._amount}

    def _result(self, page: Page, browser: Browser, timeline: Timeline) -> PhoneResult:
        outcome = page.outcome or ("wrong-pin" if page.pin_refused else "refused")
        return PhoneResult(
            outcome=outcome,
            text=page.text,
            url=browser.url,
            payment=page.payment,
            response_code=page.response_code,
            exchanges=timeline.exchanges,
        )
