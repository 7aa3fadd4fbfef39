"""The data objects of a merchant-presented payload, and the rule for each.

Source: EMVCo, QR Code Specification for Payment Systems: Merchant-Presented Mode 1.0, data
object tables; 62-10 and 62-11 come with version 1.1.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from devices.qr.codec.iso_codes import COUNTRIES, CURRENCIES, LANGUAGES

#: Largest payload in characters; in bytes where its text is multibyte (section 4.1).
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
#: Ids inside the additional data field template (62) that version 1.1 leaves without a meaning.
ADDITIONAL_RESERVED = frozenset(str(each) for each in range(12, 50))
#: Ids inside 62 of templates with a globally unique identifier (section 4.8.1.5).
ADDITIONAL_TEMPLATES = frozenset(str(each) for each in range(50, 100))
#: Ids inside the language template (64) that EMVCo reserves for future use.
LANGUAGE_RESERVED = frozenset(f"{each:02}" for each in range(3, 100))
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
# Version 1.1: medium, place of the transaction, presence of the merchant.
_CHANNEL = re.compile(r"[0-7][0-3][0-3]")


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


_is_digits = _matches(_DIGITS)
_is_ans = _matches(_PRINTABLE)


def _is_any(text: str) -> bool:
    return True


def _is_composed(text: str) -> bool:
    """Whether `text` is in Unicode's composed form, as text in any script must be (4.5.3.1)."""
    return unicodedata.is_normalized("NFC", text)


_COMPOSED = ", expected Unicode's composed form (NFC)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRule:
    """Form of one data object: fewest and most characters, their form, the values allowed.

    `values` are upper case; `code_list` names the list that they come from; `expected` ends the
    message on a wrong form.
    """

    name: str
    shortest: int = 1
    longest: int = 99
    form: Callable[[str], bool] = _is_ans
    values: frozenset[str] | None = None
    code_list: str = ""
    expected: str = ""


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
    "53": ObjectRule(
        name="transaction currency",
        shortest=3,
        longest=3,
        form=_is_digits,
        values=CURRENCIES,
        code_list="ISO 4217",
    ),
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
    "58": ObjectRule(
        name="country code",
        shortest=2,
        longest=2,
        form=_matches(_COUNTRY),
        values=COUNTRIES,
        code_list="ISO 3166-1",
    ),
    "59": ObjectRule(name="merchant name", longest=25),
    "60": ObjectRule(name="merchant city", longest=15),
    "61": ObjectRule(name="postal code", longest=10),
}

#: Objects of the additional data field template (62); 10 and 11 come with version 1.1.
ADDITIONAL_RULES = {
    "01": ObjectRule(name="bill number", longest=25),
    "02": ObjectRule(name="mobile number", longest=25),
    "03": ObjectRule(name="store label", longest=25),
    "04": ObjectRule(name="loyalty number", longest=25),
    "05": ObjectRule(name="reference label", longest=25),
    "06": ObjectRule(name="customer label", longest=25),
    "07": ObjectRule(name="terminal label", longest=25),
    "08": ObjectRule(name="purpose of transaction", longest=25),
    "09": ObjectRule(name="additional consumer data request", form=_is_any),
    "10": ObjectRule(name="merchant tax id", longest=20),
    "11": ObjectRule(name="merchant channel", shortest=3, longest=3, form=_matches(_CHANNEL)),
}

#: Objects of the merchant information language template (64); these may hold any script.
LANGUAGE_RULES = {
    "00": ObjectRule(
        name="language preference",
        shortest=2,
        longest=2,
        form=_matches(_LANGUAGE),
        values=LANGUAGES,
        code_list="ISO 639-1",
    ),
    "01": ObjectRule(
        name="merchant name, alternate language", longest=25, form=_is_composed, expected=_COMPOSED
    ),
    "02": ObjectRule(
        name="merchant city, alternate language", longest=15, form=_is_composed, expected=_COMPOSED
    ),
}

#: The globally unique identifier of account and unreserved templates.
GUID_RULE = ObjectRule(name="globally unique identifier", longest=32)
#: A template as a whole; the objects in it have rules of their own.
TEMPLATE_RULE = ObjectRule(name="template", form=_is_any)
#: Any other object: text in any script, at least one character (section 4.4.1.2).
STRING_RULE = ObjectRule(name="text", form=_is_composed, expected=_COMPOSED)
