"""The shop's own EMV codes: a keyed tag binds each to its merchant, amount and order.

Template 26 holds this project's identifier, so that no real wallet takes the code for its own, and
01 merchant id, 02 the order's or sticker's code (unguessable, looked up by the shop), 03 the tag
over everything else in the payload. A changed amount, another merchant's name or a code copied
into a stranger's sticker is refused before the payer sees a price.
"""

from __future__ import annotations

import base64
import hmac
import unicodedata
from dataclasses import dataclass
from typing import Literal

from checkout.acceptance.qr.latin import language, latin
from checkout.acceptance.qr.link import normalise_code
from checkout.config import Merchant
from checkout.money import AmountError, Money, currency_of, exponent, numeric_code
from devices.qr.codec import mpm
from devices.qr.codec.mpm import (
    AdditionalContent,
    LanguageTemplate,
    MerchantPresented,
    MpmReading,
    Template,
)

#: The globally unique identifier of this project's template: no network's, no bank's.
GUID = "LANE.CHECKOUT.DEMO"

_TEMPLATE = "26"
_TAG_BYTES = 8
_SHORTEST_KEY = 16

RefusedKind = Literal["broken", "foreign", "forged"]


class CodeRefused(ValueError):
    """A payload that must not be paid here.

    `kind`: `broken` (breaks a rule of the standard), `foreign` (not this project's template),
    `forged` (made or changed by someone without the shop's key).
    """

    def __init__(self, kind: RefusedKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a code asks its payer to confirm; the tag has been checked.

    The merchant's name and city are as the shop writes them, in its own script. `amount` is None
    where the payer types it. The shop looks `code` up, and so finds out whether
    it is still live.
    """

    code: str
    amount: Money | None
    currency: str
    merchant_id: str
    merchant_name: str
    merchant_city: str
    reference: str | None
    dynamic: bool

    def agrees_with(self, *, amount_minor: int, currency: str, merchant_id: str) -> bool:
        """Whether the order found under the code is the one that was shown to the payer."""
        return (
            self.merchant_id == merchant_id
            and self.currency == currency
            and (self.amount is None or self.amount.amount_minor == amount_minor)
        )


def dynamic_payload(
    *, merchant: Merchant, code: str, amount: Money, key: bytes, reference: str | None = None
) -> str:
    """The EMV payload of one order, for `amount`; `key` is the shop's secret of 16 bytes or more.

    CodecError names an object that a value does not fit; LinkError a code that is none.
    """
    return _signed(merchant, code, amount, amount.currency, key, reference, dynamic=True)


def static_payload(
    *,
    merchant: Merchant,
    code: str,
    currency: str,
    key: bytes,
    amount: Money | None = None,
    label: str | None = None,
) -> str:
    """The EMV payload of a printed sticker: the payer types the amount, unless it has its own."""
    currency = currency if amount is None else amount.currency
    return _signed(merchant, code, amount, currency, key, label, dynamic=False)


def open_payload(text: str, *, key: bytes) -> Offer:
    """What the shop's own payload asks for; CodeRefused where it must not be paid."""
    reading = mpm.parse(text)
    if reading.value(f"{_TEMPLATE}-00") != GUID:
        raise CodeRefused("foreign", "the code is not one of this checkout's")
    if not reading.accepted():
        raise CodeRefused("broken", f"the code is damaged: {reading.issues[0]}")
    claimed = reading.value(f"{_TEMPLATE}-03") or ""
    if not hmac.compare_digest(claimed.encode(), _tag(reading, key).encode()):
        raise CodeRefused("forged", "the code was not made by this shop, or was changed since")
    return _offer(reading)


def is_ours(text: str) -> bool:
    """Whether `text` claims to be a payload of this project, genuine or not."""
    return mpm.parse(text).value(f"{_TEMPLATE}-00") == GUID


def _signed(
    merchant: Merchant,
    code: str,
    amount: Money | None,
    currency: str,
    key: bytes,
    reference: str | None,
    *,
    dynamic: bool,
) -> str:
    code = normalise_code(code)

    def presented(tag: str) -> MerchantPresented:
        objects = (("01", merchant.merchant_id), ("02", code), ("03", tag))
        return MerchantPresented(
            accounts=(Template(id=_TEMPLATE, guid=GUID, objects=objects),),
            dynamic=dynamic,
            mcc=merchant.mcc,
            currency=numeric_code(currency),
            amount=None if amount is None else amount.decimal(),
            country=merchant.country_alpha,
            name=_latin_name(merchant),
            city=_cut(latin(merchant.city), 15) or merchant.country_alpha,
            additional=AdditionalContent(
                reference_label=_cut(latin(reference or ""), 25) or None,
                terminal_label=merchant.terminal_id,
            ),
            language=_own_language(merchant),
        )

    untagged = mpm.parse(mpm.build(presented("-")))
    return mpm.build(presented(_tag(untagged, key)))


def _own_language(merchant: Merchant) -> LanguageTemplate | None:
    """Name and city as the shop itself writes them; None where both are in Latin script."""
    code = language(merchant.name) or language(merchant.city)
    if code is None:
        return None
    name, city = (unicodedata.normalize("NFC", each) for each in (merchant.name, merchant.city))
    return LanguageTemplate(
        language=code, name=_cut(name, 25) or _latin_name(merchant), city=_cut(city, 15) or None
    )


def _latin_name(merchant: Merchant) -> str:
    return _cut(latin(merchant.name), 25) or f"SHOP {merchant.merchant_id}"[:25]


def _cut(text: str, longest: int) -> str:
    """`text` in at most `longest` characters; spaces go first, then the end."""
    if len(text) > longest and len(text.replace(" ", "")) <= longest:
        return text.replace(" ", "")
    return text[:longest].strip()


def _tag(reading: MpmReading, key: bytes) -> str:
    """Thirteen base32 characters over every object but the tag and the CRC, in order of ids."""
    if len(key) < _SHORTEST_KEY:
        raise ValueError(f"key: expected at least {_SHORTEST_KEY} bytes, got {len(key)}")
    parts = []
    for tag, value in sorted(reading.fields.items()):
        inner = value.items() if isinstance(value, dict) else [("", value)]
        for name, content in sorted(inner):
            if (tag, name) != (_TEMPLATE, "03"):
                # Lengths in front, so that no two payloads give the same bytes.
                parts.append(f"{tag}.{name}.{len(content)}.{content}")
    digest = hmac.digest(key, "\n".join(["checkout emv code", *parts]).encode(), "sha256")
    return base64.b32encode(digest[:_TAG_BYTES]).decode("ascii").rstrip("=")


def _offer(reading: MpmReading) -> Offer:
    try:
        currency = currency_of(reading.value("53") or "")
        amount = _money(reading.value("54"), currency)
    except AmountError as error:
        raise CodeRefused("broken", str(error)) from None
    return Offer(
        code=reading.value(f"{_TEMPLATE}-02") or "",
        amount=amount,
        currency=currency,
        merchant_id=reading.value(f"{_TEMPLATE}-01") or "",
        merchant_name=reading.value("64-01") or reading.value("59") or "",
        merchant_city=reading.value("64-02") or reading.value("60") or "",
        reference=reading.value("62-05"),
        dynamic=reading.value("01") == "12",
    )


def _money(text: str | None, currency: str) -> Money | None:
    if text is None:
        return None
    whole, _, decimals = text.partition(".")
    minor = int(whole or "0") * 10 ** exponent(currency) + int(
        decimals.ljust(exponent(currency), "0") or "0"
    )
    return Money(amount_minor=minor, currency=currency)
