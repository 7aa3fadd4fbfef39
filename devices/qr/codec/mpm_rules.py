"""The rules of a merchant-presented payload; a broken one is named by id and position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from devices.qr.codec.mpm_objects import (
    ACCOUNT_TEMPLATES,
    ADDITIONAL_RULES,
    GUID_RULE,
    LANGUAGE_RULES,
    LARGEST_PAYLOAD,
    MANDATORY,
    PRIMITIVE_ACCOUNTS,
    RESERVED,
    ROOT_RULES,
    TEMPLATES,
    UNRESERVED_TEMPLATES,
    ObjectRule,
    currency_decimals,
)
from devices.qr.codec.mpm_tlv import DataObject, TlvFault, split
from devices.qr.codec.verdict import BrokenRule

Template = tuple[DataObject, ...]

_HEADER = 4
# Value of 55 -> the object that is present with that value, and with no other.
_FEES = {"02": "56", "03": "57"}
_CONSUMER_REQUEST = frozenset("AME")


def open_templates(objects: Iterable[DataObject]) -> dict[int, Template | TlvFault]:
    """The templates in `objects` by position: the objects of each, or the fault that it has."""
    opened: dict[int, Template | TlvFault] = {}
    for each in objects:
        if each.id in TEMPLATES:
            try:
                opened[each.position] = split(each.value, each.position + _HEADER)
            except TlvFault as fault:
                opened[each.position] = fault
    return opened


def broken_rules(
    text: str, objects: Template, templates: Mapping[int, Template | TlvFault]
) -> Iterator[BrokenRule]:
    """The rules that `text` breaks; `objects` and `templates` are the parts of `text`."""
    yield from _presence(text, objects)
    yield from _forms(objects, ROOT_RULES)
    yield from _fees(objects)
    for each in objects:
        content = templates.get(each.position)
        if isinstance(content, TlvFault):
            finding = f"template {each.id}: {content}"
            yield BrokenRule(field=each.id, position=content.position, text=finding)
        elif content is not None:
            yield from _template(each, content)


def _presence(text: str, objects: Template) -> Iterator[BrokenRule]:
    if len(text) > LARGEST_PAYLOAD:
        finding = f"payload length {len(text)} not in 1..{LARGEST_PAYLOAD}"
        yield BrokenRule(field="payload", position=LARGEST_PAYLOAD, text=finding)
    first = (objects[0].id, objects[0].value) if objects else ()
    if first != ("00", "01"):
        finding = f"00 is not the first object with value 01: {first}"
        yield BrokenRule(field="00", position=0, text=finding)
    ids = {each.id for each in objects}
    end = objects[-1].position if objects else 0
    for tag in MANDATORY:
        if tag not in ids:
            yield BrokenRule(field=tag, position=end, text=f"mandatory root tag {tag} missing")
    if not any(tag in PRIMITIVE_ACCOUNTS or tag in ACCOUNT_TEMPLATES for tag in ids):
        finding = "no merchant account information 02-51"
        yield BrokenRule(field="02-51", position=end, text=finding)
    for each in objects:
        if each.id in RESERVED:
            yield BrokenRule(field=each.id, position=each.position, text=f"RFU root tag {each.id}")
    yield from _duplicates(objects, "", "duplicate root tag {}")


def _duplicates(objects: Template, prefix: str, finding: str) -> Iterator[BrokenRule]:
    seen: Counter[str] = Counter()
    for each in objects:
        seen[each.id] += 1
        if seen[each.id] == 2:
            yield BrokenRule(
                field=prefix + each.id, position=each.position, text=finding.format(each.id)
            )


def _forms(
    objects: Template, rules: Mapping[str, ObjectRule], prefix: str = ""
) -> Iterator[BrokenRule]:
    for each in objects:
        rule = rules.get(each.id)
        finding = "" if rule is None else _against(rule, prefix + each.id, each.value)
        if finding:
            yield BrokenRule(field=prefix + each.id, position=each.position, text=finding)
        elif not prefix and each.id in TEMPLATES and not each.value:
            finding = f"{each.id} length 0 not in 1..99"
            yield BrokenRule(field=each.id, position=each.position, text=finding)


def _against(rule: ObjectRule, field: str, value: str) -> str:
    """What is wrong with `value`; empty where it keeps `rule`."""
    if not rule.shortest <= len(value) <= rule.longest:
        return f"{field} length {len(value)} not in {rule.shortest}..{rule.longest}"
    if not rule.form(value):
        return f"{field} format: {value!r}"
    if rule.values is not None and value not in rule.values:
        return f"{field} RFU value {value}"
    return ""


def _fees(objects: Template) -> Iterator[BrokenRule]:
    """The decimals of amounts, and the fee object that goes with the value of 55."""
    by_id = {each.id: each for each in objects}
    currency = by_id.get("53")
    for tag in ("54", "56"):
        amount = by_id.get(tag)
        if amount is None or currency is None or _against(ROOT_RULES[tag], tag, amount.value):
            continue
        decimals, allowed = len(amount.value.partition(".")[2]), currency_decimals(currency.value)
        if decimals > allowed:
            finding = f"{tag} has {decimals} decimals, currency {currency.value} has {allowed}"
            yield BrokenRule(field=tag, position=amount.position, text=finding)
    indicator = by_id.get("55")
    for value, tag in _FEES.items():
        called_for = indicator is not None and indicator.value == value
        fee = by_id.get(tag)
        if indicator is not None and called_for and fee is None:
            finding = f"55={value} without {tag}"
            yield BrokenRule(field=tag, position=indicator.position, text=finding)
        elif fee is not None and not called_for:
            yield BrokenRule(field=tag, position=fee.position, text=f"{tag} without 55={value}")


def _template(template: DataObject, content: Template) -> Iterator[BrokenRule]:
    tag, prefix = template.id, f"{template.id}-"
    yield from _duplicates(content, prefix, f"template {tag}: duplicate tag {{}}")
    if tag == "62":
        yield from _forms(content, ADDITIONAL_RULES, prefix)
        for each in content:
            if each.id == "09" and not _is_consumer_request(each.value):
                finding = f"62-09 {each.value!r}"
                yield BrokenRule(field="62-09", position=each.position, text=finding)
    elif tag == "64":
        for needed in ("00", "01"):
            if all(each.id != needed for each in content):
                finding = f"mandatory tag 64-{needed} missing"
                yield BrokenRule(field=prefix + needed, position=template.position, text=finding)
        yield from _forms(content, LANGUAGE_RULES, prefix)
    elif tag in ACCOUNT_TEMPLATES or tag in UNRESERVED_TEMPLATES:
        if all(each.id != "00" for each in content):
            finding = f"template {tag} has no GUID (00)"
            yield BrokenRule(field=f"{tag}-00", position=template.position, text=finding)
        yield from _forms(content, {"00": GUID_RULE}, prefix)


def _is_consumer_request(value: str) -> bool:
    return bool(value) and _CONSUMER_REQUEST.issuperset(value) and len(set(value)) == len(value)
