"""Card profiles: what a TOML file says of an emulated card or phone, as checked values.

The profiles that come along are the files in `profiles/`; a path to any other TOML file with the
same fields works too. `profiles/README.md` explains every field.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from devices.nfc.emulated.behaviour import Behaviour
from devices.nfc.emulated.tables import ProfileError, Table

Kind = Literal["card", "phone"]
Scheme = Literal["unionpay", "visa", "mastercard"]
Cvm = Literal["online-pin", "signature", "on-device", "none"]
Oda = Literal["fdda-01", "fdda-00", "cda", "none"]

_FOLDER = Path(__file__).parent / "profiles"
_SCHEMES = ("unionpay", "visa", "mastercard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Air:
    """How the card shows itself to a reader (ISO/IEC 14443-3 and -4).

    `uid` is empty for one derived from the card number; `random_uid` gives a new one at every
    presentation, as phones do. `ats` is whole, its own length first; empty for type B.
    """

    technology: Literal["A", "B"] = "A"
    uid: bytes = b""
    uid_length: int = 7
    random_uid: bool = False
    sak: int = 0x20
    ats: bytes = bytes.fromhex("0A788071024C414E4531")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineLimits:
    """Up to where the card approves alone, in minor units of the card's own currency.

    `cumulative_minor` bounds what was approved offline since the issuer last reset the counter.
    """

    single_minor: int
    cumulative_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """What a payment token on a phone adds to a card.

    `confirms` says when the holder verifies on the phone: `before` every tap, or `when-asked`: a
    tap that requires it is answered "see phone" (6986), and the next one goes through.
    `limited_use_keys` is how many keys a phone without a secure element is given at a time, 0 where
    the keys stay in a secure element; each has `key_uses` taps and `key_life_h` hours.
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
    """What is wrong with the card itself.

    `blocked`: the application (6283, GPO refused) or the whole card (6A81). `tamper`: one bit of
    the ICC certificate, or signed static data changed after signing. `replay`: it answers with a
    transaction `recorded` elsewhere before, or repeats its own `first` one for ever.
    """

    blocked: Literal["no", "application", "card"] = "no"
    tamper: Literal["no", "certificate", "static"] = "no"
    replay: Literal["no", "recorded", "first"] = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardTimes:
    """Modelled milliseconds that a real chip works on each command, air not included."""

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
        """The first six and last four digits, for people."""
        return self.pan[:6] + "*" * (len(self.pan) - 10) + self.pan[-4:]

    def as_table(self) -> dict[str, Any]:
        """The profile as the TOML document that profile_from reads back."""
        return cast(dict[str, Any], _plain(asdict(self)))


