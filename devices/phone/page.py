"""What the emulated phone reads in a page of the shop or the wallet."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from html.parser import HTMLParser

_SVG = "data:image/svg+xml;base64,"


@dataclass(slots=True, kw_only=True)
class Form:
    """A form that pays: hidden fields, accounts to choose from, whether it has an amount."""

    action: str
    hidden: dict[str, str] = field(default_factory=dict)
    payers: list[str] = field(default_factory=list)
    asks_amount: bool = False


class Page(HTMLParser):
    """One page, by the `data-` attributes that its elements carry for programs.

    `form` is the form with `data-pay`. `outcome`, `payment` and `response_code` come from the
    element with `data-outcome`, `fresh_link` from the link with `data-fresh`. `digits`, `since`
    and `symbol` (SVG) are those of the payer's code. `pin_refused` is whether the PIN field is
    marked as wrong.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.form: Form | None = None
        self.outcome: str | None = None
        self.payment: str | None = None
        self.response_code: str | None = None
        self.fresh_link: str | None = None
        self.pin_refused = False
        self.digits = ""
        self.since = ""
        self.symbol = b""
        self._words = ""
        self._depth = 0  # of `main` elements; only the words in them are read
        self.feed(body.decode("utf-8", "replace"))

    @property
    def text(self) -> str:
        """The words of the page's main part; of a problem page, only those of the problem."""
        return " ".join(self._words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self._depth += tag == "main"
        if tag == "form" and "data-pay" in attributes:
            self.form = Form(action=attributes.get("action", ""))
        elif tag == "input" and self.form is not None:
            self._read_field(self.form, attributes)
        elif tag == "a" and "data-fresh" in attributes:
            self.fresh_link = attributes.get("href")
        elif tag == "img" and "data-symbol" in attributes:
            self.symbol = _svg_of(attributes.get("src", ""))
        if "data-outcome" in attributes:
            self._read_outcome(attributes)
        self.digits = attributes.get("data-digits", self.digits)
        self.since = attributes.get("data-since", self.since)

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "main"
        if tag == "section" and self.outcome == "problem":
            self._depth = 0  # the links below are not part of the problem

    def handle_data(self, data: str) -> None:
        if self._depth > 0:
            self._words += data

    def _read_outcome(self, attributes: dict[str, str]) -> None:
        self.outcome = attributes["data-outcome"]
        self.payment = attributes.get("data-payment") or None
        self.response_code = attributes.get("data-response-code") or None
        if self.outcome == "problem":
            self._words = ""  # the shop's name above is not part of the problem

    def _read_field(self, form: Form, attributes: dict[str, str]) -> None:
        name, value = attributes.get("name", ""), attributes.get("value", "")
        if attributes.get("type") == "hidden":
            form.hidden[name] = value
        elif name == "payer":
            form.payers.append(value)
        elif name == "amount":
            form.asks_amount = True
        elif name == "pin":
            self.pin_refused = attributes.get("aria-invalid") == "true"


def _svg_of(source: str) -> bytes:
    """The SVG in a data URL; empty where there is none."""
    if not source.startswith(_SVG):
        return b""
    try:
        return base64.b64decode(source.removeprefix(_SVG), validate=True)
    except binascii.Error:
        return b""
