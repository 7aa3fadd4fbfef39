"""The profile of an emulated card or phone, as values; `profiles/README.md` explains them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from devices.nfc.emulated.behaviour import Behaviour

Kind = Literal["card", "phone"]
Scheme = Literal["unionpay", "visa", "mastercard"]
Cvm = Literal["online-pin", "signature", "on-device", "none"]
Oda = Literal["fdda-01", "fdda-00", "sda", "cda", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Air:
    """The card's parameters on the air (ISO/IEC 14443-3 and -4).

    An empty `uid` is derived from the card number; `random_uid` gives a new one at every
    presentation, as phones do. `ats` includes its length byte and is empty for type B.
    """

    technology: Literal["A", "B"] = "A"
    uid: bytes = b""
    uid_length: int = 7
    random_uid: bool = False
    sak: int = 0x20
    ats: bytes = bytes.fromhex("0A788071024C414E4531")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineLimits:
    """The card's limits for offline approval, in minor units of its own currency.

    `cumulative_minor` limits the sum of offline approvals since the issuer last reset the counter.
    """

    single_minor: int
    cumulative_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """The additional fields of a phone, which holds a payment token.

    `confirms` says when the holder verifies on the phone: `before` every tap, or `when-asked`: then
    the phone answers a tap that requires it with "see phone" (6986) and accepts the next one.
    `limited_use_keys` is the size of a batch of keys for a phone without a secure element, 0 where
    the keys stay in a secure element; each key is good for `key_uses` taps and `key_life_h` hours.
    """

    token_requestor: str
    payment_account_reference: str
    form_factor: bytes
    confirms: Literal["before", "when-asked"] = "before"
    limited_use_keys: int = 0
    key_uses: int = 1
    key_life_h: int = 24 * 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Faults of the card itself.

    `blocked`: the application (6283, GPO refused) or the whole card (6A81). `tamper`: one bit of
    the ICC certificate, or of the static data, was changed after signing. `replay`: the card
    answers with a transaction that was `recorded` elsewhere, or always repeats its `first` one.
    """

    blocked: Literal["no", "application", "card"] = "no"
    tamper: Literal["no", "certificate", "static"] = "no"
    replay: Literal["no", "recorded", "first"] = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardTimes:
    """The modelled milliseconds that a real chip needs for each command, without the air."""

    ppse: int = 11
    select: int = 24
    gpo: int = 125
    record: int = 6
    cryptogram: int = 125
    other: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CardProfile:
    """One emulated card or phone.

    `pan` is the card number or, on a phone, the payment token. `expiry` is YYMM, `pan_sequence`
    two digits (tag 5F34), `country` and `currency` three digits (ISO 3166-1, ISO 4217), `aid` hex.
    """

    name: str
    title: str
    purpose: str
    scheme: Scheme
    pan: str
    kind: Kind = "card"
    aid: str = ""
    label: str = ""
    expiry: str = "3012"
    effective: str = "2401"
    pan_sequence: str = "01"
    service_code: str = "220"
    country: str = "156"
    currency: str = "156"
    language: str = "zhen"
    priority: int = 1
    cvms: tuple[Cvm, ...] = ("online-pin", "signature")
    oda: Oda = "fdda-01"
    online_oda: Literal["always", "when-asked"] = "always"
    on_oda_failure: Literal["decline", "online"] = "decline"
    on_expiry: Literal["decline", "online"] = "decline"
    icc_key_bits: int = 1024
    gpo_format: int = 2
    air: Air = field(default_factory=Air)
    offline: OfflineLimits | None = None
    phone: Phone | None = None
    trouble: Trouble = field(default_factory=Trouble)
    behaviour: Behaviour = field(default_factory=Behaviour)
    times: CardTimes = field(default_factory=CardTimes)

    @property
    def token(self) -> bool:
        """Whether `pan` is a payment token and not a card number."""
        return self.phone is not None

    @property
    def masked_pan(self) -> str:
        """The first six and last four digits."""
        return self.pan[:6] + "*" * (len(self.pan) - 10) + self.pan[-4:]

    def as_table(self) -> dict[str, Any]:
        """The profile as the table that `profile_from` reads."""
        return cast(dict[str, Any], _plain(asdict(self)))


def luhn_valid(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, Annex B)."""
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 * (d > 9) for d in doubled)) % 10 == 0


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.hex().upper() if isinstance(value, bytes) else value