def profile_names() -> tuple[str, ...]:
    """The names of the profiles that come along, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_profile(name_or_path: str | Path) -> CardProfile:
    """A profile by its name, or from a TOML file of one's own.

    Raises ProfileError, which names the field and what was expected.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = _FOLDER / f"{name_or_path}.toml"
        if str(name_or_path) not in profile_names():
            known = ", ".join(profile_names())
            raise ProfileError("name", f"no card named {name_or_path!r}; there are {known}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError("file", f"{path}: can't be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise ProfileError("file", f"{path}: not TOML ({error})") from error
    return profile_from(content, name=path.stem)


def profile_from(content: Mapping[str, Any], *, name: str) -> CardProfile:
    """A profile from a parsed TOML document, `name` where it states none of its own."""
    table = Table(content)
    scheme = table.choice("scheme", _SCHEMES)
    profile = CardProfile(
        name=table.text("name", name, pattern=r"[a-z0-9][a-z0-9-]{0,40}"),
        title=table.text("title"),
        purpose=table.text("purpose"),
        kind=table.choice("kind", ("card", "phone"), "card"),
        scheme=scheme,
        aid=table.text("aid", _AIDS[scheme], pattern=r"[0-9A-F]{10,32}"),
        label=table.text("label", _LABELS[scheme], pattern=r"[ -~]{1,16}"),
        pan=table.text("pan", pattern=r"\d{12,19}"),
        expiry=table.text("expiry", "3012", pattern=r"\d\d(0[1-9]|1[0-2])"),
        effective=table.text("effective", "2401", pattern=r"\d\d(0[1-9]|1[0-2])"),
        pan_sequence=table.text("pan_sequence", "01", pattern=r"\d\d"),
        service_code=table.text("service_code", "220", pattern=r"\d{3}"),
        country=table.text("country", "156", pattern=r"\d{3}"),
        currency=table.text("currency", "156", pattern=r"\d{3}"),
        language=table.text("language", "zhen", pattern=r"([a-z]{2}){1,4}"),
        priority=table.number("priority", 1, low=1, high=15),
        cvms=table.choices("cvms", _CVMS, ("online-pin", "signature")),
        oda=table.choice("oda", ("fdda-01", "fdda-00", "cda", "none"), "fdda-01"),
        online_oda=table.choice("online_oda", ("always", "when-asked"), "always"),
        on_oda_failure=table.choice("on_oda_failure", ("decline", "online"), "decline"),
        on_expiry=table.choice("on_expiry", ("decline", "online"), "decline"),
        icc_key_bits=table.number("icc_key_bits", 1024, low=1024, high=1408),
        air=_air(table.table("air")),
        offline=_offline(table.optional("offline")),
        phone=_phone(table.optional("phone")),
        trouble=_trouble(table.table("trouble")),
        behaviour=_behaviour(table.table("behaviour")),
        times=_times(table.table("times")),
    )
    table.end()
    _check(profile)
    return profile


_AIDS = {"unionpay": "A000000333010101", "visa": "A0000000031010", "mastercard": "A0000000041010"}
_LABELS = {"unionpay": "UnionPay Debit", "visa": "VISA CREDIT", "mastercard": "MASTERCARD"}
_CVMS = ("online-pin", "signature", "on-device", "none")


def _air(table: Table) -> Air:
    default = Air()
    technology = table.choice("technology", ("A", "B"), "A")
    air = Air(
        technology=technology,
        uid=table.hex("uid", b""),
        uid_length=table.number("uid_length", 7 if technology == "A" else 4, low=4, high=10),
        random_uid=table.flag("random_uid", False),
        sak=table.number("sak", default.sak, low=0, high=255),
        ats=table.hex("ats", default.ats if technology == "A" else b""),
    )
    table.end()
    lengths = (4, 7, 10) if technology == "A" else (4,)
    if air.uid_length not in lengths or (air.uid and len(air.uid) not in lengths):
        raise ProfileError("air.uid", f"expected {lengths} bytes for type {technology}")
    if air.ats and air.ats[0] != len(air.ats):
        raise ProfileError("air.ats", "expected its own length in the first byte")
    return air


def _offline(table: Table | None) -> OfflineLimits | None:
    if table is None:
        return None
    limits = OfflineLimits(
        single_minor=table.number("single_minor", low=1, high=10**10),
        cumulative_minor=table.number("cumulative_minor", low=1, high=10**10),
    )
    table.end()
    return limits


def _phone(table: Table | None) -> Phone | None:
    if table is None:
        return None
    phone = Phone(
        token_requestor=table.text("token_requestor", pattern=r"\d{11}"),
        payment_account_reference=table.text("payment_account_reference", pattern=r"[0-9A-Z]{29}"),
        confirms=table.choice("confirms", ("before", "when-asked"), "before"),
        form_factor=table.hex("form_factor", bytes.fromhex("23800000")),
        limited_use_keys=table.number("limited_use_keys", 0, low=0, high=200),
        key_uses=table.number("key_uses", 1, low=1, high=100),
        key_life_h=table.number("key_life_h", 24 * 30, low=1, high=24 * 366),
    )
    table.end()
    return phone


def _trouble(table: Table) -> Trouble:
    trouble = Trouble(
        blocked=table.choice("blocked", ("no", "application", "card"), "no"),
        tamper=table.choice("tamper", ("no", "certificate", "static"), "no"),
        replay=table.choice("replay", ("no", "recorded", "first"), "no"),
    )
    table.end()
    return trouble


def _behaviour(table: Table) -> Behaviour:
    pull_at = table.number("pull_at", 0, low=0, high=40)
    behaviour = Behaviour(
        pull_at=pull_at or None,
        pull_when=table.choice("pull_when", ("before", "after"), "after"),
        pull_presentations=table.number("pull_presentations", 0, low=0, high=1000),
        delays_ms=table.numbers("delays_ms", (), low=0, high=60_000),
    )
    table.end()
    return behaviour


def _times(table: Table) -> CardTimes:
    default = CardTimes()
    times = CardTimes(
        **{
            name: table.number(name, getattr(default, name), low=0, high=60_000)
            for name in ("ppse", "select", "gpo", "record", "cryptogram", "other")
        }
    )
    table.end()
    return times


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.hex().upper() if isinstance(value, bytes) else value


def _check(profile: CardProfile) -> None:
    if not luhn_valid(profile.pan):
        raise ProfileError("pan", "the last digit is not the Luhn check digit of the others")
    if profile.oda != "none" and (profile.scheme == "mastercard") != (profile.oda == "cda"):
        raise ProfileError("oda", f"expected {_ODA_OF[profile.scheme]} for {profile.scheme}")
    if (profile.kind == "phone") != (profile.phone is not None):
        raise ProfileError("phone", "expected a [phone] table for a phone and none for a card")


_ODA_OF = {"unionpay": "fdda or none", "visa": "fdda or none", "mastercard": "cda or none"}


def luhn_valid(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, Annex B)."""
    doubled = (2 * int(one) for one in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 * (d > 9) for d in doubled)) % 10 == 0
