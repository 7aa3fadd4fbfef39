"""Card profiles from TOML: those of `profiles/`, and the user's own files."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devices.nfc.emulated.behaviour import Behaviour
from devices.nfc.emulated.profile import (
    Air,
    CardProfile,
    CardTimes,
    OfflineLimits,
    Phone,
    Trouble,
    luhn_valid,
)
from devices.nfc.emulated.toml_reader import ProfileError, Table

_FOLDER = Path(__file__).parent / "profiles"
_SCHEMES = ("unionpay", "visa", "mastercard")


def profile_names() -> tuple[str, ...]:
    """The names of the profiles in this package, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_profile(name_or_path: str | Path) -> CardProfile:
    """A profile by its name, or from the user's own TOML file.

    Raises ProfileError naming the field and what was expected.
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
    """A profile from a parsed TOML document; `name` is used where the document has none."""
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
        oda=table.choice("oda", ("fdda-01", "fdda-00", "sda", "cda", "none"), "fdda-01"),
        online_oda=table.choice("online_oda", ("always", "when-asked"), "always"),
        on_oda_failure=table.choice("on_oda_failure", ("decline", "online"), "decline"),
        on_expiry=table.choice("on_expiry", ("decline", "online"), "decline"),
        icc_key_bits=table.number("icc_key_bits", 1024, low=1024, high=1408),
        gpo_format=table.number("gpo_format", 2, low=1, high=2),
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


def _check(profile: CardProfile) -> None:
    if not luhn_valid(profile.pan):
        raise ProfileError("pan", "the last digit is not the Luhn check digit of the others")
    if profile.oda not in _ODA_OF[profile.scheme]:
        wanted = " or ".join(_ODA_OF[profile.scheme])
        raise ProfileError("oda", f"expected {wanted} for {profile.scheme}")
    if profile.gpo_format == 1 and profile.scheme != "mastercard":
        raise ProfileError("gpo_format", "expected 2: format 1 has no room for a cryptogram")
    if (profile.kind == "phone") != (profile.phone is not None):
        raise ProfileError("phone", "expected a [phone] table for a phone and none for a card")


_ODA_OF = {
    "unionpay": ("fdda-01", "fdda-00", "sda", "none"),
    "visa": ("fdda-01", "fdda-00", "none"),
    "mastercard": ("cda", "none"),
}
