"""The emulated phone: reads the picture of a code, then speaks the same HTTP as a real phone.

It knows nothing of the shop but what its pages say: it follows the form, types the PIN and reads
the result. The time that a person would take is modelled apart and never slept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from devices.phone.browser import (
    USER_AGENT,
    Answer,
    Exchange,
    Form,
    HttpNetwork,
    Network,
    Page,
    PhoneError,
    Story,
    Visit,
)
from devices.qr.scanner import ScanError, read_all

__all__ = [
    "USER_AGENT",
    "Answer",
    "Exchange",
    "HttpNetwork",
    "Human",
    "Network",
    "Phone",
    "PhoneError",
    "PhoneResult",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Human:
    """Times that a person takes, in milliseconds; a model, so nobody waits for them.

    The defaults are estimates: aiming the camera, reading payee and amount, typing six digits at
    about three a second (Card, Moran and Newell, The Psychology of Human-Computer Interaction,
    keystroke-level model: 0.28 s a keystroke, 1.35 s of thought).
    """

    aim_ms: float = 1800.0
    read_ms: float = 1350.0
    digit_ms: float = 280.0

    @property
    def pin_ms(self) -> float:
        """Thinking of the PIN, typing six digits, pressing the button."""
        return self.read_ms + 7 * self.digit_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneResult:
    """What the payer sees in the end.

    `outcome` is paid, declined, unknown, reversed, wrong-pin, expired, used or refused;
    `modelled_ms` is the part of `exchanges` that a person would have taken; `pin_asked` whether the
    PIN was wanted at all.
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
        """Milliseconds that the model of the phone's user added."""
        return sum(each.took_ms for each in self.exchanges if each.modelled)


class Phone:
    """A phone in the hand of one payer, who picks the account `payer` and types `pin`.

    `amount` is what the payer types at a printed code, such as ``12.80``.
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
        """Scan, look, confirm with the PIN, read the result.

        With `fresh` a code that has run out is exchanged for a fresh one, as its page offers.
        PhoneError where the picture, the page or the network is of no use.
        """
        story = Story(self._monotonic)
        began = story.now_ms()
        url = self.scan(picture)
        story.add("read the picture of the code", began)
        story.model("aim the camera at the code", self._human.aim_ms)
        return self._pay_at(url, story, fresh=fresh)

    def open(self, url: str, *, fresh: bool = True) -> PhoneResult:
        """Pay at an address that some other camera has read."""
        return self._pay_at(url, Story(self._monotonic), fresh=fresh)

    def _pay_at(self, url: str, story: Story, *, fresh: bool) -> PhoneResult:
        visit = Visit(self._network, story)
        page = visit.get(url, "open the page of the code")
        if fresh and page.outcome == "expired" and page.fresh_link is not None:
            page = visit.get(urljoin(visit.url, page.fresh_link), "ask for a fresh code")
        if page.form is None:
            return self._result(page, visit, story)
        typed = self._typed_amount(page.form, story)
        story.model("read payee and amount", self._human.read_ms)
        story.model("type the PIN", self._human.pin_ms)
        if self._payer not in page.form.payers:
            raise PhoneError(f"payer: the page offers no account called {self._payer!r}")
        fields = {**page.form.hidden, **typed, "payer": self._payer, "pin": self._pin}
        target = urljoin(visit.url, page.form.action)
        return self._result(visit.post(target, fields, "confirm the payment"), visit, story)

    def _typed_amount(self, form: Form, story: Story) -> dict[str, str]:
        if not form.asks_amount:
            return {}
        if self._amount is None:
            raise PhoneError("amount: the page asks for one, such as 12.80")
        story.model("type the amount", self._human.digit_ms * len(self._amount))
        return {"amount": self._amount}

    def _result(self, page: Page, visit: Visit, story: Story) -> PhoneResult:
        outcome = page.outcome or ("wrong-pin" if page.pin_refused else "refused")
        return PhoneResult(
            outcome=outcome,
            text=" ".join(page.said.split()),
            url=visit.url,
            payment=page.payment,
            response_code=page.response_code,
            exchanges=tuple(story.exchanges),
        )
