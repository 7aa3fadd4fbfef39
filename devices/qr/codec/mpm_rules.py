"""The rules of a merchant-presented payload; a broken one is named by id and position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from devices.qr.codec.mpm_objects import (
    ACCOUNT_TEMPLATES,
    ADDITIONAL_RESERVED,
    ADDITIONAL_RULES,
    ADDITIONAL_TEMPLATES,
    GUID_RULE,
    LANGUAGE_RESERVED,
    LANGUAGE_RULES,
    LARGEST_PAYLOAD,
    MANDATORY,
    PRIMITIVE_ACCOUNTS,
    RESERVED,
    ROOT_RULES,
    STRING_RULE,
    TEMPLATE_RULE,
    TEMPLATES,
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
    yield from _forms((each for each in objects if each.id != "63"), ROOT_RULES)
    yield from _fees(objects)
    for each in objects:
        content = templates.get(each.position)
        if isinstance(content, TlvFault):
            finding = f"template {each.id}: {content}"
            yield BrokenRule(field=each.id, position=content.position, text=finding)
        elif content is not None:
            yield from _template(each, content)


def _presence(text: str, objects: Template) -> Iterator[BrokenRule]:
    # 512 characters; fewer where they take several bytes each (section 4.1): 512 bytes of UTF-8.
    encoded = text.encode("utf-8", "surrogatepass")
    if len(encoded) > LARGEST_PAYLOAD:
        unit = "" if text.isascii() else " bytes of UTF-8"
        finding = f"payload length {len(encoded)} not in 1..{LARGEST_PAYLOAD}{unit}"
        end = len(encoded[:LARGEST_PAYLOAD].decode("utf-8", "ignore"))
        yield BrokenRule(field="payload", position=end, text=finding)
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
    # Section 4.3.1.2. With two amounts or two accounts it is open who is paid how much.
    yield from _duplicates(objects, "", "duplicate root tag {}", fatal=True)


def _duplicates(
    objects: Template, prefix: str, finding: str, *, fatal: bool = False
) -> Iterator[BrokenRule]:
    seen: Counter[str] = Counter()
    for each in objects:
        seen[each.id] += 1
        if seen[each.id] == 2:
            yield BrokenRule(
                field=prefix + each.id,
                position=each.position,
                text=finding.format(each.id),
                fatal=fatal,
            )


def _forms(
    objects: Iterable[DataObject], rules: Mapping[str, ObjectRule], prefix: str = ""
) -> Iterator[BrokenRule]:
    for each in objects:
        field = prefix + each.id
        holder = field in TEMPLATES or (prefix == "62-" and each.id in ADDITIONAL_TEMPLATES)
        rule = TEMPLATE_RULE if holder else rules.get(each.id, STRING_RULE)
        finding = _against(rule, field, each.value)
        if finding:
            yield BrokenRule(field=field, position=each.position, text=finding)


def _against(rule: ObjectRule, field: str, value: str) -> str:
    """What is wrong with `value`; empty where it keeps `rule`."""
    if not rule.shortest <= len(value) <= rule.longest:
        return f"{field} length {len(value)} not in {rule.shortest}..{rule.longest}"
    if not rule.form(value):
        return f"{field} format: {value!r}{rule.expected}"
    if rule.values is not None and value.upper() not in rule.values:
        if rule.code_list:
            return f"{field} {value} is not in {rule.code_list}"
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
    prefix = f"{template.id}-"
    if template.id == "62":
        yield from _additional(content, prefix)
    elif template.id == "64":
        yield from _language(template, content, prefix)
    else:
        yield from _with_guid(template, content, template.id)


def _additional(content: Template, prefix: str) -> Iterator[BrokenRule]:
    yield from _duplicates(content, prefix, "template 62: duplicate tag {}")
    yield from _forms(content, ADDITIONAL_RULES, prefix)
    yield from _reserved(content, ADDITIONAL_RESERVED, prefix)
    for each in content:
        if each.id == "09" and each.value and not _is_consumer_request(each.value):
            finding = f"62-09 {each.value!r}"
            yield BrokenRule(field="62-09", position=each.position, text=finding)
        if each.id in ADDITIONAL_TEMPLATES and each.value:
            try:
                inner = split(each.value, each.position + _HEADER)
            except TlvFault as fault:
                finding = f"template 62-{each.id}: {fault}"
                yield BrokenRule(field=prefix + each.id, position=fault.position, text=finding)
            else:
                yield from _with_guid(each, inner, prefix + each.id)


def _language(template: DataObject, content: Template, prefix: str) -> Iterator[BrokenRule]:
    yield from _duplicates(content, prefix, "template 64: duplicate tag {}")
    for needed in ("00", "01"):
        if all(each.id != needed for each in content):
            finding = f"mandatory tag 64-{needed} missing"
            yield BrokenRule(field=prefix + needed, position=template.position, text=finding)
    yield from _forms(content, LANGUAGE_RULES, prefix)
    yield from _reserved(content, LANGUAGE_RESERVED, prefix)


def _with_guid(template: DataObject, content: Template, path: str) -> Iterator[BrokenRule]:
    """The rules of a template that belongs to a payment system; `path` is its id, or `62-50`."""
    prefix = f"{path}-"
    yield from _duplicates(content, prefix, f"template {path}: duplicate tag {{}}")
    if all(each.id != "00" for each in content):
        finding = f"template {path} has no GUID (00)"
        yield BrokenRule(field=f"{path}-00", position=template.position, text=finding)
    yield from _forms(content, {"00": GUID_RULE}, prefix)


def _reserved(content: Template, ids: frozenset[str], prefix: str) -> Iterator[BrokenRule]:
    for each in content:
        if each.id in ids:
            field = prefix + each.id
            yield BrokenRule(field=field, position=each.position, text=f"RFU tag {field}")


def _is_consumer_request(value: str) -> bool:
    return _CONSUMER_REQUEST.issuperset(value) and len(set(value)) == len(value)
