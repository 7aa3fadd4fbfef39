"""The data objects of a merchant-presented payload, and the rule for each.

Source: EMVCo, QR Code Specification for Payment Systems: Merchant-Presented Mode 1.0, data
object tables; 62-10 and 62-11 come with version 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

#: Largest payload in characters.
LARGEST_PAYLOAD = 512

#: Ids of merchant account information whose value the payment network defines; it is never TLV.
PRIMITIVE_ACCOUNTS = {
    **dict.fromkeys(("02", "03"), "Visa"),
    **dict.fromkeys(("04", "05"), "Mastercard"),
    **dict.fromkeys(("06", "07", "08"), "EMVCo"),
    **dict.fromkeys(("09", "10"), "Discover"),
    **dict.fromkeys(("11", "12"), "American Express"),
    **dict.fromkeys(("13", "14"), "JCB"),
    **dict.fromkeys(("15", "16"), "UnionPay"),
    **dict.fromkeys((f"{each:02}" for each in range(17, 26)), "EMVCo"),
}
#: Ids of merchant account information as a template with a globally unique identifier.
ACCOUNT_TEMPLATES = frozenset(f"{each:02}" for each in range(26, 52))
#: Ids of unreserved templates: anyone may define one, with a globally unique identifier.
UNRESERVED_TEMPLATES = frozenset(str(each) for each in range(80, 100))
#: Every template at the top level.
TEMPLATES = ACCOUNT_TEMPLATES | UNRESERVED_TEMPLATES | {"62", "64"}
#: Ids that EMVCo reserves for future use.
RESERVED = frozenset(str(each) for each in range(65, 80))
#: Ids that every payload must have, besides 00 (first), 63 (last) and one of 02-51.
MANDATORY = ("52", "53", "58", "59", "60")

# Decimals of ISO 4217 currencies by numeric code, where they are not two.
_OTHER_DECIMALS = {
    **dict.fromkeys(
        ("108", "152", "174", "262", "324", "352", "392", "410", "548", "600", "646", "704"), 0
    ),
    **dict.fromkeys(("800", "940", "950", "952", "953"), 0),
    **dict.fromkeys(("048", "368", "400", "414", "434", "512", "788"), 3),
    **dict.fromkeys(("927", "990"), 4),
}


def currency_decimals(numeric: str) -> int:
    """Decimals of an ISO 4217 currency by its numeric code; two for a code not in the table."""
    return _OTHER_DECIMALS.get(numeric, 2)


def is_amount(text: str) -> bool:
    """Whether `text` is an amount above zero: digits and at most one full stop (98.73, 98, 98.)."""
    return _AMOUNT.fullmatch(text) is not None and text.strip("0.") != ""


def is_percentage(text: str) -> bool:
    """Whether `text` is a percentage from 00.01 to 99.99 (3, 05, 12.5, 99.99)."""
    whole, _, decimals = text.partition(".")
    return is_amount(text) and len(whole.lstrip("0")) <= 2 and len(decimals.rstrip("0")) <= 2


# str.isdigit() and \d accept digits of other scripts; payment systems do not.
_AMOUNT = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")
_DIGITS = re.compile(r"[0-9]+")
_COUNTRY = re.compile(r"[A-Z]{2}")
_LANGUAGE = re.compile(r"[A-Za-z]{2}")
_PRINTABLE = re.compile(r"[ -~]*")


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


_is_digits = _matches(_DIGITS)
_is_ans = _matches(_PRINTABLE)


def _is_any(text: str) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRule:
    """Form of one data object: fewest and most characters, their form, the values allowed."""

    name: str
    shortest: int = 1
    longest: int = 99
    form: Callable[[str], bool] = _is_ans
    values: frozenset[str] | None = None


#: Primitive objects at the top level.
ROOT_RULES = {
    "00": ObjectRule(name="payload format indicator", shortest=2, longest=2, form=_is_digits),
    "01": ObjectRule(
        name="point of initiation method",
        shortest=2,
        longest=2,
        form=_is_digits,
        values=frozenset({"11", "12"}),
    ),
    **{
        account: ObjectRule(name=f"merchant account information ({network})")
        for account, network in PRIMITIVE_ACCOUNTS.items()
    },
    "52": ObjectRule(name="merchant category code", shortest=4, longest=4, form=_is_digits),
    "53": ObjectRule(name="transaction currency", shortest=3, longest=3, form=_is_digits),
    "54": ObjectRule(name="transaction amount", longest=13, form=is_amount),
    "55": ObjectRule(
        name="tip or convenience indicator",
        shortest=2,
        longest=2,
        form=_is_digits,
        values=frozenset({"01", "02", "03"}),
    ),
    "56": ObjectRule(name="convenience fee, fixed", longest=13, form=is_amount),
    "57": ObjectRule(name="convenience fee, percentage", longest=5, form=is_percentage),
    "58": ObjectRule(name="country code", shortest=2, longest=2, form=_matches(_COUNTRY)),
    "59": ObjectRule(name="merchant name", longest=25),
    "60": ObjectRule(name="merchant city", longest=15),
    "61": ObjectRule(name="postal code", longest=10),
}

#: Objects of the additional data field template (62). Version 1.1 defines 10 and 11; a payload of
#: version 1.0 may hold anything there, so only the builder checks them.
ADDITIONAL_RULES = {
    "01": ObjectRule(name="bill number", longest=25),
    "02": ObjectRule(name="mobile number", longest=25),
    "03": ObjectRule(name="store label", longest=25),
    "04": ObjectRule(name="loyalty number", longest=25),
    "05": ObjectRule(name="reference label", longest=25),
    "06": ObjectRule(name="customer label", longest=25),
    "07": ObjectRule(name="terminal label", longest=25),
    "08": ObjectRule(name="purpose of transaction", longest=25),
}
#: Objects that version 1.1 adds to 62; only the builder checks them.
ADDITIONAL_RULES_1_1 = {
    "10": ObjectRule(name="merchant tax id", longest=20),
    "11": ObjectRule(name="merchant channel", shortest=3, longest=3),
}

#: Objects of the merchant information language template (64); these may hold any script.
LANGUAGE_RULES = {
    "00": ObjectRule(name="language preference", shortest=2, longest=2, form=_matches(_LANGUAGE)),
    "01": ObjectRule(name="merchant name, alternate language", longest=25, form=_is_any),
    "02": ObjectRule(name="merchant city, alternate language", longest=15, form=_is_any),
}

#: The globally unique identifier of account and unreserved templates.
GUID_RULE = ObjectRule(name="globally unique identifier", longest=32)
