"""Reads any code: its kind, whether it keeps the rules of that kind, and its fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from checkout.acceptance.qr import payer_code
from checkout.acceptance.qr.link import LinkError, parse_link
from checkout.acceptance.qr.signed_payload import is_ours
from devices.qr.codec import cpm, mpm
from devices.qr.codec.verdict import Verdict


class Kind(StrEnum):
    """The kind of code that a text is."""

    EMV_MPM = "emv-mpm"
    EMV_CPM = "emv-cpm"
    LINK = "link"
    BARCODE = "barcode"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A text that was read.

    `fields` maps ids to values, templates to nested objects; `places` are the positions that
    belong to `issues`, one each.
    """

    kind: Kind
    verdict: Verdict
    text: str
    issues: tuple[str, ...] = ()
    places: tuple[int, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)

    def accepted(self, *, lenient: bool = False) -> bool:
        """Whether a strict or a lenient reader goes on with it."""
        return self.verdict is Verdict.STRICT or (lenient and self.verdict is Verdict.NONCONFORMING)

    def as_json(self) -> dict[str, Any]:
        """The object that `checkout qr read --json` prints."""
        return {
            "kind": str(self.kind),
            "verdict": str(self.verdict),
            "issues": list(self.issues),
            "fields": self.fields,
            "text": self.text,
            "positions": list(self.places),
        }


_KIND_ORDER = [Kind.EMV_MPM, Kind.EMV_CPM, Kind.LINK, Kind.BARCODE, Kind.OTHER]
# The payer codes of each house: the digits that they begin with, and how many there are.
_BARCODES = (
    ("wechat", re.compile(r"1[0-5][0-9]{16}")),
    ("alipay", re.compile(r"(?:2[5-9]|30)[0-9]{14,22}")),
    ("unionpay", re.compile(r"62[0-9]{17}")),
)
# The links of each wallet: scheme and host of its payment pages.
_WALLETS = (
    ("wechat", re.compile(r"weixin://wxpay/", re.IGNORECASE)),
    ("wechat", re.compile(r"wxp://", re.IGNORECASE)),
    ("alipay", re.compile(r"https://qr\.alipay\.com/", re.IGNORECASE)),
    ("unionpay", re.compile(r"https://qr\.95516\.com/", re.IGNORECASE)),
    ("upi", re.compile(r"upi://pay\?", re.IGNORECASE)),
)
# A merchant-presented payload, also a damaged one: it begins as one, or ends as one.
_MPM = re.compile(r".{0,10}00020[0-9]|[0-9]{4}.*6304.{4}\s*$", re.DOTALL)


def read(text: str) -> Reading:
    """Find out what kind of code `text` is and read it; never raises, whatever the text."""
    for reader in _READERS:
        reading = reader(text)
        if reading is not None:
            return reading
    finding = "not a payment code of a kind known here"
    return Reading(
        kind=Kind.OTHER, verdict=Verdict.INVALID, text=text, issues=(finding,), places=(0,)
    )


def best(texts: Sequence[str]) -> Reading:
    """The code to go on with, of several in one picture; ValueError for none.

    A checkout's own link or payload comes first, then what pays elsewhere, then any other address:
    a poster's link is often in view beside the counter's code. Among equals, a code that keeps its
    rules comes before one that breaks them, then the kinds in their order, then the order given.
    """
    verdicts = [Verdict.STRICT, Verdict.NONCONFORMING, Verdict.INVALID]
    if not texts:
        raise ValueError("texts: expected at least one")

    def rank(reading: Reading) -> tuple[bool, int, int, int]:
        unusable = reading.verdict is Verdict.INVALID
        order = _KIND_ORDER.index(reading.kind)
        return unusable, _standing(reading), verdicts.index(reading.verdict), order

    return min((read(text) for text in texts), key=rank)


def _standing(reading: Reading) -> int:
    """0 for a checkout's own code, 1 for any other that pays, 2 for the rest."""
    own_payload = reading.kind is Kind.EMV_MPM and is_ours(reading.text)
    if own_payload or (reading.kind is Kind.LINK and reading.fields.get("house") == "checkout"):
        return 0
    plain_address = reading.kind is Kind.LINK and "house" not in reading.fields
    return 2 if plain_address or reading.kind is Kind.OTHER else 1


def _barcode(text: str) -> Reading | None:
    digits = text.strip()
    if payer_code.is_payer_code(digits) and digits.isdigit():
        house = "checkout"
    else:
        house = next((name for name, form in _BARCODES if form.fullmatch(digits)), "")
    if not house:
        return None
    fields = {"house": house, "digits": digits}
    return Reading(kind=Kind.BARCODE, verdict=Verdict.STRICT, text=text, fields=fields)


def _consumer_presented(text: str) -> Reading | None:
    if not text.strip().startswith(cpm.PREFIX):
        return None
    return _of(Kind.EMV_CPM, cpm.parse(text))


def _merchant_presented(text: str) -> Reading | None:
    if _MPM.match(text) is None:
        return None
    return _of(Kind.EMV_MPM, mpm.parse(text))


def _of(kind: Kind, reading: mpm.MpmReading | cpm.CpmReading) -> Reading:
    return Reading(
        kind=kind,
        verdict=reading.verdict,
        text=reading.text,
        issues=reading.issues,
        places=tuple(rule.position for rule in reading.broken),
        fields=dict(reading.fields),
    )


def _link(text: str) -> Reading | None:
    url = text.strip()
    wallet = next((name for name, form in _WALLETS if form.match(url)), None)
    if wallet is not None:
        fields = {"url": url, "house": wallet}
        return Reading(kind=Kind.LINK, verdict=Verdict.STRICT, text=text, fields=fields)
    try:
        link = parse_link(url)
    except LinkError:
        return _web_address(text, url)
    fields = {"url": url, "house": "checkout", "origin": link.origin, "code": link.code}
    return Reading(kind=Kind.LINK, verdict=Verdict.STRICT, text=text, fields=fields)


def _web_address(text: str, url: str) -> Reading | None:
    """A link that any phone would open, though nothing says that it pays."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in url
    except ValueError:
        return None
    if not usable:
        return None
    return Reading(kind=Kind.LINK, verdict=Verdict.STRICT, text=text, fields={"url": url})


_READERS: tuple[Callable[[str], Reading | None], ...] = (
    _barcode,
    _consumer_presented,
    _link,
    _merchant_presented,
)
