"""EMV merchant-presented codes: read any payload, and build one that keeps every rule.

>>> reading = parse("00020101021229300012D156000000000510A93FO3230Q6304C1F8")
>>> reading.verdict.value, reading.issues[0]
('invalid', 'CRC: got C1F8, computed 2FA2')

Source: EMVCo, QR Code Specification for Payment Systems: Merchant-Presented Mode 1.0 and 1.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from devices.qr.codec.mpm_build import (
    AdditionalContent,
    LanguageTemplate,
    MerchantAccount,
    MerchantPresented,
    Template,
    Tip,
    compose,
)
from devices.qr.codec.mpm_rules import broken_rules, open_templates
from devices.qr.codec.mpm_tlv import CRC_LENGTH, TlvFault, crc_of, split
from devices.qr.codec.verdict import BrokenRule, CodecError, Verdict, verdict_on

__all__ = [
    "AdditionalContent",
    "BrokenRule",
    "CodecError",
    "LanguageTemplate",
    "MerchantAccount",
    "MerchantPresented",
    "MpmReading",
    "Template",
    "Tip",
    "Verdict",
    "build",
    "parse",
]

#: An object's value: text, or a template's objects by id.
Value = str | dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MpmReading:
    """The values in a payload and the rules that it breaks.

    `fields` maps each id to its value, and a template's id to the objects in it; the CRC is left
    out. It is empty where the payload cannot be split into objects. Of an object that occurs twice
    it has the last one.
    """

    text: str
    verdict: Verdict
    broken: tuple[BrokenRule, ...]
    fields: dict[str, Value] = field(default_factory=dict)

    @property
    def issues(self) -> tuple[str, ...]:
        """What is wrong, one line for each broken rule."""
        return tuple(each.text for each in self.broken)

    def accepted(self, *, lenient: bool = False) -> bool:
        """Whether a strict reader, or a lenient one, accepts this payload."""
        return self.verdict is Verdict.STRICT or (lenient and self.verdict is Verdict.NONCONFORMING)

    def value(self, path: str) -> str | None:
        """The value at an id such as `54` or `62-05`, None where it is absent or a template."""
        outer, _, inner = path.partition("-")
        found = self.fields.get(outer)
        if inner:
            return found.get(inner) if isinstance(found, dict) else None
        return found if isinstance(found, str) else None

    def require(self, *, lenient: bool = False) -> MpmReading:
        """This reading; CodecError with the first broken rule where the reader refuses it."""
        if not self.accepted(lenient=lenient):
            raise self.broken[0].as_error()
        return self


def parse(text: str) -> MpmReading:
    """Read `text` as a merchant-presented payload; raises nothing, whatever the text.

    Broken rules come in this order: id-length-value form, CRC, then the rules of the objects.
    """
    try:
        objects = split(text)
    except TlvFault as fault:
        rule = BrokenRule(
            field=fault.field, position=fault.position, text=f"TLV: {fault}", fatal=True
        )
        broken = (rule, *_crc_rules(text, sound=False))
        return MpmReading(text=text, verdict=Verdict.INVALID, broken=broken)
    templates = open_templates(objects)
    # The CRC is an object of its own: the end of another object's value is none (section 4.6.1.2).
    ends = bool(objects) and objects[-1].id == "63" and len(objects[-1].value) == CRC_LENGTH
    broken = (
        *(_crc_rules(text, sound=True) if ends else _no_crc(text)),
        *broken_rules(text, objects, templates),
    )
    fields: dict[str, Value] = {}
    for each in objects:
        if each.id != "63":
            content = templates.get(each.position)
            fields[each.id] = (
                {inner.id: inner.value for inner in content}
                if isinstance(content, tuple)
                else each.value
            )
    return MpmReading(text=text, verdict=verdict_on(broken), broken=broken, fields=fields)


def build(presented: MerchantPresented) -> str:
    """The payload of `presented` with its CRC; CodecError where a value breaks a rule."""
    text = compose(presented)
    reading = parse(text)
    if reading.broken:
        raise reading.broken[0].as_error()
    return text


def _crc_rules(text: str, *, sound: bool) -> tuple[BrokenRule, ...]:
    """The rule that the check value breaks, if any.

    `sound` is whether the payload could be split into objects.
    """
    found = crc_of(text)
    if found is None:
        return _no_crc(text)
    got, computed = found
    if got == computed:
        return ()
    end = max(len(text) - CRC_LENGTH, 0)
    if got.upper() == computed and sound:
        # Some banks write lower case; the standard asks for capitals.
        finding = f"CRC in lower case: got {got}, computed {computed}"
        return (BrokenRule(field="63", position=end, text=finding),)
    finding = f"CRC: got {got}, computed {computed}"
    return (BrokenRule(field="63", position=end, text=finding, fatal=True),)


def _no_crc(text: str) -> tuple[BrokenRule, ...]:
    finding = "CRC object 6304xxxx is not the last object"
    return (BrokenRule(field="63", position=len(text), text=finding, fatal=True),)
