"""The content of a merchant-presented code as frozen values, and the payload made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from devices.qr.codec.mpm_objects import (
    ACCOUNT_TEMPLATES,
    ADDITIONAL_TEMPLATES,
    PRIMITIVE_ACCOUNTS,
    UNRESERVED_TEMPLATES,
)
from devices.qr.codec.mpm_tlv import join, with_crc
from devices.qr.codec.verdict import CodecError

Objects = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantAccount:
    """A primitive account, ids 02-25; the payment network defines the form of its value."""

    id: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template with a globally unique identifier: ids 26-51, 80-99; inside 62: 50-99.

    `guid` is an AID, a UUID without hyphens or a reverse domain name; `objects` follow it.
    """

    id: str
    guid: str
    objects: Objects = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """A tip that the payer chooses, or a fee: `fixed` as an amount, or `percentage`."""

    fixed: str | None = None
    percentage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditionalContent:
    """The additional data field template (62); `***` asks the payer's wallet for the value."""

    bill_number: str | None = None
    mobile_number: str | None = None
    store_label: str | None = None
    loyalty_number: str | None = None
    reference_label: str | None = None
    customer_label: str | None = None
    terminal_label: str | None = None
    purpose: str | None = None
    consumer_request: str | None = None
    tax_id: str | None = None
    channel: str | None = None
    templates: tuple[Template, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageTemplate:
    """Merchant name and city in another language (64); `language` is ISO 639-1."""

    language: str
    name: str
    city: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantPresented:
    """The content of a merchant-presented code.

    `amount` is decimal text (`12.80`) or None where the payer types it; `currency` and
    `mcc` are digits (ISO 4217, ISO 18245), `country` two letters (ISO 3166-1).
    """

    accounts: tuple[MerchantAccount | Template, ...]
    mcc: str
    currency: str
    country: str
    name: str
    city: str
    amount: str | None = None
    dynamic: bool | None = None
    tip: Tip | None = None
    postal_code: str | None = None
    additional: AdditionalContent | None = None
    language: LanguageTemplate | None = None
    unreserved: tuple[Template, ...] = ()


# Attributes of AdditionalContent in the order of their ids, 01 to 11.
_ADDITIONAL = tuple(each.name for each in fields(AdditionalContent))[:11]


def compose(presented: MerchantPresented) -> str:
    """The payload of `presented`: all objects in the order of their ids, then the CRC.

    CodecError only for a mistake that parsing the payload would not find; the caller parses it.
    """
    initiation = {None: None, False: "11", True: "12"}[presented.dynamic]
    tip = presented.tip
    if tip and tip.fixed is not None and tip.percentage is not None:
        raise CodecError("55", None, "expected a fixed fee or a percentage, got both")
    indicator = None
    if tip:
        indicator = "02" if tip.fixed is not None else "03" if tip.percentage is not None else "01"
    objects: list[tuple[str, str | None]] = [
        ("00", "01"),
        ("01", initiation),
        *(_account(each) for each in presented.accounts),
        ("52", presented.mcc),
        ("53", presented.currency),
        ("54", presented.amount),
        ("55", indicator),
        ("56", tip.fixed if tip else None),
        ("57", tip.percentage if tip else None),
        ("58", presented.country),
        ("59", presented.name),
        ("60", presented.city),
        ("61", presented.postal_code),
        ("62", _additional(presented.additional) if presented.additional else None),
        ("64", _language(presented.language) if presented.language else None),
        *((each.id, _template(each, UNRESERVED_TEMPLATES)) for each in presented.unreserved),
    ]
    return with_crc(_joined("", tuple((tag, value) for tag, value in objects if value is not None)))


def _account(account: MerchantAccount | Template) -> tuple[str, str]:
    if isinstance(account, Template):
        return account.id, _template(account, ACCOUNT_TEMPLATES)
    if account.id not in PRIMITIVE_ACCOUNTS:
        raise CodecError(account.id, None, "expected an id from 02 to 25 for a primitive account")
    return account.id, account.value


def _template(template: Template, ids: frozenset[str]) -> str:
    if template.id not in ids:
        raise CodecError(
            template.id, None, f"expected an id from {min(ids)} to {max(ids)} for this template"
        )
    return _joined(template.id, (("00", template.guid), *template.objects))


def _additional(content: AdditionalContent) -> str:
    values: Mapping[str, str | None] = {
        f"{number:02}": getattr(content, name) for number, name in enumerate(_ADDITIONAL, start=1)
    }
    return _joined(
        "62",
        (
            *((tag, value) for tag, value in values.items() if value is not None),
            *((each.id, _template(each, ADDITIONAL_TEMPLATES)) for each in content.templates),
        ),
    )


def _language(template: LanguageTemplate) -> str:
    objects: Objects = (("00", template.language), ("01", template.name))
    return _joined("64", objects if template.city is None else (*objects, ("02", template.city)))


def _joined(prefix: str, objects: Objects) -> str:
    try:
        return join(objects)
    except ValueError as error:
        tag, _, message = str(error).partition(": ")
        raise CodecError(f"{prefix}-{tag}" if prefix else tag, None, message) from None
